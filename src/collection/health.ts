import type { ZodType } from 'zod'
import type { Family } from '../metrics/family.ts'
import type { Sample } from '../metrics/family-series.ts'

/** The check of a kind in `/health`; see docs/health.md. */
export interface KindHealth {
  /** Of the check; `_<target>` is added where there are several. */
  readonly key: string
  /** What messages call the backend. */
  readonly title: string
  /** The shape of what `Collector.health` says, for docs/health-detailed.schema.json. */
  readonly details?: ZodType
}

/** What the last run that ended well says of the backend, beyond that it answers. */
export interface Health<Details = unknown> {
  /** For `/health/detailed`, as JSON. Lists have `MOST_LISTED` entries at the most; what is unknown is undefined. */
  readonly details: Details
  /** What is wrong although the backend answers, a line each, without secrets: the check is degraded then. */
  readonly problems: readonly string[]
}

/** Of a list in the details: they are for people. */
export const MOST_LISTED = 100

interface OfFamily<L extends string> {
  readonly labels: Readonly<Record<L, string>>
  readonly value: number
}

/** The samples of one instance as of its last run that ended well, without the labels of the instance. */
export class LastRun {
  readonly #read: (family: Family, value: number | undefined) => Iterable<Sample>

  /** `read`: with a value, only the samples that have it. */
  constructor(read: (family: Family, value: number | undefined) => Iterable<Sample>) {
    this.#read = read
  }

  samples<L extends string>(family: Family<L>): Iterable<OfFamily<L>> {
    return this.#read(family, undefined) as Iterable<OfFamily<L>>
  }

  /** Labels of the samples that have this value: the present states of a state set are its ones. */
  *having<L extends string>(family: Family<L>, value: number): Generator<OfFamily<L>['labels']> {
    for (const { labels } of this.#read(family, value)) yield labels as OfFamily<L>['labels']
  }

  /** Of a family without labels, or of its only sample. */
  value(family: Family): number | undefined {
    for (const { value } of this.#read(family, undefined)) return value
    return undefined
  }

  /** Of all its samples; undefined without any. */
  sum(family: Family): number | undefined {
    let sum: number | undefined
    for (const { value } of this.#read(family, undefined)) sum = (sum ?? 0) + value
    return sum
  }

  count(family: Family): number {
    let count = 0
    for (const _ of this.#read(family, undefined)) count++
    return count
  }

  /** How many of a state set are in each state that any of them is in. */
  states<L extends string>(family: Family<L | 'state'>): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { state } of this.having<L | 'state'>(family, 1)) counts[state] = (counts[state] ?? 0) + 1
    return counts
  }
}
