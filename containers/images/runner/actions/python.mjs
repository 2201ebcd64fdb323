// Run a Python module of the stand-in actions. The actions are node actions and not composite ones,
// because act passes each input to a node action as INPUT_NAME, in any spelling of its name.
import { spawnSync } from 'node:child_process'

/** Run a module. Set the exit code of the action to the module's, and return true if it is 0. */
export function python(module, ...args) {
  return run(module, args).status === 0
}

/**
 * Check the inputs of an action with `stand_ins/check.py`.
 *
 * Return the numbers of the version that the stand-in replaces and the values of the inputs by their
 * names, or null if the check ends the action.
 */
export function checkInputs(name) {
  const { status, output } = run('check', [name], 'pipe')
  return status === 0 ? JSON.parse(output[3]) : null
}

function run(module, args, result = 'ignore') {
  const command = ['-P', '-m', `stand_ins.${module}`, ...args]
  const child = spawnSync('/opt/runner/venv/bin/python', command, {
    env: { ...process.env, PYTHONPATH: '/opt/runner' },
    stdio: ['inherit', 'inherit', 'inherit', result]
  })
  if (child.error) throw child.error
  process.exitCode = child.status ?? 1
  return child
}
