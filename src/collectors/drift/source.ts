import { connectPostgresql, quoteIdentifier } from '../../clients/postgresql.ts'
import type { Pair } from './pairs.ts'

/** A count of the source, and what bounds it. */
export interface SourceCount {
  readonly rows: bigint
  /** Whole seconds since the epoch: rows made before it were counted. */
  readonly watermark: number
  /** Position in the WAL, in bytes, by which all that was counted had been written. */
  readonly position: bigint
}

export interface Source {
  /** Counts what is older than `lag` milliseconds, and than the oldest transaction that is writing. */
  count(pair: Pair, lag: number, signal: AbortSignal): Promise<SourceCount>
  /** Counts again below the same watermark. */
  countBelow(pair: Pair, watermark: number, signal: AbortSignal): Promise<bigint>
  /** Position in the WAL, in bytes, up to which the slot's reader has confirmed what it read. */
  confirmedPosition(slot: string, signal: AbortSignal): Promise<bigint>
  close(): void
}

// In whole seconds: then a sink that keeps time to the second or the millisecond cuts at the same rows. A
// transaction of another database writes none of these tables.
const WATERMARK = `
  SELECT date_trunc('second', least(
    now() - make_interval(secs => $1::float8 / 1000),
    (SELECT min(xact_start) FROM pg_stat_activity
     WHERE backend_xid IS NOT NULL AND datname = current_database())
  )) AS at`

// With synchronous_commit = off a transaction is seen before its WAL is written: what counts is the insert position.
const POSITION = `pg_wal_lsn_diff(
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, '0/0')`

const CONFIRMED = `
  SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0') AS position
  FROM pg_replication_slots
  WHERE slot_name = $1`

export function postgresqlSource(address: { url: () => string; statementTimeout: number }): Source {
  const server = connectPostgresql(() => ({
    url: address.url(),
    statementTimeout: address.statementTimeout,
  }))
  return {
    async count(pair, lag, signal) {
      // Count, watermark and position in one statement have one snapshot, and the position is read last.
      const sql = `
        WITH watermark AS MATERIALIZED (${WATERMARK})
        SELECT
          count(*) AS rows,
          extract(epoch FROM (SELECT at FROM watermark))::bigint AS watermark,
          ${POSITION} AS position
        ${rowsBelow(pair, '(SELECT at FROM watermark)')}`
      const [row] = await server.query(sql, [lag, ...valuesOf(pair)], signal)
      return {
        rows: BigInt(row?.rows ?? ''),
        watermark: Number(row?.watermark),
        position: BigInt(row?.position ?? ''),
      }
    },
    async countBelow(pair, watermark, signal) {
      const sql = `SELECT count(*) AS rows ${rowsBelow(pair, 'to_timestamp($1)')}`
      const [row] = await server.query(sql, [watermark, ...valuesOf(pair)], signal)
      return BigInt(row?.rows ?? '')
    },
    async confirmedPosition(slot, signal) {
      const [row] = await server.query(CONFIRMED, [slot], signal)
      if (row === undefined) throw new Error(`the source has no replication slot ${slot}`)
      if (row.position === undefined || row.position === null) {
        throw new Error(`the replication slot ${slot} is not a logical one`)
      }
      return BigInt(row.position)
    },
    close: () => server.close(),
  }
}

function rowsBelow({ source, watermark }: Pair, bound: string): string {
  const table = [source.container, source.table].filter((name) => name !== undefined).map(quoteIdentifier)
  const tenant = source.only === undefined ? '' : `AND ${quoteIdentifier(source.only.column)} = $2`
  return `FROM ${table.join('.')} WHERE ${quoteIdentifier(watermark)} < ${bound} ${tenant}`
}

const valuesOf = ({ source }: Pair): readonly string[] =>
  source.only === undefined ? [] : [source.only.value]
