// Run a Python module of the stand-in actions. The actions are node actions and not composite ones,
// because act passes each input to a node action as INPUT_NAME, in any spelling of its name.
import { spawnSync } from 'node:child_process'

/** Run a module. Set the exit code of the action to the module's, and return true if it is 0. */
export function python(module, ...args) {
  const { error, status } = spawnSync('/opt/runner/venv/bin/python', ['-P', '-m', `stand_ins.${module}`, ...args], {
    env: { ...process.env, PYTHONPATH: '/opt/runner' },
    stdio: 'inherit'
  })
  if (error) throw error
  process.exitCode = status ?? 1
  return status === 0
}
