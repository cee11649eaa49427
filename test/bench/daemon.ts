import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { testbedFolder } from '../testbed/installed-folder.ts'
import { reservePort } from '../testbed/ports.ts'
import { PATIENCE_MS, TestbedProcess, waitFor } from '../testbed/process.ts'
import { dataFolder, startProcessPart } from '../testbed/process-part.ts'
import type { PassTimes } from './pass-times.ts'

export interface MeasuredDaemon {
  readonly url: string
  readonly pid: number
  /** Every pass so far. */
  passes(): PassTimes[]
  /** The next `count` passes, when they are done. */
  nextPasses(count: number): Promise<PassTimes[]>
  remove(): Promise<void>
}

const root = fileURLToPath(new URL('../..', import.meta.url))
// Below the root, so that the built modules find their packages.
const built = pathToFileURL(join(testbedFolder, 'bench', 'dist', '/'))

/** What the package and the image hold; made anew for each bench. */
let building: Promise<void> | undefined
async function build(): Promise<void> {
  await promisify(execFile)('npm', ['run', '-s', 'build', '--', '--outDir', fileURLToPath(built)], {
    cwd: root,
  })
  await copyFile(join(root, 'package.json'), fileURLToPath(new URL('../package.json', built)))
  // Without its types, or the daemon would take 14 MiB for what strips them.
  await writeFile(
    passTimes,
    stripTypeScriptTypes(await readFile(new URL('pass-times.ts', import.meta.url), 'utf8')),
  )
}
const passTimes = new URL('../pass-times.js', built)

/** What `npm start` gives Node: `NAME=value … node --option … file …`. */
function startOf(script: string): { readonly env: Record<string, string>; readonly options: string[] } {
  const words = script.split(' ')
  const node = words.indexOf('node')
  const file = words.findIndex((word) => word.endsWith('.ts'))
  return {
    env: Object.fromEntries(words.slice(0, node).map((word) => word.split('=') as [string, string])),
    options: words.slice(node + 1, file),
  }
}

/**
 * The real daemon in a process of its own, with one collector, whose passes begin every `interval` milliseconds.
 * It tells the times of its passes in a file.
 */
export async function startMeasuredDaemon(
  kafka: Readonly<Record<string, unknown>>,
  intervalMs: number,
): Promise<MeasuredDaemon> {
  building ??= build()
  await building
  const { env, options } = startOf(
    JSON.parse(await readFile(join(root, 'package.json'), 'utf8')).scripts.start,
  )
  const data = dataFolder('bench-daemon', undefined)
  const url = `http://127.0.0.1:${await reservePort()}`
  const configFile = join(data.path, 'cdc-exporter.yaml')
  const passesFile = join(data.path, 'passes.jsonl')
  const interval = `${intervalMs}ms`
  const collector = { kind: 'kafka', target: 'bench', interval, timeout: interval, ...kafka }
  writeFileSync(configFile, stringify({ web: { listen: new URL(url).host }, collectors: [collector] }))
  const part = await startProcessPart(
    new TestbedProcess({
      name: 'cdc-exporter',
      command: process.execPath,
      args: [
        ...options,
        '--import',
        passTimes.href,
        fileURLToPath(new URL('main.js', built)),
        'run',
        '--config',
        configFile,
      ],
      cwd: data.path,
      env: {
        ...env,
        BENCH_PASSES: passesFile,
        BENCH_CODE: built.href,
      },
      logFile: join(data.path, 'cdc-exporter.log'),
      ready: async (signal) => (await fetch(`${url}/health/ready`, { signal })).ok,
    }),
    data,
  )
  const passes = (): PassTimes[] =>
    existsSync(passesFile)
      ? readFileSync(passesFile, 'utf8')
          .trimEnd()
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line))
      : []
  return {
    url,
    pid: part.process.pid,
    passes,
    async nextPasses(count) {
      const before = passes().length
      const within = (count + 10) * 4 * intervalMs + PATIENCE_MS
      await waitFor(`${count} passes`, () => passes().length >= before + count, within)
      return passes().slice(before, before + count)
    },
    remove: () => part.remove(),
  }
}
