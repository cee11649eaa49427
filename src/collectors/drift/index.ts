import type { Clock } from '../../clock.ts'
import { defineCollector, minutes, type SampleBatch } from '../../collection/collector.ts'
import { settings } from './config.ts'
import { type Counts, lookedAgain, rowDifference, sourceAtSink } from './difference.ts'
import * as metrics from './metrics.ts'
import { type Pair, pairsOf } from './pairs.ts'
import { clickhouseSink, type Sink } from './sink.ts'
import { postgresqlSource, type Source, type SourceCount } from './source.ts'

/** A connection to each side. */
interface Sides {
  readonly source: Source
  readonly sink: Sink
}

interface Counted extends SourceCount {
  readonly pair: Pair
}

interface Compared {
  readonly pair: Pair
  readonly watermark: number
  readonly counts: Counts
}

/**
 * Pauses before each further look at what differs, in shares of the lag. Together they are the whole of it: by
 * the last look all that the source had at the first one must have arrived.
 */
const PAUSES = [1 / 8, 2 / 8, 5 / 8]

const SLOT_POLL = 500

/** Rows that the source has and the sink has not, or the other way round, but for those on their way. */
export const drift = defineCollector({
  kind: 'drift',
  health: { key: 'drift', title: 'Drift' },
  settings,
  families: Object.values(metrics),
  defaults: { interval: minutes(5), timeout: minutes(2) },
  create({ source, sink, lag, slot, slot_timeout, statement_timeout, concurrency, ...given }, { clock }) {
    const pairs = pairsOf(given)
    const skips = new Map(pairs.map((pair) => [pair, 0]))
    const { postgresql } = source
    const { url, username, password, database } = sink.clickhouse
    const connections = Array.from(
      { length: Math.min(concurrency, pairs.length) },
      (): Sides => ({
        source: postgresqlSource({ url: () => postgresql.url.reveal(), statementTimeout: statement_timeout }),
        sink: clickhouseSink(
          () => ({ url: url.reveal(), username, password: password?.reveal(), database }),
          statement_timeout,
        ),
      }),
    )

    return {
      async collect(batch, signal) {
        let failures = 0
        /** Works on all items; where every pair of the configuration has failed it is a backend that does. */
        async function each<Item extends { readonly pair: Pair }, Result>(
          items: readonly Item[],
          work: (item: Item, sides: Sides) => Promise<Result>,
        ): Promise<readonly Result[]> {
          return await inTurns(items, connections, async (item, sides) => {
            try {
              return await work(item, sides)
            } catch (cause) {
              if (signal.aborted || ++failures === pairs.length) throw cause
              batch.partFailed(item.pair.labels, cause)
              return undefined
            }
          })
        }

        const counted = await each(
          pairs.map((pair) => ({ pair })),
          async ({ pair }, { source }): Promise<Counted> => ({
            pair,
            ...(await source.count(pair, lag, signal)),
          }),
        )
        const passed = await passedSlot(counted, batch, signal)
        let open = await each(passed, async ({ pair, rows, watermark }, { sink }): Promise<Compared> => {
          const counts = {
            sourceLow: rows,
            sourceHigh: rows,
            sink: await sink.count(pair, watermark, signal),
          }
          return { pair, watermark, counts }
        })
        for (const pause of PAUSES) {
          open = writeSettled(batch, open, clock)
          if (open.length === 0) break
          await clock.sleep(lag * pause, signal)
          open = await each(
            open,
            async ({ pair, watermark, counts }, { source, sink }): Promise<Compared> => {
              const sinkRows = await sink.count(pair, watermark, signal)
              const sourceRows = await source.countBelow(pair, watermark, signal)
              return { pair, watermark, counts: lookedAgain(counts, sinkRows, sourceRows) }
            },
          )
        }
        for (const compared of open) write(batch, compared, clock)
        for (const [pair, count] of skips)
          batch.add(metrics.skipped, { ...pair.labels, reason: 'lag' }, count)
      },
      async stop() {
        for (const { source, sink } of connections) {
          source.close()
          sink.close()
        }
      },
    }

    /** Waits until the slot has passed what was counted; what it has not passed in time is left out. */
    async function passedSlot(
      counted: readonly Counted[],
      batch: SampleBatch,
      signal: AbortSignal,
    ): Promise<readonly Counted[]> {
      const [sides] = connections
      if (slot === undefined || sides === undefined) return counted
      const deadline = clock.monotonic() + slot_timeout
      let confirmed = await sides.source.confirmedPosition(slot, signal)
      while (counted.some(({ position }) => position > confirmed) && clock.monotonic() < deadline) {
        await clock.sleep(SLOT_POLL, signal)
        confirmed = await sides.source.confirmedPosition(slot, signal)
      }
      for (const { pair, position } of counted) {
        if (position <= confirmed) continue
        skips.set(pair, (skips.get(pair) ?? 0) + 1)
        const behind = `${position - confirmed} bytes behind what was counted`
        batch.partFailed(pair.labels, new Error(`the replication slot ${slot} is ${behind}`))
      }
      return counted.filter(({ position }) => position <= confirmed)
    }
  },
})

/** Writes what does not differ; the rest is to be looked at again. */
function writeSettled(batch: SampleBatch, compared: readonly Compared[], clock: Clock): readonly Compared[] {
  return compared.filter((one) => {
    const differs = rowDifference(one.counts) !== 0n
    if (!differs) write(batch, one, clock)
    return differs
  })
}

function write(batch: SampleBatch, { pair: { labels }, watermark, counts }: Compared, clock: Clock): void {
  batch.add(metrics.sourceRows, labels, Number(sourceAtSink(counts)))
  batch.add(metrics.sinkRows, labels, Number(counts.sink))
  batch.add(metrics.rowDifference, labels, Number(rowDifference(counts)))
  batch.add(metrics.watermark, labels, watermark)
  batch.add(metrics.lastSuccess, labels, clock.now() / 1000)
}

/** The results of all items but the undefined ones, as many at once as there are connections, one on each. */
async function inTurns<Item, Connection, Result>(
  items: readonly Item[],
  connections: readonly Connection[],
  work: (item: Item, connection: Connection) => Promise<Result | undefined>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  const queue = items.values()
  await Promise.all(
    connections.map(async (connection) => {
      for (const item of queue) {
        const result = await work(item, connection)
        if (result !== undefined) results.push(result)
      }
    }),
  )
  return results
}
