import { createRequire } from 'node:module'
import type * as mysql from 'mysql2'
import { backendAt, call, type Refusal } from './call.ts'

// Loaded by the first connection: a configuration without this kind does not pay its memory.
const load = createRequire(import.meta.url)
const library = (): typeof mysql => load('mysql2')

export interface StarrocksAddress {
  /** `mysql://user:password@host:port/database`: StarRocks speaks MySQL's protocol, on port 9030 by default. */
  readonly url: string
  /** Milliseconds after which the server itself gives a query up. */
  readonly statementTimeout: number
}

/** Values as the server prints them, so that none loses a digit; null for NULL. */
type StarrocksRow = Readonly<Record<string, string | null>>

export interface StarrocksReader {
  /**
   * Runs one SELECT in a read-only session; `?` takes the next of `values`, a bigint as a number. One at a time.
   * `timeout` in milliseconds is in place of the address's own.
   */
  query(
    sql: string,
    values: readonly (string | number | bigint)[],
    signal: AbortSignal,
    timeout?: number,
  ): Promise<readonly StarrocksRow[]>
  close(): void
}

/**
 * Reads from one StarRocks front end over one connection, which is opened by the first query and anew by the
 * first one after it was lost. `address` is asked for each connection, so that a rotated secret counts.
 */
export function connectStarrocks(address: () => StarrocksAddress): StarrocksReader {
  let session: mysql.Connection | undefined
  let backend = 'starrocks'
  let statementTimeout = 60_000

  function drop(): void {
    session?.destroy()
    session = undefined
  }

  const run = (
    connection: mysql.Connection,
    request: string,
    sql: string,
    values: readonly (string | number | bigint)[],
    signal: AbortSignal,
  ) =>
    call({ backend, request, signal, release: drop }, async () => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly StarrocksRow[]>()
      const typeCast = (field: { string(): string | null }) => field.string()
      connection.query({ sql, values: [...values], typeCast }, (error, rows) => {
        if (error) reject(error)
        else resolve(rows as unknown as readonly StarrocksRow[])
      })
      return await promise
    })

  async function connected(signal: AbortSignal): Promise<mysql.Connection> {
    if (session) return session
    const given = address()
    const { url } = given
    backend = backendAt('starrocks', url)
    statementTimeout = given.statementTimeout
    const opening = library().createConnection({
      uri: url,
      charset: 'utf8mb4',
      // One statement a query: what is in a value can begin none.
      multipleStatements: false,
      // A server may not ask for files of this machine.
      flags: ['-LOCAL_FILES'],
    })
    session = opening
    // Emitted whenever the connection ends, even between two runs; without a listener it would end the process.
    opening.on('error', () => {
      if (session === opening) drop()
    })
    try {
      await call({ backend, request: 'connect', signal, release: drop }, () => {
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        opening.connect((error) => (error ? reject(error) : resolve()))
        return promise
      })
      await run(opening, 'SET SESSION TRANSACTION', 'SET SESSION TRANSACTION READ ONLY', [], signal)
    } catch (error) {
      drop()
      throw error
    }
    return opening
  }

  return {
    async query(sql, values, signal, timeout) {
      const connection = await connected(signal)
      const text = sql.trim()
      if (!/^SELECT\b/i.test(text)) throw new Error('starrocks: only a SELECT is sent')
      const request = text.split(/\s+/).slice(0, 8).join(' ')
      const seconds = Math.max(1, Math.ceil((timeout ?? statementTimeout) / 1000))
      // A hint to StarRocks, a comment to others: https://docs.starrocks.io/docs/best_practices/query_tuning/query_hint
      const bounded = text.replace(/^SELECT/i, `SELECT /*+ SET_VAR(query_timeout = ${seconds}) */`)
      return await run(connection, request, bounded, values, signal)
    },
    close() {
      session?.end(() => {})
      session = undefined
    },
  }
}

// https://mariadb.com/docs/server/reference/error-codes, and StarRocks' own: fe/…/common/ErrorCode.java
const LOGIN = [1044, 1045, 1049]
const ABSENT = [1049, 1146, 5501, 5502]
const RIGHTS = [1044, 1142, 1143, 1227, 5203]

/** Whether the server has answered, and does not let this user in: a wrong password, no such user or database. */
export const isLoginRefusal = (error: unknown): boolean => LOGIN.includes(faultOf(error).errno)

/** Why the server refused a statement; undefined where it may take it another time. */
export function refusalOf(error: unknown): Refusal | undefined {
  const { errno, sqlState } = faultOf(error)
  if (ABSENT.includes(errno)) return 'absent'
  if (RIGHTS.includes(errno)) return 'rights'
  return /^(22|42)/.test(sqlState) ? 'statement' : undefined
}

/** What the server said; -1 and empty where it was not it. */
function faultOf(error: unknown): { readonly errno: number; readonly sqlState: string } {
  for (let next = error; next instanceof Error; next = next.cause) {
    const { errno, sqlState } = next as Partial<mysql.QueryError>
    if (errno !== undefined && sqlState !== undefined) return { errno, sqlState }
  }
  return { errno: -1, sqlState: '' }
}

/** A name as SQL wants it: https://docs.starrocks.io/docs/sql-reference/System_limit/ */
export const quoteIdentifier = (name: string): string => `\`${name.replaceAll('`', '``')}\``
