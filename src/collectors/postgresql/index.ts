import { connectPostgresql } from '../../clients/postgresql.ts'
import { defineCollector, seconds } from '../../collection/collector.ts'
import { settings } from './config.ts'
import * as metrics from './metrics.ts'
import { collectSlots } from './slots.ts'

// pg_database_size refuses a database that the user may neither connect to nor read the statistics of.
const DATABASE_SIZES = `
  SELECT datname, pg_database_size(oid) AS bytes
  FROM pg_database
  WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')`

/** A PostgreSQL server: the size of its databases, its replication slots and the position of its WAL. */
export const postgresql = defineCollector({
  kind: 'postgresql',
  health: { key: 'postgres_connection', title: 'PostgreSQL' },
  settings,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(10) },
  create({ url }, { timeout }) {
    // One statement that takes too long leaves the others their time.
    const statementTimeout = Math.ceil(timeout / 2)
    const server = connectPostgresql(() => ({ url: url.reveal(), statementTimeout }))
    return {
      async collect(batch, signal) {
        for (const { datname, bytes } of await server.query(DATABASE_SIZES, [], signal)) {
          batch.add(metrics.databaseSize, { datname: String(datname) }, Number(bytes))
        }
        await collectSlots(server, batch, signal)
      },
      async stop() {
        server.close()
      },
    }
  },
})
