import { createHash } from 'node:crypto'
import type { Row } from '../../clients/databases.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import * as metrics from './metrics.ts'
import type { AssertionSettings } from './query-config.ts'
import { type Asker, QueryTask, type Side } from './query-task.ts'

/** Up to so many rows are told apart; of more there is only the count. */
const TOLD_APART = 1_000

/** Characters of a cell in the sample. */
const SHOWN = 200

/** What one reading gave. */
interface Rows {
  readonly count: bigint
  /** By the hash of a row how often it is there; undefined where there are too many. */
  readonly hashes: ReadonlyMap<string, number> | undefined
  /** With their hash. */
  readonly first: readonly { readonly hash: string; readonly row: Row }[]
}

const NOTHING: Rows = { count: 0n, hashes: new Map(), first: [] }

/** A query that should give no row. What counts are rows that are there at each reading of a run. */
export class AssertionTask extends QueryTask {
  readonly readsSink: boolean
  protected readonly labels: { readonly assertion: string; readonly tenant: string; readonly side: Side }
  readonly #settings: AssertionSettings
  /** What all readings of this run have. */
  #rows: Rows = NOTHING
  #moved = false
  /** Of the last run that ended well; undefined before. */
  #judged: { readonly count: bigint; readonly sample: readonly Row[] } | undefined

  constructor(settings: AssertionSettings, tenant: string) {
    super('assertion', settings, [settings], tenant)
    this.#settings = settings
    this.labels = { assertion: settings.name, tenant, side: settings.on }
    this.readsSink = settings.on === 'sink'
  }

  async begin(ask: Asker): Promise<void> {
    this.#moved = false
    if (!this.readsSink) this.#rows = await this.#read(ask)
  }

  async read(ask: Asker): Promise<void> {
    if (this.readsSink) this.#rows = await this.#read(ask)
  }

  get suspect(): boolean {
    return this.#rows.count > 0n
  }

  async again(ask: Asker): Promise<void> {
    const now = await this.#read(ask)
    this.#moved ||= now.count !== this.#rows.count
    this.#rows = inBoth(this.#rows, now)
    this.#moved ||= now.count !== this.#rows.count
  }

  protected judge(): void {
    if (this.#moved) this.skip('changing')
    const { count, first } = this.#rows
    this.#judged = { count, sample: first.slice(0, this.#settings.sample).map(({ row }) => row) }
    // Nothing is kept of rows that nobody asked for.
    this.#rows = NOTHING
  }

  protected writeCost(batch: SampleBatch, seconds: Readonly<Record<Side, number>>): void {
    const { labels } = this
    for (const [reason, count] of this.skips) {
      batch.add(metrics.assertionSkipped, { ...labels, reason }, count)
    }
    batch.add(metrics.assertionSeconds, labels, seconds[labels.side])
  }

  protected writeJudged(batch: SampleBatch, at: number): void {
    batch.add(metrics.violations, this.labels, Number(this.#judged?.count ?? 0))
    batch.add(metrics.assertionLastSuccess, this.labels, at)
  }

  protected view() {
    const { count, sample = [] } = this.#judged ?? {}
    return {
      violations: count === undefined ? null : String(count),
      sample: sample.map(shownRow),
    }
  }

  protected readonly words = { begins: 'an assertion is violated', ends: 'the assertion holds again' }

  protected get confirmed() {
    const { violations } = this.view()
    return violations === null || violations === '0' ? undefined : { violations }
  }

  get summary(): readonly [string] {
    return [
      `${this.title}: ${this.view().violations ?? '?'} rows at the ${this.labels.side} that should not be`,
    ]
  }

  async #read(ask: Asker): Promise<Rows> {
    const { on, sample } = this.#settings
    const found = await ask.select(on, this.#settings, TOLD_APART + 1)
    const first = found.map((row) => ({ hash: hashOf(row), row }))
    if (found.length > TOLD_APART) {
      return {
        count: await ask.count(on, this.#settings),
        hashes: undefined,
        first: first.slice(0, sample),
      }
    }
    const hashes = new Map<string, number>()
    for (const { hash } of first) hashes.set(hash, (hashes.get(hash) ?? 0) + 1)
    return { count: BigInt(first.length), hashes, first }
  }
}

/** The rows that both readings have; of too many to be told apart not more than either had. */
function inBoth(before: Rows, now: Rows): Rows {
  if (!before.hashes || !now.hashes) {
    return { ...now, hashes: undefined, count: before.count < now.count ? before.count : now.count }
  }
  const hashes = new Map<string, number>()
  let count = 0
  for (const [hash, times] of now.hashes) {
    const both = Math.min(times, before.hashes.get(hash) ?? 0)
    if (both === 0) continue
    hashes.set(hash, both)
    count += both
  }
  return { count: BigInt(count), hashes, first: now.first.filter(({ hash }) => hashes.has(hash)) }
}

const hashOf = (row: Row): string => createHash('sha256').update(JSON.stringify(row)).digest('base64')

/** Values as the database prints them, cut where they are long. */
function shownRow(row: Row): Readonly<Record<string, string | null>> {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => {
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      const isLong = text.length > SHOWN
      return [name, value === null ? null : isLong ? `${text.slice(0, SHOWN)}…` : text]
    }),
  )
}
