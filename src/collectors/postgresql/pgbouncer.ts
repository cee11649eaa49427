import type { PgbouncerReader, Shown } from '../../clients/pgbouncer.ts'
import type { PostgresqlRow } from '../../clients/postgresql.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'
import * as metrics from './metrics.ts'
import { addRows, type Columns } from './part.ts'

const POOLS: Columns = {
  cl_active: metrics.poolClientsActive,
  cl_active_cancel_req: metrics.poolClientsCancelling,
  cl_waiting: metrics.poolClientsWaiting,
  cl_waiting_cancel_req: metrics.poolClientsWaitingToCancel,
  sv_active: metrics.poolServersActive,
  sv_active_cancel: metrics.poolServersCancelling,
  sv_being_canceled: metrics.poolServersCancelled,
  sv_idle: metrics.poolServersIdle,
  sv_used: metrics.poolServersUsed,
  sv_tested: metrics.poolServersTesting,
  sv_login: metrics.poolServersLogin,
  maxwait: metrics.poolMaxWait,
}

// reserve_pool is called reserve_pool_size from 1.24 on.
const DATABASES: Columns = {
  pool_size: metrics.bouncedPoolSize,
  reserve_pool: metrics.bouncedReserve,
  reserve_pool_size: metrics.bouncedReserve,
  max_connections: metrics.bouncedMaxConnections,
  current_connections: metrics.bouncedConnections,
  paused: metrics.bouncedPaused,
  disabled: metrics.bouncedDisabled,
}

const TOTALS: Columns = {
  query_count: metrics.bouncedQueries,
  bytes_received: metrics.bouncedReceived,
  bytes_sent: metrics.bouncedSent,
  xact_count: metrics.bouncedTransactions,
  client_parse_count: metrics.bouncedClientParses,
  server_parse_count: metrics.bouncedServerParses,
  bind_count: metrics.bouncedBinds,
  server_assignment_count: metrics.bouncedAssignments,
}

/** Given in microseconds. */
const TIMES: Columns = {
  query_time: metrics.bouncedQuerySeconds,
  wait_time: metrics.bouncedWaitSeconds,
  xact_time: metrics.bouncedTransactionSeconds,
}

/** All that PgBouncer's console gives, but whether it does. */
export const pgbouncerFamilies: readonly Family[] = [
  metrics.pgbouncerVersion,
  ...[POOLS, DATABASES, TOTALS, TIMES, metrics.pgbouncerLists, metrics.pgbouncerConfig].flatMap(
    (columns: Columns) => Object.values(columns),
  ),
]

/** Pools, databases and totals of a PgBouncer, and what its configuration allows. */
export async function collectPgbouncer(
  pgbouncer: PgbouncerReader,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  const show = (what: Shown) => pgbouncer.show(what, signal)
  // "PgBouncer 1.18.0" is the version 1.18.0.
  const versions = (await show('VERSION')).map(
    (row) => Object.values(row)[0]?.replace(/^PgBouncer /, '') ?? '',
  )
  const pools = await show('POOLS')
  const databases = await show('DATABASES')
  const totals = await show('STATS_TOTALS')
  const lists = await show('LISTS')
  const config = await show('CONFIG')
  for (const version of versions) batch.add(metrics.pgbouncerVersion, { version }, 1)
  addRows(batch, pools, POOLS)
  addRows(batch, databases, DATABASES)
  addRows(batch, totals, TOTALS)
  addRows(batch, totals.map(inSeconds), TIMES)
  addRows(batch, [byName(lists, 'list', 'items')], metrics.pgbouncerLists)
  addRows(batch, [byName(config, 'key', 'value')], metrics.pgbouncerConfig)
}

/** Rows of a name and a value as the columns of one row. */
const byName = (rows: readonly PostgresqlRow[], name: string, value: string): PostgresqlRow =>
  Object.fromEntries(rows.map((row) => [row[name] ?? '', row[value] ?? null]))

const inSeconds = (row: PostgresqlRow): PostgresqlRow => ({
  ...row,
  ...Object.fromEntries(
    Object.keys(TIMES).flatMap((name) =>
      typeof row[name] === 'string' ? [[name, String(Number(row[name]) / 1e6)]] : [],
    ),
  ),
})
