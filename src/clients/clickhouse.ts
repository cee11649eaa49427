import { Agent } from 'node:https'
import { createRequire } from 'node:module'
import type * as clickhouse from '@clickhouse/client'
import type { ClickHouseClient, ClickHouseSettings, ResultSet } from '@clickhouse/client'
import { backendAt, call, causeOf, type Refusal } from './call.ts'
import { type TlsSettings, tlsOptions } from './tls.ts'

// Loaded by the first connection: a configuration without this kind does not pay its memory.
const load = createRequire(import.meta.url)
const library = (): typeof clickhouse => load('@clickhouse/client')

export interface ClickhouseAddress {
  /** `http[s]://[user:password@]host:port`; what it holds wins over the fields below. */
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly database: string
  /** For an https URL; undefined trusts what Node trusts. */
  readonly tls?: TlsSettings | undefined
}

/** Numbers as ClickHouse prints them, so that no UInt64 or Decimal loses a digit; null for NULL. */
type ClickhouseRow = Readonly<Record<string, unknown>>

export interface ClickhouseReader {
  /**
   * Runs one SELECT, read only; `{name:Type}` in it takes its value from `params`. `wanted` settings do not
   * reach a user in read-only mode 1: ask `getSetting` for one that must hold.
   */
  query(
    sql: string,
    params: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
    wanted?: ClickHouseSettings,
  ): Promise<readonly ClickhouseRow[]>
  close(): void
}

interface Session {
  readonly client: ClickHouseClient
  readonly backend: string
  /** The user's read-only mode, which says what it may set; unknown until the server has told. */
  mode: string | undefined
}

/**
 * Reads from one ClickHouse server over HTTP. `address` is asked at the first query, and again at the first
 * one after a failure, so that a rotated secret counts.
 */
export function connectClickhouse(address: () => ClickhouseAddress): ClickhouseReader {
  let session: Session | undefined

  function close(): void {
    session?.client.close().catch(() => {})
    session = undefined
  }

  async function select(
    { client, backend }: Session,
    settings: ClickHouseSettings,
    sql: string,
    params: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<readonly ClickhouseRow[]> {
    const request = sql.trim().split(/\s+/).slice(0, 8).join(' ')
    let answer: ResultSet<'JSONEachRow'> | undefined
    // The signal ends the wait for the answer's head; its body the client reads on without a signal.
    const release = () => answer?.close()
    return await call({ backend, request, signal, release }, async () => {
      answer = await client.query({
        query: sql,
        query_params: { ...params },
        format: 'JSONEachRow',
        clickhouse_settings: settings,
        abort_signal: signal,
      })
      return await answer.json<ClickhouseRow>()
    })
  }

  return {
    async query(sql, params, signal, wanted = {}) {
      session ??= newSession(address())
      const open = session
      try {
        open.mode ??= String((await select(open, {}, OWN_MODE, {}, signal))[0]?.readonly)
        return await select(open, readOnlySettings(open.mode, wanted), sql, params, signal)
      } catch (error) {
        if (session === open) close()
        throw error
      }
    },
    close,
  }
}

const OWN_MODE = "SELECT toUInt8(getSetting('readonly')) AS readonly"

/**
 * https://clickhouse.com/docs/operations/settings/permissions-for-queries: a user in mode 1 may set nothing,
 * one in mode 2 all but the mode.
 */
function readOnlySettings(mode: string, wanted: ClickHouseSettings): ClickHouseSettings {
  if (mode === '1') return {}
  // A query whose client has gone would run to its end.
  const settings: ClickHouseSettings = { ...wanted, cancel_http_readonly_queries_on_client_close: 1 }
  return mode === '2' ? settings : { ...settings, readonly: '1' }
}

function newSession({ url, username, password, database, tls }: ClickhouseAddress): Session {
  const backend = backendAt('clickhouse', url)
  const given = new URL(url)
  if (tls && given.protocol !== 'https:') throw new Error(`${backend}: tls needs a url of https`)
  const byCertificate = tls?.cert && password === undefined && given.password === ''
  const client = library().createClient({
    url,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    database,
    ...(tls && { http_agent: new Agent({ keepAlive: true, ...tlsOptions(tls) }) }),
    // https://clickhouse.com/docs/interfaces/http: headers and basic authentication exclude each other.
    ...(byCertificate && {
      set_basic_auth_header: false,
      http_headers: {
        'X-ClickHouse-User': decodeURIComponent(given.username) || (username ?? 'default'),
        'X-ClickHouse-SSL-Certificate-Auth': 'on',
      },
    }),
    application: 'cdc-exporter',
    // The signal of the query is the only clock.
    request_timeout: 86_400_000,
    json: { parse: parseExactly },
    log: { LoggerClass: Silent },
  })
  return { client, backend, mode: undefined }
}

/** JSON in which every number stays the text that it is. */
function parseExactly<T>(text: string): T {
  const keepText = (_key: string, value: unknown, context?: { readonly source: string }) =>
    typeof value === 'number' ? context?.source : value
  return JSON.parse(text, keepText)
}

/** The client would write to the console; what matters is in the error. */
class Silent {
  trace(): void {}
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(): void {}
}

// https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
const LOGIN = ['81', '192', '193', '194', '195', '516']
const ABSENT = ['60', '81']
const RIGHTS = ['164', '497']
const STATEMENT = [
  '6',
  '10',
  '16',
  '27',
  '36',
  '42',
  '43',
  '44',
  '46',
  '47',
  '48',
  '53',
  '62',
  '70',
  '181',
  '386',
]

/** Whether the server has answered, and does not let this user in: a wrong password, no such user or database. */
export const isLoginRefusal = (error: unknown): boolean => LOGIN.includes(codeOf(error))

/** Why the server refused a statement; undefined where it may take it another time. */
export function refusalOf(error: unknown): Refusal | undefined {
  const code = codeOf(error)
  if (ABSENT.includes(code)) return 'absent'
  if (RIGHTS.includes(code)) return 'rights'
  return STATEMENT.includes(code) ? 'statement' : undefined
}

/** Empty where it was not the server that said so. */
const codeOf = (error: unknown): string => causeOf(error, library().ClickHouseError)?.code ?? ''

/** A name as SQL wants it, whatever is in it: https://clickhouse.com/docs/sql-reference/syntax#identifiers */
export const quoteIdentifier = (name: string): string =>
  `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``
