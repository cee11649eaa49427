import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { collectorKinds } from '../../src/collectors/index.ts'
import { type Daemon, startDaemon } from '../commands/daemon.ts'
import { needlessReasons, withoutData } from '../grafana/in-prometheus.ts'
import { folder } from '../prometheus/rule-files.ts'
import { type FlinkPart, startFlink } from '../testbed/parts/flink.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { type StarrocksPart, startStarrocks } from '../testbed/parts/starrocks.ts'
import { etlApp, type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'
import { keptNames } from './kept-names.ts'

let pipeline: Pipeline
let flink: FlinkPart
let starrocks: StarrocksPart
let daemon: Daemon
let prometheus: PrometheusPart

beforeAll(async () => {
  pipeline = await startPipeline({ tenants: ['alpha', 'bravo'] })
  flink = await startFlink([['rows', 'runs']])
  starrocks = await startStarrocks({})
  const { kafka, connect, postgres, clickhouse, redis, pm2 } = pipeline
  await createCanaries()
  daemon = await startDaemon([
    {
      kind: 'canary',
      target: 'erp',
      source: { postgresql: { url: postgres.url('erp') } },
      sink: { clickhouse: { url: clickhouse.url } },
      watch: '1s',
    },
    { kind: 'kafka', target: 'erp', brokers: kafka.bootstrap },
    { kind: 'connect', target: 'erp', urls: connect.url },
    { kind: 'postgresql', target: 'erp', url: postgres.url('erp'), user_tables: 10 },
    { kind: 'clickhouse', target: 'erp', url: clickhouse.url },
    { kind: 'flink', target: 'erp', urls: flink.url },
    {
      kind: 'starrocks',
      target: 'erp',
      hosts: starrocks.host,
      username: starrocks.username,
      password: starrocks.password,
      http_metrics: true,
    },
    { kind: 'redis', target: 'erp', url: redis.url, queues: ['votes'] },
    { kind: 'pm2', target: 'erp', home: pm2.home, expect: { [etlApp]: 1 } },
    { kind: 'http', target: 'erp', urls: `${clickhouse.url}/ping` },
    {
      kind: 'sql',
      target: 'erp',
      connection: { postgresql: { url: postgres.url('erp') } },
      tenants: pipeline.tenants,
      queries: [
        {
          name: 'journals',
          sql: 'SELECT count(*) AS journals, count(*) AS total FROM {tenant}.journals',
          values: {
            journals: { metric: 'erp_journals', help: 'Journals of a tenant.' },
            total: { metric: 'erp_journals_total', type: 'counter', help: 'Journals ever written.' },
          },
        },
      ],
    },
    {
      kind: 'sync',
      target: 'erp',
      brokers: pipeline.kafka.bootstrap,
      groups: [`^${etlApp}$`],
      topics: [{ match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$' }],
    },
    {
      kind: 'drift',
      target: 'erp',
      source: { postgresql: { url: postgres.url('erp') } },
      sink: { clickhouse: { url: clickhouse.url, database: 'erp' } },
      lag: '5s',
      tenants: pipeline.tenants,
      tables: [
        {
          source: '{tenant}.journals',
          sink: 'journals',
          sink_tenant_column: 'tenant',
          key: 'id',
          watermark: 'created_at',
        },
      ],
    },
  ])
  prometheus = await startPrometheus({
    config: {
      global: { scrape_interval: '2s', evaluation_interval: '2s' },
      rule_files: [`${folder('rules')}*.yml`],
      scrape_configs: [
        {
          job_name: 'cdc-exporter',
          honor_labels: true,
          static_configs: [{ targets: [new URL(daemon.url).host] }],
        },
      ],
    },
  })
})
afterAll(async () => {
  await prometheus?.remove()
  await daemon?.stop()
  await starrocks?.remove()
  await flink?.remove()
  await pipeline?.stop()
})

/** A table for canaries at both ends; nothing goes from one to the other. */
async function createCanaries(): Promise<void> {
  const { postgres, clickhouse } = pipeline
  const source = new pg.Client({ connectionString: postgres.url('erp') })
  const sink = createClient({ url: clickhouse.url })
  try {
    await source.connect()
    await source.query(
      'CREATE TABLE cdc_canary (id text PRIMARY KEY, sequence bigint, written_at timestamptz)',
    )
    await sink.command({
      query: 'CREATE TABLE cdc_canary (id String, sequence Int64) ENGINE = ReplacingMergeTree ORDER BY id',
    })
  } finally {
    await source.end()
    await sink.close()
  }
}

/** `promtool check metrics`, which lints as Prometheus's authors would: a complaint a line. */
async function complaintsOf(metrics: string): Promise<string[]> {
  const promtool = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'ignore', 'pipe'] })
  promtool.stdin.end(metrics)
  return (await text(promtool.stderr)).split('\n').filter((line) => line !== '')
}

test('promtool complains of the kept names, and of nothing else', async () => {
  await waitFor('every kind to have been read', async () => {
    const { status, checks } = JSON.parse(await daemon.get('/health')) as {
      status: string
      checks: Record<string, { status: string; message: string }>
    }
    if (status === 'healthy') return Object.keys(checks).length === collectorKinds.length
    throw new Error(
      Object.values(checks)
        .map(({ message }) => message)
        .join('; '),
    )
  })
  const kept = keptNames()
  const nameOf = (complaint: string) => complaint.split(' ')[0] ?? ''
  let complaints: string[] = []
  let withoutComplaint: string[] = []
  // What is known only in a later run, such as the lag of a group that had committed nothing yet, comes with it.
  await waitFor('a complaint of each kept name', async () => {
    complaints = await complaintsOf(await daemon.get('/metrics'))
    const complainedOf = new Set(complaints.map(nameOf))
    withoutComplaint = [...kept].filter((name) => !complainedOf.has(name))
    return withoutComplaint.length === 0
  }).catch(() => {})
  expect(complaints.filter((complaint) => !kept.has(nameOf(complaint)))).toEqual([])
  // The list holds no more than is needed.
  expect(withoutComplaint).toEqual([])
})

test('the dashboards ask for what Prometheus has of it', async () => {
  let silent: string[] = []
  await waitFor('data for every panel', async () => {
    silent = await withoutData(prometheus)
    return silent.length === 0
  }).catch((error) => {
    if (silent.length === 0) throw error
  })
  expect(silent).toEqual([])
  expect(needlessReasons()).toEqual([])
})

test('promtool does complain', async () => {
  expect(await complaintsOf('# HELP votes Votes.\n# TYPE votes counter\nvotes 1\n')).toEqual([
    'votes counter metrics should have "_total" suffix',
  ])
})

test('the daemon has nothing to say on standard error, warnings of Node included', async () => {
  await daemon.stop()
  expect((await daemon.ended).stderr).toBe('')
})
