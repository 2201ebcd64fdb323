// Stand-in for actions/upload-artifact/merge.
import fs from 'node:fs'
import os from 'node:os'
import {
  action, client, core, download, latestArtifacts, matches, path, search, upload
} from '/opt/runner/actions/artifacts.mjs'

await action('actions-upload-artifact/merge', async () => {
  const pattern = core.getInput('pattern')
  const artifacts = (await latestArtifacts()).filter((artifact) => matches(artifact.name, pattern))
  if (artifacts.length === 0) throw new Error(`No artifacts found with pattern '${pattern}'`)
  core.info(`Preparing to download the following artifacts:`)
  const folder = fs.mkdtempSync(path.join(process.env.RUNNER_TEMP || os.tmpdir(), 'merge-'))
  const isSeparate = core.getBooleanInput('separate-directories')
  for (const artifact of artifacts) {
    core.info(`- ${artifact.name} (ID: ${artifact.id}, Size: ${artifact.size})`)
    await download(artifact, isSeparate ? path.join(folder, artifact.name) : folder)
  }
  const { files } = await search(folder, core.getBooleanInput('include-hidden-files'))
  await upload(core.getInput('name'), files, folder)
  if (core.getBooleanInput('delete-merged')) {
    for (const artifact of artifacts) await client.deleteArtifact(artifact.name)
    core.info(`Deleted the ${artifacts.length} merged artifacts`)
  }
})
