// ClickHouse's HTTP interface over the engine in this process.
// Usage: node server.ts <port> <data folder> <folder with node_modules/chdb>; $CLICKHOUSE_PASSWORD is asked
// of the user `default` when it is not empty.
import { randomUUID } from 'node:crypto'
import { createWriteStream, mkdirSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip, gzipSync } from 'node:zlib'

/** What is used of the package chdb, which is installed outside of the project's dependencies. */
interface Chdb {
  readonly Session: new (path: string) => Session
}
interface Session {
  queryAsync(sql: string, options?: { format: string }): Promise<Result>
  close(): void
}
interface Result {
  readonly rowsRead: number
  readonly bytesRead: number
  /** Seconds. */
  readonly elapsed: number
  bytes(): Uint8Array
}

const [port, dataFolder, packageFolder] = process.argv.slice(2)
if (port === undefined || dataFolder === undefined || packageFolder === undefined)
  throw new Error('usage: server.ts <port> <data folder> <folder with chdb>')
const password = process.env.CLICKHOUSE_PASSWORD ?? ''
const bodies = `${dataFolder}-requests`

const { Session } = createRequire(join(packageFolder, 'package.json'))('chdb') as Chdb
rmSync(bodies, { recursive: true, force: true })
mkdirSync(bodies, { recursive: true })
// Holds the engine; each request has a session of its own beside it, and so its own settings and parameters.
const engine = new Session(dataFolder)

/** Arguments of the URL that are neither settings nor query parameters. */
const RESERVED = new Set([
  'query',
  'database',
  'user',
  'password',
  'default_format',
  'query_id',
  'session_id',
])

/** HTTP status of an exception's code, as the real server has them; 500 for all others. */
const STATUS_CODES: readonly (readonly [status: number, codes: readonly number[]])[] = [
  [400, [6, 25, 26, 27, 36, 38, 41, 43, 53, 62, 72, 117, 130, 131, 441, 456, 457]],
  [401, [194]],
  [403, [192, 193, 291, 497, 516]],
  [404, [16, 46, 47, 50, 56, 60, 73, 81, 115]],
  [408, [159]],
  [501, [48]],
]

class ClickHouseError extends Error {
  readonly code: number

  constructor(code: number, type: string, message: string) {
    super(`Code: ${code}. DB::Exception: ${message}. (${type})`)
    this.code = code
  }
}

let last: Promise<unknown> = Promise.resolve()

/** The engine runs one statement at a time. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = last.then(work)
  last = mine.catch(() => {})
  return mine
}

const server = createServer((request, response) => {
  handle(request, response).catch((error: unknown) => {
    console.error(error)
    response.destroy()
  })
})

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
  if (pathname === '/ping') return void response.end('Ok.\n')
  response.setHeader('X-ClickHouse-Query-Id', searchParams.get('query_id') || randomUUID())
  response.setHeader('X-ClickHouse-Timezone', 'UTC')
  const bodyFile = join(bodies, randomUUID())
  try {
    authenticate(request, searchParams)
    await saveBody(request, bodyFile)
    const { sql, format } = await statement(searchParams, bodyFile)
    const database = searchParams.get('database') || header(request, 'x-clickhouse-database')
    const result = await inTurn(() => execute(sql, format, database, searchParams))
    response.setHeader('X-ClickHouse-Format', format)
    response.setHeader('X-ClickHouse-Summary', summary(result, sql))
    send(request, response, 200, result.bytes())
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    // 1001 is the real server's code for an error that is none of its own.
    const code = Number(/^Code: (\d+)\./.exec(message)?.[1] ?? 1001)
    const status = STATUS_CODES.find(([, codes]) => codes.includes(code))?.[0] ?? 500
    response.setHeader('X-ClickHouse-Exception-Code', code)
    send(request, response, status, Buffer.from(`${message}\n`))
  } finally {
    rmSync(bodyFile, { force: true })
  }
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

function authenticate(request: IncomingMessage, search: URLSearchParams): void {
  const basic = /^Basic (.+)$/i.exec(header(request, 'authorization') ?? '')?.[1]
  const [, basicUser, basicPassword] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(basic ?? '', 'base64').toString()) ?? []
  const user = search.get('user') ?? header(request, 'x-clickhouse-user') ?? basicUser ?? 'default'
  const key = search.get('password') ?? header(request, 'x-clickhouse-key') ?? basicPassword ?? ''
  if (user === 'default' && (password === '' || key === password)) return
  throw new ClickHouseError(
    516,
    'AUTHENTICATION_FAILED',
    `${user}: Authentication failed: password is incorrect, or there is no user with such name`,
  )
}

async function saveBody(request: IncomingMessage, file: string): Promise<void> {
  const sink = createWriteStream(file)
  const encoding = header(request, 'content-encoding')
  if (encoding === 'gzip') await pipeline(request, createGunzip(), sink)
  else if (encoding === undefined || encoding === 'identity') await pipeline(request, sink)
  else throw new ClickHouseError(48, 'NOT_IMPLEMENTED', `Content-Encoding ${encoding}`)
}

/** The statement, and the format of its result. An insert's rows stay in the file of the request's body. */
async function statement(
  search: URLSearchParams,
  bodyFile: string,
): Promise<{ readonly sql: string; readonly format: string }> {
  const inUrl = search.get('query') ?? ''
  const insert = /^(\s*INSERT\s+INTO\s.+?)((?:\sSETTINGS\s.+)?\sFORMAT\s+\w+)\s*;?\s*$/is.exec(inUrl)
  if (insert) return { sql: `${insert[1]} FROM INFILE '${bodyFile}'${insert[2]}`, format: 'Null' }
  const body = await readFile(bodyFile, 'utf8')
  const sql = inUrl === '' ? body : `${inUrl}\n${body}`
  const inSql = /\sFORMAT\s+(\w+)\s*(?:SETTINGS\s.+)?;?\s*$/is.exec(sql)?.[1]
  return { sql, format: inSql ?? (search.get('default_format') || 'TabSeparated') }
}

async function execute(
  sql: string,
  format: string,
  database: string | undefined,
  search: URLSearchParams,
): Promise<Result> {
  const session = new Session(dataFolder as string)
  try {
    if (database) await session.queryAsync(`USE ${quoted(database, '`')}`)
    const names = [...search.keys()].filter((name) => !RESERVED.has(name))
    // From `readonly=1` on nothing more can be set.
    names.sort((a, b) => Number(a === 'readonly') - Number(b === 'readonly'))
    for (const name of names)
      await session.queryAsync(`SET ${quoted(name, '`')} = ${quoted(search.get(name) ?? '', "'")}`)
    return await session.queryAsync(sql, { format })
  } finally {
    session.close()
  }
}

function quoted(text: string, quote: string): string {
  return `${quote}${text.replaceAll('\\', '\\\\').replaceAll(quote, `\\${quote}`)}${quote}`
}

function summary({ rowsRead, bytesRead, elapsed }: Result, sql: string): string {
  const written = /^\s*INSERT\s/i.test(sql)
  return JSON.stringify({
    read_rows: String(rowsRead),
    read_bytes: String(bytesRead),
    written_rows: String(written ? rowsRead : 0),
    written_bytes: String(written ? bytesRead : 0),
    elapsed_ns: String(Math.round(elapsed * 1e9)),
  })
}

function send(request: IncomingMessage, response: ServerResponse, status: number, body: Uint8Array): void {
  const compress = /\bgzip\b/.test(header(request, 'accept-encoding') ?? '')
  const bytes = compress ? gzipSync(body) : body
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': bytes.byteLength,
    ...(compress ? { 'Content-Encoding': 'gzip' } : {}),
  })
  response.end(bytes)
}

server.listen(Number(port), '127.0.0.1')

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => {
    server.close()
    server.closeAllConnections()
    void inTurn(async () => {
      engine.close()
      process.exit(0)
    })
  })
