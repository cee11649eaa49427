import { canonical, subtract } from './decimals.ts'

/** In the log. */
export const DIFFERENCE = { begins: 'found a difference', ends: 'the difference is gone' }

/** What is known of a pair after some looks at it, all below the same watermark. */
export interface Counts {
  /** The least and the most rows that the source had over the looks. */
  readonly sourceLow: bigint
  readonly sourceHigh: bigint
  /** At the last look, which began after the first count at the source and ended before the last one. */
  readonly sink: bigint
}

/**
 * The rows of the source at the moment that the sink shows, as near to the sink's as the counts allow.
 *
 * No two counts are of one moment. The sink shows the source as it was a little earlier, and a delete on its way
 * makes any single look differ, above or below. But the number of rows below a fixed watermark moves between
 * what the source had before and after the sink was read. So a sink within these bounds is where the source was
 * in between, and of one beyond them only the distance to the nearest bound is sure to be a difference. That
 * distance stays where rows are lost, however often one looks, while changes in flight arrive.
 */
export function sourceAtSink({ sourceLow, sourceHigh, sink }: Counts): bigint {
  if (sink < sourceLow) return sourceLow
  if (sink > sourceHigh) return sourceHigh
  return sink
}

/** Source less sink; 0 where changes in flight explain what differs. */
export function rowDifference(counts: Counts): bigint {
  return sourceAtSink(counts) - counts.sink
}

/** One look more: the sink first, then the source, so that the bounds hold the moment that the sink shows. */
export function lookedAgain({ sourceLow, sourceHigh }: Counts, sink: bigint, source: bigint): Counts {
  return {
    sourceLow: source < sourceLow ? source : sourceLow,
    sourceHigh: source > sourceHigh ? source : sourceHigh,
    sink,
  }
}

/** What is known of a column's sums after some looks, as texts without zeros at the end. */
export interface SumLooks {
  /** Every sum that the source had. */
  readonly source: ReadonlySet<string>
  /** At the last look. */
  readonly sink: string
}

/**
 * Source less sink; 0 where the sink has what the source had at some look. Undefined where neither fits: the
 * source changes the column, up and down, so that no bounds hold, and what the sink should have is not known.
 */
export function sumDifference({ source, sink }: SumLooks): string | undefined {
  if (source.has(sink)) return '0'
  const [only, ...others] = source
  return only === undefined || others.length > 0 ? undefined : subtract(only, sink)
}

/** One look more: the sink first, then the source. */
export function sumLookedAgain({ source }: SumLooks, sink: string, atSource: string): SumLooks {
  return { source: new Set([...source, canonical(atSource)]), sink: canonical(sink) }
}
