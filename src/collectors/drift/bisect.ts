import {
  type Checksum,
  type Checksums,
  fittingCuts,
  type Key,
  type KeyChecksum,
  type KeyRange,
  sameKey,
} from './checksums.ts'

/** Parts that a range is cut into: 10 million rows are 610 a part after two rounds. */
const PARTS = 128

/** Ranges of so many rows are not cut any more: their keys are read. */
const LEAF_ROWS = 1000

/** Rounds after which a range is left as it is: it does not become smaller, as where a key has very many rows. */
const MAX_ROUNDS = 8

/** What one run may still do. */
export interface Budget {
  /** Rows that may yet be read on one side. */
  rows: number
  /** Keys that may yet be named. */
  keys: number
}

/** The same rows on both sides, as they were read last. */
export interface Sides {
  readonly source: Checksums
  readonly sink: Checksums
}

/** A key whose rows differ. Undefined for none on that side. */
export interface DifferingKey {
  readonly key: Key
  readonly source: KeyChecksum | undefined
  readonly sink: KeyChecksum | undefined
}

/** A range that holds rows that differ. */
export interface DifferingRange {
  readonly range: KeyRange
  readonly source: Checksum
  readonly sink: Checksum
  /** Those that differ; undefined where there are more than may be named. */
  readonly keys: readonly DifferingKey[] | undefined
}

export interface Bisection {
  readonly ranges: readonly DifferingRange[]
  /** Readings of both sides, one behind the other, that it took. */
  readonly rounds: number
  /** Rows of the source in the ranges that were compared. */
  readonly rows: bigint
  /** False where the budget ended it. */
  readonly complete: boolean
}

interface Part {
  readonly range: KeyRange
  /** Expected, to cut it. */
  readonly rows: bigint
  /** Whose rows are more, and so the side whose keys cut it well. */
  readonly cutBy: 'source' | 'sink'
  readonly checksums: { readonly source: Checksum; readonly sink: Checksum } | undefined
}

/** Cuts the range where the checksums differ, and again what differs of it, until the keys are few enough to read. */
export async function bisect(
  sides: Sides,
  whole: KeyRange,
  expectedRows: bigint,
  budget: Budget,
  signal: AbortSignal,
): Promise<Bisection> {
  const ranges: DifferingRange[] = []
  let compared = 0n
  let complete = true
  let rounds = 0
  let parts: readonly Part[] = [{ range: whole, rows: expectedRows, cutBy: 'source', checksums: undefined }]
  for (; parts.length > 0; rounds++) {
    const next: Part[] = []
    for (const part of parts) {
      const { range, checksums } = part
      const unnamed = checksums && { range, ...checksums, keys: undefined }
      if (budget.rows < Number(part.rows)) {
        complete = false
        if (unnamed) ranges.push(unnamed)
        continue
      }
      budget.rows -= Number(part.rows)
      if (part.rows <= LEAF_ROWS) {
        const keys = await differingKeys(sides, range, signal)
        if (rounds === 0) compared += keys?.rows ?? part.rows
        if (keys === undefined) {
          // There are more than was expected.
          next.push(...differing(await cut(sides, { ...part, rows: BigInt(LEAF_ROWS * 2) }, signal)))
        } else if (keys.differing.length > budget.keys) {
          ranges.push({ range, ...keys.sums, keys: undefined })
        } else if (keys.differing.length > 0) {
          budget.keys -= keys.differing.length
          ranges.push({ range, ...keys.sums, keys: keys.differing })
        }
        continue
      }
      if (rounds >= MAX_ROUNDS) {
        if (unnamed) ranges.push(unnamed)
        continue
      }
      const made = await cut(sides, part, signal)
      if (rounds === 0)
        compared += made.reduce((sum, { checksums }) => sum + (checksums?.source.rows ?? 0n), 0n)
      next.push(...differing(made))
    }
    parts = next
  }
  return { ranges, rounds, rows: compared, complete }
}

/** The parts of a range, with what both sides hold of each. */
async function cut({ source, sink }: Sides, part: Part, signal: AbortSignal): Promise<readonly Part[]> {
  const step = Math.max(1, Math.ceil(Number(part.rows) / PARTS))
  const cutter = part.cutBy === 'source' ? source : sink
  const cuts = fittingCuts(
    distinct(await cutter.cuts(part.range, step, PARTS - 1, signal)).filter(
      // A cut at the lower bound would leave an empty part before it, and the whole behind.
      (key) => part.range.from === undefined || sameKey(key) !== sameKey(part.range.from),
    ),
  )
  const [atSource, atSink] = await Promise.all([
    source.buckets(part.range, cuts, signal),
    sink.buckets(part.range, cuts, signal),
  ])
  const bounds = [part.range.from, ...cuts, part.range.to]
  return atSource.map((sourceSum, i) => {
    const sinkSum = atSink[i] ?? { rows: 0n, sum: 0n }
    return {
      range: { from: bounds[i], to: bounds[i + 1] },
      rows: sourceSum.rows > sinkSum.rows ? sourceSum.rows : sinkSum.rows,
      cutBy: sourceSum.rows >= sinkSum.rows ? 'source' : 'sink',
      checksums: { source: sourceSum, sink: sinkSum },
    }
  })
}

const differing = (parts: readonly Part[]): readonly Part[] =>
  parts.filter(({ checksums }) => checksums && !isEqual(checksums.source, checksums.sink))

/** Two versions of a key at the sink are one key. */
function distinct(keys: readonly Key[]): readonly Key[] {
  return keys.filter((key, i) => i === 0 || sameKey(key) !== sameKey(keys[i - 1] ?? []))
}

export function isEqual(a: Checksum | undefined, b: Checksum | undefined): boolean {
  return (a?.rows ?? 0n) === (b?.rows ?? 0n) && (a?.sum ?? 0n) === (b?.sum ?? 0n)
}

/** Undefined where either side has more keys than a leaf may. */
async function differingKeys({ source, sink }: Sides, range: KeyRange, signal: AbortSignal) {
  const limit = LEAF_ROWS * 2
  const [atSource, atSink] = await Promise.all([
    source.keys(range, limit, signal),
    sink.keys(range, limit, signal),
  ])
  if (atSource.length >= limit || atSink.length >= limit) return undefined
  return {
    differing: unequal(atSource, atSink),
    sums: { source: total(atSource), sink: total(atSink) },
    rows: total(atSource).rows,
  }
}

const total = (keys: readonly KeyChecksum[]): Checksum => ({
  rows: keys.reduce((sum, { rows }) => sum + rows, 0n),
  sum: keys.reduce((all, { sum }) => all + sum, 0n),
})

/** The keys whose rows differ, of those that were read on both sides. */
function unequal(atSource: readonly KeyChecksum[], atSink: readonly KeyChecksum[]): readonly DifferingKey[] {
  const sinks = new Map(atSink.map((sum) => [sameKey(sum.key), sum]))
  const sources = new Set(atSource.map(({ key }) => sameKey(key)))
  return [
    ...atSource.map((source) => ({ key: source.key, source, sink: sinks.get(sameKey(source.key)) })),
    ...atSink
      .filter(({ key }) => !sources.has(sameKey(key)))
      .map((sink) => ({ key: sink.key, source: undefined, sink })),
  ].filter(({ source, sink }) => !isEqual(source, sink))
}
