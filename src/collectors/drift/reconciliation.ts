import type { Clock } from '../../clock.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import { type Arrival, arrivalOf, type Read } from './arrival.ts'
import { type Bisection, type Budget, bisect, type DifferingRange } from './bisect.ts'
import { type Checksums, type KeyRange, sameKey } from './checksums.ts'
import type { ChecksumSettings, Settings } from './config.ts'
import { confirm, faultOf } from './confirm.ts'
import { canonical } from './decimals.ts'
import {
  type Counts,
  lookedAgain,
  rowDifference,
  type SumLooks,
  sumDifference,
  sumLookedAgain,
} from './difference.ts'
import { isDue } from './due.ts'
import * as metrics from './metrics.ts'
import { PairState } from './pair-state.ts'
import { discoveredPairs, distinctPairs, type Pair, pairsOf } from './pairs.ts'
import { Queries } from './queries.ts'
import { isQuiet } from './quiet-hours.ts'
import { rowPlan } from './row-form.ts'
import { type Sides, sidesOf } from './sides.ts'
import type { Bounds, Totals } from './source.ts'

/** A pair whose turn it is, as the source has it. */
interface Begun extends Bounds, Read {
  readonly state: PairState
  /** Undefined where this run does not count its rows. */
  readonly totals: Totals | undefined
}

/** A pair that this run compares. */
interface Open {
  readonly state: PairState
  readonly watermark: number
}

/** A pair after some looks at its counts. */
interface Looked extends Open {
  readonly counts: Counts
  readonly sums: ReadonlyMap<string, SumLooks>
}

/** Ranges that differed at one reading. */
interface Suspect extends Open, Read {
  readonly ranges: readonly DifferingRange[]
}

/** What a run compares, where it is not what is due. */
export interface Choice {
  /** Only pairs with these labels. */
  readonly only?: (labels: Pair['labels']) => boolean
  /** The checksums of whole tables, and not of a slice. */
  readonly whole?: boolean
  /** Told of each range that was cut. */
  readonly onBisected?: (labels: Pair['labels'], bisection: Bisection) => void
}

/**
 * Pauses before each further look at counts that differ, in shares of the lag. Together they are the whole of
 * it: by the last look all that the source had at the first one must have arrived.
 */
const PAUSES = [1 / 8, 2 / 8, 5 / 8]

/** The comparison of all pairs of one drift collector, and what is known of them from run to run. */
export class Reconciliation {
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #arrival: Arrival | undefined
  readonly #listed: readonly Pair[]
  readonly #connections: readonly Sides[]
  readonly queries: Queries
  #states: ReadonlyMap<string, PairState> = new Map()

  constructor(settings: Settings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
    this.#arrival = arrivalOf(settings, clock)
    this.#listed = pairsOf(settings)
    const connections = settings.discover
      ? settings.concurrency
      : Math.min(settings.concurrency, Math.max(1, this.#listed.length))
    this.#connections = Array.from({ length: connections }, () => sidesOf(settings))
    this.queries = new Queries(settings, clock)
  }

  /** Of each pair that was ever seen, as of its last comparison. */
  get states(): readonly PairState[] {
    return [...this.#states.values()]
  }

  close(): void {
    this.#arrival?.close()
    this.queries.close()
    for (const { source, sink } of this.#connections) {
      source.close()
      sink.close()
    }
  }

  /** Compares what is due, or chosen, and writes all that is known. */
  async run(batch: SampleBatch, signal: AbortSignal, choice: Choice = {}): Promise<void> {
    const { max_time = Number.POSITIVE_INFINITY } = this.#settings
    const end = this.#clock.monotonic() + max_time
    const { queries } = this
    await queries.ping(signal)
    await this.#refreshStates(signal)
    // Where both sides have answered a ping it is not they that fail.
    const failures = queries.tasks.length > 0 ? Number.POSITIVE_INFINITY : this.#states.size
    const run = new Run(failures, batch, this.#connections, signal)
    await this.#freshen(run, choice, end)
    const due = this.#due(choice)
    const begun = await this.#begin(run, due, end)
    const arrived = await this.#arrived(run, begun)
    const looked = await this.#look(run, arrived)
    const open = [...looked, ...arrived.filter(({ totals }) => totals === undefined)]
    if (this.#settings.estimates) await this.#estimate(run, open)
    if (this.#settings.checksums) await this.#checksums(run, this.#settings.checksums, open, choice)
    for (const state of this.#states.values()) state.write(batch, run.failed.has(state))
    const [sides] = this.#connections
    if (!sides || choice.whole) return
    const shared = { source: sides.source, arrival: this.#arrival, end, only: choice.only }
    await queries.run(batch, shared, signal)
  }

  /** The age of the newest row of either side, whatever is due: it grows by itself. */
  async #freshen(run: Run, { only, whole }: Choice, end: number): Promise<void> {
    const states = [...this.#states.values()]
    for (const state of states) state.ages = undefined
    const { quiet_hours, quiet_timezone } = this.#settings
    if (whole || (!only && isQuiet(quiet_hours, quiet_timezone, this.#clock.now()))) return
    const wanted = states.flatMap((state) => {
      const { freshness: column } = state.pair
      return column === undefined || (only && !only(state.pair.labels)) ? [] : [{ state, column }]
    })
    await run.each(
      wanted,
      async ({ state, column }, { source, sink }) => {
        if (this.#clock.monotonic() >= end) return
        const { pair } = state
        state.ages = {
          source: await state.timed('source', () => source.age(pair, column, run.signal)),
          sink: await state.timed('sink', () => sink.age(pair, pair.atSink(column), run.signal)),
        }
      },
      ({ pair }, cause) => run.failFreshness(pair, cause),
    )
  }

  async #refreshStates(signal: AbortSignal): Promise<void> {
    const { discover } = this.#settings
    const [sides] = this.#connections
    const discovered =
      discover && sides
        ? discoveredPairs(discover, await sides.source.published(discover.publication, signal))
        : []
    const states = new Map<string, PairState>()
    // What is listed goes before what is discovered.
    for (const pair of distinctPairs([...this.#listed, ...discovered])) {
      const key = JSON.stringify(pair.labels)
      states.set(key, this.#states.get(key) ?? new PairState(pair))
    }
    this.#states = states
  }

  /** Those that waited longest first, so that the bounds of a run leave none out for ever. */
  #due({ only }: Choice): readonly PairState[] {
    const states = [...this.#states.values()].toSorted((a, b) => (a.begunAt ?? 0) - (b.begunAt ?? 0))
    if (only) return states.filter(({ pair }) => only(pair.labels))
    const now = this.#clock.monotonic()
    const due = states.filter(({ begunAt, pair }) => isDue(begunAt, pair.every, now))
    const { quiet_hours, quiet_timezone } = this.#settings
    if (!isQuiet(quiet_hours, quiet_timezone, this.#clock.now())) return due
    for (const state of due) state.skip('quiet')
    return []
  }

  async #begin(run: Run, due: readonly PairState[], end: number): Promise<readonly Begun[]> {
    const { lag, checksums } = this.#settings
    return await run.each(
      due.map((state) => ({ state })),
      async ({ state }, { source }): Promise<Begun | undefined> => {
        const now = this.#clock.monotonic()
        if (now >= end) return void state.skip('time')
        state.begunAt = now
        const { pair, countedAt } = state
        if (!isDue(countedAt, checksums?.count_every ?? 0, now)) {
          const bounds = await state.timed('source', () => source.bounds(lag, run.signal))
          return { state, pair, totals: undefined, ...bounds }
        }
        const { watermark, position, ...totals } = await state.timed('source', () =>
          source.count(pair, lag, run.signal),
        )
        return { state, pair, totals, watermark, position }
      },
    )
  }

  /** Waits until what was read at the source is in the sink; what is late is left out, and no drift. */
  async #arrived<R extends Read & { readonly state: PairState }>(
    run: Run,
    reads: readonly R[],
  ): Promise<readonly R[]> {
    const [sides] = this.#connections
    if (!this.#arrival || !sides || reads.length === 0) return reads
    const { arrived, late } = await this.#arrival.wait(reads, sides.source, run.signal)
    for (const { read, cause } of late) {
      read.state.skip('lag')
      run.fail(read.state, cause)
    }
    return arrived
  }

  /** Counts at the sink, and again on both sides while they differ, until the lag is over. */
  async #look(run: Run, begun: readonly Begun[]): Promise<readonly Looked[]> {
    const { lag } = this.#settings
    const settled: Looked[] = []
    let open = await run.each(
      begun,
      async ({ state, totals, watermark }, { sink }): Promise<Looked | undefined> => {
        if (totals === undefined) return undefined
        const { rows, sums } = totals
        const { pair } = state
        const atSink = await state.timed('sink', () => sink.count(pair, watermark, run.signal))
        return {
          state,
          watermark,
          counts: { sourceLow: rows, sourceHigh: rows, sink: atSink.rows },
          sums: new Map(
            pair.sums.map((column, i) => [
              column,
              { source: new Set([canonical(sums[i] ?? '')]), sink: canonical(atSink.sums[i] ?? '') },
            ]),
          ),
        }
      },
    )
    for (const pause of PAUSES) {
      settled.push(...open.filter((looked) => !differs(looked)))
      open = open.filter(differs)
      if (open.length === 0) break
      await this.#clock.sleep(lag * pause, run.signal)
      open = await run.each(open, async (looked, { source, sink }): Promise<Looked> => {
        const { state, watermark, counts, sums } = looked
        const { pair } = state
        const atSink = await state.timed('sink', () => sink.count(pair, watermark, run.signal))
        const atSource = await state.timed('source', () => source.countBelow(pair, watermark, run.signal))
        return {
          state,
          watermark,
          counts: lookedAgain(counts, atSink.rows, atSource.rows),
          sums: new Map(
            [...sums].map(([column, looks], i) => [
              column,
              sumLookedAgain(looks, atSink.sums[i] ?? '', atSource.sums[i] ?? ''),
            ]),
          ),
        }
      })
    }
    const all = [...settled, ...open]
    for (const { state, watermark, counts, sums } of all) {
      state.compared = { watermark, counts, sums, at: this.#clock.now() }
      state.countedAt = this.#clock.monotonic()
      state.reached = { watermark, at: this.#clock.now() }
      if ([...sums.values()].some((looks) => sumDifference(looks) === undefined)) state.skip('changing')
    }
    return all
  }

  async #estimate(run: Run, open: readonly Open[]): Promise<void> {
    await run.each(open, async ({ state }, { source, sink }) => {
      const { pair } = state
      state.estimates = {
        source: pair.source.only === undefined ? await source.estimate(pair, run.signal) : undefined,
        sink: await sink.estimate(pair, run.signal),
      }
    })
  }

  async #checksums(
    run: Run,
    settings: ChecksumSettings,
    open: readonly Open[],
    choice: Choice,
  ): Promise<void> {
    const budget: Budget = { rows: settings.max_rows, keys: 0 }
    let suspects = await run.each(open, async (one, sides): Promise<Suspect | undefined> => {
      const { state, watermark } = one
      const both = await this.#checksumsOf(one, sides, run.signal)
      // The rows are of all tables, the keys of each.
      const ofTable: Budget = {
        get rows() {
          return budget.rows
        },
        set rows(rows) {
          budget.rows = rows
        },
        keys: settings.max_keys,
      }
      const ranges = await suspected(
        state,
        both,
        { settings, budget: ofTable, now: this.#clock.now(), choice, isCounted: 'counts' in one },
        run.signal,
      )
      if (ranges.length === 0) {
        state.found = []
        return undefined
      }
      return { state, pair: state.pair, watermark, ranges, position: await sides.source.position(run.signal) }
    })
    for (let pass = 1; pass < settings.passes && suspects.length > 0; pass++) {
      // What the group has committed is in the sink, however long it took; without it the lag has to say that.
      if (!this.#settings.kafka) await this.#clock.sleep(this.#settings.lag, run.signal)
      suspects = await run.each(await this.#arrived(run, suspects), async (suspect, sides) => {
        const both = await this.#checksumsOf(suspect, sides, run.signal)
        const { ranges, moving } = await confirm(both, suspect.ranges, run.signal)
        if (moving > 0) suspect.state.skip('changing')
        return { ...suspect, ranges, position: await sides.source.position(run.signal) }
      })
    }
    for (const { state, ranges } of suspects) state.found = this.#judged(state, ranges)
    for (const { state, watermark } of open) {
      if (!run.failed.has(state)) state.reached = { watermark, at: this.#clock.now() }
    }
  }

  /** Without a consumer group to ask, a sink that says itself that its row is an older one is only late. */
  #judged(state: PairState, ranges: readonly DifferingRange[]): readonly DifferingRange[] {
    if (this.#settings.kafka) return ranges
    const judged = ranges.flatMap((range): DifferingRange[] => {
      if (range.keys === undefined) return [range]
      const keys = range.keys.filter((key) => faultOf(key) !== 'stale')
      if (keys.length < range.keys.length) state.skip('lag')
      return keys.length === 0 ? [] : [{ ...range, keys }]
    })
    return judged
  }

  async #checksumsOf(
    { state, watermark }: Open,
    { source, sink }: Sides,
    signal: AbortSignal,
  ): Promise<BothSides> {
    const { pair } = state
    // Asked for each time: a sink reads its catalog once for each connection.
    const table = await sink.table(pair, signal)
    state.plan ??= rowPlan(pair, await source.columns(pair, signal), (column, atSink) =>
      table.form(column, atSink, pair),
    )
    return {
      source: state.metered('source', source.checksums(pair, state.plan, watermark)),
      sink: state.metered('sink', sink.checksums(pair, state.plan, watermark)),
    }
  }
}

interface BothSides {
  readonly source: Checksums
  readonly sink: Checksums
}

function differs({ counts, sums }: Looked): boolean {
  return rowDifference(counts) !== 0n || [...sums.values()].some((looks) => sumDifference(looks) !== '0')
}

/** Cuts what is to be compared of a pair in this run: what was found before, and the whole or what is new and a slice. */
async function suspected(
  state: PairState,
  both: BothSides,
  given: {
    readonly settings: ChecksumSettings
    readonly budget: Budget
    readonly now: number
    readonly choice: Choice
    /** Whether this run has counted the rows. */
    readonly isCounted: boolean
  },
  signal: AbortSignal,
): Promise<readonly DifferingRange[]> {
  const { settings, budget, now, choice, isCounted } = given
  const { compared, found = [] } = state
  const suspects: DifferingRange[] = []
  let complete = true
  const compare = async (range: KeyRange, rows: bigint): Promise<Bisection> => {
    const bisection = await bisect(both, range, rows, budget, signal)
    choice.onBisected?.(state.pair.labels, bisection)
    suspects.push(...bisection.ranges)
    complete &&= bisection.complete
    return bisection
  }

  const rows = compared ? maximum(compared.counts.sourceHigh, compared.counts.sink) : 0n
  const unexplained =
    isCounted &&
    compared !== undefined &&
    (rowDifference(compared.counts) !== state.explained || (found.length === 0 && state.differs))
  if (choice.whole || unexplained) {
    const { complete } = await compare({ from: undefined, to: undefined }, rows)
    if (complete) {
      state.cursor = undefined
      state.newest = await both.source.last(signal)
      state.roundEndedAt = now
    }
  } else {
    for (const { range, source, sink } of found) await compare(range, maximum(source.rows, sink.rows))
    await compareNew(state, both, compare, signal)
    const from = state.cursor
    const to = await both.source.nth(from, settings.slice, signal)
    const slice = await compare({ from, to }, BigInt(settings.slice))
    if (slice.complete) {
      state.cursor = to
      if (to === undefined) state.roundEndedAt = now
    }
  }
  if (!complete) {
    state.skip('rows')
    // What was found before and could not be read again is not equal for that.
    suspects.push(...found)
  }
  return distinct(suspects)
}

/** Rows whose keys are greater than any before: what is new where keys grow. */
async function compareNew(
  state: PairState,
  both: BothSides,
  compare: (range: KeyRange, rows: bigint) => Promise<Bisection>,
  signal: AbortSignal,
): Promise<void> {
  const from = state.newest
  const last = await both.source.last(signal)
  if (from !== undefined && last !== undefined) {
    const range = { from, to: undefined }
    const [fresh] = await both.source.buckets(range, [], signal)
    if (!(await compare(range, fresh?.rows ?? 0n)).complete) return
  }
  state.newest = last
}

/** A key that is in two ranges counts once. */
function distinct(ranges: readonly DifferingRange[]): readonly DifferingRange[] {
  const seen = new Set<string>()
  const isNew = (key: string) => !seen.has(key) && seen.add(key)
  return ranges.flatMap((range): DifferingRange[] => {
    if (range.keys === undefined) return isNew(JSON.stringify(range.range)) ? [range] : []
    const keys = range.keys.filter(({ key }) => isNew(sameKey(key)))
    return keys.length === 0 ? [] : [{ ...range, keys }]
  })
}

const maximum = (a: bigint, b: bigint): bigint => (a > b ? a : b)

/** One run: which of its pairs failed, and work on many of them at once. */
class Run {
  readonly failed = new Set<PairState>()
  readonly signal: AbortSignal
  readonly #pairs: number
  readonly #batch: SampleBatch
  readonly #connections: readonly Sides[]
  #errors = 0

  constructor(pairs: number, batch: SampleBatch, connections: readonly Sides[], signal: AbortSignal) {
    this.#pairs = pairs
    this.#batch = batch
    this.#connections = connections
    this.signal = signal
  }

  /** The table may have been changed since. */
  #forgetCatalog(state: PairState): void {
    state.plan = undefined
    for (const { sink } of this.#connections) sink.forget(state.pair)
  }

  fail(state: PairState, cause: unknown): void {
    if (!this.failed.has(state)) this.#batch.partFailed(state.pair.labels, cause)
    this.failed.add(state)
  }

  failFreshness({ labels }: Pair, cause: unknown): void {
    this.#batch.partFailed(labels, cause, [metrics.freshness])
  }

  /**
   * The results of all items but the undefined ones, as many at once as there are connections, one on each.
   * Where every pair of the configuration has failed it is a backend that does: rejects. `failed` is told of a
   * failure that is none of the pair's comparison.
   */
  async each<Item extends { readonly state: PairState }, Result>(
    items: readonly Item[],
    work: (item: Item, sides: Sides) => Promise<Result | undefined>,
    failed?: (state: PairState, cause: unknown) => void,
  ): Promise<readonly Result[]> {
    const results: Result[] = []
    const queue = items.values()
    await Promise.all(
      this.#connections.map(async (sides) => {
        for (const item of queue) {
          try {
            const result = await work(item, sides)
            if (result !== undefined) results.push(result)
          } catch (cause) {
            if (this.signal.aborted) throw cause
            if (failed) {
              failed(item.state, cause)
              continue
            }
            this.#forgetCatalog(item.state)
            if (++this.#errors === this.#pairs) throw cause
            this.fail(item.state, cause)
          }
        }
      }),
    )
    return results
  }
}
