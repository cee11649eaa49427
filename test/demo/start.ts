import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startDaemon } from '../testbed/daemon.ts'
import { erpTables } from '../testbed/erp/schema.ts'
import { startTraffic } from '../testbed/erp/traffic.ts'
import { startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { etlApp, type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import type { RunningDemo } from './running.ts'

/** What a user may open in a browser. */
export interface Addresses {
  readonly daemon: string
  readonly prometheus: string
  readonly alertmanager: string
  readonly connect: string
}

export interface Demo {
  readonly pipeline: Pipeline
  readonly prometheus: PrometheusPart
  readonly addresses: Addresses
  readonly state: RunningDemo
}

export function progress(text: string): void {
  process.stderr.write(`demo: ${text}\n`)
}

const rules = fileURLToPath(new URL('../../prometheus/rules/*.yml', import.meta.url))

/**
 * The pipeline under traffic, the daemon on it, Prometheus on the daemon, and Alertmanager. All write below
 * `folder`. It stops nothing: the caller ends the processes, also when this rejects or goes on after the abort.
 */
export async function startDemo(folder: string, signal: AbortSignal): Promise<Demo> {
  const pipeline = await startPipeline({
    onProgress(text) {
      signal.throwIfAborted()
      progress(text)
    },
  })
  startTraffic({
    url: pipeline.postgres.url('erp'),
    tenants: pipeline.tenants,
    ratePerSecond: 15,
    deletes: true,
    redisUrl: pipeline.redis.url,
  })
  progress('traffic flows')

  const { url: daemon } = await startDaemon({
    config: configuration(pipeline),
    folder: privateFolder(folder),
  })
  signal.throwIfAborted()
  progress(`the daemon is ready at ${daemon}`)

  const alertmanager = await startAlertmanager({
    config: { route: { receiver: 'nobody' }, receivers: [{ name: 'nobody' }] },
  })
  signal.throwIfAborted()
  const prometheus = await startPrometheus({
    config: {
      global: { scrape_interval: '5s', evaluation_interval: '5s' },
      rule_files: [rules],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [new URL(alertmanager.url).host] }] }] },
      scrape_configs: [
        {
          job_name: 'cdc-exporter',
          honor_labels: true,
          static_configs: [{ targets: [new URL(daemon).host] }],
        },
      ],
    },
  })
  progress('alertmanager and prometheus are up')

  const { postgres, clickhouse, connect, redis, pm2 } = pipeline
  return {
    pipeline,
    prometheus,
    addresses: { daemon, prometheus: prometheus.url, alertmanager: alertmanager.url, connect: connect.url },
    state: {
      pid: process.pid,
      postgresUrl: postgres.url('erp'),
      clickhouseUrl: clickhouse.url,
      connectUrl: connect.url,
      prometheusUrl: prometheus.url,
      redisPid: redis.process.pid,
      pm2Home: pm2.home,
    },
  }
}

/** For the daemon's configuration, which holds the password of PostgreSQL. */
function privateFolder(folder: string): string {
  const path = join(folder, 'cdc-exporter')
  mkdirSync(path, { mode: 0o700 })
  return path
}

/** Of the daemon. Intervals are short, so that one sees it move. */
function configuration({ kafka, connect, postgres, clickhouse, redis, pm2, tenants }: Pipeline) {
  const target = 'erp'
  return {
    defaults: { interval: '5s', timeout: '5s' },
    collectors: [
      {
        kind: 'kafka',
        target,
        brokers: kafka.bootstrap,
        topics: [{ match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$', team: 'Finance' }],
      },
      { kind: 'connect', target, urls: connect.url },
      { kind: 'postgresql', target, url: postgres.url('erp') },
      { kind: 'clickhouse', target, url: clickhouse.url, database: 'erp' },
      { kind: 'redis', target, url: redis.url, queues: ['votes'] },
      { kind: 'pm2', target, home: pm2.home, expect: { [etlApp]: 1 } },
      {
        kind: 'drift',
        target,
        // A comparison waits out the lag.
        interval: '15s',
        timeout: '15s',
        lag: '5s',
        source: { postgresql: { url: postgres.url('erp') } },
        sink: { clickhouse: { url: clickhouse.url, database: 'erp' } },
        tenants,
        tables: erpTables.map((table) => ({
          source: `{tenant}.${table}`,
          sink: table,
          sink_tenant_column: 'tenant',
          watermark: 'created_at',
          deleted: '_deleted',
        })),
      },
    ],
  }
}
