// Stand-in for actions/upload-artifact/merge.
import fs from 'node:fs'
import {
  action, client, core, download, latestArtifacts, minimatch, path, search, upload, uploadOptions
} from '/opt/runner/actions/artifacts.mjs'

await action('actions-upload-artifact/merge', async () => {
  const name = core.getInput('name', { required: true })
  const pattern = core.getInput('pattern', { required: true })
  const isSeparate = core.getBooleanInput('separate-directories')
  const deleteMerged = core.getBooleanInput('delete-merged')
  const includeHidden = core.getBooleanInput('include-hidden-files')
  const options = uploadOptions()
  const folder = fs.mkdtempSync('merge-artifact')
  const artifacts = (await latestArtifacts()).filter((artifact) => minimatch(artifact.name, pattern))
  if (artifacts.length === 0) throw new Error(`No artifacts found matching pattern '${pattern}'`)
  core.info(`Preparing to download the following artifacts:`)
  for (const artifact of artifacts) {
    core.info(`- ${artifact.name} (ID: ${artifact.id}, Size: ${artifact.size})`)
    await download(artifact, isSeparate ? path.join(folder, artifact.name) : folder)
  }
  const { files, root } = await search(folder, includeHidden)
  await upload(name, files, root, options)
  core.info(`The ${artifacts.length} artifact(s) have been successfully merged!`)
  if (deleteMerged) {
    for (const artifact of artifacts) await client.deleteArtifact(artifact.name)
    core.info(`The ${artifacts.length} artifact(s) have been deleted`)
  }
  fs.rmSync(folder, { recursive: true })
})
