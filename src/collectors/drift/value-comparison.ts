import { canonical, isDecimal, isWithin, subtract, type Tolerance } from './decimals.ts'

/** Values by group, as decimal texts. */
export type Groups = ReadonlyMap<string, string>

/** All that one run has read, in the order in which it was read; the sink between two looks at the source. */
export interface Looks {
  readonly source: readonly Groups[]
  readonly sink: readonly Groups[]
}

export interface Judged {
  /**
   * differ: neither side has changed the group over all looks, so that nothing on its way explains it. move: the sink
   * has what the source had at no look, and one of them changes, so that it may be in between.
   */
  readonly verdict: 'agree' | 'differ' | 'move'
  /** At the last look; undefined where the side has no such group. */
  readonly source: string | undefined
  readonly sink: string | undefined
  /** Source less sink, a missing one being 0; undefined while they move. */
  readonly difference: string | undefined
}

/** What the looks say of each group that either side has. */
export function judge({ source, sink }: Looks, tolerance: Tolerance): ReadonlyMap<string, Judged> {
  const last = { source: source.at(-1) ?? new Map(), sink: sink.at(-1) ?? new Map() }
  const groups = new Set([...last.source.keys(), ...last.sink.keys()])
  return new Map(
    [...groups].map((group) => {
      const atSource = source.map((look) => look.get(group))
      const atSink = last.sink.get(group)
      // The youngest is the one that is shown.
      const fitting = atSource.findLastIndex((value) => isSame(value, atSink, tolerance))
      const still = isOne(atSource) && isOne(sink.map((look) => look.get(group)))
      const verdict = fitting >= 0 ? 'agree' : still ? 'differ' : 'move'
      const against = fitting >= 0 ? atSource[fitting] : last.source.get(group)
      const difference = verdict === 'move' ? undefined : subtract(against ?? '0', atSink ?? '0')
      return [group, { verdict, source: last.source.get(group), sink: atSink, difference }]
    }),
  )
}

/** A value of a row: undefined for NULL. Throws for what is no number; never tells it. */
export function decimalOf(column: string, value: unknown): string | undefined {
  if (value === null) return undefined
  const text = typeof value === 'object' ? '' : String(value)
  if (!isDecimal(text)) throw new Error(`the column ${column} is not a number`)
  return canonical(text)
}

function isSame(a: string | undefined, b: string | undefined, tolerance: Tolerance): boolean {
  return a === undefined || b === undefined ? a === b : isWithin(a, b, tolerance)
}

const isOne = (values: readonly (string | undefined)[]): boolean => new Set(values).size <= 1
