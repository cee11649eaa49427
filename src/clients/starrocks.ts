import { createRequire } from 'node:module'
import { connect } from 'node:net'
import type * as mysql from 'mysql2'
import { backendAt, call, type Refusal, reasonOf } from './call.ts'
import { type TlsSettings, tlsOptions } from './tls.ts'

// Loaded by the first connection: a configuration without this kind does not pay its memory.
const load = createRequire(import.meta.url)
const library = (): typeof mysql => load('mysql2')

export interface StarrocksAddress {
  /**
   * `mysql://user:password@host:port/database`: StarRocks speaks MySQL's protocol, on port 9030 by default. Of
   * several front ends of one cluster each answers for all.
   */
  readonly url: string | readonly string[]
  /** Milliseconds after which the server itself gives a query up. */
  readonly statementTimeout: number
  /** Milliseconds after which a front end that does not take a connection is passed over; 10 s where absent. */
  readonly connectTimeout?: number | undefined
  readonly tls?: TlsSettings | undefined
}

/** Everything that is asked by SHOW, but for what names a database. */
const SHOWN = {
  frontends: 'SHOW FRONTENDS',
  backends: 'SHOW BACKENDS',
  computeNodes: 'SHOW COMPUTE NODES',
  processes: 'SHOW PROCESSLIST',
  connectionLimit: "ADMIN SHOW FRONTEND CONFIG LIKE 'qe_max_connection'",
  tablets: "SHOW PROC '/statistic'",
} as const

/** Values as the server prints them, so that none loses a digit; null for NULL. */
export type StarrocksRow = Readonly<Record<string, string | null>>

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
  /** What the cluster says of itself. One at a time. */
  show(what: keyof typeof SHOWN, signal: AbortSignal): Promise<readonly StarrocksRow[]>
  /** Routine loads of a database, those that have ended among them. One at a time. */
  routineLoads(database: string, signal: AbortSignal): Promise<readonly StarrocksRow[]>
  close(): void
}

/**
 * Reads from one StarRocks front end over one connection, which is opened by the first query and anew by the
 * first one after it was lost; of several front ends then to the next. `address` is asked for each connection, so
 * that a rotated secret counts.
 */
export function connectStarrocks(address: () => StarrocksAddress): StarrocksReader {
  let session: mysql.Connection | undefined
  let backend = 'starrocks'
  let statementTimeout = 60_000
  // The front end to begin with: one that failed is not the next connection's first.
  let first = 0

  function drop(): void {
    if (session) first++
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
        // The connection is lost, which it tells nobody else.
        if (error?.fatal && session === connection) drop()
        if (error) reject(error)
        else resolve(rows as unknown as readonly StarrocksRow[])
      })
      return await promise
    })

  async function connected(signal: AbortSignal): Promise<mysql.Connection> {
    if (session) return session
    const { url, ...given } = address()
    statementTimeout = given.statementTimeout
    const urls = typeof url === 'string' ? [url] : url
    const failures: unknown[] = []
    for (let tried = 0; tried < urls.length; tried++) {
      try {
        return await opened(urls[first % urls.length] ?? '', given, signal)
      } catch (error) {
        // All of them know the same users.
        if (signal.aborted || isLoginRefusal(error)) throw error
        failures.push(error)
      }
    }
    throw failures.length === 1
      ? failures[0]
      : new Error(failures.map(reasonOf).join('; '), { cause: new AggregateError(failures) })
  }

  async function opened(
    uri: string,
    { connectTimeout, tls }: Omit<StarrocksAddress, 'url'>,
    signal: AbortSignal,
  ): Promise<mysql.Connection> {
    backend = backendAt('starrocks', uri)
    const opening = library().createConnection({
      uri,
      charset: 'utf8mb4',
      // One statement a query: what is in a value can begin none.
      multipleStatements: false,
      // A server may not ask for files of this machine.
      flags: ['-LOCAL_FILES'],
      ...(connectTimeout !== undefined && { connectTimeout }),
      ...(tls && encryption(uri, tls)),
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
      if (session === opening) drop()
      throw error
    }
    return opening
  }

  async function shown(sql: string, signal: AbortSignal): Promise<readonly StarrocksRow[]> {
    return await run(await connected(signal), sql, sql, [], signal)
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
    show: (what, signal) => shown(SHOWN[what], signal),
    routineLoads: (database, signal) =>
      shown(`SHOW ALL ROUTINE LOAD FROM ${quoteIdentifier(database)}`, signal),
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

/** What the library expects in the certificate is the host that it is given, so the connection is made for it. */
function encryption(uri: string, tls: TlsSettings) {
  const { hostname, port } = new URL(uri)
  const { ca, cert, key, rejectUnauthorized } = tlsOptions(tls)
  return {
    ssl: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      rejectUnauthorized,
      verifyIdentity: rejectUnauthorized,
    },
    host: tls.server_name ?? hostname,
    stream: () => connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) }),
  }
}
