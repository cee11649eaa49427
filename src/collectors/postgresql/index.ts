import { connectPgbouncer } from '../../clients/pgbouncer.ts'
import { connectPostgresql, type PostgresqlReader, StatementError } from '../../clients/postgresql.ts'
import { defineCollector, type SampleBatch, seconds } from '../../collection/collector.ts'
import { activity, connections, locks, transactions } from './activity.ts'
import { archiver, backgroundWriter, checkpointer, walFiles } from './background.ts'
import { checks } from './checks.ts'
import { settings } from './config.ts'
import { databaseStatistics, databases, userTables } from './databases.ts'
import { details, healthOf } from './health.ts'
import * as metrics from './metrics.ts'
import type { Part, Server } from './part.ts'
import { collectPgbouncer, pgbouncerFamilies } from './pgbouncer.ts'
import { publication } from './publications.ts'
import { receivers, replication } from './replication.ts'
import { serverSettings } from './settings.ts'
import { slots } from './slots.ts'
import { longestStatements, queries } from './statements.ts'

const { pgbouncerLists, pgbouncerConfig, settings: settingFamilies, ...single } = metrics

/**
 * A PostgreSQL server, primary or standby: its sessions, databases, replication slots, WAL and settings, what
 * its publications miss, and the PgBouncer before it.
 */
export const postgresql = defineCollector({
  kind: 'postgresql',
  health: { key: 'postgres_connection', title: 'PostgreSQL', details },
  settings,
  families: [
    ...Object.values(single),
    ...settingFamilies,
    ...Object.values(pgbouncerLists),
    ...Object.values(pgbouncerConfig),
  ],
  up: metrics.up,
  checks,
  defaults: { interval: seconds(15), timeout: seconds(10) },
  create(given, { clock, timeout }) {
    const { url, pgbouncer } = given
    // What takes too long by itself leaves the others their time.
    const partTimeout = Math.ceil(timeout / 2)
    const reader = connectPostgresql(() => ({ url: url.reveal(), statementTimeout: partTimeout }))
    const pooler = pgbouncer && connectPgbouncer(() => pgbouncer.url.reveal())
    const parts: readonly Part[] = [
      slots(clock),
      replication,
      receivers,
      activity(given.activity_labels, given.activity_groups),
      connections,
      transactions,
      locks,
      databaseStatistics,
      serverSettings,
      backgroundWriter,
      checkpointer,
      archiver,
      walFiles,
      queries(),
      ...given.publications.map(publication),
      ...(given.statements > 0 ? [longestStatements(given.statements)] : []),
      // These look at files, and may wait for a lock.
      databases,
      ...(given.user_tables > 0 ? [userTables(given.user_tables)] : []),
    ]
    return {
      async collect(batch, signal) {
        const started = clock.monotonic()
        await reader.together(signal, async (reader) => {
          const server = await describeServer(reader, batch, signal)
          for (const part of parts) {
            try {
              await part.collect(server, batch, signal)
            } catch (cause) {
              // A lost connection, or a run that ends, is the failure of all.
              if (!(cause instanceof StatementError)) throw cause
              batch.partFailed({ request: part.name }, cause, part.families)
            }
          }
        })
        batch.add(metrics.readDuration, {}, (clock.monotonic() - started) / 1000)
        if (!pooler) return
        try {
          await collectPgbouncer(pooler, batch, AbortSignal.any([signal, AbortSignal.timeout(partTimeout)]))
          batch.add(metrics.pgbouncerUp, {}, 1)
        } catch (cause) {
          signal.throwIfAborted()
          batch.add(metrics.pgbouncerUp, {}, 0)
          batch.partFailed({ request: 'pgbouncer' }, cause, pgbouncerFamilies)
        }
      },
      health: healthOf,
      async stop() {
        reader.close()
        pooler?.close()
      },
    }
  },
})

const SERVER = `
  SELECT current_setting('server_version_num') AS version_num, version(),
    extract(epoch FROM pg_postmaster_start_time()) AS started`

async function describeServer(
  reader: Pick<PostgresqlReader, 'query'>,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<Server> {
  const [row] = await reader.query(SERVER, [], signal)
  const version = row?.version ?? ''
  // As the exporter has it, of three numbers: "PostgreSQL 15.18 (Debian …) on x86_64…" is 15.18.0.
  const numbers = /^\w+ (\d+(?:\.\d+){0,2})/.exec(version)?.[1]?.split('.') ?? []
  const short_version = [...numbers, '0', '0'].slice(0, 3).join('.')
  batch.add(metrics.serverInfo, { version, short_version }, 1)
  batch.add(metrics.startTime, {}, Number(row?.started))
  return { ...reader, version: Number(row?.version_num) }
}
