import { within } from '../../clients/call.ts'
import { connectStarrocks, isLoginRefusal, refusalOf } from '../../clients/starrocks.ts'
import { connectNodeMetrics } from '../../clients/starrocks-metrics.ts'
import { defineCollector, type Finding, type SampleBatch, seconds } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'
import { checks } from './checks.ts'
import { addressOf, settings } from './config.ts'
import { details, healthOf } from './health.ts'
import * as metrics from './metrics.ts'
import { collectNodeMetrics, nodeMetricFamilies } from './node-metrics.ts'
import { backendFamilies, collectBackends, collectFrontends, frontendFamilies, type Node } from './nodes.ts'
import { addRoutineLoads, routineLoadFamilies } from './routine-loads.ts'
import { collectLoads, collectTables, readDatabases, tableFamilies } from './tables.ts'
import { Tablets, tabletFamilies } from './tablets.ts'
import { wholeNumber } from './texts.ts'
import { isSince, readVersion } from './version.ts'

/** A StarRocks cluster: its nodes, routine loads, load jobs, tables, tablets and sessions. */
export const starrocks = defineCollector({
  kind: 'starrocks',
  health: { key: 'starrocks_connection', title: 'StarRocks', details },
  settings,
  families: Object.values(metrics),
  up: metrics.up,
  checks,
  defaults: { interval: seconds(30), timeout: seconds(20) },
  create(settings, { clock, timeout }) {
    const { hosts, databases: named, max_databases, loads_window, tablets_interval } = settings
    const server = connectStarrocks(() => addressOf(settings, timeout))
    const nodeMetrics = settings.http_metrics ? connectNodeMetrics() : undefined
    const tablets = new Tablets(tablets_interval, clock)
    // What takes too long by itself leaves the others their time.
    const partTimeout = Math.ceil(timeout / 2)
    const hostTimeout = Math.ceil(timeout / (hosts.length + 1))
    let findings: readonly Finding[] = []

    /** The first request of a run: a front end that hangs is passed over, also where it is connected already. */
    async function version(signal: AbortSignal): Promise<string> {
      for (let tried = 1; ; tried++) {
        try {
          return await within(hostTimeout, clock, signal, (limited) => readVersion(server, limited))
        } catch (error) {
          if (tried >= hosts.length || signal.aborted || isLoginRefusal(error)) throw error
        }
      }
    }

    async function routineLoads(batch: SampleBatch, signal: AbortSignal): Promise<readonly Finding[]> {
      const all = named ?? (await readDatabases(server, signal))
      if (all.length > max_databases) {
        const cause = new Error(`starrocks: max_databases (${max_databases}) of ${all.length} are read`)
        batch.partFailed({ request: 'routine loads' }, cause, [])
      }
      const found: Finding[] = []
      for (const database of all.slice(0, max_databases)) {
        try {
          found.push(...addRoutineLoads(database, await server.routineLoads(database, signal), batch))
        } catch (cause) {
          signal.throwIfAborted()
          // It was dropped since it was listed.
          if (!named && refusalOf(cause) === 'absent') continue
          batch.partFailed({ database }, cause, routineLoadFamilies)
          found.push(...findings.filter(({ labels }) => labels.database === database))
        }
      }
      return found
    }

    return {
      async collect(batch, signal) {
        /** What is asked by itself: where it fails, for want of a right above all, the others go on. */
        async function part(
          request: string,
          families: readonly Family[],
          work: (limited: AbortSignal) => Promise<void>,
        ): Promise<boolean> {
          try {
            await within(partTimeout, clock, signal, work)
            return true
          } catch (cause) {
            signal.throwIfAborted()
            batch.partFailed({ request }, cause, families)
            return false
          }
        }

        const running = await version(signal)
        batch.add(metrics.info, { version: running }, 1)
        let frontends: readonly Node[] = []
        const backends: Node[] = []
        const isOperator = await part(
          'frontends',
          [...frontendFamilies, ...nodeMetricFamilies.frontend],
          async (limited) => {
            frontends = await collectFrontends(server, batch, limited)
          },
        )
        for (const what of ['backends', 'computeNodes'] as const) {
          await part(what, [...backendFamilies, ...nodeMetricFamilies.backend], async (limited) => {
            backends.push(...(await collectBackends(what, server, batch, limited)))
          })
        }
        await part('routine loads', routineLoadFamilies, async (limited) => {
          findings = await routineLoads(batch, limited)
        })
        if (isSince(running, 3, 1)) {
          await part('loads', [metrics.loads], (limited) =>
            collectLoads(server, loads_window, batch, limited),
          )
        }
        await part('tables', tableFamilies, (limited) => collectTables(server, settings, batch, limited))
        // Who may not see the front ends sees no sessions but the own.
        if (isOperator) {
          await part('sessions', [metrics.connections], async (limited) => {
            batch.add(metrics.connections, {}, (await server.show('processes', limited)).length)
          })
        }
        await part('session limit', [metrics.connectionsMax], async (limited) => {
          const [row] = await server.show('connectionLimit', limited)
          const limit = wholeNumber(row?.Value)
          if (limit !== undefined) batch.add(metrics.connectionsMax, {}, limit)
        })
        await part('tablets', tabletFamilies, (limited) => tablets.collect(server, batch, signal, limited))
        if (!nodeMetrics) return
        const reading = { reader: nodeMetrics, clock, timeout: Math.ceil(timeout / 4) }
        await Promise.all([
          collectNodeMetrics('frontend', frontends, reading, batch, signal),
          collectNodeMetrics('backend', backends, reading, batch, signal),
        ])
      },
      findings: () => findings,
      health: healthOf,
      async stop() {
        server.close()
        nodeMetrics?.close()
      },
    }
  },
})
