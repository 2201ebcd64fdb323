// Stand-in for actions/download-artifact.
import os from 'node:os'
import { action, client, core, download, latestArtifacts, minimatch, path, since } from '/opt/runner/actions/artifacts.mjs'

const MISMATCH = ['ignore', 'info', 'warn', 'error']

/** Return the artifacts that the inputs name. */
async function select(name, ids, pattern) {
  if (name) {
    core.info('Downloading single artifact')
    const { artifact } = await client.getArtifact(name)
    return [artifact]
  }
  const artifacts = await latestArtifacts()
  if (ids) return selectByIds(artifacts, ids)
  if (pattern) {
    core.info(`Filtering artifacts by pattern '${pattern}'`)
    return artifacts.filter((artifact) => minimatch(artifact.name, pattern))
  }
  if (artifacts.length === 0 && !since('4.1.0')) {
    const { GITHUB_RUN_ID: run, GITHUB_REPOSITORY: repository } = process.env
    throw new Error(`No artifacts found for run '${run}' in '${repository}'`)
  }
  return artifacts
}

function selectByIds(artifacts, text) {
  const parts = text.split(',').map((part) => part.trim()).filter(Boolean)
  if (parts.length === 0) throw new Error(`No valid artifact IDs provided in 'artifact-ids' input`)
  const ids = parts.map((part) => {
    const id = parseInt(part, 10)
    if (Number.isNaN(id)) throw new Error(`Invalid artifact ID: '${part}'. Must be a number.`)
    return id
  })
  const found = artifacts.filter((artifact) => ids.includes(artifact.id))
  if (found.length === 0) throw new Error('None of the provided artifact IDs were found')
  if (found.length < ids.length) {
    const missing = ids.filter((id) => !found.some((artifact) => artifact.id === id))
    core.warning(`Could not find the following artifact IDs: ${missing.join(', ')}`)
  }
  return found
}

/** Report the artifacts that do not have the expected digest. */
function report(mismatches, behaviour) {
  for (const name of mismatches) {
    const message = `Artifact '${name}' digest validation failed. Please verify the integrity of the artifact.`
    if (behaviour === 'info') core.info(message)
    if (behaviour === 'warn') core.warning(message)
  }
  if (mismatches.length > 0 && behaviour === 'error') {
    throw new Error(`Digest validation failed for artifact(s): ${mismatches.join(', ')}. Use 'digest-mismatch: warn' to continue on mismatch.`)
  }
}

await action('actions-download-artifact', async () => {
  const name = core.getInput('name')
  const ids = core.getInput('artifact-ids')
  const isMerged = core.getBooleanInput('merge-multiple')
  const skipDecompress = core.getBooleanInput('skip-decompress')
  const behaviour = core.getInput('digest-mismatch') || 'error'
  if (!MISMATCH.includes(behaviour)) {
    throw new Error(`Invalid value for 'digest-mismatch': '${behaviour}'. Valid options are: ${MISMATCH.join(', ')}`)
  }
  const target = core.getInput('path') || process.env.GITHUB_WORKSPACE || process.cwd()
  const folder = path.resolve(target.replace(/^~/, os.homedir()))
  if (name && ids) {
    throw new Error(`Inputs 'name' and 'artifact-ids' cannot be used together. Please specify only one.`)
  }
  const artifacts = await select(name, ids, core.getInput('pattern'))
  // Before version 5, a single artifact that no name selects has a folder, too.
  const isDirect = name || isMerged || (since('5.0.0') && artifacts.length === 1)
  const mismatches = []
  for (const artifact of artifacts) {
    core.info(`- ${artifact.name} (ID: ${artifact.id}, Size: ${artifact.size}, Expected Digest: ${artifact.digest})`)
    const target = isDirect ? folder : path.join(folder, artifact.name)
    if (await download(artifact, target, skipDecompress)) mismatches.push(artifact.name)
  }
  report(mismatches, behaviour)
  core.info(`Total of ${artifacts.length} artifact(s) downloaded`)
  core.setOutput('download-path', folder)
  core.info('Download artifact has finished successfully')
}, 'Unable to download artifact(s): ')
