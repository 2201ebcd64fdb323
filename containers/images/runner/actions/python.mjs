// Run a part of a stand-in action that is written in Python. It reads the inputs as a node action
// does, from INPUT_NAME: act finds those of a composite action only as action.yml spells them.
import { spawnSync } from 'node:child_process'

/** Run a module of the stand-ins; return whether it passed. Its exit code becomes the action's. */
export function python(module, ...args) {
  const { error, status } = spawnSync('/opt/runner/venv/bin/python', ['-P', '-m', `stand_ins.${module}`, ...args], {
    env: { ...process.env, PYTHONPATH: '/opt/runner' },
    stdio: 'inherit'
  })
  if (error) throw error
  process.exitCode = status ?? 1
  return status === 0
}
