import { nameOf, type Table } from './ledger.ts'

/** Milliseconds over which errors are compared with what was processed. */
const WINDOW = 5 * 60_000

/** Between two looks that are kept. */
const STEP = 60_000

interface Totals {
  readonly processed: number
  readonly failed: number
}

interface Look {
  /** Monotonic milliseconds. */
  readonly at: number
  /** By table. */
  readonly totals: ReadonlyMap<string, Totals>
}

/** Which part of what was processed lately went to dead letters, table by table. */
export class ErrorRates {
  /** The first is as old as the window, or the first ever. */
  #kept: readonly Look[] = []
  #last: Look | undefined

  observe(tables: readonly Table[], at: number): void {
    const totals = tables.map((table): [string, Totals] => {
      return [nameOf(table), { processed: sum(table.processed), failed: sum(table.failed) }]
    })
    this.#last = { at, totals: new Map(totals) }
    const newest = this.#kept.at(-1)
    if (newest && at - newest.at < STEP) return
    const first = this.#kept.findLastIndex((look) => look.at <= at - WINDOW)
    this.#kept = [...this.#kept.slice(Math.max(0, first)), this.#last]
  }

  /**
   * Of all these tables together, from 0 to 1; undefined where nothing was processed. A sink commits past what it
   * sends to dead letters, so that was processed, too.
   */
  of(names: Iterable<string>): number | undefined {
    const [from, to] = [this.#kept[0]?.totals, this.#last?.totals]
    let [processed, failed] = [0, 0]
    for (const name of names) {
      const [before, now] = [from?.get(name), to?.get(name)]
      processed += Math.max(0, (now?.processed ?? 0) - (before?.processed ?? 0))
      failed += Math.max(0, (now?.failed ?? 0) - (before?.failed ?? 0))
    }
    const all = Math.max(processed, failed)
    return all === 0 ? undefined : failed / all
  }
}

const sum = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((total, count) => total + count, 0)
