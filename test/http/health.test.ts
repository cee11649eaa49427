import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Daemon, runCommand, startDaemon } from '../commands/daemon.ts'
import { erpPublication } from '../testbed/erp/schema.ts'
import { produce } from '../testbed/kafka-client.ts'
import { erpConnector, etlApp, type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'
import { createTopics } from '../testbed/topics.ts'

// One daemon, one pipeline of real parts: all is well, then one thing of each part is not, then all is again.

let pipeline: Pipeline
let daemon: Daemon
/** Of the API that is probed: in the shape of Nest Terminus. */
let component = 'up'
const api = createServer((_, response) => {
  const details = { database: { status: 'up' }, queue: { status: component } }
  response.writeHead(component === 'up' ? 200 : 503, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ status: component === 'up' ? 'ok' : 'error', details }))
})
let apiUrl = ''

/** Runs come when they are asked for. */
const asked = { interval: '1h', timeout: '10m' }

beforeAll(async () => {
  pipeline = await startPipeline({ tenants: ['alpha'] })
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  apiUrl = `http://127.0.0.1:${(api.address() as AddressInfo).port}/api/health`
  const { kafka, connect, postgres, clickhouse, redis, pm2 } = pipeline
  const postgresql = { url: postgres.url('erp') }
  const topics = [{ match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$' }]
  const accounts = { source: 'alpha.cash_accounts', sink: 'cash_accounts', watermark: 'created_at' }
  daemon = await startDaemon(
    [
      { kind: 'kafka', target: 'erp', brokers: kafka.bootstrap, broker_timeout: '3m', ...asked },
      { kind: 'connect', target: 'erp', environment: 'production', urls: connect.url, ...asked },
      {
        kind: 'postgresql',
        target: 'erp',
        ...postgresql,
        publications: [{ name: erpPublication, tables: ['alpha.*'] }],
        ...asked,
      },
      { kind: 'clickhouse', target: 'erp', url: clickhouse.url, ...asked },
      { kind: 'redis', target: 'erp', url: redis.url, queues: ['votes'], ...asked },
      { kind: 'pm2', target: 'erp', home: pm2.home, expect: { [etlApp]: 1 }, ...asked },
      { kind: 'http', target: 'erp', urls: apiUrl, health_json: true, probe_timeout: '3m', ...asked },
      {
        kind: 'sql',
        target: 'erp',
        connection: { postgresql },
        packs: [{ pack: 'login', table: 'pg_stat_activity', time: 'backend_start', result: 'state' }],
        ...asked,
      },
      {
        kind: 'drift',
        target: 'erp',
        source: { postgresql },
        sink: { clickhouse: { url: clickhouse.url, database: 'erp' } },
        lag: '100ms',
        tables: [accounts],
        checksums: {},
        ...asked,
      },
      {
        kind: 'sync',
        target: 'erp',
        brokers: kafka.bootstrap,
        broker_timeout: '3m',
        groups: [`^${etlApp}$`],
        topics,
        ...asked,
      },
    ],
    { settings: { web: { listen: '127.0.0.1:0', enable_lifecycle: true } } },
  )
})
afterAll(async () => {
  await daemon?.stop()
  api.closeAllConnections()
  api.close()
  await pipeline?.stop()
})

const schema = z.fromJSONSchema(JSON.parse(readFileSync('docs/health-detailed.schema.json', 'utf8')))

interface Answer {
  readonly status: string
  readonly checks: Readonly<
    Record<
      string,
      { readonly status: string; readonly message: string; readonly problems?: readonly string[] }
    >
  >
}

/** After one run of every collector, and one more of that which builds on the others. */
async function health(): Promise<Answer> {
  for (const query of ['', '?collector=sync']) {
    const { status } = await fetch(`${daemon.url}/-/collect${query}`, { method: 'POST' })
    expect(status).toBe(200)
  }
  const texts = await Promise.all(['/health', '/health/detailed'].map(daemon.get))
  for (const text of texts) expect(text).not.toContain(pipeline.postgres.password)
  const [short, detailed] = texts.map((text): Answer => JSON.parse(text))
  const { success, error } = schema.safeParse(detailed)
  expect(success, error && z.prettifyError(error)).toBe(true)
  for (const [key, { status, message }] of Object.entries(short?.checks ?? {}))
    expect(detailed?.checks[key]).toMatchObject({ status, message })
  return { status: '', checks: {}, ...detailed }
}

const healthy = (title: string, details: object) => ({
  status: 'healthy',
  message: `${title} connection is healthy`,
  response_time_ms: expect.any(Number),
  problems: [],
  failed_parts: [],
  details,
})

async function inSink(query: string): Promise<void> {
  const client = createClient({ url: pipeline.clickhouse.url, database: 'erp' })
  try {
    await client.command({ query })
  } finally {
    await client.close()
  }
}

async function atSource(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: pipeline.postgres.url('erp') })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

const brokenConnector = 'reads-text-as-json'

/** A sink whose task fails at its first record, which is no JSON. */
async function putBrokenConnector(): Promise<void> {
  const { connect, kafka } = pipeline
  await createTopics(kafka.bootstrap, [{ topic: 'lines', numPartitions: 1 }])
  await produce(kafka.bootstrap, 'lines', [{ value: 'a line' }])
  await connect.putConnector(brokenConnector, {
    'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector',
    topics: 'lines',
    file: join(connect.folder, 'lines.txt'),
    'consumer.override.auto.offset.reset': 'earliest',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
  })
  await waitFor(
    'its task to fail',
    async () => (await connect.status(brokenConnector))?.tasks[0]?.state === 'FAILED',
  )
}

describe('the health of a pipeline', () => {
  test('when all is well', async () => {
    let answer = await health()
    // What has just started may not have all to tell at once.
    await waitFor('everything to be well', async () => {
      answer = await health()
      return answer.status === 'healthy'
    }).catch(() => {})
    const expected = {
      kafka: healthy('Kafka', {
        brokers: 1,
        topics: expect.any(Number),
        consumer_groups: expect.any(Object),
        offline_partitions: 0,
        under_replicated_partitions: 0,
        dead_letters: [],
      }),
      kafka_connect: healthy('Kafka Connect', {
        version: expect.any(String),
        connectors: { running: 1 },
        tasks: { running: 1 },
        failed: [],
      }),
      postgres_connection: healthy('PostgreSQL', {
        version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        standby: false,
        connections: { used: expect.any(Number), max: 60 },
        slots: [{ slot_name: 'erp_cdc', database: 'erp', active: true, wal_status: 'reserved' }],
        missing_in_publications: 0,
      }),
      clickhouse_connection: healthy('ClickHouse', {
        disks: [{ disk: 'default', size_bytes: expect.any(Number), free_bytes: expect.any(Number) }],
        read_only_replicas: [],
      }),
      redis_connection: healthy('Redis', {
        role: 'master',
        clients: { connected: expect.any(Number), max: expect.any(Number) },
        memory: { used_bytes: expect.any(Number), max_bytes: 0 },
        queues: [{ queue: 'votes', length: 0 }],
      }),
      pm2: healthy('PM2', {
        states: { online: 1 },
        expected: [{ name: etlApp, expected: 1, online: 1 }],
      }),
      http: healthy('HTTP', {
        probes: [{ url: apiUrl, success: true, status_code: 200, duration_seconds: expect.any(Number) }],
        components_up: 2,
        components_down: [],
      }),
      sql: healthy('SQL', { queries: 1, failed: 0, truncated: 0 }),
      drift: healthy('Drift', {
        tables: { compared: 1, confirmed_ranges: 0, differing_rows: 0, differing: [] },
      }),
      sync_jobs: healthy('Sync', {
        active_jobs: 1,
        error_jobs: 0,
        jobs: [{ collector: 'connect', target: 'erp', job: erpConnector, state: 'running' }],
        tables: expect.arrayContaining([expect.objectContaining({ table: 'journals', tenant: 'alpha' })]),
      }),
    }
    expect(Object.keys(answer.checks).toSorted()).toEqual(Object.keys(expected).toSorted())
    for (const [key, check] of Object.entries(expected)) expect(answer.checks[key]).toMatchObject(check)
    expect(answer.status).toBe('healthy')
  })

  test('when one thing of each part is wrong: degraded, and unhealthy what does not answer', async () => {
    component = 'down'
    await Promise.all([
      putBrokenConnector(),
      pipeline.pm2.stopApp(etlApp),
      pipeline.redis.kill(),
      atSource(`ALTER PUBLICATION ${erpPublication} DROP TABLE alpha.journal_lines`),
      inSink('CREATE TABLE lost ENGINE = Memory AS SELECT * FROM cash_accounts WHERE id = 1'),
    ])
    await inSink('ALTER TABLE cash_accounts DELETE WHERE id = 1 SETTINGS mutations_sync = 2')
    const { status, checks } = await health()
    expect(status).toBe('degraded')
    const { kafka, clickhouse_connection, sql, redis_connection, ...degraded } = checks
    for (const check of [kafka, clickhouse_connection, sql]) expect(check?.status).toBe('healthy')
    expect(redis_connection).toMatchObject({
      status: 'unhealthy',
      message: expect.stringMatching(/^Redis connection failed: .*ECONNREFUSED/),
      response_time_ms: expect.any(Number),
      problems: [],
    })
    expect(redis_connection).not.toHaveProperty('details')
    const failure = 'org.apache.kafka.connect.errors.ConnectException'
    expect(degraded).toMatchObject({
      kafka_connect: {
        message: `Kafka Connect is degraded: task 0 of connector ${brokenConnector} has failed (${failure})`,
        details: {
          connectors: { running: 2 },
          tasks: { running: 1, failed: 1 },
          failed: [{ connector: brokenConnector, task: '0', exception_class: failure }],
        },
      },
      postgres_connection: {
        message: 'PostgreSQL is degraded: 1 tables are missing in publications',
        details: { missing_in_publications: 1 },
      },
      pm2: {
        message: `PM2 is degraded: ${etlApp}: 0 of 1 instances are online`,
        details: { expected: [{ name: etlApp, expected: 1, online: 0 }] },
      },
      http: {
        message: `HTTP is degraded: component queue of ${apiUrl} is down and 1 more`,
        problems: [`component queue of ${apiUrl} is down`, expect.stringContaining('503')],
        details: { components_up: 1, components_down: [{ url: apiUrl, component: 'queue' }] },
      },
      drift: {
        message: 'Drift is degraded: table cash_accounts: rows confirmed to differ: 1; row difference: 1',
        details: { tables: { differing: [{ table: 'cash_accounts', tenant: '', differing_rows: 1 }] } },
      },
      sync_jobs: {
        message: `Sync is degraded: job ${brokenConnector} is failed`,
        details: { active_jobs: 1, error_jobs: 1 },
      },
    })
    for (const [key, check] of Object.entries(degraded)) expect(check.status, key).toBe('degraded')
    const { stdout } = await runCommand('status', '--url', daemon.url)
    expect(stdout).toMatch(/^connect .* degraded .* task 0 of connector reads-text-as-json has failed/m)
    expect(stdout).toMatch(/^redis .* failed .*ECONNREFUSED/m)
    expect(stdout).toMatch(/^kafka .* ok /m)
  })

  test('when all of it is repaired, and what the log says of it', async () => {
    component = 'up'
    await Promise.all([
      pipeline.connect.deleteConnector(brokenConnector),
      pipeline.pm2.restartApp(etlApp),
      pipeline.redis.start(),
      atSource(`ALTER PUBLICATION ${erpPublication} ADD TABLE alpha.journal_lines`),
      inSink('INSERT INTO cash_accounts SELECT * FROM lost'),
    ])
    let answer: Answer | undefined
    await waitFor('everything to be well', async () => {
      answer = await health()
      return answer.status === 'healthy'
    }).catch(() => {})
    expect(Object.values(answer?.checks ?? {}).filter(({ status }) => status !== 'healthy')).toEqual([])
    const said = (collector: string) =>
      daemon
        .log()
        .filter((line) => line.collector === collector && line.check === undefined)
        .map(({ level, message }) => `${level} ${message}`)
    expect(said('http')).toEqual(['WARNING a probe fails', 'INFO the probe succeeds again'])
    expect(said('drift')).toEqual(['WARNING found a difference', 'INFO the difference is gone'])
    expect(said('redis')).toEqual(['WARNING collection failed', 'INFO collection works again'])
  })
})
