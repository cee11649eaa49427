import { connectClickhouse } from '../../clients/clickhouse.ts'
import { defineCollector, seconds } from '../../collection/collector.ts'
import { clickhouseAddress } from '../../config/clickhouse.ts'
import type { Family } from '../../metrics/family.ts'
import { checks } from './checks.ts'
import { settings } from './config.ts'
import { details, healthOf } from './health.ts'
import * as metrics from './metrics.ts'
import { collectActivity, collectDisks, collectReplicas } from './server.ts'
import { collectMutations, collectTables, Inserts, tableFamilies, tableSelection } from './tables.ts'
import { WatchedTables } from './watched.ts'

/** A ClickHouse server: its tables, merges, mutations, replicas, disks, and what FINAL says of some tables. */
export const clickhouse = defineCollector({
  kind: 'clickhouse',
  health: { key: 'clickhouse_connection', title: 'ClickHouse', details },
  settings,
  checks,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(30), timeout: seconds(20) },
  longestWait: ({ watch, watch_timeout }) => (watch.length > 0 ? 2 * watch_timeout : 0),
  create(settings, { clock }) {
    const server = connectClickhouse(() => clickhouseAddress(settings))
    const chosen = tableSelection(settings)
    const inserts = new Inserts()
    const watched = new WatchedTables(server, settings, clock)
    return {
      async collect(batch, signal) {
        let answered = false
        let failure: unknown
        /** One query of several; where all have failed it is the server that does. */
        async function part(
          request: string,
          families: readonly Family[],
          work: () => Promise<void>,
        ): Promise<void> {
          try {
            await work()
            answered = true
          } catch (cause) {
            if (signal.aborted) throw cause
            failure = cause
            batch.partFailed({ request }, cause, families)
          }
        }
        await part('tables', [...tableFamilies, metrics.mutationsPending], async () => {
          const { max_tables } = settings
          const found = await collectTables(server, { max_tables, chosen, inserts }, batch, signal)
          await part('mutations', [metrics.mutationsPending], () =>
            collectMutations(server, found, batch, signal),
          )
        })
        await part('replicas', [metrics.replicaDelay, metrics.replicaQueue, metrics.replicaReadOnly], () =>
          collectReplicas(server, chosen, batch, signal),
        )
        await part('activity', [metrics.merges, metrics.connections], () =>
          collectActivity(server, batch, signal),
        )
        await part('disks', [metrics.diskBytes, metrics.diskFreeBytes], () =>
          collectDisks(server, batch, signal),
        )
        if (!answered) throw failure
        await watched.collect(batch, signal)
      },
      health: healthOf,
      async stop() {
        server.close()
      },
    }
  },
})
