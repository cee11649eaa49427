import type { FlinkException } from '../../clients/flink.ts'

/** What Flink remembers of a job where `web.exception-history-size` does not say otherwise. */
const HISTORY = 16

/** Counts the failures of one job out of the last few that Flink remembers at each look. */
export class ExceptionCounts {
  readonly #totals = new Map<string, number>()
  #known: ReadonlySet<string> | undefined
  readonly #sinceBegin: boolean

  /** `sinceBegin`: the job is looked at since it began, so that nothing of it was counted before. */
  constructor(sinceBegin: boolean) {
    this.#sinceBegin = sinceBegin
  }

  /** By class, since the job began as far as that is known. */
  count(history: readonly FlinkException[]): ReadonlyMap<string, number> {
    const known = this.#known
    // With more than is remembered, a daemon that has just started would tell less than the one before it, and
    // that would be taken for a reset with so many new failures.
    const isWhole = this.#sinceBegin || history.length < HISTORY
    for (const { key, rootClass } of history) {
      const isNew = known ? !known.has(key) : isWhole
      this.#totals.set(rootClass, (this.#totals.get(rootClass) ?? 0) + Number(isNew))
    }
    this.#known = new Set(history.map(({ key }) => key))
    return this.#totals
  }
}
