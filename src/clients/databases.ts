import type { ClickHouseSettings } from '@clickhouse/client'
import type { Clock } from '../clock.ts'
import { within } from './call.ts'
import {
  type ClickhouseAddress,
  connectClickhouse,
  quoteIdentifier as quoteForClickhouse,
} from './clickhouse.ts'
import { connectPostgresql, quoteIdentifier } from './postgresql.ts'
import { connectStarrocks, quoteIdentifier as quoteForStarrocks } from './starrocks.ts'

/** Of ClickHouse by name, of the others by place. */
export type Parameters = readonly unknown[] | Readonly<Record<string, unknown>>

/** Values as the database prints them; of ClickHouse also booleans. */
export type Row = Readonly<Record<string, unknown>>

interface SelectBounds {
  readonly rows: number
  /** Milliseconds after which the database gives it up. */
  readonly timeout: number
}

/** Where queries of somebody else's making run: only to read, and never beyond their bounds. */
export interface Database {
  select(
    sql: string,
    parameters: Parameters,
    bounds: SelectBounds,
    signal: AbortSignal,
  ): Promise<readonly Row[]>
  /** Rejects when the database does not answer at all. */
  ping(signal: AbortSignal): Promise<void>
  /** A name as its SQL wants it. */
  quote(name: string): string
  close(): void
}

/** Milliseconds beyond the server's own limit, for a server that does not keep it. */
const GRACE = 1_000

const PING_TIMEOUT = 5_000

export function postgresqlDatabase(url: () => string, clock: Clock): Database {
  const server = connectPostgresql(() => ({ url: url(), statementTimeout: PING_TIMEOUT }))
  return {
    select: (sql, parameters, bounds, signal) =>
      within(bounds.timeout + GRACE, clock, signal, (limited) =>
        server.select(sql, Array.isArray(parameters) ? parameters : [], bounds, limited),
      ),
    async ping(signal) {
      await server.query('SELECT 1', [], signal)
    },
    quote: quoteIdentifier,
    close: () => server.close(),
  }
}

/** `settings`: of each query, where its user may set them. */
export function clickhouseDatabase(
  address: () => ClickhouseAddress,
  clock: Clock,
  settings: ClickHouseSettings = {},
): Database {
  const server = connectClickhouse(address)
  return {
    select: (sql, parameters, { rows, timeout }, signal) =>
      within(timeout + GRACE, clock, signal, (limited) =>
        server.query(
          `SELECT * FROM (${inside(sql)}) LIMIT ${rows}`,
          Array.isArray(parameters) ? {} : { ...parameters },
          limited,
          { ...settings, max_execution_time: Math.max(1, Math.ceil(timeout / 1000)) },
        ),
      ),
    async ping(signal) {
      await server.query('SELECT 1', {}, signal)
    },
    quote: quoteForClickhouse,
    close: () => server.close(),
  }
}

export function starrocksDatabase(url: () => string, clock: Clock): Database {
  const server = connectStarrocks(() => ({ url: url(), statementTimeout: PING_TIMEOUT }))
  return {
    select: (sql, parameters, { rows, timeout }, signal) =>
      within(timeout + GRACE, clock, signal, (limited) =>
        server.query(
          `SELECT * FROM (${inside(sql)}) AS given LIMIT ${rows}`,
          Array.isArray(parameters) ? parameters : [],
          limited,
          timeout,
        ),
      ),
    async ping(signal) {
      await server.query('SELECT 1', [], signal)
    },
    quote: quoteForStarrocks,
    close: () => server.close(),
  }
}

/** The number of its rows, counted by the database; `timeout` in milliseconds. */
export async function countRows(
  database: Database,
  sql: string,
  parameters: Parameters,
  timeout: number,
  signal: AbortSignal,
): Promise<bigint> {
  const counted = `SELECT count(*) AS rows_given FROM (${inside(sql)}) AS given`
  const [row] = await database.select(counted, parameters, { rows: 1, timeout }, signal)
  return BigInt(String(row?.rows_given))
}

/**
 * A query as a subquery: there nothing but a SELECT is possible, and its rows are bounded for a user, too, whom
 * the server lets set no limits.
 */
const inside = (sql: string): string => `\n${sql.replace(/[;\s]+$/, '')}\n`

/** The cell of a row. Throws where it has no such column. */
export function cell(row: Row, column: string): unknown {
  if (!Object.hasOwn(row, column)) throw new Error(`its rows have no column ${column}`)
  return row[column]
}

/** The same as text, empty for NULL. Throws for a list or a map. */
export function cellText(row: Row, column: string): string {
  const value = cell(row, column)
  if (value === null) return ''
  if (typeof value === 'object') throw new Error(`the column ${column} is no text that could be a label`)
  return String(value)
}
