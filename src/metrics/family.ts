/** A metric family as a collector declares it: one literal name, one HELP text, its label names in order. */
export interface Family<L extends string = string> {
  readonly name: string
  readonly type: 'gauge' | 'counter'
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
