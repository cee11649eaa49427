import type { Parameters, Row } from '../../clients/databases.ts'
import type { Alarm, Finding, SampleBatch } from '../../collection/collector.ts'
import type { SkipReason } from './pair-state.ts'

export type Side = 'source' | 'sink'

/** A query as the configuration has it. */
export interface GivenQuery {
  readonly sql: string
  readonly parameters?: Parameters | undefined
}

/** Reads for one task, within the bounds of the run. Errors name the task and the side. */
export interface Asker {
  select(side: Side, query: GivenQuery, rows: number): Promise<readonly Row[]>
  /** All rows of the query, counted by the database. */
  count(side: Side, query: GivenQuery): Promise<bigint>
}

/**
 * Queries of the configuration that are judged together, for one tenant where they are by tenant. A run of it is
 * `begin`, a first reading at the source; `read`, the first at the sink, once what the source had has arrived; and
 * while it is `suspect`, `again`, some time later; `settle` at the end.
 */
export abstract class QueryTask {
  readonly kind: 'value' | 'assertion'
  readonly name: string
  readonly tenant: string
  readonly queries: readonly GivenQuery[]
  /** Milliseconds between two runs of it; 0 for each run of the collector. */
  readonly every: number
  /** Monotonic milliseconds at which it was last begun. */
  begunAt: number | undefined
  /** Of its last run, if that went badly: what it judged before then stays for a while. */
  failure: { readonly cause: unknown } | undefined
  protected readonly skips = new Map<SkipReason, number>([['lag', 0]])
  readonly #seconds = { source: 0, sink: 0 }
  #settledAt: number | undefined
  #watermark: number | undefined

  protected constructor(
    kind: QueryTask['kind'],
    { name, every = 0 }: { readonly name: string; readonly every?: number | undefined },
    queries: readonly GivenQuery[],
    tenant: string,
  ) {
    this.kind = kind
    this.name = name
    this.queries = queries
    this.every = every
    this.tenant = tenant
  }

  abstract readonly readsSink: boolean
  abstract begin(ask: Asker): Promise<void>
  abstract read(ask: Asker): Promise<void>
  abstract readonly suspect: boolean
  abstract again(ask: Asker): Promise<void>
  protected abstract judge(): void
  /** Of what it has cost, in seconds by side. */
  protected abstract writeCost(batch: SampleBatch, seconds: Readonly<Record<Side, number>>): void
  /** Of what was judged, at that time in seconds since the epoch. */
  protected abstract writeJudged(batch: SampleBatch, at: number): void
  protected abstract readonly labels: Readonly<Record<string, string>>
  protected abstract view(): Readonly<Record<string, unknown>>
  /** What was confirmed, in short; undefined for nothing. */
  protected abstract readonly confirmed: Alarm['about'] | undefined
  protected abstract readonly words: Alarm['words']
  /** What was found, for people, a line each; the first says it all. */
  abstract readonly summary: readonly [string, ...string[]]

  /** For messages: `value cash_balance of alpha`. */
  get title(): string {
    return `${this.kind} ${this.name}${this.tenant === '' ? '' : ` of ${this.tenant}`}`
  }

  /** Labels of the series that stay where it fails: those of all tenants where these are in the rows. */
  get part(): Readonly<Record<string, string>> {
    return { [this.kind]: this.name, ...(this.tenant === '' ? {} : { tenant: this.tenant }) }
  }

  /** Whether something was confirmed. */
  get differs(): boolean {
    return this.confirmed !== undefined
  }

  /** `at` in wall milliseconds; `watermark` in whole seconds since the epoch, undefined where no query asks for it. */
  settle(at: number, watermark: number | undefined): void {
    this.judge()
    this.#settledAt = at
    this.#watermark = watermark
  }

  skip(reason: SkipReason): void {
    this.skips.set(reason, (this.skips.get(reason) ?? 0) + 1)
  }

  spend(side: Side, milliseconds: number): void {
    this.#seconds[side] += milliseconds / 1000
  }

  write(batch: SampleBatch): void {
    this.writeCost(batch, this.#seconds)
    if (this.failure) batch.partFailed(this.part, this.failure.cause)
    else if (this.#settledAt !== undefined) this.writeJudged(batch, this.#settledAt / 1000)
  }

  finding(): Finding {
    const { confirmed: about, words } = this
    const time = (at: number | undefined) => (at === undefined ? null : new Date(at).toISOString())
    return {
      labels: this.labels,
      details: {
        compared_at: time(this.#settledAt),
        watermark: time(this.#watermark === undefined ? undefined : this.#watermark * 1000),
        ...this.view(),
      },
      alarm: about && { problem: this.summary[0], words, about },
    }
  }
}
