import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
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

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const passTimes = new URL('pass-times.ts', import.meta.url).href

/**
 * The real daemon in a process of its own, with one collector, whose passes begin every `interval` milliseconds.
 * It tells the times of its passes in a file.
 */
export async function startMeasuredDaemon(
  kafka: Readonly<Record<string, unknown>>,
  intervalMs: number,
): Promise<MeasuredDaemon> {
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
      // As `npm start` and the image run it.
      args: ['--max-semi-space-size=8', '--import', passTimes, main, 'run', '--config', configFile],
      cwd: data.path,
      env: { BENCH_PASSES: passesFile },
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
