// Runs node actions one after another in one process, because their libraries take long to load.
// Each line of stdin is a request: {"main": path, "cwd": folder, "env": variables}. The answer is a line
// with the exit code on the file descriptor of the argument. The actions print to the stdout and stderr of this process.
import fs from 'node:fs'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

const answers = Number(process.argv[2])
let runs = 0

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { main, cwd, env } = JSON.parse(line)
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  process.chdir(cwd)
  process.exitCode = 0
  try {
    runs += 1
    // The query makes node evaluate the module again. Its libraries stay loaded.
    await import(`${pathToFileURL(main)}?${runs}`)
  } catch (error) {
    console.error(error)
    process.exitCode = 1
  }
  fs.writeSync(answers, `${process.exitCode}\n`)
}
process.exitCode = 0
