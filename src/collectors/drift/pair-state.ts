import type { Alarm, SampleBatch } from '../../collection/collector.ts'
import type { DifferingRange } from './bisect.ts'
import type { Checksums, Key } from './checksums.ts'
import { differingRows, faultOf } from './confirm.ts'
import {
  type Counts,
  DIFFERENCE,
  rowDifference,
  type SumLooks,
  sourceAtSink,
  sumDifference,
} from './difference.ts'
import * as metrics from './metrics.ts'
import type { Pair } from './pairs.ts'
import type { RowPlan } from './row-form.ts'

export type SkipReason = 'lag' | 'rows' | 'time' | 'quiet' | 'changing'

type Side = 'source' | 'sink'

/** Ranges, and keys of a range, in a line of the log. */
const LOGGED = 20

/** The last comparison of a pair. */
export interface Compared {
  /** Whole seconds since the epoch. */
  readonly watermark: number
  readonly counts: Counts
  /** By column of the source. */
  readonly sums: ReadonlyMap<string, SumLooks>
  /** Wall milliseconds. */
  readonly at: number
}

/** What is remembered of a pair from run to run. */
export class PairState {
  readonly pair: Pair
  readonly #skips = new Map<SkipReason, number>([['lag', 0]])
  readonly #rowsRead = { source: 0, sink: 0 }
  readonly #milliseconds = { source: 0, sink: 0 }
  compared: Compared | undefined
  /** Up to where it was compared last, counted or not, and when. */
  reached: Pick<Compared, 'watermark' | 'at'> | undefined
  estimates: { readonly source: number | undefined; readonly sink: number | undefined } | undefined
  /** Seconds since the newest row of a side was made, as of this run; undefined where there is none. */
  ages: { readonly source: number | undefined; readonly sink: number | undefined } | undefined
  /** Monotonic milliseconds at which it was last begun. */
  begunAt: number | undefined
  /** Monotonic milliseconds at which its rows were last counted. */
  countedAt: number | undefined
  plan: RowPlan | undefined
  /** What was confirmed, and not seen equal since; undefined before the first checksums. */
  found: readonly DifferingRange[] | undefined
  /** Where the next slice begins; undefined for the beginning of the table. */
  cursor: Key | undefined
  /** The greatest key that was compared. */
  newest: Key | undefined
  /** Wall milliseconds. */
  roundEndedAt: number | undefined

  constructor(pair: Pair) {
    this.pair = pair
  }

  skip(reason: SkipReason): void {
    this.#skips.set(reason, (this.#skips.get(reason) ?? 0) + 1)
  }

  /** Adds what `work` takes to the side's time. */
  async timed<T>(side: Side, work: () => Promise<T>): Promise<T> {
    const from = performance.now()
    try {
      return await work()
    } finally {
      this.#milliseconds[side] += performance.now() - from
    }
  }

  /** The same checksums, whose cost is added up. */
  metered(side: Side, checksums: Checksums): Checksums {
    const read = (rows: bigint) => {
      this.#rowsRead[side] += Number(rows)
    }
    const all = async <T extends { readonly rows: bigint }>(work: () => Promise<readonly T[]>) => {
      const sums = await this.timed(side, work)
      read(sums.reduce((sum, { rows }) => sum + rows, 0n))
      return sums
    }
    return {
      cuts: (...given) => this.timed(side, () => checksums.cuts(...given)),
      nth: (...given) => this.timed(side, () => checksums.nth(...given)),
      last: (...given) => this.timed(side, () => checksums.last(...given)),
      buckets: (...given) => all(() => checksums.buckets(...given)),
      keys: (...given) => all(() => checksums.keys(...given)),
      among: (...given) => all(() => checksums.among(...given)),
    }
  }

  /** Rows by which the counts ought to differ, by what was found. */
  get explained(): bigint {
    return (this.found ?? []).reduce((sum, { keys, source, sink }) => {
      if (keys === undefined) return sum + source.rows - sink.rows
      return keys.reduce((rows, key) => rows + (key.source?.rows ?? 0n) - (key.sink?.rows ?? 0n), sum)
    }, 0n)
  }

  /** `failed`: its own samples of the run before stay for a while instead. */
  write(batch: SampleBatch, failed: boolean): void {
    const { labels } = this.pair
    for (const [reason, count] of this.#skips) batch.add(metrics.skipped, { ...labels, reason }, count)
    for (const side of ['source', 'sink'] as const) {
      batch.add(metrics.rowsRead, { ...labels, side }, this.#rowsRead[side])
      const seconds = Math.round(this.#milliseconds[side]) / 1000
      batch.add(metrics.statementSeconds, { ...labels, side }, seconds)
    }
    for (const side of ['source', 'sink'] as const) {
      const age = this.ages?.[side]
      if (age !== undefined) batch.add(metrics.freshness, { ...labels, side }, age)
    }
    if (failed) return
    if (this.estimates?.source !== undefined) batch.add(metrics.sourceEstimate, labels, this.estimates.source)
    if (this.estimates?.sink !== undefined) batch.add(metrics.sinkEstimate, labels, this.estimates.sink)
    if (this.compared) this.#writeCompared(batch, this.compared)
    if (this.reached) {
      batch.add(metrics.watermark, labels, this.reached.watermark)
      batch.add(metrics.lastSuccess, labels, this.reached.at / 1000)
    }
    if (this.found) {
      batch.add(metrics.confirmedRanges, labels, this.found.length)
      batch.add(metrics.differingRows, labels, rowsOf(this.found))
    }
    if (this.roundEndedAt !== undefined) batch.add(metrics.roundEnd, labels, this.roundEndedAt / 1000)
  }

  #writeCompared(batch: SampleBatch, { counts, sums }: Compared): void {
    const { labels } = this.pair
    batch.add(metrics.sourceRows, labels, Number(sourceAtSink(counts)))
    batch.add(metrics.sinkRows, labels, Number(counts.sink))
    batch.add(metrics.rowDifference, labels, Number(rowDifference(counts)))
    for (const [column, looks] of sums) {
      const difference = sumDifference(looks)
      if (difference === undefined) continue
      const of = { ...labels, column }
      batch.add(metrics.sinkSum, of, Number(looks.sink))
      batch.add(metrics.sourceSum, of, Number(difference === '0' ? looks.sink : [...looks.source][0]))
      batch.add(metrics.sumDifference, of, Number(difference))
    }
  }

  /** All that is known, for the API, as JSON. Rows are text: they may be beyond 2^53. */
  view() {
    const { compared, plan, reached } = this
    const found = this.found ?? []
    return {
      ...this.pair.labels,
      source: placeName(this.pair.source),
      sink: placeName(this.pair.sink),
      compared_at: reached ? new Date(reached.at).toISOString() : null,
      watermark: reached ? new Date(reached.watermark * 1000).toISOString() : null,
      counted_at: compared ? new Date(compared.at).toISOString() : null,
      source_rows: compared ? String(sourceAtSink(compared.counts)) : null,
      sink_rows: compared ? String(compared.counts.sink) : null,
      row_difference: compared ? String(rowDifference(compared.counts)) : null,
      sums: [...(compared?.sums ?? [])].map(([column, looks]) => ({
        column,
        source: [...looks.source].at(-1) ?? null,
        sink: looks.sink,
        difference: sumDifference(looks) ?? null,
      })),
      columns: plan?.columns.map(({ source }) => source.name) ?? [],
      columns_left_out: plan?.leftOut ?? [],
      differing_rows: this.found ? rowsOf(found) : null,
      ranges: found.map(({ range, source, sink, keys }) => ({
        from: range.from ?? null,
        to: range.to ?? null,
        source_rows: String(source.rows),
        sink_rows: String(sink.rows),
        keys: keys?.map((key) => ({ key: key.key, fault: faultOf(key) })) ?? null,
      })),
    }
  }

  /** What is wrong; undefined for nothing. */
  alarm(): Alarm | undefined {
    if (!this.differs) return undefined
    const { row_difference, sums, differing_rows, ranges } = this.view()
    const differing = sums.filter(({ difference }) => difference !== null && difference !== '0')
    const faults = [
      ranges.length > 0 && `rows confirmed to differ: ${differing_rows}`,
      row_difference !== null && row_difference !== '0' && `row difference: ${row_difference}`,
      differing.length > 0 && `sums that differ: ${differing.map(({ column }) => column).join(', ')}`,
    ]
    const { table, tenant } = this.pair.labels
    return {
      problem: `table ${table}${tenant === '' ? '' : ` of ${tenant}`}: ${faults.filter(Boolean).join('; ')}`,
      words: DIFFERENCE,
      about: {
        row_difference,
        sums: differing,
        differing_rows,
        ranges: ranges
          .slice(0, LOGGED)
          .map(({ from, to, keys }) => ({ from, to, keys: keys?.slice(0, LOGGED) ?? null })),
      },
    }
  }

  /** Whether something was confirmed: rows that differ, or counts or sums. */
  get differs(): boolean {
    const { compared, found = [] } = this
    if (found.length > 0) return true
    if (!compared) return false
    return (
      rowDifference(compared.counts) !== 0n ||
      [...compared.sums.values()].some((looks) => !['0', undefined].includes(sumDifference(looks)))
    )
  }
}

const rowsOf = (ranges: readonly DifferingRange[]): number =>
  ranges.reduce((sum, range) => sum + differingRows(range), 0)

const placeName = ({ container, table }: Pair['source']): string =>
  container === undefined ? table : `${container}.${table}`
