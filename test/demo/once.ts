import { copyFileSync, globSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { waitFor } from '../testbed/process.ts'
import { type Rates, rateMeter } from './rates.ts'
import { type Scrape, scrape, scrapeOf, seriesKeys } from './scrape.ts'
import type { Demo } from './start.ts'

/** Names that the demo's pipeline must give, by kind of collector. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  kafka: [
    'kafka_brokers',
    'kafka_topic_partitions',
    'kafka_topic_partition_current_offset',
    'kafka_consumergroup_current_offset_sum',
    'kafka_consumergroup_lag',
    'kafka_consumergroup_lag_sum',
    'kafka_consumergroup_members',
  ],
  connect: [
    'kafka_connect_worker_info',
    'kafka_connect_connector_info',
    'kafka_connect_connector_state',
    'kafka_connect_task_state',
    'kafka_connect_tasks_expected',
  ],
  postgresql: ['pg_database_size_bytes'],
  clickhouse: ['clickhouse_table_rows', 'clickhouse_table_bytes', 'clickhouse_table_parts'],
  redis: ['redis_queue_length', 'redis_uptime_in_seconds', 'redis_memory_used_bytes'],
  drift: [
    'cdc_source_rows',
    'cdc_sink_rows',
    'cdc_row_difference',
    'cdc_reconcile_watermark_timestamp_seconds',
    'cdc_reconcile_last_success_timestamp_seconds',
  ],
  pm2: [
    'pm2_process_state',
    'pm2_process_restarts_total',
    'pm2_process_memory_bytes',
    'pm2_processes_expected',
    'pm2_processes_online',
  ],
}

/** Waits until the daemon has all and Prometheus has it from there; rejects with what is missing. */
export async function checkOnce({ addresses, prometheus }: Demo): Promise<{ scrape: Scrape; rates: Rates }> {
  const meter = rateMeter()
  let latest: { scrape: Scrape; rates: Rates } | undefined
  await waitFor('every collector to have its series and Prometheus to have them', async (signal) => {
    const answer = await scrape(addresses.daemon, signal)
    latest = { scrape: answer, rates: meter(answer) }
    requireCollected(answer)
    const [target] = await prometheus.targets()
    if (target?.health !== 'up')
      throw new Error(`Prometheus's target is ${target?.health}: ${target?.lastError}`)
    for (const query of ['up{job="cdc-exporter"} == 1', 'kafka_consumergroup_lag_sum{target="erp"}'])
      if ((await prometheus.query(query)).length === 0) throw new Error(`Prometheus has nothing for ${query}`)
    return true
  })
  if (latest === undefined) throw new Error('nothing was scraped')
  return latest
}

/** Throws what a collector lacks: two good runs, or a series. */
function requireCollected(latest: Scrape): void {
  for (const { labels, value: runs } of latest.of('cdc_collector_runs_total')) {
    const { collector = '' } = labels
    const failed = ['error', 'timeout'].map(
      (reason) => latest.value('cdc_collector_failures_total', { collector, reason }) ?? 0,
    )
    const succeeded = failed.reduce((left, count) => left - count, runs)
    if (succeeded < 2) throw new Error(`collector ${collector} has succeeded ${succeeded} times`)
    if (latest.value('cdc_collector_success', { collector }) !== 1)
      throw new Error(`collector ${collector} fails`)
  }
  for (const [collector, names] of Object.entries(EXPECTED)) {
    const missing = names.filter((name) => latest.of(name).length === 0)
    if (missing.length > 0) throw new Error(`collector ${collector} lacks ${missing.join(', ')}`)
  }
}

const ANSWERS = {
  'metrics.prom': '/metrics',
  'health.json': '/health',
  'health-detailed.json': '/health/detailed',
  'health-ready.json': '/health/ready',
  'index.html': '/',
}

/** Keeps what the daemon answers, and in `series.txt` what its series are called: see prometheus/tests/series.txt. */
export async function saveAnswers(dir: string, daemon: string): Promise<void> {
  mkdirSync(dir, { recursive: true })
  for (const [file, path] of Object.entries(ANSWERS)) {
    const response = await fetch(`${daemon}${path}`, { signal: AbortSignal.timeout(60_000) })
    if (!response.ok) throw new Error(`the daemon answered ${response.status} to ${path}`)
    const text = await response.text()
    writeFileSync(join(dir, file), text)
    if (path === '/metrics')
      writeFileSync(join(dir, 'series.txt'), `${seriesKeys(scrapeOf(text)).join('\n')}\n`)
  }
}

/** Keeps the logs of all parts, also of those that did not come up. Those in `logs` are of PM2's applications. */
export function saveLogs(dir: string, folder: string): void {
  const logs = join(dir, 'logs')
  mkdirSync(logs, { recursive: true })
  for (const file of globSync(['*.log', '*/*.log', '*/logs/*.log'], { cwd: folder }))
    copyFileSync(join(folder, file), join(logs, basename(file)))
}
