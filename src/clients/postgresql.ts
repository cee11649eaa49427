import type { Client } from 'pg'
import { AS_TEXT, library, pgConnection } from './pg-connection.ts'

export { StatementError } from './pg-connection.ts'

export interface PostgresqlAddress {
  /** `postgresql://user:password@host:port/database`, with libpq's parameters. */
  readonly url: string
  /** Milliseconds after which the server itself gives a statement up. */
  readonly statementTimeout: number
}

/** Values as PostgreSQL prints them, so that no bigint, numeric or timestamp loses a digit; null for NULL. */
export type PostgresqlRow = Readonly<Record<string, string | null>>

export interface PostgresqlReader {
  /**
   * Runs one statement in a read-only transaction of its own; `$1` is the first of `params`. One at a time.
   * Rejects with a `StatementError` where the server refuses it or gives it up.
   */
  query(sql: string, params: readonly unknown[], signal: AbortSignal): Promise<readonly PostgresqlRow[]>
  /**
   * The same for a query of somebody else's making, through a cursor: it takes a SELECT that changes nothing and
   * no other statement, such as COPY … TO PROGRAM, and no more rows leave the server than are wanted.
   */
  select(
    sql: string,
    params: readonly unknown[],
    bounds: SelectBounds,
    signal: AbortSignal,
  ): Promise<readonly PostgresqlRow[]>
  close(): void
}

interface SelectBounds {
  readonly rows: number
  /** Milliseconds after which the server gives it up. */
  readonly timeout: number
}

/**
 * Reads from one PostgreSQL database over one connection. `address` is asked for each connection, so that a
 * rotated secret counts.
 */
export function connectPostgresql(address: () => PostgresqlAddress): PostgresqlReader {
  let statementTimeout = 0
  const connection = pgConnection('postgresql', () => {
    const given = address()
    statementTimeout = given.statementTimeout
    return given.url
  })
  /** `timeout` in milliseconds; undefined is the address's own. */
  async function read(
    sql: string,
    timeout: number | undefined,
    signal: AbortSignal,
    work: (client: Client) => Promise<{ readonly rows: readonly PostgresqlRow[] }>,
  ): Promise<readonly PostgresqlRow[]> {
    const request = sql.trim().split(/\s+/).slice(0, 8).join(' ')
    return await connection.run(request, signal, async (client) => {
      await client.query(beginReading(timeout ?? statementTimeout))
      try {
        return (await work(client)).rows
      } finally {
        // Fails only with the connection, and what ended that is then the error.
        await client.query('COMMIT').catch(() => {})
      }
    })
  }

  return {
    query: (sql, params, signal) =>
      read(sql, undefined, signal, (client) => client.query(statement(sql, params))),
    select: (sql, params, { rows, timeout }, signal) =>
      read(sql, timeout, signal, async (client) => {
        await client.query(statement(`DECLARE given NO SCROLL CURSOR FOR ${sql}`, params))
        return await client.query(statement(`FETCH ${rows} FROM given`, []))
      }),
    close: () => connection.close(),
  }
}

/** In the extended protocol a second statement in the same text, such as a COMMIT, is an error. */
const statement = (text: string, params: readonly unknown[]) => ({
  text,
  values: [...params],
  types: AS_TEXT,
  queryMode: 'extended',
})

/** A name as SQL wants it, whatever is in it. */
export const quoteIdentifier = (name: string): string => library().escapeIdentifier(name)

/**
 * Begins a transaction that nothing in the URL, in the role's settings or in the statement can make writable.
 * Set for the transaction, it all holds behind a connection pooler too, which takes no options.
 */
const beginReading = (statementTimeout: number): string =>
  [
    'BEGIN READ ONLY',
    `SET LOCAL statement_timeout = ${statementTimeout}`,
    // A timestamp without time zone means UTC: that is how Debezium reads it.
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO'",
  ].join('; ')
