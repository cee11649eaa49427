import type { ClickHouseSettings } from '@clickhouse/client'
import type { Clock } from '../clock.ts'
import { type Refusal, within } from './call.ts'
import * as clickhouse from './clickhouse.ts'
import * as postgresql from './postgresql.ts'
import * as starrocks from './starrocks.ts'

/** Of ClickHouse by name, of the others by place. */
export type Parameters = readonly unknown[] | Readonly<Record<string, unknown>>

/** Values as the database prints them; of ClickHouse also booleans. */
export type Row = Readonly<Record<string, unknown>>

interface SelectBounds {
  readonly rows: number
  /** Milliseconds after which the database gives it up. */
  readonly timeout: number
}

interface ServerVersion {
  readonly found: string
  readonly isSupported: boolean
  /** Of those that can be read. */
  readonly oldest: string
}

/** Where queries of somebody else's making run: only to read, and never beyond their bounds. */
export interface Database {
  readonly product: 'PostgreSQL' | 'ClickHouse' | 'StarRocks'
  select(
    sql: string,
    parameters: Parameters,
    bounds: SelectBounds,
    signal: AbortSignal,
  ): Promise<readonly Row[]>
  /** Rejects when the database does not answer at all. */
  ping(signal: AbortSignal): Promise<void>
  /** Undefined where any is taken. Rejects as `ping` does. */
  version(signal: AbortSignal): Promise<ServerVersion | undefined>
  /** Whether it has answered, and does not let this user in. */
  isLoginRefusal(error: unknown): boolean
  /** Why it will not run a statement, now or later; undefined for what may pass. */
  refusalOf(error: unknown): Refusal | undefined
  /** A name as its SQL wants it. */
  quote(name: string): string
  close(): void
}

/** Milliseconds beyond the server's own limit, for a server that does not keep it. */
const GRACE = 1_000

const PING_TIMEOUT = 5_000

const POSTGRESQL_VERSION = `
  SELECT current_setting('server_version') AS found, current_setting('server_version_num') AS number`

export function postgresqlDatabase(url: () => string, clock: Clock): Database {
  const server = postgresql.connectPostgresql(() => ({ url: url(), statementTimeout: PING_TIMEOUT }))
  return {
    product: 'PostgreSQL',
    select: (sql, parameters, bounds, signal) =>
      within(bounds.timeout + GRACE, clock, signal, (limited) =>
        server.select(sql, Array.isArray(parameters) ? parameters : [], bounds, limited),
      ),
    async ping(signal) {
      await server.query('SELECT 1', [], signal)
    },
    async version(signal) {
      const [row] = await server.query(POSTGRESQL_VERSION, [], signal)
      return { found: row?.found ?? '', isSupported: Number(row?.number) >= 130_000, oldest: '13' }
    },
    isLoginRefusal: postgresql.isLoginRefusal,
    refusalOf: postgresql.refusalOf,
    quote: postgresql.quoteIdentifier,
    close: () => server.close(),
  }
}

/** `settings`: of each query, where its user may set them. */
export function clickhouseDatabase(
  address: () => clickhouse.ClickhouseAddress,
  clock: Clock,
  settings: ClickHouseSettings = {},
): Database {
  const server = clickhouse.connectClickhouse(address)
  return {
    product: 'ClickHouse',
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
    async version(signal) {
      const [row] = await server.query('SELECT version() AS found', {}, signal)
      const found = String(row?.found)
      const [year = 0, release = 0] = found.split('.').map(Number)
      return { found, isSupported: year * 100 + release >= 2303, oldest: '23.3' }
    },
    isLoginRefusal: clickhouse.isLoginRefusal,
    refusalOf: clickhouse.refusalOf,
    quote: clickhouse.quoteIdentifier,
    close: () => server.close(),
  }
}

export function starrocksDatabase(url: () => string, clock: Clock): Database {
  const server = starrocks.connectStarrocks(() => ({ url: url(), statementTimeout: PING_TIMEOUT }))
  return {
    product: 'StarRocks',
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
    async version(signal) {
      await server.query('SELECT 1', [], signal)
      return undefined
    },
    isLoginRefusal: starrocks.isLoginRefusal,
    refusalOf: starrocks.refusalOf,
    quote: starrocks.quoteIdentifier,
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
 * Has a query planned and not run: rejects where the database refuses it, or gives no such columns. `timeout` in
 * milliseconds.
 */
export async function planQuery(
  database: Database,
  sql: string,
  { parameters, columns }: { readonly parameters: Parameters; readonly columns: readonly string[] },
  timeout: number,
  signal: AbortSignal,
): Promise<void> {
  const chosen = columns.length === 0 ? '1' : columns.map(database.quote).join(', ')
  const nothing = `SELECT ${chosen} FROM (${inside(sql)}) AS given LIMIT 0`
  await database.select(nothing, parameters, { rows: 0, timeout }, signal)
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
