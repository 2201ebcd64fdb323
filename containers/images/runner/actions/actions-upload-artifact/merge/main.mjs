// Stand-in for actions/upload-artifact/merge.
import fs from 'node:fs'
import os from 'node:os'
import {
  action, artifactsOf, client, core, download, fits, path, search, upload
} from '/opt/runner/actions/artifacts.mjs'

await action('actions-upload-artifact/merge', async () => {
  const pattern = core.getInput('pattern')
  const found = (await artifactsOf()).filter((artifact) => fits(artifact.name, pattern))
  if (found.length === 0) throw new Error(`No artifacts found with pattern '${pattern}'`)
  core.info(`Preparing to download the following artifacts:`)
  const top = fs.mkdtempSync(path.join(process.env.RUNNER_TEMP || os.tmpdir(), 'merge-'))
  const separate = core.getBooleanInput('separate-directories')
  for (const artifact of found) {
    core.info(`- ${artifact.name} (ID: ${artifact.id}, Size: ${artifact.size})`)
    await download(artifact, separate ? path.join(top, artifact.name) : top)
  }
  const { files } = await search(top, core.getBooleanInput('include-hidden-files'))
  await upload(core.getInput('name'), files, top)
  if (core.getBooleanInput('delete-merged')) {
    for (const artifact of found) await client.deleteArtifact(artifact.name)
    core.info(`The ${found.length} merged artifacts were deleted`)
  }
})
