import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { installClickHouse } from './clickhouse.ts'
import { installJars } from './java.ts'
import { installKafkaStart } from './kafka-start.ts'

/** A Debian package, and how to see without asking dpkg that what we need of it is there. */
interface DebianPackage {
  readonly name: string
  /** A command to be found on the PATH, or an absolute path. */
  readonly provides: string
}

const PACKAGES: readonly DebianPackage[] = [
  { name: 'redis-server', provides: 'redis-server' },
  { name: 'postgresql-15', provides: '/usr/lib/postgresql/15/bin/postgres' },
  { name: 'pgbouncer', provides: '/usr/sbin/pgbouncer' },
  { name: 'prometheus', provides: 'prometheus' },
  { name: 'prometheus-alertmanager', provides: 'prometheus-alertmanager' },
  { name: 'prometheus-redis-exporter', provides: 'prometheus-redis-exporter' },
  { name: 'prometheus-postgres-exporter', provides: 'prometheus-postgres-exporter' },
  { name: 'prometheus-blackbox-exporter', provides: 'prometheus-blackbox-exporter' },
  { name: 'prometheus-node-exporter', provides: 'prometheus-node-exporter' },
  {
    name: 'python3-prometheus-client',
    provides: '/usr/lib/python3/dist-packages/prometheus_client/__init__.py',
  },
  { name: 'openjdk-17-jdk-headless', provides: 'javac' },
  { name: 'maven', provides: 'mvn' },
  { name: 'mariadb-server', provides: '/usr/sbin/mariadbd' },
  { name: 'docker-compose', provides: 'docker-compose' },
  { name: 'curl', provides: 'curl' },
  { name: 'openssl', provides: 'openssl' },
]

/** What draws the dashboards: a browser without windows, and the font that Grafana writes in. */
const BROWSER: readonly DebianPackage[] = [
  { name: 'chromium-headless-shell', provides: 'chromium-headless-shell' },
  { name: 'fonts-inter', provides: '/usr/share/fonts/opentype/inter/Inter-Regular.otf' },
]

/** Installs what the testbed lacks; quick when there is nothing to do. Throws what is missing and how to get it. */
export async function install(): Promise<void> {
  await installPackages(PACKAGES)
  await installJars()
  await installKafkaStart()
  await installClickHouse()
}

/** The same for pictures of dashboards, which need nothing else. */
export async function installBrowser(): Promise<void> {
  await installPackages(BROWSER)
}

async function installPackages(wanted: readonly DebianPackage[]): Promise<void> {
  const missing = missingOf(wanted)
  if (missing.length === 0) return
  const args = ['install', '--yes', '--no-install-recommends', ...missing]
  if (process.getuid?.() !== 0)
    throw new Error(`missing Debian packages: ${missing.join(', ')}\nrun: sudo apt-get ${args.join(' ')}`)
  process.stderr.write(`testbed: installing Debian packages: ${missing.join(', ')}\n`)
  await withoutServices(async () => {
    if (await aptGet(args)) return
    // The package lists are absent, or older than the archive.
    process.stderr.write('testbed: refreshing the package lists\n')
    await aptGet(['update'])
    await aptGet(args)
  })
  const stillMissing = missingOf(wanted)
  if (stillMissing.length > 0) throw new Error(`could not install: ${stillMissing.join(', ')}`)
}

function missingOf(wanted: readonly DebianPackage[]): string[] {
  return wanted.filter(({ provides }) => !isThere(provides)).map(({ name }) => name)
}

/** A file by its path, or a command on the PATH. */
export function isThere(provides: string): boolean {
  if (provides.startsWith('/')) return existsSync(provides)
  return (process.env.PATH ?? '').split(delimiter).some((folder) => isExecutable(join(folder, provides)))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const SERVICE_POLICY = '/usr/sbin/policy-rc.d'

/**
 * Debian's packages start their services on installation, with systemd and without, unless this policy
 * forbids it. Container images bring it; elsewhere it is there only while `action` runs.
 */
async function withoutServices(action: () => Promise<void>): Promise<void> {
  if (existsSync(SERVICE_POLICY)) return action()
  writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await action()
  } finally {
    rmSync(SERVICE_POLICY)
  }
}

/** Whether apt-get succeeded. What it says goes to standard error. */
function aptGet(args: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('apt-get', ['-q', ...args], {
      stdio: ['ignore', process.stderr, process.stderr],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    child.once('error', reject)
    child.once('exit', (code) => resolve(code === 0))
  })
}
