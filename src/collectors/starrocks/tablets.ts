import type { StarrocksReader, StarrocksRow } from '../../clients/starrocks.ts'
import type { Clock } from '../../clock.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'
import * as metrics from './metrics.ts'
import { wholeNumber } from './texts.ts'

const COLUMNS: readonly (readonly [column: string, family: Family<'database'>])[] = [
  ['UnhealthyTabletNum', metrics.tabletsUnhealthy],
  ['InconsistentTabletNum', metrics.tabletsInconsistent],
  ['ErrorStateTabletNum', metrics.tabletsError],
]

export const tabletFamilies = COLUMNS.map(([, family]) => family)

type Look = { readonly rows: readonly StarrocksRow[] } | { readonly failure: unknown }

/** Health of all tablets. The front end looks at each of them for it, so it is asked seldom, after a failure too. */
export class Tablets {
  readonly #interval: number
  readonly #clock: Clock
  #due = Number.NEGATIVE_INFINITY
  #last: Look = { rows: [] }

  /** `interval`: milliseconds between two looks. */
  constructor(interval: number, clock: Clock) {
    this.#interval = interval
    this.#clock = clock
  }

  /** Rejects as its last look did. */
  async collect(
    server: StarrocksReader,
    batch: SampleBatch,
    run: AbortSignal,
    limited: AbortSignal,
  ): Promise<void> {
    if (this.#clock.monotonic() >= this.#due) {
      try {
        this.#last = { rows: await server.show('tablets', limited) }
      } catch (failure) {
        run.throwIfAborted()
        this.#last = { failure }
      }
      this.#due = this.#clock.monotonic() + this.#interval
    }
    if ('failure' in this.#last) throw this.#last.failure
    for (const row of this.#last.rows) {
      // The last row is their sum, with the number of databases in the place of a name.
      if (row.DbId === 'Total' || !row.DbName) continue
      for (const [column, family] of COLUMNS) {
        const value = wholeNumber(row[column])
        if (value !== undefined) batch.add(family, { database: row.DbName }, value)
      }
    }
  }
}
