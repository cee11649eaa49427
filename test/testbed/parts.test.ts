import { existsSync, readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { createClient } from 'redis'
import { afterAll, describe, expect, test } from 'vitest'
import { temporaryFolder } from './part.ts'
import { startAlertmanager } from './parts/alertmanager.ts'
import { startPgbouncer } from './parts/pgbouncer.ts'
import { type Pm2Part, startPm2 } from './parts/pm2.ts'
import { type PostgresPart, startPostgres } from './parts/postgres.ts'
import { type PrometheusPart, startPrometheus } from './parts/prometheus.ts'
import { type RedisPart, startRedis } from './parts/redis.ts'
import { descendants, PATIENCE_MS, waitFor } from './process.ts'
import type { ProcessPart } from './process-part.ts'

/** How long what is frozen is asked, in milliseconds. */
const FROZEN_MS = 1_000

const started: ProcessPart[] = []
afterAll(() => Promise.all(started.map((part) => part.remove())))

async function keep<P extends ProcessPart>(part: Promise<P>): Promise<P> {
  started.push(await part)
  return part
}

const scrapeNothing = { scrape_configs: [] }
const notifyNobody = { route: { receiver: 'nobody' }, receivers: [{ name: 'nobody' }] }

/** One entry a kind: how to start it, and one question over its network interface that rejects unanswered. */
const kinds = {
  postgres: kind(startPostgres, (part, limit) => queryPostgres(part, 'SELECT 1', limit)),
  'postgres 15': kind(
    () => startPostgres({ version: '15' }),
    (part, limit) => queryPostgres(part, 'SELECT 1', limit),
  ),
  pgbouncer: kind(
    // Its console answers without the server.
    () => startPgbouncer({ url: () => 'postgresql://postgres@127.0.0.1:5432/postgres' }),
    (part, limit) => queryPostgres({ url: () => part.url('pgbouncer') }, 'SHOW VERSION', limit),
  ),
  redis: kind(startRedis, pingRedis),
  pm2: kind(startPm2, (part, limit) => within(part.pidOf('nothing').catch(expectNoSuchApplication), limit)),
  prometheus: kind(
    () => startPrometheus({ config: scrapeNothing }),
    (part, limit) => fetchAnswer(`${part.url}/-/healthy`, limit),
  ),
  alertmanager: kind(
    () => startAlertmanager({ config: notifyNobody }),
    (part, limit) => fetchAnswer(`${part.url}/-/healthy`, limit),
  ),
}

/** `ask` gives up after `limit` milliseconds. */
function kind<P extends ProcessPart>(
  start: () => Promise<P>,
  ask: (part: P, limit: number) => Promise<unknown>,
) {
  return async () => {
    const part = await keep(start())
    return { part, ask: (limit = PATIENCE_MS) => ask(part, limit) }
  }
}

describe.each(Object.entries(kinds))('%s', (_, start) => {
  test('freezes, thaws, is killed, starts again at the same address, and leaves nothing behind', async () => {
    const [{ part, ask }, other] = await Promise.all([start(), start()])
    await ask()
    await other.ask()

    part.freeze()
    await expect(ask(FROZEN_MS)).rejects.toThrow()
    await other.ask()
    part.thaw()
    await ask()

    const firstLife = family(part)
    await part.kill()
    await expect(ask()).rejects.toThrow()
    await gone(firstLife)
    await part.start()
    await ask()
    await part.stop()
    await expect(ask()).rejects.toThrow()
    await part.start()
    await ask()

    const lastLife = [...family(part), ...family(other.part)]
    part.freeze()
    await Promise.all([part.remove(), other.part.remove()])
    await gone(lastLife)
    expect(existsSync(part.folder)).toBe(false)
    expect(existsSync(other.part.folder)).toBe(false)
  })
})

test('a folder of the caller outlives the part', async () => {
  const folder = temporaryFolder('kept')
  const redis = await keep(startRedis({ folder: folder.path }))
  await redis.remove()
  expect(existsSync(redis.logFile)).toBe(true)
  folder.remove()
})

test('a part that cannot start says why', async () => {
  await expect(startPrometheus({ config: { scrape_configs: 'all' } })).rejects.toThrow(
    /prometheus ended with [\s\S]*prometheus\.yml/,
  )
})

test('postgres decodes its log logically, and keeps its data when it is killed', async () => {
  const postgres = await keep(startPostgres())
  await queryPostgres(postgres, 'CREATE TABLE journals (id int PRIMARY KEY)')
  await queryPostgres(postgres, `SELECT pg_create_logical_replication_slot('s', 'pgoutput')`)
  await queryPostgres(postgres, 'INSERT INTO journals VALUES (1)')
  await postgres.kill()
  await postgres.start()
  expect(await queryPostgres(postgres, 'SELECT id FROM journals')).toEqual([{ id: 1 }])
  expect(await queryPostgres(postgres, 'SELECT plugin FROM pg_replication_slots')).toEqual([
    { plugin: 'pgoutput' },
  ])
})

test('postgres asks for its password', async () => {
  const { host, port, user } = await keep(startPostgres())
  const client = new pg.Client({ host, port, user, password: 'wrong' })
  await expect(client.connect()).rejects.toThrow('password authentication failed')
})

test('redis asks for its password where it has one', async () => {
  const redis = await keep(startRedis({ password: 'p@ss/word' }))
  await pingRedis(redis)
  await expect(pingRedis({ url: `redis://127.0.0.1:${redis.port}` })).rejects.toThrow('NOAUTH')
})

test('prometheus scrapes, and answers queries', async () => {
  const alertmanager = await keep(startAlertmanager({ config: notifyNobody }))
  const prometheus: PrometheusPart = await keep(
    startPrometheus({
      config: {
        global: { scrape_interval: '1s' },
        scrape_configs: [
          { job_name: 'alertmanager', static_configs: [{ targets: [new URL(alertmanager.url).host] }] },
        ],
      },
    }),
  )
  await waitFor('a scrape', async () => {
    expect(await prometheus.targets()).toMatchObject([
      { labels: { job: 'alertmanager' }, health: 'up', lastError: '' },
    ])
    return (await prometheus.query('up == 1')).some(({ labels }) => labels.job === 'alertmanager')
  })
  expect(await prometheus.query('vector(1) / 0')).toMatchObject([{ labels: {}, value: Infinity }])
  await expect(prometheus.query('up{')).rejects.toThrow('parse error')
})

describe('applications of pm2', () => {
  test('start, restart, stop and go, under our Node', async () => {
    const pm2 = await keep(startPm2())
    await startIdle(pm2, 'forked')
    await startIdle(pm2, 'clustered', { exec_mode: 'cluster', instances: 2 })
    const first = await pm2.pidOf('forked')
    for (const name of ['forked', 'clustered']) await hasStarted(pm2, name)

    await pm2.restartApp('forked')
    const second = await pm2.pidOf('forked')
    expect(second).not.toBe(first)
    await gone([first])
    await pm2.stopApp('forked')
    expect(await pm2.pidOf('forked')).toBe(0)
    await gone([second])
    await pm2.deleteApp('forked')
    await expect(pm2.pidOf('forked')).rejects.toThrow('no application forked')

    const daemonAndApps = family(pm2)
    await pm2.stop()
    await gone(daemonAndApps)
    await expect(startIdle(pm2, 'forked')).rejects.toThrow()
  })

  test('outlive their daemon until the part is stopped', async () => {
    const pm2 = await keep(startPm2())
    // One with PM2's metrics ends at the first that it cannot send, soon or late.
    await startIdle(pm2, 'etl', { pmx: false })
    // One that is still starting tells its daemon so, and ends when there is none to tell.
    await hasStarted(pm2, 'etl')
    const etl = await pm2.pidOf('etl')
    process.kill(pm2.process.pid, 'SIGKILL')
    await waitFor('the daemon to end', () => !pm2.process.running)
    expect(isAlive(etl)).toBe(true)
    await pm2.stop()
    await gone([etl])
  })
})

/** The application runs its own code: it has written which Node runs it, and where its home is. */
const hasStarted = (pm2: Pm2Part, name: string): Promise<void> =>
  waitFor(
    `${name} to say its Node`,
    async () =>
      (await readFile(join(pm2.home, `${name}.node`), 'utf8')) === `${process.execPath} ${pm2.home}`,
  )

const IDLE = `
const { writeFileSync } = require('node:fs')
writeFileSync(process.argv[2], process.execPath + ' ' + process.env.HOME)
setInterval(() => {}, 1000)
`

async function startIdle(
  pm2: Pm2Part,
  name: string,
  how: { exec_mode?: 'cluster'; instances?: number; pmx?: boolean } = {},
) {
  const script = join(pm2.home, `${name}.cjs`)
  await writeFile(script, IDLE)
  await pm2.startApp({ name, script, args: [join(pm2.home, `${name}.node`)], ...how })
}

async function queryPostgres(
  { url }: Pick<PostgresPart, 'url'>,
  sql: string,
  limit = PATIENCE_MS,
): Promise<unknown[]> {
  const client = new pg.Client({
    connectionString: url(),
    connectionTimeoutMillis: limit,
    query_timeout: limit,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

async function pingRedis({ url }: Pick<RedisPart, 'url'>, limit = PATIENCE_MS): Promise<void> {
  const client = createClient({ url, socket: { reconnectStrategy: false, socketTimeout: limit } })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.ping()
  } finally {
    client.destroy()
  }
}

async function fetchAnswer(url: string, limit: number): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(limit) })
  expect(response.ok).toBe(true)
}

/** The daemon answered: it has no such application. */
function expectNoSuchApplication(error: Error): void {
  if (!error.message.includes('no application nothing')) throw error
}

async function within<T>(answer: Promise<T>, limit: number): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error('no answer')), limit)
  return Promise.race([answer, timeout]).finally(() => clearTimeout(timer))
}

function family({ process }: ProcessPart): number[] {
  return [process.pid, ...descendants(process.pid)]
}

function gone(pids: readonly number[]): Promise<void> {
  return waitFor(`processes ${pids.join(', ')} to end`, () => !pids.some(isAlive))
}

/** A zombie is dead: the first process of a container may never ask for it. */
function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}
