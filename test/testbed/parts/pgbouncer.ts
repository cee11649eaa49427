import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { reservePort } from '../ports.ts'
import { ANSWER_MS, TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'
import { type PostgresPart, unprivilegedUser } from './postgres.ts'

export interface PgbouncerPart extends ProcessPart {
  /** Through it to a database of the server, with a pool a transaction; `pgbouncer` is its own console. */
  url(database: string): string
}

/** PgBouncer on loopback, before `server`. It has one user, who goes to the server as its superuser. */
export async function startPgbouncer(server: Pick<PostgresPart, 'url'>): Promise<PgbouncerPart> {
  const data = dataFolder('pgbouncer', undefined)
  const port = await reservePort()
  const password = randomBytes(12).toString('hex')
  const to = new URL(server.url())
  const users = join(data.path, 'users.txt')
  writeFileSync(users, `"watcher" "${password}"\n`, { mode: 0o644 })
  const file = join(data.path, 'pgbouncer.ini')
  writeFileSync(
    file,
    [
      '[databases]',
      `* = host=${to.hostname} port=${to.port} user=${to.username} password=${to.password}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'auth_type = scram-sha-256',
      `auth_file = ${users}`,
      'stats_users = watcher',
      'pool_mode = transaction',
    ].join('\n'),
  )
  const url = (database: string) =>
    `postgresql://watcher:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`
  const process = new TestbedProcess({
    name: 'pgbouncer',
    command: 'pgbouncer',
    args: [file],
    ...(await unprivilegedUser()),
    cwd: data.path,
    logFile: join(data.path, 'pgbouncer.log'),
    ready: () => answers(url('pgbouncer')),
    // SIGTERM of some versions waits for the clients to go.
    stopSignal: 'SIGQUIT',
  })
  return { ...(await startProcessPart(process, data)), url }
}

async function answers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString,
    connectionTimeoutMillis: ANSWER_MS,
    query_timeout: ANSWER_MS,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SHOW VERSION')
    return true
  } finally {
    await client.end()
  }
}
