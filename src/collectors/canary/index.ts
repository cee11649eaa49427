import { within } from '../../clients/call.ts'
import { defineCollector, type SampleBatch, seconds } from '../../collection/collector.ts'
import { checks } from './checks.ts'
import { longestWait, settings, tableLabel } from './config.ts'
import { Flight } from './flight.ts'
import { details, healthOf } from './health.ts'
import * as metrics from './metrics.ts'
import { sinkOf } from './sink.ts'
import { postgresqlSource } from './source.ts'

/** Milliseconds between two looks at first; then a tenth of how long the canary has been on its way. */
const SHORTEST_PAUSE = 100
const PAUSE_SHARE = 1 / 10

/**
 * Writes a row of its own at the source and looks for it at the sink: how late what is written now arrives, and
 * whether it does. The only collector that writes, to one table that was made for it.
 */
export const canary = defineCollector({
  kind: 'canary',
  health: { key: 'canary', title: 'Canary', details },
  settings,
  checks,
  longestWait,
  families: Object.values(metrics),
  defaults: { interval: seconds(30), timeout: seconds(25) },
  create(settings, { target, clock }) {
    const { late_after, lost_after, name = target, tenant } = settings
    const source = postgresqlSource(settings)
    const sink = sinkOf(settings)
    const flight = new Flight({ lateAfter: late_after, lostAfter: lost_after })
    const labels = { table: tableLabel(settings), tenant }
    const idOf = (slot: number) => `${name}/${slot}`

    /** Takes note of what has arrived. */
    async function look(signal: AbortSignal): Promise<void> {
      const oldest = flight.oldest
      if (oldest === undefined) return
      const asked = clock.monotonic()
      const newest = await within(settings.statement_timeout, clock, signal, (limited) =>
        sink.newest(`${name}/`, oldest, limited),
      )
      flight.looked((slot) => newest.get(idOf(slot)), asked, clock.monotonic())
    }

    /** Looks until the canary of the slot is there, or the watch is over. */
    async function watch(slot: number | undefined, begun: number, signal: AbortSignal): Promise<void> {
      const sentAt = clock.monotonic()
      for (;;) {
        const left = begun + settings.watch - clock.monotonic()
        await look(signal)
        if (slot === undefined || !flight.has(slot) || left <= 0) return
        const pause = Math.max(SHORTEST_PAUSE, (clock.monotonic() - sentAt) * PAUSE_SHARE)
        await clock.sleep(Math.min(pause, Math.max(0, left)), signal)
      }
    }

    async function writeAndWatch(batch: SampleBatch, signal: AbortSignal): Promise<void> {
      const begun = clock.monotonic()
      const slot = flight.freeSlot()
      if (slot !== undefined) {
        const sequence = await source.write(idOf(slot), signal)
        flight.sent(slot, sequence, clock.monotonic(), clock.now())
      }
      let isKnown = true
      try {
        await watch(slot, begun, signal)
      } catch (cause) {
        if (signal.aborted) throw cause
        flight.unwatched()
        isKnown = false
        batch.partFailed(labels, cause, [metrics.freshness, metrics.inFlight])
      }
      flight.write(batch, labels, isKnown)
    }

    return {
      async collect(batch, signal) {
        try {
          await writeAndWatch(batch, signal)
        } catch (error) {
          flight.unwatched()
          throw error
        }
      },
      health: healthOf,
      async stop() {
        source.close()
        sink.close()
      },
    }
  },
})
