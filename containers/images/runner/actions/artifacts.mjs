// What the artifact actions share. The client is the one that the real actions carry.
import fs from 'node:fs'
import path from 'node:path'
import { DefaultArtifactClient } from '@actions/artifact'
import * as core from '@actions/core'
import * as glob from '@actions/glob'
import { python } from '/opt/runner/actions/python.mjs'

export { core, glob, path }
export const client = new DefaultArtifactClient()
// The client's words where the service gave no answer, or one of its own errors (5xx).
const UNANSWERED = /Failed to make request after|Unable to make request/

/** Run an action, named by its folder; an error becomes its failure, as in the real ones. */
export async function action(name, work, prefix = '') {
  if (!python('check', name)) return
  try {
    await work()
  } catch (error) {
    if (UNANSWERED.test(error.message)) {
      console.log('e2e-failure ' + JSON.stringify({ cause: 'machine-lost', why: error.message }))
    }
    core.setFailed(prefix + error.message)
  }
}

/** End: the real action can do this and the stand-in cannot. */
export function unsupported(why) {
  console.log('e2e-unsupported ' + JSON.stringify({ why }))
  throw new Error(`the stand-in cannot do this: ${why}`)
}

/** The files below a search path with patterns, and the folder that their names are relative to. */
export async function search(patterns, includeHidden) {
  const globber = await glob.create(patterns, {
    followSymbolicLinks: true,
    implicitDescendants: true,
    omitBrokenSymbolicLinks: true,
    excludeHiddenFiles: !includeHidden
  })
  const files = (await globber.glob()).filter((name) => !fs.statSync(name).isDirectory())
  const tops = globber.getSearchPaths()
  if (tops.length === 1) {
    const alone = files.length === 1 && tops[0] === files[0]
    return { files, root: alone ? path.dirname(files[0]) : tops[0] }
  }
  return { files, root: common(tops) }
}

function common(folders) {
  const all = folders.map((name) => path.resolve(name).split(path.sep))
  const parts = []
  for (const [at, part] of all[0].entries()) {
    if (!all.every((other) => other[at] === part)) break
    parts.push(part)
  }
  return parts.join(path.sep) || path.sep
}

/** Upload; the service refuses a name that the run already has. */
export async function upload(name, files, root, { overwrite = false } = {}) {
  if (overwrite) {
    const { artifacts } = await client.listArtifacts()
    if (artifacts.some((found) => found.name === name)) await client.deleteArtifact(name)
  }
  const made = await client.uploadArtifact(name, files, root, uploadOptions())
  core.info(`Artifact ${name} has been successfully uploaded! Final size is ${made.size} bytes. Artifact ID is ${made.id}`)
  const told = files.map((file) => path.relative(root, file)).sort()
  console.log('e2e-artifact ' + JSON.stringify({ name, files: told, digest: made.digest ?? null }))
  core.setOutput('artifact-id', made.id)
  core.setOutput('artifact-digest', made.digest)
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run } = process.env
  core.setOutput('artifact-url', `${server}/${repository}/actions/runs/${run}/artifacts/${made.id}`)
}

/** The options of an upload; a value that is none fails the step, and the upload is made all the same. */
function uploadOptions() {
  const days = core.getInput('retention-days')
  if (days && Number.isNaN(parseInt(days))) core.setFailed('Invalid retention-days')
  const level = parseInt(core.getInput('compression-level'))
  if (core.getInput('compression-level') && Number.isNaN(level)) core.setFailed('Invalid compression-level')
  if (level < 0 || level > 9) core.setFailed('Invalid compression-level. Valid values are 0-9')
  return level >= 0 && level <= 9 ? { compressionLevel: level } : {}
}

/** Whether a name fits a pattern of `*` and `?`, as the actions match artifacts by name. */
export function fits(name, pattern) {
  if (/[[\]{}()!+@]/.test(pattern)) unsupported(`the pattern ${pattern}`)
  const escaped = pattern.replace(/[.^$|\\]/g, '\\$&').replace(/\*/g, '[^/]*').replace(/\?/g, '[^/]')
  return new RegExp(`^${escaped}$`).test(name)
}

/** The latest artifact of each name. */
export async function artifactsOf() {
  const { artifacts } = await client.listArtifacts({ latest: true })
  return artifacts
}

export async function download(artifact, folder) {
  const done = await client.downloadArtifact(artifact.id, { path: folder, expectedHash: artifact.digest })
  if (done.digestMismatch) {
    throw new Error(`Artifact '${artifact.name}' was changed: its digest is not the expected one`)
  }
}
