import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { type Scrape, scrape, scrapeOf } from './demo/scrape.ts'
import { savedSeries } from './prometheus/declared-series.ts'
import { temporaryFolder } from './testbed/part.ts'
import { waitFor } from './testbed/process.ts'

const main = fileURLToPath(new URL('demo/main.ts', import.meta.url))
const folder = temporaryFolder('demo-test')
const locks = `cdc-testbed-ports-${userInfo().uid}`
// A temporary folder of its own keeps a demo that someone runs by hand out of the test; ports are shared with it.
mkdirSync(join(tmpdir(), locks), { recursive: true })
symlinkSync(join(tmpdir(), locks), join(folder.path, locks))

const started = new Set<ChildProcess>()
afterAll(async () => {
  for (const child of started) child.kill('SIGTERM')
  await waitFor('the demos to end', () => [...started].every(hasEnded))
  folder.remove()
})

interface Run {
  readonly child: ChildProcess
  readonly output: { stdout: string; stderr: string }
  /** The exit code, and the signal where one ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>
}

function demo(...args: string[]): Run {
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, TMPDIR: folder.path },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.add(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (data) => {
    output.stdout += data
  })
  child.stderr.on('data', (data) => {
    output.stderr += data
  })
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal)),
  )
  return { child, output, ended }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** What the demos left: processes that have our temporary folder in their environment, and files in it. */
function remains(): string[] {
  const processes = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(folder.path)) return []
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`]
      } catch {
        // It has ended meanwhile, or is another user's.
        return []
      }
    })
  const files = readdirSync(folder.path).filter((name) => name !== locks && name !== 'saved')
  return [...processes, ...files]
}

test('wrong usage says what there is', async () => {
  const unknown = demo('--break', 'everything')
  expect(await unknown.ended).toBe(2)
  expect(unknown.output.stderr).toContain('connector, etl, redis, drift')
  const alone = demo('--break', 'redis')
  expect(await alone.ended).toBe(1)
  expect(alone.output.stderr).toContain('no demo is running')
  expect(await demo('--save', 'somewhere').ended).toBe(2)
})

test('--once checks everything, keeps what it saw, and leaves nothing', async () => {
  const saved = join(folder.path, 'saved')
  const { ended, output } = demo('--once', '--save', saved)
  expect(await ended, output.stderr).toBe(0)
  expect(output.stdout).toMatch(/\d+ samples\n$/)
  const read = (file: string) => readFileSync(join(saved, file), 'utf8')
  expect(scrapeOf(read('metrics.prom')).value('kafka_up')).toBe(1)
  // What the tests of the rules take for a real scrape is one: each series that is there has these label names.
  const known = savedSeries('series.txt')
  const seen = read('series.txt').trim().split('\n')
  const ofKnown = seen.filter((line) => known.has(line.replace(/\{.*/, '')))
  expect(ofKnown.length).toBeGreaterThan(known.size / 2)
  const expected = new Set([...known].map(([name, labels]) => `${name}{${labels.join(',')}}`))
  expect(ofKnown.filter((line) => !expected.has(line))).toEqual([])
  expect(JSON.parse(read('health.json'))).toMatchObject({ status: 'healthy' })
  expect(JSON.parse(read('health-detailed.json'))).toMatchObject({ status: 'healthy' })
  expect(JSON.parse(read('health-ready.json'))).toEqual({ status: 'ready' })
  expect(read('index.html')).toContain('</html>')
  expect(read('logs/cdc-exporter.log')).toContain('cdc-exporter is stopping')
  expect(readdirSync(join(saved, 'logs'))).toEqual(
    expect.arrayContaining([
      'alertmanager.log',
      'clickhouse-etl-error.log',
      'clickhouse.log',
      'connect.log',
      'kafka-1.log',
      'pm2.log',
      'postgres.log',
      'prometheus.log',
      'redis.log',
    ]),
  )
  expect(remains()).toEqual([])
})

test.each(['redis is up', 'kafka is up', 'application clickhouse-etl are started'])(
  'Ctrl-C when %s leaves nothing',
  async (moment) => {
    const { child, ended, output } = demo()
    await waitFor(moment, () => output.stderr.includes(moment) || hasEnded(child))
    child.kill('SIGINT')
    expect(await ended, output.stderr).toBe(0)
    expect(output.stderr).toContain(moment)
    expect(remains()).toEqual([])
  },
)

test('each fault is real and becomes visible, and Ctrl-C leaves nothing', async () => {
  const running = demo()
  await waitFor(
    'the first table',
    () => running.output.stdout.includes('COLLECTOR') || hasEnded(running.child),
  )
  expect(hasEnded(running.child), running.output.stderr).toBe(false)
  const daemon = /^daemon +(http:\S+)\/$/m.exec(running.output.stdout)?.[1] ?? ''
  const state = join(folder.path, `cdc-demo-${userInfo().uid}.json`)
  expect(JSON.parse(readFileSync(state, 'utf8'))).toMatchObject({ pid: running.child.pid })

  const act = async (flag: '--break' | '--repair', fault: string) => {
    const { ended, output } = demo(flag, fault)
    expect(await ended, output.stderr).toBe(0)
    return output.stdout
  }
  const see = (what: string, holds: (scrape: Scrape) => boolean) =>
    waitFor(what, async (signal) => holds(await scrape(daemon, signal)))
  const taskFailed = { connector: 'erp-postgres', task: '0', state: 'failed' }
  const journals = { table: 'journals', tenant: 'alpha' }

  await see('journals to be compared', (now) => (now.value('cdc_sink_rows', journals) ?? 0) >= 3)
  expect(await act('--break', 'drift')).toMatch(/deleted the journals \d+, \d+, \d+ of alpha/)
  await see('the drift', (now) => now.value('cdc_row_difference', journals) === 3)
  await act('--repair', 'drift')
  await see('no drift', (now) => now.value('cdc_row_difference', journals) === 0)

  expect(await act('--break', 'redis')).toContain('killed redis')
  expect(await act('--break', 'etl')).toContain('stopped clickhouse-etl')
  expect(await act('--break', 'connector')).toContain('dropped the replication slot')
  await see('redis to be down', (now) => now.value('redis_up') === 0)
  await see('no clickhouse-etl', (now) => now.value('pm2_processes_online') === 0)
  await see('a failed task', (now) => now.value('kafka_connect_task_state', taskFailed) === 1)

  for (const fault of ['connector', 'etl', 'redis']) await act('--repair', fault)
  await see(
    'all to be repaired',
    (now) =>
      now.value('redis_up') === 1 &&
      now.value('pm2_processes_online') === 1 &&
      now.value('kafka_connect_task_state', { ...taskFailed, state: 'running' }) === 1,
  )

  running.child.kill('SIGINT')
  expect(await running.ended, running.output.stderr).toBe(0)
  expect(remains()).toEqual([])
})
