import { countRows, type Database, type Parameters } from '../../clients/databases.ts'
import type { Clock } from '../../clock.ts'
import type { Finding, SampleBatch } from '../../collection/collector.ts'
import { isByTenant, TENANT, withTenant } from '../../config/query.ts'
import type { Arrival } from './arrival.ts'
import { AssertionTask } from './assertion-task.ts'
import { passesOf, type Settings } from './config.ts'
import { isDue } from './due.ts'
import { WATERMARK } from './query-config.ts'
import type { Asker, GivenQuery, QueryTask, Side } from './query-task.ts'
import { isQuiet } from './quiet-hours.ts'
import { databasesOf } from './sides.ts'
import type { Source } from './source.ts'
import { ValueTask } from './value-task.ts'

/** What a run of the queries shares with that of the tables. */
interface Shared {
  readonly source: Source
  readonly arrival: Arrival | undefined
  /** Monotonic milliseconds after which nothing is begun. */
  readonly end: number
  /** Only these, whether they are due or not; those that are due where absent. */
  readonly only?: ((labels: { readonly table: string; readonly tenant: string }) => boolean) | undefined
}

/** The values and the assertions of one drift collector: queries of its configuration, one at a time on each side. */
export class Queries {
  readonly tasks: readonly QueryTask[]
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #databases: Readonly<Record<Side, Database>>

  constructor(settings: Settings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
    this.#databases = databasesOf(settings, clock)
    const { values, assertions, tenants } = settings
    this.tasks = [
      ...values.flatMap((value) =>
        (isByTenant(value.source) ? tenants : ['']).map((tenant) => new ValueTask(value, tenant)),
      ),
      ...assertions.flatMap((assertion) =>
        (isByTenant(assertion) ? tenants : ['']).map((tenant) => new AssertionTask(assertion, tenant)),
      ),
    ]
  }

  get findings(): readonly Finding[] {
    return this.tasks.map((task) => task.finding())
  }

  /** Rejects when one of the databases does not answer at all: that is no failure of a query. */
  async ping(signal: AbortSignal): Promise<void> {
    if (this.tasks.length === 0) return
    await Promise.all(Object.values(this.#databases).map((database) => database.ping(signal)))
  }

  close(): void {
    for (const database of Object.values(this.#databases)) database.close()
  }

  /**
   * Judges what is due, or chosen, and writes all that is known. The source is read, then, once that has arrived,
   * the sink; what differs is looked at again after the lag, or after all that the source had by then has arrived.
   */
  async run(batch: SampleBatch, { source, arrival, end, only }: Shared, signal: AbortSignal): Promise<void> {
    const { lag, kafka } = this.#settings
    const due = this.#due(only)
    const isBounded = due.some(usesWatermark)
    const watermark = isBounded ? (await source.bounds(lag, signal)).watermark : undefined
    let position = 0n

    /** Those of which the work went well. */
    const each = async (tasks: Iterable<QueryTask>, work: (task: QueryTask, ask: Asker) => Promise<void>) => {
      const done: QueryTask[] = []
      for (const task of tasks) {
        try {
          await work(task, this.#asker(task, watermark, signal))
          done.push(task)
        } catch (cause) {
          if (signal.aborted) throw cause
          const reason = cause instanceof Error ? cause.message : cause
          task.failure = { cause: new Error(`${task.title}: ${reason}`, { cause }) }
        }
      }
      if (arrival) position = await source.position(signal)
      return done
    }
    /** Those whose sink has all that was read before; the others are late, and no drift. */
    const arrived = async (tasks: readonly QueryTask[]) => {
      const waiting = tasks.filter(({ readsSink }) => readsSink)
      const cause = waiting.length === 0 ? undefined : await arrival?.waitForAll(position, source, signal)
      if (cause === undefined) return tasks
      for (const task of waiting) {
        task.skip('lag')
        task.failure = { cause }
      }
      return tasks.filter(({ readsSink }) => !readsSink)
    }

    let open = await each(this.#inTime(due, end), (task, ask) => task.begin(ask))
    open = await each(await arrived(open), (task, ask) => task.read(ask))
    for (let pass = 1; pass < passesOf(this.#settings); pass++) {
      const suspects = open.filter(({ suspect }) => suspect)
      if (suspects.length === 0) break
      // What the group has committed is in the sink, however long it took; without it the lag has to say that.
      if (!kafka) await this.#clock.sleep(lag, signal)
      const settled = open.filter(({ suspect }) => !suspect)
      open = [...settled, ...(await each(await arrived(suspects), (task, ask) => task.again(ask)))]
    }
    for (const task of open) task.settle(this.#clock.now(), usesWatermark(task) ? watermark : undefined)
    for (const task of this.tasks) task.write(batch)
  }

  /** Those that waited longest first, so that the bound of a run leaves none out for ever. */
  #due(only: Shared['only']): readonly QueryTask[] {
    const tasks = this.tasks.toSorted((a, b) => (a.begunAt ?? 0) - (b.begunAt ?? 0))
    if (only) return tasks.filter(({ name, tenant }) => only({ table: name, tenant }))
    const due = tasks.filter(({ begunAt, every }) => isDue(begunAt, every, this.#clock.monotonic()))
    const { quiet_hours, quiet_timezone } = this.#settings
    if (!isQuiet(quiet_hours, quiet_timezone, this.#clock.now())) return due
    for (const task of due) task.skip('quiet')
    return []
  }

  /** Asked for one after the other, so that the time of a run counts what those before took. */
  *#inTime(tasks: readonly QueryTask[], end: number): Generator<QueryTask> {
    for (const task of tasks) {
      const now = this.#clock.monotonic()
      if (now >= end) task.skip('time')
      else {
        task.begunAt = now
        task.failure = undefined
        yield task
      }
    }
  }

  #asker(task: QueryTask, watermark: number | undefined, signal: AbortSignal): Asker {
    const timeout = this.#settings.statement_timeout
    const run = async <T>(
      side: Side,
      query: GivenQuery,
      work: (database: Database, sql: string, parameters: Parameters) => Promise<T>,
    ): Promise<T> => {
      const database = this.#databases[side]
      const { sql, parameters } = filledIn(query, { tenant: task.tenant, watermark, database })
      const from = performance.now()
      try {
        return await work(database, sql, parameters)
      } finally {
        task.spend(side, performance.now() - from)
      }
    }
    return {
      select: (side, query, rows) =>
        run(side, query, (database, sql, parameters) =>
          database.select(sql, parameters, { rows, timeout }, signal),
        ),
      count: (side, query) =>
        run(side, query, (database, sql, parameters) =>
          countRows(database, sql, parameters, timeout, signal),
        ),
    }
  }
}

/** A query for one tenant of a database. `watermark` in whole seconds since the epoch. */
export const filledIn = (
  { sql, parameters = [] }: GivenQuery,
  {
    tenant,
    watermark,
    database,
  }: { readonly tenant: string; readonly watermark: number | undefined; readonly database: Database },
): { readonly sql: string; readonly parameters: Parameters } => ({
  sql: sql.replaceAll(WATERMARK, String(watermark)).replaceAll(TENANT, () => database.quote(tenant)),
  parameters: withTenant(parameters, tenant),
})

const usesWatermark = ({ queries }: QueryTask): boolean => queries.some(({ sql }) => sql.includes(WATERMARK))
