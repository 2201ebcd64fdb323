// Stand-in for actions/upload-artifact.
import { action, core, search, upload } from '/opt/runner/actions/artifacts.mjs'

await action('actions-upload-artifact', async () => {
  const name = core.getInput('name')
  const missing = core.getInput('if-no-files-found')
  if (!['warn', 'error', 'ignore'].includes(missing)) {
    // As in the real action, the step fails, but the upload happens.
    core.setFailed(`Unrecognized if-no-files-found input. Provided: ${missing}. Available options: warn,error,ignore`)
  }
  const patterns = core.getInput('path', { required: true })
  const { files, root } = await search(patterns, core.getBooleanInput('include-hidden-files'))
  if (files.length === 0) {
    const message = `No files were found with the provided path: ${patterns}. No artifacts will be uploaded.`
    if (missing === 'error') core.setFailed(message)
    else if (missing === 'warn') core.warning(message)
    else core.info(message)
    return
  }
  core.info(`With the provided path, there will be ${files.length} file${files.length === 1 ? '' : 's'} uploaded`)
  await upload(name, files, root, { overwrite: core.getBooleanInput('overwrite') })
})
