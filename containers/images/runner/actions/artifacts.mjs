// Functions of the artifact actions. They use the same client and patterns as the real actions.
import fs from 'node:fs'
import path from 'node:path'
import { DefaultArtifactClient } from '@actions/artifact'
import * as core from '@actions/core'
import * as glob from '@actions/glob'
import { minimatch } from 'minimatch'
import { checkInputs } from '/opt/runner/actions/python.mjs'

export { core, minimatch, path }
export const client = new DefaultArtifactClient()
// The client's messages if the service does not answer, or answers with a status 5xx.
const SERVICE_ERROR = /Failed to make request after|Unable to make request/
let version = []

/**
 * Check the inputs of an action and run it. An error fails the step.
 *
 * @param name the folder of the action, with its inputs.toml
 * @param main the function of the action
 * @param prefix the beginning of error messages
 */
export async function action(name, main, prefix = '') {
  const checked = checkInputs(name)
  if (!checked) return
  version = checked.version
  for (const [input, value] of Object.entries(checked.inputs)) {
    process.env[`INPUT_${input.toUpperCase()}`] = value
  }
  try {
    await main()
  } catch (error) {
    if (SERVICE_ERROR.test(error.message)) {
      console.log('e2e-failure ' + JSON.stringify({ cause: 'machine-lost', why: error.message }))
    }
    core.setFailed(prefix + error.message)
  }
}

/** Return true if the stand-in replaces this version or a later one, such as 4.2.1. */
export function since(text) {
  const numbers = text.split('.').map(Number)
  const index = numbers.findIndex((number, position) => number !== version[position])
  return index < 0 || (version[index] ?? 0) > numbers[index]
}

/** Report a feature of the real action that the stand-in does not have, and fail the step. */
function unsupported(feature) {
  const why = `${feature} (${process.env.GITHUB_ACTION_REPOSITORY} v${version.join('.')})`
  console.log('e2e-unsupported ' + JSON.stringify({ why }))
  throw new Error(`the stand-in does not support this: ${why}`)
}

/** Return the files that match patterns, and the folder to which their names are relative. */
export async function search(patterns, includeHidden) {
  const globber = await glob.create(patterns, {
    followSymbolicLinks: true,
    implicitDescendants: true,
    omitBrokenSymbolicLinks: true,
    excludeHiddenFiles: !includeHidden
  })
  const files = (await globber.glob()).filter((name) => !fs.statSync(name).isDirectory())
  const searchPaths = globber.getSearchPaths()
  if (searchPaths.length === 1) {
    const isSingleFile = files.length === 1 && searchPaths[0] === files[0]
    return { files, root: isSingleFile ? path.dirname(files[0]) : searchPaths[0] }
  }
  return { files, root: commonFolder(searchPaths) }
}

/** Return the longest folder that contains all paths. */
function commonFolder(paths) {
  const splitPaths = paths.map((name) => path.resolve(name).split(path.sep))
  const commonParts = []
  for (const [index, part] of splitPaths[0].entries()) {
    if (!splitPaths.every((parts) => parts[index] === part)) break
    commonParts.push(part)
  }
  return commonParts.join(path.sep) || path.sep
}

/** Upload files as an artifact. Fails if the run attempt has an artifact of this name. */
export async function upload(name, files, root, options) {
  const artifact = await client.uploadArtifact(name, files, root, options)
  // The client gives an artifact without an archive the name of its file.
  const uploaded = options.skipArchive ? path.basename(files[0]) : name
  core.info(`Artifact ${uploaded} has been successfully uploaded! Final size is ${artifact.size} bytes. Artifact ID is ${artifact.id}`)
  const relativeFiles = files.map((file) => path.relative(root, file)).sort()
  console.log('e2e-artifact ' + JSON.stringify({ name: uploaded, files: relativeFiles, digest: artifact.digest ?? null }))
  core.setOutput('artifact-id', artifact.id)
  if (since('4.5.0')) core.setOutput('artifact-digest', artifact.digest)
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run } = process.env
  if (since('4.1.0')) core.setOutput('artifact-url', `${server}/${repository}/actions/runs/${run}/artifacts/${artifact.id}`)
}

/**
 * Return the options of an upload.
 *
 * As in the real action, an invalid value fails the step, but does not prevent the upload.
 */
export function uploadOptions() {
  const options = {}
  const days = core.getInput('retention-days')
  if (days) {
    const number = parseInt(days)
    if (Number.isNaN(number)) core.setFailed('Invalid retention-days')
    else options.retentionDays = number
  }
  const level = core.getInput('compression-level')
  if (level) {
    options.compressionLevel = parseInt(level)
    if (Number.isNaN(options.compressionLevel)) core.setFailed('Invalid compression-level')
    if (options.compressionLevel < 0 || options.compressionLevel > 9) {
      core.setFailed('Invalid compression-level. Valid values are 0-9')
    }
  }
  return options
}

/** Return the latest artifact of each name. */
export async function latestArtifacts() {
  const { artifacts } = await client.listArtifacts({ latest: true })
  return artifacts
}

/** Download an artifact into a folder. Return true if it does not have the expected digest. */
export async function download(artifact, folder, skipDecompress = false) {
  if (!since('8.0.0') && !(await isArchive(artifact.name))) {
    unsupported(`the artifact ${artifact.name}, which is not an archive`)
  }
  const { digestMismatch } = await client.downloadArtifact(artifact.id, {
    path: folder,
    expectedHash: artifact.digest,
    skipDecompress
  })
  return digestMismatch
}

/** Return true if an artifact is a zip file. The client of versions before 8 requires it. */
async function isArchive(name) {
  const service = 'twirp/github.actions.results.api.v1.ArtifactService/GetSignedArtifactURL'
  const call = { method: 'POST', body: JSON.stringify({ name }) }
  const response = await fetch(new URL(service, process.env.ACTIONS_RESULTS_URL), call)
  const blob = await fetch((await response.json()).signed_url)
  await blob.body.cancel()
  return blob.headers.get('content-type') === 'application/zip'
}
