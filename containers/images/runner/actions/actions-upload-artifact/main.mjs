// Stand-in for actions/upload-artifact.
import { action, core, search, upload } from '/opt/runner/actions/artifacts.mjs'

await action('actions-upload-artifact', async () => {
  const name = core.getInput('name')
  const missing = core.getInput('if-no-files-found')
  if (!['warn', 'error', 'ignore'].includes(missing)) {
    // The real action goes on, and so the artifact is there although the step fails.
    core.setFailed(`Unrecognized if-no-files-found input. Provided: ${missing}. Available options: warn,error,ignore`)
  }
  const patterns = core.getInput('path', { required: true })
  const hidden = core.getBooleanInput('include-hidden-files')
  const { files, root } = await search(patterns, hidden)
  if (files.length === 0) {
    const told = `No files were found with the provided path: ${patterns}. No artifacts will be uploaded.`
    if (missing === 'error') core.setFailed(told)
    else if (missing === 'warn') core.warning(told)
    else core.info(told)
    return
  }
  core.info(`With the provided path, there will be ${files.length} file${files.length === 1 ? '' : 's'} uploaded`)
  await upload(name, files, root, { overwrite: core.getBooleanInput('overwrite') })
})
