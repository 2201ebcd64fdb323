// Functions of the artifact actions. They use the same client as the real actions.
import fs from 'node:fs'
import path from 'node:path'
import { DefaultArtifactClient } from '@actions/artifact'
import * as core from '@actions/core'
import * as glob from '@actions/glob'
import { python } from '/opt/runner/actions/python.mjs'

export { core, glob, path }
export const client = new DefaultArtifactClient()
// The client's messages if the service does not answer, or answers with a status 5xx.
const SERVICE_ERROR = /Failed to make request after|Unable to make request/

/**
 * Check the inputs of an action and run it. An error fails the step.
 *
 * @param name the folder of the action, with its inputs.toml
 * @param main the function of the action
 * @param prefix the beginning of error messages
 */
export async function action(name, main, prefix = '') {
  if (!python('check', name)) return
  try {
    await main()
  } catch (error) {
    if (SERVICE_ERROR.test(error.message)) {
      console.log('e2e-failure ' + JSON.stringify({ cause: 'machine-lost', why: error.message }))
    }
    core.setFailed(prefix + error.message)
  }
}

/** Report a feature of the real action that the stand-in does not have, and fail the step. */
function unsupported(feature) {
  console.log('e2e-unsupported ' + JSON.stringify({ why: feature }))
  throw new Error(`the stand-in does not support this: ${feature}`)
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
export async function upload(name, files, root, { overwrite = false } = {}) {
  if (overwrite) {
    const { artifacts } = await client.listArtifacts()
    if (artifacts.some((artifact) => artifact.name === name)) await client.deleteArtifact(name)
  }
  const artifact = await client.uploadArtifact(name, files, root, uploadOptions())
  core.info(`Artifact ${name} has been successfully uploaded! Final size is ${artifact.size} bytes. Artifact ID is ${artifact.id}`)
  const relativeFiles = files.map((file) => path.relative(root, file)).sort()
  console.log('e2e-artifact ' + JSON.stringify({ name, files: relativeFiles, digest: artifact.digest ?? null }))
  core.setOutput('artifact-id', artifact.id)
  core.setOutput('artifact-digest', artifact.digest)
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run } = process.env
  core.setOutput('artifact-url', `${server}/${repository}/actions/runs/${run}/artifacts/${artifact.id}`)
}

/** Return the options of an upload. As in the real action, an invalid value does not prevent it. */
function uploadOptions() {
  const days = core.getInput('retention-days')
  if (days && Number.isNaN(parseInt(days))) core.setFailed('Invalid retention-days')
  const level = parseInt(core.getInput('compression-level'))
  if (core.getInput('compression-level') && Number.isNaN(level)) core.setFailed('Invalid compression-level')
  if (level < 0 || level > 9) core.setFailed('Invalid compression-level. Valid values are 0-9')
  return level >= 0 && level <= 9 ? { compressionLevel: level } : {}
}

/** Return true if the name of an artifact matches a pattern with `*` and `?`. */
export function matches(name, pattern) {
  if (/[[\]{}()!+@]/.test(pattern)) unsupported(`the pattern ${pattern}`)
  const escaped = pattern.replace(/[.^$|\\]/g, '\\$&').replace(/\*/g, '[^/]*').replace(/\?/g, '[^/]')
  return new RegExp(`^${escaped}$`).test(name)
}

/** Return the latest artifact of each name. */
export async function latestArtifacts() {
  const { artifacts } = await client.listArtifacts({ latest: true })
  return artifacts
}

/** Download an artifact into a folder and check its digest. */
export async function download(artifact, folder) {
  const result = await client.downloadArtifact(artifact.id, { path: folder, expectedHash: artifact.digest })
  if (result.digestMismatch) {
    throw new Error(`The downloaded artifact '${artifact.name}' does not have the digest ${artifact.digest}`)
  }
}
