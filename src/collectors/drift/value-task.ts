import { cell, cellText, type Row } from '../../clients/databases.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import { DIFFERENCE } from './difference.ts'
import * as metrics from './metrics.ts'
import type { ValueSettings } from './query-config.ts'
import { type Asker, QueryTask, type Side } from './query-task.ts'
import { decimalOf, type Groups, type Judged, judge, type Looks } from './value-comparison.ts'

/** Groups in a line of the log. */
const LOGGED = 20

/** One value, source against sink, group by group. */
export class ValueTask extends QueryTask {
  readonly readsSink = true
  protected readonly labels: { readonly value: string; readonly tenant: string }
  readonly #settings: ValueSettings
  #looks: Looks = { source: [], sink: [] }
  /** By group, as of the last run that ended well; undefined before. */
  #judged: ReadonlyMap<string, Judged> | undefined
  /** Groups that were confirmed to differ and not seen equal since. */
  #confirmed: ReadonlySet<string> = new Set()

  constructor(settings: ValueSettings, tenant: string) {
    super('value', settings, [settings.source, settings.sink], tenant)
    this.#settings = settings
    this.labels = { value: settings.name, tenant }
  }

  async begin(ask: Asker): Promise<void> {
    this.#looks = { source: [await this.#read('source', ask)], sink: [] }
  }

  async read(ask: Asker): Promise<void> {
    this.#looks = { ...this.#looks, sink: [await this.#read('sink', ask)] }
  }

  get suspect(): boolean {
    return groupsThat('differ', this.#judgement()).length > 0
  }

  /** The sink first: what the source shows then is the younger. */
  async again(ask: Asker): Promise<void> {
    const atSink = await this.#read('sink', ask)
    const atSource = await this.#read('source', ask)
    const { source, sink } = this.#looks
    this.#looks = { source: [...source, atSource], sink: [...sink, atSink] }
  }

  protected judge(): void {
    const judged = this.#judgement()
    const moving = groupsThat('move', judged)
    if (moving.length > 0) this.skip('changing')
    const before = moving.filter((group) => this.#confirmed.has(group))
    this.#confirmed = new Set([...groupsThat('differ', judged), ...before])
    this.#judged = judged
  }

  protected writeCost(batch: SampleBatch, seconds: Readonly<Record<Side, number>>): void {
    const { labels } = this
    for (const [reason, count] of this.skips) batch.add(metrics.valueSkipped, { ...labels, reason }, count)
    for (const side of ['source', 'sink'] as const) {
      batch.add(metrics.valueSeconds, { ...labels, side }, seconds[side])
    }
  }

  protected writeJudged(batch: SampleBatch, at: number): void {
    const { labels } = this
    batch.add(metrics.valueGroups, labels, this.#judged?.size ?? 0)
    batch.add(metrics.valueDiffering, labels, this.#confirmed.size)
    batch.add(metrics.valueLastSuccess, labels, at)
    for (const [key, { source, sink, difference }] of this.#judged ?? []) {
      const group = { ...labels, ...groupOf(key) }
      if (source !== undefined) batch.add(metrics.valueSource, group, Number(source))
      if (sink !== undefined) batch.add(metrics.valueSink, group, Number(sink))
      if (difference !== undefined) batch.add(metrics.valueDifference, group, Number(difference))
    }
  }

  /** Values are text: they may be beyond a float. */
  protected view() {
    const { tolerance, relative_tolerance } = this.#settings
    return {
      tolerance,
      relative_tolerance,
      groups: this.#judged?.size ?? null,
      differing_groups: this.#judged ? this.#confirmed.size : null,
      moving_groups: this.#judged ? groupsThat('move', this.#judged).length : null,
      differences: [...this.#confirmed].map((key) => {
        const { source = null, sink = null, difference = null } = this.#judged?.get(key) ?? {}
        return { ...groupOf(key), source, sink, difference }
      }),
    }
  }

  protected readonly words = DIFFERENCE

  protected get confirmed() {
    const { differing_groups, differences } = this.view()
    if (this.#confirmed.size === 0) return undefined
    return { differing_groups, differences: differences.slice(0, LOGGED) }
  }

  get summary(): readonly [string, ...string[]] {
    const { groups, differing_groups, differences } = this.view()
    return [
      `${this.title}: ${differing_groups ?? '?'} of ${groups ?? '?'} groups differ`,
      ...differences.map(({ tenant, group, source, sink }) => {
        const name = [tenant, group].filter(Boolean).join(' ')
        return `  ${name}  ${source ?? 'nothing'} at the source, ${sink ?? 'nothing'} at the sink`
      }),
    ]
  }

  #judgement(): ReadonlyMap<string, Judged> {
    const { tolerance, relative_tolerance } = this.#settings
    return judge(this.#looks, { absolute: tolerance, relative: relative_tolerance })
  }

  async #read(side: Side, ask: Asker): Promise<Groups> {
    const { max_groups, [side]: query } = this.#settings
    const rows = await ask.select(side, query, max_groups + 1)
    if (rows.length > max_groups) throw new Error(`its ${side} gives more than ${max_groups} groups`)
    try {
      return this.#groupsOf(rows)
    } catch (cause) {
      throw new Error(`its ${side}: ${cause instanceof Error ? cause.message : cause}`, { cause })
    }
  }

  #groupsOf(rows: readonly Row[]): Groups {
    const { groups, value } = this.#settings
    const result = new Map<string, string>()
    const seen = new Set<string>()
    for (const row of rows) {
      const tenant = groups.includes('tenant') ? cellText(row, 'tenant') : this.tenant
      const group = groups.filter((column) => column !== 'tenant').map((column) => cellText(row, column))
      const key = JSON.stringify({ tenant, group: group.join('/') })
      if (seen.has(key)) {
        throw new Error(`two rows are of the same group${groups.length > 0 ? '' : ': it has no groups'}`)
      }
      seen.add(key)
      const decimal = decimalOf(value, cell(row, value))
      if (decimal !== undefined) result.set(key, decimal)
    }
    return result
  }
}

const groupsThat = (verdict: Judged['verdict'], judged: ReadonlyMap<string, Judged>): readonly string[] =>
  [...judged].filter(([, each]) => each.verdict === verdict).map(([group]) => group)

const groupOf = (key: string): { readonly tenant: string; readonly group: string } => JSON.parse(key)
