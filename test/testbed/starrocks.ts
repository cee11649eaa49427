import { createHash } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Server as NetServer, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import mysql from 'mysql2'
import { cluster, type StandInState } from './starrocks-cluster.ts'

// Stands in for a front end of StarRocks, which no package brings: SHOW and information_schema.loads by rows that
// are made here after its documentation, every other SELECT by the MariaDB that is given. Beside the query port
// the /metrics of a front end and of a backend. PUT /state changes what it answers.
//
//   node starrocks.ts <query port> <front end's http port> <backend's http port> <user> <password> [<url of MariaDB>]

const [queryPort, feHttpPort, beHttpPort] = process.argv.slice(2, 5).map(Number) as [number, number, number]
const [user = '', password = '', url] = process.argv.slice(5)
const state: StandInState = cluster({ feHttpPort, beHttpPort, queryPort })
const tables = url === undefined ? undefined : mysql.createPool({ uri: url, connectionLimit: 2 })

const sha1 = (...parts: readonly Buffer[]): Buffer => {
  const hash = createHash('sha1')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** What mysql_native_password sends for the password. */
function tokenFor(seed: Buffer): Buffer {
  const once = sha1(Buffer.from(password))
  const mask = sha1(seed, sha1(once))
  return Buffer.from(once.map((byte, i) => byte ^ (mask[i] ?? 0)))
}

interface Login {
  readonly user: string
  readonly authPluginData1: Buffer
  readonly authPluginData2: Buffer
  readonly authToken: Buffer
}

/** What the library has for a server, and does not declare. */
interface ServerConnection extends EventEmitter {
  readonly stream: Socket
  sequenceId: number
  serverHandshake(about: object): void
  writeOk(): void
  writeError(error: { readonly message: string; readonly code: number }): void
  writeColumns(columns: readonly object[]): void
  writeTextRow(row: readonly (string | null)[]): void
  writeEof(): void
}

// The protocol of 4.1, passwords as mysql_native_password has them; no TLS, and an EOF after columns and rows.
const CAPABILITIES = 0x1 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000

let connections = 0

function serveConnection(connection: ServerConnection): void {
  connection.on('error', () => {})
  // It writes an answer in many small pieces.
  connection.stream.setNoDelay()
  connection.serverHandshake({
    protocolVersion: 10,
    serverVersion: '8.0.33',
    connectionId: ++connections,
    statusFlags: 2,
    characterSet: 33,
    capabilityFlags: CAPABILITIES,
    authCallback(login: Login, done: (error: null, refusal?: { message: string; code: number }) => void) {
      const seed = Buffer.concat([login.authPluginData1, login.authPluginData2]).subarray(0, 20)
      const isRight = login.user === user && tokenFor(seed).equals(login.authToken)
      done(
        null,
        isRight
          ? undefined
          : { message: `Access denied for user '${login.user}' (using password: YES)`, code: 1045 },
      )
      connection.sequenceId = 0
    },
  })
  // SET, which the library takes for the beginning of a prepared statement.
  connection.on('stmt_prepare', () => {
    connection.writeOk()
    connection.sequenceId = 0
  })
  connection.on(
    'query',
    (sql: string) =>
      void answer(
        sql
          .replace(/\/\*.*?\*\//g, '')
          .replace(/\s+/g, ' ')
          .trim(),
      ),
  )

  async function answer(sql: string): Promise<void> {
    state.asked.push(sql)
    const given = state.answers[sql.includes('information_schema.loads') ? 'loads' : sql]
    if (given === 'hang') return
    try {
      if (given && 'error' in given)
        throw Object.assign(new Error(given.error.message), { errno: given.error.code })
      const isEmpty = sql.startsWith('SHOW ALL ROUTINE LOAD FROM')
      write(given ?? (isEmpty ? { columns: ['Id'], rows: [] } : await selected(sql)))
    } catch (error) {
      const { message, errno } = error as Error & { errno?: number }
      connection.writeError({ message, code: errno ?? 1064 })
    }
    connection.sequenceId = 0
  }

  function write({
    columns,
    rows,
  }: {
    readonly columns: readonly string[]
    readonly rows: readonly (readonly (string | null)[])[]
  }) {
    connection.writeColumns(
      columns.map((name) => ({
        ...{ catalog: 'def', schema: '', table: '', orgTable: '', name, orgName: name },
        ...{ characterSet: 33, columnLength: 1024, columnType: 253, flags: 0, decimals: 0 },
      })),
    )
    for (const row of rows) connection.writeTextRow([...row])
    connection.writeEof()
  }
}

async function selected(sql: string) {
  if (!tables) return { columns: ['nothing'], rows: [] }
  const [rows, fields] = await tables
    .promise()
    .query<mysql.RowDataPacket[][]>({ sql, rowsAsArray: true, typeCast: (field) => field.string() })
  return { columns: fields.map(({ name }) => name), rows: rows as unknown as (string | null)[][] }
}

// It hands on what it is given, which its types do not say.
const server = mysql.createServer(serveConnection as never) as unknown as NetServer
server.listen(queryPort, '127.0.0.1')

const serve = (port: number, handle: (request: IncomingMessage, answer: ServerResponse) => void) =>
  createHttp(handle).listen(port, '127.0.0.1')

async function change(request: IncomingMessage): Promise<string> {
  const { answers, ...rest } = JSON.parse((await text(request)) || '{}') as Partial<StandInState>
  Object.assign(state.answers, answers)
  Object.assign(state, rest)
  return JSON.stringify(state)
}

serve(feHttpPort, (request, answer) => {
  if (request.url === '/state') void change(request).then((whole) => answer.end(whole))
  else answer.end(state.feMetrics)
})
serve(beHttpPort, (_, answer) => answer.end(state.beMetrics))
