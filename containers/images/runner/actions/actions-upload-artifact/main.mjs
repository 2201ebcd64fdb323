// Stand-in for actions/upload-artifact.
import { action, client, core, search, upload, uploadOptions } from '/opt/runner/actions/artifacts.mjs'

await action('actions-upload-artifact', async () => {
  const name = core.getInput('name')
  const patterns = core.getInput('path', { required: true })
  const overwrite = core.getBooleanInput('overwrite')
  const includeHidden = core.getBooleanInput('include-hidden-files')
  const skipArchive = !core.getBooleanInput('archive')
  const missing = core.getInput('if-no-files-found')
  if (!['warn', 'error', 'ignore'].includes(missing)) {
    // As in the real action, the step fails, but the upload happens.
    core.setFailed(`Unrecognized if-no-files-found input. Provided: ${missing}. Available options: warn,error,ignore`)
  }
  const options = uploadOptions()
  const { files, root } = await search(patterns, includeHidden)
  if (files.length === 0) {
    const message = `No files were found with the provided path: ${patterns}. No artifacts will be uploaded.`
    if (missing === 'error') core.setFailed(message)
    else if (missing === 'warn') core.warning(message)
    else if (missing === 'ignore') core.info(message)
    return
  }
  core.info(`With the provided path, there will be ${files.length} file${files.length === 1 ? '' : 's'} uploaded`)
  if (skipArchive && files.length > 1) {
    core.setFailed(`When 'archive' is set to false, only a single file can be uploaded. Found ${files.length} files to upload.`)
    return
  }
  if (overwrite) {
    try {
      await client.deleteArtifact(name)
    } catch (error) {
      core.debug(`No artifact was deleted: ${error.message}`)
    }
  }
  await upload(name, files, root, skipArchive ? { ...options, skipArchive } : options)
})
