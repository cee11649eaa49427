import type { PrometheusPart } from '../testbed/parts/prometheus.ts'
import { filledIn, queriesOf, shipped } from './shipped.ts'

// What a pipeline of the tests that is well and stands still cannot show, by what a query asks for, and why.
const SILENT: readonly (readonly [asked: RegExp, reason: string])[] = [
  [/^ALERTS|\(ALERTS/, 'which alerts fire is no matter of the dashboard'],
  [/> 0$|== 0\)$/, 'it shows only what happened, or what is wrong'],
  [/offset 5m/, 'it compares with a time before the test began'],
  [/kafka_stalled_lag/, 'known after 15 minutes'],
  [/last_commit_age/, 'no group goes forward while it is watched'],
  [/kafka_dlq_|sync_records_failed|sync_errors/, 'there is no dead-letter topic'],
  [/_failure_open_|_task_failure_info|_exceptions_total/, 'nothing has failed'],
  [/kafka_connect_operations|self_healing/, 'nobody has operated a connector'],
  [/safe_wal_size|slot_seconds_to_loss/, 'the server sets no bound to WAL'],
  [/pg_stat_statements/, 'the extension is not there'],
  [/publication_table_missing/, 'no table is missing'],
  [/pgbouncer_/, 'there is no PgBouncer'],
  [/clickhouse_replica|duplicate_rows/, 'no table is replicated or watched'],
  [/redis_memory_max|redis_queue_(oldest|jobs)|redis_stream/, 'a list without a limit, and nothing else'],
  [/probe_ssl|http_component/, 'plain HTTP, and no health answer'],
  [/voting_|votes_total|http_request|http_errors|worker_|job=~"vote_app/, 'there is no voting app'],
  [/node_|container_/, 'there is no exporter of the host'],
  [/cdc_(jobs|job_failures|sink_tenant|login|audit)/, 'no pack is configured'],
  [/cdc_(value|assertion|sum)_|cdc_freshness_seconds/, 'only rows are compared'],
  [/reconcile_(differing|confirmed)/, 'no second comparison is made in the time'],
  [/cdc_canary_latency|cdc_freshness/, 'nothing carries canaries to the sink'],
  [/routine_load/, 'StarRocks has no routine load'],
  [/sync_checkpoints/, 'no table has a Flink job'],
  [/sync_(batch_size|processing_latency)/, 'nothing is committed while it is watched'],
  [/cdc_watchdog/, "there is no dead-man's switch"],
]

/** Runs every query of every dashboard, all chosen. Those that should have data and have none, as `dashboard: panel`. */
export async function withoutData({ query }: PrometheusPart): Promise<string[]> {
  const silent: string[] = []
  for (const dashboard of shipped) {
    for (const { title, query: asked } of queriesOf(dashboard)) {
      const series = await query(filledIn(asked.expr))
      if (series.length > 0 || SILENT.some(([expected]) => expected.test(asked.expr))) continue
      silent.push(`${dashboard.uid}: ${title}: ${asked.expr}`)
    }
  }
  return silent
}

/** Reasons that no query needs any more. */
export function needlessReasons(): string[] {
  const expressions = shipped.flatMap((dashboard) => queriesOf(dashboard).map(({ query }) => query.expr))
  return SILENT.filter(([asked]) => !expressions.some((one) => asked.test(one))).map(([, reason]) => reason)
}
