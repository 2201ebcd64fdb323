// The files of a release, found with the library of softprops/action-gh-release.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { globSync } from 'glob'

/** Return the patterns of the input `files`. Line ends separate them, and commas outside of braces. */
function patterns(text, commasInBraces) {
  const parts = []
  for (const line of text.split(/\r?\n/)) {
    let depth = 0
    let part = ''
    for (const character of line) {
      if (character === '{') depth += 1
      if (character === '}') depth -= 1
      if (character === ',' && (depth === 0 || !commasInBraces)) {
        parts.push(part)
        part = ''
      } else part += character
    }
    parts.push(part)
  }
  return parts.map((part) => part.trim()).filter(Boolean)
}

function isFile(name) {
  try {
    return fs.statSync(name).isFile()
  } catch {
    return false
  }
}

/** Return the files that a pattern matches. */
function find(pattern, cwd, options) {
  const expanded = options.home ? pattern.replace(/^~(?=\/|$)/, os.homedir()) : pattern
  return globSync(expanded, { cwd: cwd || undefined, dot: options.dot, absolute: false })
    .map((name) => (cwd && !path.isAbsolute(name) ? path.join(cwd, name) : name))
    .filter(isFile)
}

/** Return each pattern of the input `files` with its files. `version` is the version of the action. */
export function findFiles(version, { files, working_directory: cwd }) {
  const [major, minor, patch] = version
  const since = (...numbers) => ((major - numbers[0]) || (minor - numbers[1]) || (patch - numbers[2])) >= 0
  const options = { home: since(2, 5, 3), dot: since(2, 4, 0) }
  return patterns(files, since(2, 4, 1)).map((pattern) => [pattern, find(pattern, cwd, options)])
}
