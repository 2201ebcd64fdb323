// Stand-in for actions/download-artifact.
import os from 'node:os'
import { action, client, core, download, latestArtifacts, matches, path } from '/opt/runner/actions/artifacts.mjs'

await action('actions-download-artifact', async () => {
  const name = core.getInput('name')
  const target = core.getInput('path') || process.env.GITHUB_WORKSPACE || process.cwd()
  const folder = path.resolve(target.replace(/^~(?=$|\/)/, os.homedir()))
  if (name) {
    const { artifact } = await client.getArtifact(name)
    core.info(`Found named artifact '${name}' with ID '${artifact.id}' and Size '${artifact.size}'`)
    await download(artifact, folder)
  } else {
    const pattern = core.getInput('pattern')
    const artifacts = (await latestArtifacts()).filter((artifact) => !pattern || matches(artifact.name, pattern))
    const isMerged = core.getBooleanInput('merge-multiple') || artifacts.length === 1
    core.info(`Found ${artifacts.length} artifacts${pattern ? ` that match '${pattern}'` : ''}`)
    for (const artifact of artifacts) {
      await download(artifact, isMerged ? folder : path.join(folder, artifact.name))
    }
  }
  core.setOutput('download-path', folder)
  core.info('Download artifact has finished successfully')
}, 'Unable to download artifact(s): ')
