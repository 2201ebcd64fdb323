// Stand-in for softprops/action-gh-release. It finds the files with the library of the real action.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { globSync } from 'glob'
import { checkInputs, python } from '/opt/runner/actions/python.mjs'

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

function find(pattern, cwd, options) {
  const expanded = options.home ? pattern.replace(/^~(?=\/|$)/, os.homedir()) : pattern
  return globSync(expanded, { cwd: cwd || undefined, dot: options.dot, absolute: false })
    .map((name) => (cwd && !path.isAbsolute(name) ? path.join(cwd, name) : name))
    .filter(isFile)
}

const checked = checkInputs('softprops-action-gh-release')
if (checked) {
  const [major, minor, patch] = checked.version
  const since = (...numbers) => ((major - numbers[0]) || (minor - numbers[1]) || (patch - numbers[2])) >= 0
  const { files, working_directory: cwd } = checked.inputs
  const options = { home: since(2, 5, 3), dot: since(2, 4, 0) }
  const found = patterns(files, since(2, 4, 1)).map((pattern) => [pattern, find(pattern, cwd, options)])
  python('release', JSON.stringify(found))
}
