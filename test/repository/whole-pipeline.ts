import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient as createSink } from '@clickhouse/client'
import { Queue } from 'bullmq'
import pg from 'pg'
import { createClient as createRedis } from 'redis'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { type Daemon, startDaemon } from '../commands/daemon.ts'
import { folder as prometheusFolder } from '../prometheus/rule-files.ts'
import { erpPublication } from '../testbed/erp/schema.ts'
import { startTraffic } from '../testbed/erp/traffic.ts'
import { patientClient } from '../testbed/kafka-client.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { startFlink } from '../testbed/parts/flink.ts'
import { startHealthApi } from '../testbed/parts/health-api.ts'
import { startNodeExporter } from '../testbed/parts/node-exporter.ts'
import { startPgbouncer } from '../testbed/parts/pgbouncer.ts'
import type { PostgresPart } from '../testbed/parts/postgres.ts'
import { type PrometheusApi, type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { startStarrocks } from '../testbed/parts/starrocks.ts'
import { connectorConfig, erpConnector, etlApp, type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'
import { createTopics } from '../testbed/topics.ts'
import { startVoting } from '../testbed/voting/voting.ts'

const TENANTS = ['alpha', 'bravo']
const DEAD_LETTERS = 'erp.dlq'
/** A connector that is told to read a publication that is not there. */
const SHAKY = 'shaky'
const MISSING_PUBLICATION = 'not_there'

export interface WholePipeline {
  readonly daemon: Daemon
  readonly prometheus: PrometheusPart
  /** Makes happen what only faults and people make: a connector that fails, dead letters, rows that are lost, a Watchdog. */
  trouble(): Promise<void>
  /** Lets the connector be restarted with success, which the daemon then does. */
  repair(): Promise<void>
  stop(): Promise<void>
}

/** Every part that there is, under traffic, the daemon on all of them, and a Prometheus with the shipped rules. */
export async function startWholePipeline(): Promise<WholePipeline> {
  const folder = temporaryFolder('whole-pipeline')
  const stops: (() => Promise<void>)[] = [async () => folder.remove()]
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each()
  }
  async function up<P extends { remove(): Promise<void> }>(starting: Promise<P>): Promise<P> {
    const part = await starting
    stops.push(() => part.remove())
    return part
  }
  try {
    const pipeline = await startPipeline({
      tenants: TENANTS,
      postgres: { shared_preload_libraries: 'pg_stat_statements', max_slot_wal_keep_size: '1GB' },
    })
    stops.push(() => pipeline.stop())
    const { kafka, connect, postgres, clickhouse, redis, pm2 } = pipeline
    const [flink, starrocks, pgbouncer, api, node] = await Promise.all([
      up(
        startFlink([
          ['rows', 'runs'],
          ['audit', 'restarts'],
        ]),
      ),
      up(startStarrocks({})),
      up(startPgbouncer(postgres)),
      up(startHealthApi()),
      up(startNodeExporter()),
    ])
    await prepare(pipeline)
    const voting = await up(startVoting({ redis: redis.url, postgres: postgres.url('erp') }))
    const traffic = startTraffic({
      url: pgbouncer.url('erp'),
      tenants: TENANTS,
      ratePerSecond: 3,
    })
    stops.push(() => traffic.stop())
    const { token, hash } = newToken()
    const tokens = join(folder.path, 'tokens.yaml')
    writeFileSync(tokens, stringify({ users: [{ name: 'ada', role: 'admin', hash }] }))
    const erp = { target: 'erp', environment: 'production', platform: 'kafka' }
    const shop = { target: 'shop', environment: 'staging', platform: 'apps' }
    const topics = { match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$' }
    const url = postgres.url('erp')
    const daemon = await startDaemon(
      [
        {
          kind: 'canary',
          ...erp,
          source: { postgresql: { url } },
          sink: { clickhouse: { url: clickhouse.url } },
          watch: '1s',
          // Nothing carries them there.
          late_after: '2s',
        },
        {
          kind: 'kafka',
          ...erp,
          brokers: kafka.bootstrap,
          topics: [{ ...topics, team: 'Finance' }],
        },
        {
          kind: 'connect',
          ...erp,
          urls: connect.url,
          teams: [{ match: '^erp-', team: 'Finance', business_cluster: 'ERP' }],
          self_healing: { connectors: [`^${SHAKY}$`], backoff: '1s', max_backoff: '2s', max_per_hour: 60 },
        },
        {
          kind: 'postgresql',
          ...erp,
          url,
          user_tables: 10,
          statements: 10,
          publications: [{ name: 'erp_cdc', tables: ['alpha.*', 'bravo.*', 'public.votes'] }],
          pgbouncer: { url: pgbouncer.url('pgbouncer') },
        },
        {
          kind: 'clickhouse',
          ...erp,
          url: clickhouse.url,
          watch: [{ table: 'erp.journals', deleted: '_deleted' }],
        },
        { kind: 'flink', ...erp, urls: flink.url },
        {
          kind: 'starrocks',
          ...erp,
          hosts: starrocks.host,
          username: starrocks.username,
          password: starrocks.password,
          http_metrics: true,
          databases: ['erp'],
        },
        {
          kind: 'redis',
          ...shop,
          url: redis.url,
          queues: ['votes', 'clicks'],
          bullmq: { queues: ['emails'] },
        },
        { kind: 'pm2', ...erp, home: pm2.home, expect: { [etlApp]: 1 } },
        { kind: 'http', ...shop, urls: api.url, health_json: true },
        {
          kind: 'sql',
          ...erp,
          connection: { postgresql: { url } },
          tenants: TENANTS,
          packs: ['login', 'audit', 'jobs', 'job_log', 'sink_status', 'votes'].map((pack) => ({ pack })),
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
          ...erp,
          brokers: kafka.bootstrap,
          groups: [`^${etlApp}$`],
          topics: [topics],
          jobs: [{ match: '^rows$', tables: ['journals'] }],
        },
        {
          kind: 'drift',
          ...erp,
          source: { postgresql: { url } },
          sink: { clickhouse: { url: clickhouse.url, database: 'erp' } },
          lag: '1s',
          interval: '30s',
          timeout: '30s',
          tenants: TENANTS,
          checksums: {},
          tables: [
            {
              source: '{tenant}.journal_lines',
              sink: 'journal_lines',
              sink_tenant_column: 'tenant',
              key: 'id',
              watermark: 'created_at',
              sums: ['debit'],
              freshness: 'created_at',
            },
          ],
          values: [
            {
              name: 'cash',
              source: { sql: 'SELECT name, balance FROM alpha.cash_accounts' },
              sink: { sql: "SELECT name, balance FROM cash_accounts FINAL WHERE tenant = 'alpha'" },
              groups: ['name'],
              value: 'balance',
            },
          ],
          assertions: [
            {
              name: 'balanced',
              on: 'source',
              sql: 'SELECT journal_id FROM {tenant}.journal_lines GROUP BY journal_id HAVING sum(debit) <> sum(credit)',
            },
          ],
        },
      ],
      {
        settings: {
          defaults: { interval: '12s', timeout: '12s' },
          state_dir: folder.path,
          api: { tokens_file: tokens },
          watchdog: { notify: { webhook: { url: 'http://127.0.0.1:9/' } } },
        },
      },
    )
    stops.push(() => daemon.stop())
    const job = (name: string, address: string) => ({
      job_name: name,
      static_configs: [{ targets: [new URL(address).host], labels: { environment: 'staging' } }],
    })
    const prometheus = await up(
      startPrometheus({
        config: {
          global: { scrape_interval: '2s', evaluation_interval: '2s' },
          rule_files: [`${prometheusFolder('rules')}*.yml`],
          scrape_configs: [
            {
              job_name: 'cdc-exporter',
              honor_labels: true,
              static_configs: [{ targets: [new URL(daemon.url).host] }],
            },
            job('node', node.url),
            job('vote_app', voting.vote.url),
            job('worker', voting.worker.url),
            job('voting-app', voting.result.url),
          ],
        },
      }),
    )
    return {
      daemon,
      prometheus,
      repair: () =>
        execute(postgres.url('erp'), `CREATE PUBLICATION ${MISSING_PUBLICATION} FOR TABLE alpha.journals`),
      trouble: () => trouble(pipeline, { url: daemon.url, token }, voting.vote.url, prometheus),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Tables, queues and limits that the collectors look at. */
async function prepare({ postgres, clickhouse, redis, kafka, connect }: Pipeline): Promise<void> {
  await execute(postgres.url('erp'), SOURCE)
  await atSink(clickhouse.url)
  await inRedis(redis.url)
  await createTopics(kafka.bootstrap, [{ topic: DEAD_LETTERS, numPartitions: 1 }])
  await connect.putConnector(SHAKY, shaky(postgres, 'first', erpPublication))
}

function shaky(postgres: PostgresPart, name: string, publication: string): Record<string, string> {
  return {
    ...connectorConfig(postgres, ['alpha'], 1),
    'topic.prefix': name,
    'slot.name': name,
    'publication.name': publication,
  }
}

const SOURCE = `
  CREATE EXTENSION pg_stat_statements;
  CREATE TABLE cdc_canary (id text PRIMARY KEY, sequence bigint, written_at timestamptz);
  CREATE SCHEMA logs;
  CREATE SCHEMA pusat;
  CREATE TABLE logs.login AS SELECT now() AS created_at, true AS success;
  CREATE TABLE logs.audit AS SELECT now() AS created_at;
  CREATE TABLE pusat.cdc_job_operasional AS SELECT 'sync' AS job, 'running' AS status, now() AS last_run_at;
  CREATE TABLE pusat.cdc_job_operasional_log AS SELECT 'sync' AS job, 'failed' AS status, now() AS created_at;
  CREATE TABLE pusat.cdc_status_sink_tenant AS SELECT 'alpha' AS tenant, 'ok' AS status, now() AS updated_at;
  ANALYZE`

async function execute(connectionString: string, sql: string): Promise<void> {
  const source = new pg.Client({ connectionString })
  await source.connect()
  try {
    await source.query(sql)
  } finally {
    await source.end()
  }
}

async function atSink(url: string): Promise<void> {
  const sink = createSink({ url })
  try {
    await sink.command({
      query: 'CREATE TABLE cdc_canary (id String, sequence Int64) ENGINE = ReplacingMergeTree ORDER BY id',
    })
  } finally {
    await sink.close()
  }
}

async function inRedis(url: string): Promise<void> {
  const store = createRedis({ url })
  // It is reported to who waits for an answer.
  store.on('error', () => {})
  await store.connect()
  const emails = new Queue('emails', { connection: store })
  try {
    await store.configSet('maxmemory', '256mb')
    await store.xAdd('clicks', '*', { page: 'home' })
    await store.xGroupCreate('clicks', 'counters', '0')
    await store.xReadGroup('counters', 'one', { key: 'clicks', id: '>' })
    await emails.add('welcome', { to: 'ada' })
  } finally {
    await emails.close()
    await store.close()
  }
}

async function trouble(
  pipeline: Pipeline,
  daemon: { readonly url: string; readonly token: string },
  vote: string,
  prometheus: PrometheusApi,
): Promise<void> {
  const { kafka, connect, postgres, clickhouse } = pipeline
  await loseRows(clickhouse.url)
  await connect.putConnector(SHAKY, shaky(postgres, 'second', MISSING_PUBLICATION))
  const producer = patientClient(kafka.bootstrap).producer()
  await producer.connect()
  try {
    const headers = {
      '__connect.errors.topic': 'erp.alpha.journals',
      '__connect.errors.connector.name': 'sink',
      '__connect.errors.exception.class.name': 'org.apache.kafka.connect.errors.DataException',
    }
    await producer.send({ topic: DEAD_LETTERS, messages: [{ key: 'a key', value: '{}', headers }] })
  } finally {
    await producer.disconnect()
  }
  const post = async (address: string, body: unknown, expected?: number) => {
    const answer = await fetch(address, {
      method: 'POST',
      headers: { authorization: `Bearer ${daemon.token}` },
      body: JSON.stringify(body),
    })
    const text = await answer.text()
    if (expected === undefined ? !answer.ok : answer.status !== expected)
      throw new Error(`${address} answered ${answer.status}: ${text}`)
  }
  // A rate needs counts that grow. A body that is no vote is a server error there.
  await waitFor('the part of requests that fail', async () => {
    for (const choice of ['a', 'b']) await post(`${vote}/vote`, { voter: 'ada', vote: choice })
    await post(`${vote}/vote`, null, 500)
    return (await prometheus.query('job:http_errors:ratio5m')).length > 0
  })
  await post(`${daemon.url}/api/v1/connectors/erp/${erpConnector}/restart`, {})
  const alert = { status: 'firing', labels: { alertname: 'Watchdog' } }
  await post(`${daemon.url}/api/v1/watchdog`, { version: '4', status: 'firing', alerts: [alert] })
}

/** Deletes journal lines at the sink, behind the pipeline's back. */
async function loseRows(url: string): Promise<void> {
  const sink = createSink({ url, database: 'erp' })
  try {
    await waitFor('journal lines at the sink', async () => {
      const answer = await sink.query({
        query: "SELECT count() AS lines FROM journal_lines WHERE tenant = 'alpha'",
        format: 'JSONEachRow',
      })
      return Number((await answer.json<{ lines: string }>())[0]?.lines) > 0
    })
    await sink.command({
      query: "ALTER TABLE journal_lines DELETE WHERE tenant = 'alpha'",
      clickhouse_settings: { mutations_sync: '2' },
    })
  } finally {
    await sink.close()
  }
}
