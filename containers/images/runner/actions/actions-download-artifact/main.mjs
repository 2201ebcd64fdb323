// Stand-in for actions/download-artifact.
import os from 'node:os'
import { action, artifactsOf, client, core, download, fits, path } from '/opt/runner/actions/artifacts.mjs'

await action('actions-download-artifact', async () => {
  const name = core.getInput('name')
  const given = core.getInput('path') || process.env.GITHUB_WORKSPACE || process.cwd()
  const folder = path.resolve(given.replace(/^~(?=$|\/)/, os.homedir()))
  if (name) {
    const { artifact } = await client.getArtifact(name)
    core.info(`Found named artifact '${name}' with ID '${artifact.id}' and Size '${artifact.size}'`)
    await download(artifact, folder)
  } else {
    const pattern = core.getInput('pattern')
    const found = (await artifactsOf()).filter((artifact) => !pattern || fits(artifact.name, pattern))
    const together = core.getBooleanInput('merge-multiple') || found.length === 1
    core.info(`Found ${found.length} artifacts${pattern ? ` that fit '${pattern}'` : ''}`)
    for (const artifact of found) {
      await download(artifact, together ? folder : path.join(folder, artifact.name))
    }
  }
  core.setOutput('download-path', folder)
  core.info('Download artifact has finished successfully')
}, 'Unable to download artifact(s): ')
