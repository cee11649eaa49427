import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import mysql from 'mysql2/promise'
import { reservePort } from '../ports.ts'
import { ANSWER_MS, TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'
import { unprivilegedUser } from './postgres.ts'

/** Files in PEM, which everybody may read. */
interface ServerCertificate {
  readonly cert: string
  readonly key: string
}

export interface MariadbPart extends ProcessPart {
  /** Of a user who may do everything, with the password in it. */
  url(database: string): string
}

/**
 * Debian's MariaDB on loopback, with a data folder of its own. It stands in for StarRocks, which no package
 * brings: the same protocol, and the functions and types that are used of it are in both. With `tls` it takes no
 * connection without.
 */
export async function startMariadb({ tls }: { readonly tls?: ServerCertificate } = {}): Promise<MariadbPart> {
  const data = dataFolder('mariadb', undefined)
  const port = await reservePort()
  const password = randomBytes(12).toString('hex')
  const owner = await unprivilegedUser()
  const files = join(data.path, 'data')
  mkdirSync(files, { mode: 0o700 })
  const { uid, gid } = owner
  if (uid !== undefined && gid !== undefined) {
    chownSync(files, uid, gid)
    chownSync(data.path, uid, gid)
  }
  await promisify(execFile)(
    'mariadb-install-db',
    ['--no-defaults', `--datadir=${files}`, '--auth-root-authentication-method=normal', '--skip-test-db'],
    { ...owner, cwd: data.path },
  )
  const users = join(data.path, 'users.sql')
  writeFileSync(
    users,
    `CREATE USER IF NOT EXISTS 'tester'@'127.0.0.1' IDENTIFIED BY '${password}';
GRANT ALL ON *.* TO 'tester'@'127.0.0.1' WITH GRANT OPTION;
`,
  )
  const url = (database: string) => `mysql://tester:${password}@127.0.0.1:${port}/${database}`
  const process = new TestbedProcess({
    name: 'mariadb',
    command: '/usr/sbin/mariadbd',
    args: [
      ...['--no-defaults', `--datadir=${files}`, `--port=${port}`, '--bind-address=127.0.0.1'],
      ...[`--socket=${join(data.path, 'socket')}`, `--init-file=${users}`, '--skip-name-resolve'],
      // StarRocks compares texts byte by byte.
      ...['--character-set-server=utf8mb4', '--collation-server=utf8mb4_bin'],
      ...['--innodb-buffer-pool-size=64M', '--innodb-flush-log-at-trx-commit=0'],
      ...(tls ? ['--require-secure-transport=ON', `--ssl-cert=${tls.cert}`, `--ssl-key=${tls.key}`] : []),
    ],
    ...owner,
    cwd: data.path,
    logFile: join(data.path, 'mariadb.log'),
    ready: () => answers(url('mysql'), tls !== undefined),
  })
  return { ...(await startProcessPart(process, data)), url }
}

async function answers(uri: string, isEncrypted: boolean): Promise<boolean> {
  const ssl = isEncrypted ? { ssl: { rejectUnauthorized: false } } : {}
  const connection = await mysql.createConnection({ uri, connectTimeout: ANSWER_MS, ...ssl })
  connection.on('error', () => {})
  await connection.query('SELECT 1')
  await connection.end()
  return true
}
