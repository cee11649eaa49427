import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createClient } from 'redis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../testbed/part.ts'
import { startClickHouse } from '../testbed/parts/clickhouse.ts'
import { startPostgres } from '../testbed/parts/postgres.ts'
import { type RedisPart, startRedis } from '../testbed/parts/redis.ts'
import { waitFor } from '../testbed/process.ts'
import { type Daemon, runCommand, startDaemon } from './daemon.ts'

let redis: RedisPart
let daemon: Daemon | undefined

beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.remove())
afterEach(async () => {
  await daemon?.stop()
  daemon = undefined
})

const votes = () => ({ kind: 'redis', target: 'votes', url: redis.url, queues: ['votes'], interval: '1s' })

/** Runs that went well: on a busy machine one may take longer than its time-out. */
async function goodRuns(daemon: Daemon, target: string): Promise<number> {
  const labels = `target="${target}",collector="redis"`
  const runs = (await daemon.sample(`cdc_collector_runs_total{${labels}}`)) ?? 0
  let failed = 0
  for (const reason of ['error', 'timeout']) {
    failed += (await daemon.sample(`cdc_collector_failures_total{${labels},reason="${reason}"}`)) ?? 0
  }
  return runs - failed
}

/** Until the instance has run well this often. */
async function hasRun(daemon: Daemon, target: string, times: number): Promise<void> {
  await waitFor(`${times} runs of ${target}`, async () => (await goodRuns(daemon, target)) >= times)
}

test('from a configuration file to a scrape, until SIGTERM', async () => {
  const client = createClient({ url: redis.url })
  await client.connect()
  await client.rPush('votes', ['a', 'b', 'c'])
  client.destroy()
  daemon = await startDaemon([{ ...votes(), interval: '1h', timeout: '5m' }])
  await hasRun(daemon, 'votes', 1)
  expect(await daemon.sample('redis_queue_length{target="votes",queue="votes"}')).toBe(3)
  expect(await daemon.sample('cdc_config_last_reload_successful')).toBe(1)
  daemon.kill('SIGTERM')
  const { exitCode, stderr } = await daemon.ended
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  expect(daemon.log().map(({ message }) => message)).toEqual([
    'cdc-exporter is running',
    'cdc-exporter is stopping',
  ])
})

test('SIGINT ends it well too, even while a backend hangs and a client holds its connection', async () => {
  daemon = await startDaemon([{ ...votes(), interval: '30s', timeout: '20s' }])
  const { get } = daemon
  const frozen = redis
  frozen.freeze()
  try {
    // Each request's connection stays open: keep-alive.
    await waitFor('a run to be under way', async () => {
      const { items } = JSON.parse(await get('/api/v1/collectors')) as { items: { running: boolean }[] }
      return items.some(({ running }) => running)
    })
    daemon.kill('SIGINT')
    expect((await daemon.ended).exitCode).toBe(0)
  } finally {
    frozen.thaw()
  }
})

test('a port that is taken is said in one line, without a stack', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const folder = temporaryFolder('taken')
  const file = join(folder.path, 'config.yaml')
  writeFileSync(file, `web: { listen: "127.0.0.1:${port}" }\ncollectors: [{ kind: pm2, target: erp }]\n`)
  const { exitCode, stdout, stderr } = await runCommand('run', '--config', file)
  expect(exitCode).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).toBe(
    `cdc-exporter: cannot listen on 127.0.0.1:${port} (web.listen): listen EADDRINUSE: address already in use 127.0.0.1:${port}\n`,
  )
  server.close()
  folder.remove()
})

describe('SIGHUP', () => {
  const web = { listen: '127.0.0.1:0' }

  test('a good file: new instances come, removed ones go, and those that stay run on undisturbed', async () => {
    const running = await startDaemon([votes(), { ...votes(), target: 'old' }])
    daemon = running
    await hasRun(running, 'votes', 2)
    const before = await goodRuns(running, 'votes')
    running.configure({ web, collectors: [votes(), { ...votes(), target: 'new', queues: ['other'] }] })
    running.kill('SIGHUP')
    await hasRun(running, 'new', 1)
    expect(await goodRuns(running, 'votes')).toBeGreaterThanOrEqual(before)
    expect(await running.sample('redis_queue_length{target="new",queue="other"}')).toBe(0)
    expect(await running.get('/metrics')).not.toContain('target="old"')
    expect(await running.sample('cdc_config_last_reload_successful')).toBe(1)
  })

  test('a changed instance is made anew, and its series are there once', async () => {
    const running = await startDaemon([votes()])
    daemon = running
    await hasRun(running, 'votes', 1)
    running.configure({ web, collectors: [{ ...votes(), queues: ['votes', 'other'] }] })
    running.kill('SIGHUP')
    const series = 'redis_queue_length{target="votes",queue="other"}'
    await waitFor('the new queue', async () => (await running.sample(series)) === 0)
    const lines = (await running.get('/metrics')).split('\n')
    const names = lines
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(' ')[0])
    expect(names.length).toBe(new Set(names).size)
  })

  test('a bad file changes nothing, is told of, and is forgotten when the file is good again', async () => {
    const running = await startDaemon([votes()])
    daemon = running
    await hasRun(running, 'votes', 2)
    const loadedAt = await running.sample('cdc_config_last_reload_success_timestamp_seconds')
    const before = await goodRuns(running, 'votes')
    running.configure({ web, collectors: [{ ...votes(), target: 'new', urll: 'x' }] })
    running.kill('SIGHUP')
    const successful = (wanted: number) => async () =>
      (await running.sample('cdc_config_last_reload_successful')) === wanted
    await waitFor('the refusal to show', successful(0))
    const refusals = () => running.log().filter(({ message }) => message === 'configuration refused')
    await waitFor('the refusal in the log', () => refusals().length > 0)
    const [refusal] = refusals()
    expect(refusal).toMatchObject({
      level: 'ERROR',
      faults: [expect.stringMatching(/config\.yaml:\d+:\d+: collectors\[0\]\.urll: unknown key/)],
    })
    expect(await running.sample('cdc_config_last_reload_success_timestamp_seconds')).toBe(loadedAt)
    await hasRun(running, 'votes', before + 1)
    expect(await running.get('/metrics')).not.toContain('target="new"')

    running.configure({ web, collectors: [votes()] })
    running.kill('SIGHUP')
    await waitFor('the good file to be in force', successful(1))
    expect(await goodRuns(running, 'votes')).toBeGreaterThan(before)
  })

  test('many in a row end in the last file', async () => {
    const running = await startDaemon([votes()])
    daemon = running
    for (const target of ['a', 'b', 'c', 'd']) {
      running.configure({ web, collectors: [{ ...votes(), target }] })
      running.kill('SIGHUP')
    }
    await hasRun(running, 'd', 1)
    const targets = new Set(
      [...(await running.get('/metrics')).matchAll(/target="(\w+)"/g)].map(([, t]) => t),
    )
    expect([...targets]).toEqual(['d'])
  })
})

test('no password of the configuration is in the log, the metrics, the health or on the landing page', async () => {
  const [locked, postgres, clickhouse] = await Promise.all([
    startRedis({ password: 'right' }),
    startPostgres(),
    startClickHouse({ password: 'right' }),
  ])
  try {
    const planted = 'plant/ed&p@ss"word'
    const inUrl = 'planted-in-url'
    const backends = [
      { kind: 'redis', target: 'field', url: `redis://127.0.0.1:${locked.port}`, password: planted },
      { kind: 'redis', target: 'url', url: `redis://:${inUrl}@127.0.0.1:${locked.port}` },
      {
        kind: 'postgresql',
        target: 'url',
        url: `postgresql://postgres:${inUrl}@127.0.0.1:${postgres.port}/x`,
      },
      {
        kind: 'postgresql',
        target: 'encoded',
        url: `postgresql://postgres:${encodeURIComponent(planted)}@127.0.0.1:${postgres.port}/x`,
      },
      { kind: 'clickhouse', target: 'field', url: clickhouse.url, password: planted },
      { kind: 'clickhouse', target: 'url', url: clickhouse.url.replace('//', `//default:${inUrl}@`) },
    ]
    const running = await startDaemon(
      backends.map((backend) => ({ ...backend, interval: '1s' })),
      { log: { level: 'debug' } },
    )
    daemon = running
    await waitFor(
      'every collector to have failed',
      async () => (await fetch(`${running.url}/health/ready`)).ok,
    )
    const health = JSON.parse(await running.get('/health')) as { checks: Record<string, { status: string }> }
    expect(Object.values(health.checks).map(({ status }) => status)).toEqual(backends.map(() => 'unhealthy'))
    await waitFor(
      'a log line of each',
      () =>
        running.log().filter(({ level }) => level === 'ERROR' || level === 'WARNING').length >=
        backends.length,
    )
    const texts = [
      running.output(),
      ...(await Promise.all(
        ['/', '/metrics', '/health', '/health/detailed', '/health/ready'].map(running.get),
      )),
    ]
    for (const text of texts) {
      expect(text).not.toContain(inUrl)
      for (const form of [
        planted,
        encodeURIComponent(planted),
        JSON.stringify(planted).slice(1, -1),
        'plant/ed',
      ]) {
        expect(text).not.toContain(form)
      }
    }
  } finally {
    await Promise.all([locked.remove(), postgres.remove(), clickhouse.remove()])
  }
})
