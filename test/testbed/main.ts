import { once } from 'node:events'
import { Argument, program } from 'commander'
import { install, installBrowser } from './install.ts'
import { startAlertmanager } from './parts/alertmanager.ts'
import { startClickHouse } from './parts/clickhouse.ts'
import { startConnect } from './parts/connect.ts'
import { startFlink } from './parts/flink.ts'
import { startKafka } from './parts/kafka.ts'
import { startMariadb } from './parts/mariadb.ts'
import { startPgbouncer } from './parts/pgbouncer.ts'
import { startPm2 } from './parts/pm2.ts'
import { startPostgres } from './parts/postgres.ts'
import { startPrometheus } from './parts/prometheus.ts'
import { startRedis } from './parts/redis.ts'

interface StartedPart {
  readonly address: string
  remove(): Promise<void>
}

/** In the order in which they start. A part gets the addresses of those before it. */
const PARTS: Readonly<Record<string, (addresses: ReadonlyMap<string, string>) => Promise<StartedPart>>> = {
  postgres: async () => {
    const part = await startPostgres()
    return { address: part.url(), remove: part.remove }
  },
  pgbouncer: async (addresses) => {
    const part = await startPgbouncer({ url: () => addresses.get('postgres') ?? '' })
    return { address: part.url('postgres'), remove: part.remove }
  },
  redis: async () => {
    const part = await startRedis()
    return { address: part.url, remove: part.remove }
  },
  kafka: async () => {
    const part = await startKafka()
    return { address: part.bootstrap, remove: part.remove }
  },
  connect: async (addresses) => {
    const part = await startConnect({ bootstrap: addresses.get('kafka') ?? '' })
    return { address: part.url, remove: part.remove }
  },
  flink: async () => {
    const part = await startFlink([['rows', 'runs']])
    return { address: part.url, remove: part.remove }
  },
  clickhouse: async () => {
    const part = await startClickHouse()
    return { address: part.url, remove: part.remove }
  },
  mariadb: async () => {
    const part = await startMariadb()
    return { address: part.url('mysql'), remove: part.remove }
  },
  pm2: async () => {
    const part = await startPm2()
    return { address: `PM2_HOME=${part.home}`, remove: part.remove }
  },
  alertmanager: async () => {
    const part = await startAlertmanager({
      config: { route: { receiver: 'nobody' }, receivers: [{ name: 'nobody' }] },
    })
    return { address: part.url, remove: part.remove }
  },
  prometheus: async (addresses) => {
    const alertmanager = addresses.get('alertmanager')
    const part = await startPrometheus({
      config: {
        scrape_configs: [],
        ...(alertmanager === undefined
          ? {}
          : {
              alerting: { alertmanagers: [{ static_configs: [{ targets: [new URL(alertmanager).host] }] }] },
            }),
      },
    })
    return { address: part.url, remove: part.remove }
  },
}

/** Starts the parts, says their addresses on standard output, and removes all when a signal asks to end. */
async function up(named: readonly string[]): Promise<void> {
  const wanted = new Set(named.length === 0 ? Object.keys(PARTS) : named)
  if (wanted.has('connect')) wanted.add('kafka')
  if (wanted.has('pgbouncer')) wanted.add('postgres')
  const end = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => end.abort())
  const addresses = new Map<string, string>()
  const parts: StartedPart[] = []
  try {
    for (const [name, start] of Object.entries(PARTS)) {
      if (!wanted.has(name)) continue
      end.signal.throwIfAborted()
      const part = await start(addresses)
      parts.push(part)
      addresses.set(name, part.address)
      process.stdout.write(`${name.padEnd(14)}${part.address}\n`)
    }
    if (!end.signal.aborted) {
      process.stderr.write('testbed: up; Ctrl-C ends it\n')
      await once(end.signal, 'abort')
    }
  } catch (error) {
    // Ctrl-C reaches the part that is starting too.
    if (!end.signal.aborted) throw error
  } finally {
    process.stderr.write('testbed: stopping\n')
    await Promise.all(parts.map((part) => part.remove()))
  }
}

program.name('testbed').description('Real parts of a pipeline on loopback, for tests and for the hand')
program
  .command('install')
  .description('install what the testbed and the tests lack')
  .action(async () => {
    await install()
    await installBrowser()
  })
program
  .command('up')
  .description('start parts and keep them until Ctrl-C')
  .addArgument(new Argument('[part...]', 'all where none is named').choices(Object.keys(PARTS)))
  .action(up)

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`testbed: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
