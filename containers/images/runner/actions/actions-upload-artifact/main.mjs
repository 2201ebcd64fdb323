// Stand-in for actions/upload-artifact.
import { action, core, search, unsupported, upload } from '/opt/runner/actions/artifacts.mjs'

await action(async () => {
  const name = core.getInput('name')
  const missing = core.getInput('if-no-files-found')
  if (!['warn', 'error', 'ignore'].includes(missing)) {
    throw new Error(`Unrecognized if-no-files-found input. Provided: ${missing}. Available options: warn,error,ignore`)
  }
  if (core.getInput('archive') === 'false') unsupported('an artifact that is not archived')
  const patterns = core.getInput('path', { required: true })
  const hidden = core.getInput('include-hidden-files') === 'true'
  const { files, root } = await search(patterns, hidden)
  if (files.length === 0) {
    const told = `No files were found with the provided path: ${patterns}. No artifacts will be uploaded.`
    if (missing === 'error') core.setFailed(told)
    else if (missing === 'warn') core.warning(told)
    else core.info(told)
    return
  }
  core.info(`With the provided path, there will be ${files.length} file${files.length === 1 ? '' : 's'} uploaded`)
  await upload(name, files, root, { overwrite: core.getInput('overwrite') === 'true' })
})
