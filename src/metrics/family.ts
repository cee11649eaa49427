/** A metric family as a collector declares it: one literal name, one HELP text, its label names in order. */
export interface Family<L extends string = string> {
  readonly name: string
  readonly type: 'gauge' | 'counter' | 'histogram'
  /** Says where the number comes from. */
  readonly help: string
  readonly labelNames: readonly L[]
}

export function gauge<const L extends string = never>(
  name: string,
  help: string,
  labelNames: readonly L[] = [],
): Family<L> {
  return { name, type: 'gauge', help, labelNames }
}

/** A value that only grows, but for a reset of its source. `name` ends in `_total`. */
export function counter<const L extends string = never>(
  name: string,
  help: string,
  labelNames: readonly L[] = [],
): Family<L> {
  return { name, type: 'counter', help, labelNames }
}

/** Of one, a batch takes a `Distribution` for each set of labels. */
export interface Histogram<L extends string = string> extends Family<L> {
  readonly type: 'histogram'
  /** Upper bounds, ascending, each within its bucket; `+Inf` is not among them. */
  readonly buckets: readonly number[]
}

export function histogram<const L extends string = never>(
  name: string,
  help: string,
  buckets: readonly number[],
  labelNames: readonly L[] = [],
): Histogram<L> {
  return { name, type: 'histogram', help, labelNames, buckets }
}

export const isHistogram = (family: Family): family is Histogram => family.type === 'histogram'
