import { type DifferingKey, type DifferingRange, isEqual, type Sides } from './bisect.ts'
import { type Checksum, type KeyChecksum, sameKey } from './checksums.ts'

/**
 * What is wrong with the rows of a key. `stale`: the sink says itself that its version is the older one;
 * `corrupt`: it says that it is the same, and the values are not; `different`: which of both nobody says.
 */
export type Fault = 'missing' | 'extra' | 'duplicate' | 'stale' | 'corrupt' | 'different'

export function faultOf({ source, sink }: Pick<DifferingKey, 'source' | 'sink'>): Fault {
  if (sink === undefined) return 'missing'
  if (source === undefined) return 'extra'
  if (sink.rows > source.rows) return 'duplicate'
  if (source.version === undefined || sink.version === undefined) return 'different'
  if (source.version === sink.version) return 'corrupt'
  return isOlder(sink.version, source.version) ? 'stale' : 'different'
}

/** Versions are numbers, or times as both sides write them. */
function isOlder(version: string, than: string): boolean {
  const isNumber = /^-?\d+$/
  if (isNumber.test(version) && isNumber.test(than)) return BigInt(version) < BigInt(than)
  return version < than
}

export interface Confirmation {
  readonly ranges: readonly DifferingRange[]
  /** Rows that moved meanwhile on either side and cannot be judged yet, and such ranges. */
  readonly moving: number
}

/**
 * Looks again at what differed. A row counts only if neither side has changed it between the two looks, and it
 * still differs: the source's row was the same before all that was read of it had time to arrive and after
 * the sink was read, so that no change on its way explains it. Give the pipeline that time before.
 */
export async function confirm(
  { source, sink }: Sides,
  ranges: readonly DifferingRange[],
  signal: AbortSignal,
): Promise<Confirmation> {
  const confirmed: DifferingRange[] = []
  let moving = 0
  for (const range of ranges) {
    if (range.keys === undefined) {
      // The sink first: what the source shows then is the younger.
      const [atSink = NOTHING] = await sink.buckets(range.range, [], signal)
      const [atSource = NOTHING] = await source.buckets(range.range, [], signal)
      if (isEqual(atSource, atSink)) continue
      if (isEqual(atSource, range.source) && isEqual(atSink, range.sink)) confirmed.push(range)
      else moving++
      continue
    }
    const keys = range.keys.map(({ key }) => key)
    const atSink = byKey(await sink.among(keys, signal))
    const atSource = byKey(await source.among(keys, signal))
    const still: DifferingKey[] = []
    for (const before of range.keys) {
      const now = { source: atSource.get(sameKey(before.key)), sink: atSink.get(sameKey(before.key)) }
      if (isEqual(now.source, now.sink)) continue
      if (isEqual(now.source, before.source) && isEqual(now.sink, before.sink)) {
        still.push({ key: before.key, ...now })
      } else moving++
    }
    if (still.length > 0) confirmed.push({ ...range, keys: still })
  }
  return { ranges: confirmed, moving }
}

const NOTHING: Checksum = { rows: 0n, sum: 0n }

const byKey = (sums: readonly KeyChecksum[]) => new Map(sums.map((sum) => [sameKey(sum.key), sum]))

/** Rows of the range that differ; of one whose rows are not named at least one, and what the counts say. */
export function differingRows({ keys, source, sink }: DifferingRange): number {
  if (keys !== undefined) return keys.length
  const difference = Number(source.rows - sink.rows)
  return Math.max(1, Math.abs(difference))
}
