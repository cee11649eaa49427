import type { Client } from 'pg'
import { causeOf, type Refusal } from './call.ts'
import { AS_TEXT, library, pgConnection, StatementError } from './pg-connection.ts'

export { StatementError }

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
   * All queries of `work` in one read-only transaction, for fewer round trips and statistics of one moment. One
   * that the server refuses leaves the others theirs.
   */
  together<T>(signal: AbortSignal, work: (reader: Pick<PostgresqlReader, 'query'>) => Promise<T>): Promise<T>
  /**
   * The same as `query` for a query of somebody else's making, through a cursor: it takes a SELECT that changes nothing and
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
    return await connection.run(requestOf(sql), signal, async (client) => {
      await client.query(beginReading(timeout ?? statementTimeout))
      try {
        return (await work(client)).rows
      } finally {
        // Fails only with the connection, and what ended that is then the error.
        await client.query('COMMIT').catch(() => {})
      }
    })
  }

  async function together<T>(
    signal: AbortSignal,
    work: (reader: Pick<PostgresqlReader, 'query'>) => Promise<T>,
  ): Promise<T> {
    const begun = await connection.run('BEGIN', signal, async (client) => {
      await client.query(beginReading(statementTimeout))
      return client
    })
    const run = <R>(request: string, signal: AbortSignal, ask: (client: Client) => Promise<R>) =>
      connection.run(request, signal, (client) => {
        // A new connection has no transaction yet.
        if (client !== begun) throw new Error('the connection was lost')
        return ask(client)
      })
    try {
      const result = await work({
        async query(sql, params, signal) {
          try {
            return (await run(requestOf(sql), signal, (client) => client.query(statement(sql, params)))).rows
          } catch (error) {
            // What was refused has ended the transaction.
            if (error instanceof StatementError) {
              const again = `ROLLBACK; ${beginReading(statementTimeout)}`
              await run('ROLLBACK', signal, (client) => client.query(again))
            }
            throw error
          }
        },
      })
      await run('COMMIT', signal, (client) => client.query('COMMIT'))
      return result
    } catch (error) {
      // No transaction stays open.
      connection.drop()
      throw error
    }
  }

  return {
    together,
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

const requestOf = (sql: string): string => sql.trim().split(/\s+/).slice(0, 8).join(' ')

/** In the extended protocol a second statement in the same text, such as a COMMIT, is an error. */
const statement = (text: string, params: readonly unknown[]) => ({
  text,
  values: [...params],
  types: AS_TEXT,
  queryMode: 'extended',
})

/**
 * Whether the server has answered, and does not let this user in: a wrong password, no such role or database, no right
 * to connect. https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function isLoginRefusal(error: unknown): boolean {
  const code = sqlStateOf(error)
  return code !== undefined && /^(28|3D|42)/.test(code)
}

/** Why the server refused a statement; undefined where it may take it another time. */
export function refusalOf(error: unknown): Refusal | undefined {
  const code = sqlStateOf(error) ?? ''
  if (/^(42P01|3F)/.test(code)) return 'absent'
  if (code === '42501') return 'rights'
  return /^(0A|22|42)/.test(code) ? 'statement' : undefined
}

/** The SQLSTATE of what went wrong; undefined where it was not the server that said so. */
const sqlStateOf = (error: unknown): string | undefined => causeOf(error, library().DatabaseError)?.code

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
