import { isTurnOver, nextTurn } from '../clock.ts'
import type { Distribution } from './distribution.ts'
import { type Family, type Histogram, isHistogram } from './family.ts'
import { COUNT, escapeLabelValue, FamilySeries, releaseDraft, type Sample, SUM } from './family-series.ts'

/** Why samples of a run were not taken. */
export interface Dropped {
  /** Beyond the instance's bound on series. */
  limit: number
  /** Written twice in one run. */
  duplicate: number
  /** Not a number. */
  invalid: number
}

export interface FailedPart {
  readonly labels: Readonly<Record<string, string>>
  readonly cause: unknown
  /** Those that the part is in; all that have its labels where absent. */
  readonly families?: readonly Family[] | undefined
}

/** All series of one instance, from run to run. At most one batch of it is open at a time. */
export class InstanceSeries {
  readonly kind: string
  readonly target: string
  readonly #labels: Readonly<Record<string, string>>
  readonly #byFamily = new Map<Family, FamilySeries>()
  readonly #maxSeries: number
  #run = 0

  constructor(
    kind: string,
    families: readonly Family[],
    labels: Readonly<Record<string, string>>,
    maxSeries: number,
  ) {
    this.kind = kind
    this.target = labels.target ?? ''
    this.#labels = labels
    this.#maxSeries = maxSeries
    const constLabels = Object.entries(labels)
      .map(([name, value]) => `${name}="${escapeLabelValue(value)}"`)
      .join(',')
    for (const family of families) this.#byFamily.set(family, new FamilySeries(family, constLabels))
  }

  get families(): Iterable<FamilySeries> {
    return this.#byFamily.values()
  }

  /** Series that a scrape sees. */
  get size(): number {
    let size = 0
    for (const series of this.#byFamily.values()) size += series.size
    return size
  }

  /**
   * Of the series called `name`, as of the last commit; the instance's labels are among theirs. Those of a
   * histogram have three names, as in the text format.
   */
  *samples(name: string): Generator<Sample> {
    for (const series of this.#byFamily.values()) {
      for (const { labels, value } of series.samples(name))
        yield { labels: { ...this.#labels, ...labels }, value }
    }
  }

  /** Of one family, as of the last commit, or only those of this value; without the instance's labels. */
  of(family: Family, only?: number): Iterable<Sample> {
    return this.#byFamily.get(family)?.samples(family.name, only) ?? []
  }

  begin(): RunBatch {
    this.#run++
    for (const series of this.#byFamily.values()) series.begin(this.#run)
    return new RunBatch(this.#byFamily, this.#maxSeries)
  }
}

/** Families that are written together. */
interface Row {
  readonly series: readonly FamilySeries[]
  /** Whether the series has the same labels, place by place, as the first, so that they need not be compared. */
  readonly inStep: readonly boolean[]
}

/** What one run writes: see `SampleBatch` of the collector contract. */
export class RunBatch {
  readonly dropped: Dropped = { limit: 0, duplicate: 0, invalid: 0 }
  /** Samples not taken, by name of their family. */
  readonly droppedByFamily = new Map<string, number>()
  readonly failedParts: FailedPart[] = []
  readonly #byFamily: ReadonlyMap<Family, FamilySeries>
  readonly #maxSeries: number
  #count = 0
  #open = true
  #lastFamily: Family | undefined
  #lastSeries: FamilySeries | undefined
  readonly #rows = new Map<readonly Family[], Row>()
  #lastFamilies: readonly Family[] | undefined
  #lastRow: Row | undefined
  readonly #texts: (string | undefined)[] = []

  constructor(byFamily: ReadonlyMap<Family, FamilySeries>, maxSeries: number) {
    this.#byFamily = byFamily
    this.#maxSeries = maxSeries
  }

  add<L extends string>(family: Family<L>, labels: Readonly<Record<L, string>>, value: number): void {
    // A run that goes on after its time-out writes to nobody.
    if (!this.#open) return
    if (family !== this.#lastFamily || !this.#lastSeries) {
      if (isHistogram(family)) throw new TypeError(`${family.name} is a histogram: it wants a distribution`)
      this.#lastSeries = this.#seriesOf(family)
      this.#lastFamily = family
    }
    if (Number.isNaN(value)) this.#drop('invalid', family)
    else if (this.#count >= this.#maxSeries) this.#drop('limit', family)
    else if (this.#lastSeries.write(labels, value)) this.#count++
    else this.#drop('duplicate', family)
  }

  addRow<L extends string>(
    families: readonly Family<L>[],
    labels: Readonly<Record<L, string>>,
    values: Float64Array,
  ): void {
    if (!this.#open) return
    if (families !== this.#lastFamilies || !this.#lastRow) {
      this.#lastRow = this.#rowOf(families)
      this.#lastFamilies = families
    }
    const { series, inStep } = this.#lastRow
    const names = series[0]?.names ?? []
    for (let i = 0; i < names.length; i++) {
      this.#texts[i] = (labels as Readonly<Record<string, string>>)[names[i] ?? '']
    }
    // The place of the row, where its first series was the next in order.
    let place = -1
    for (let i = 0; i < families.length; i++) {
      const family = families[i]
      const one = series[i]
      if (!family || !one || Number.isNaN(values[i] ?? Number.NaN)) continue
      if (this.#count >= this.#maxSeries) {
        this.#drop('limit', family)
        continue
      }
      const { cursor } = one
      const isNew =
        inStep[i] && cursor === place
          ? one.writeNext(values, i)
          : one.writeRow(labels, this.#texts, values, i)
      if (isNew) this.#count++
      else this.#drop('duplicate', family)
      if (i === 0 && one.cursor === cursor + 1) place = cursor
    }
  }

  addHistogram<L extends string>(
    family: Histogram<L>,
    labels: Readonly<Record<L, string>>,
    value: Distribution,
  ): void {
    if (!this.#open) return
    const series = this.#seriesOf(family)
    const counts = value.cumulative()
    // All or none: half a histogram is a wrong one.
    if (this.#count + counts.length + 2 > this.#maxSeries) {
      this.#drop('limit', family)
      return
    }
    const lines: [string, number][] = counts.map((count, i) => [String(family.buckets[i] ?? '+Inf'), count])
    lines.push([SUM, value.sum], [COUNT, counts.at(-1) ?? 0])
    const isNew = lines.every(([le, number]) => series.write({ ...labels, le }, number))
    if (isNew) this.#count += lines.length
    else this.#drop('duplicate', family)
  }

  #rowOf(families: readonly Family[]): Row {
    const known = this.#rows.get(families)
    if (known) return known
    const series = families.map((family) => this.#seriesOf(family))
    const [first] = series
    const names = first?.names.join()
    for (const { family, names: own } of series) {
      if (isHistogram(family) || own.join() !== names) {
        throw new TypeError(`${family.name} has not the labels of the row: ${names}`)
      }
    }
    const row = { series, inStep: series.map((one) => first !== undefined && one.isInStepWith(first)) }
    this.#rows.set(families, row)
    return row
  }

  #seriesOf(family: Family): FamilySeries {
    const series = this.#byFamily.get(family)
    if (!series) throw new TypeError(`${family.name} is not among the families of its kind`)
    return series
  }

  #drop(reason: keyof Dropped, { name }: Family): void {
    this.dropped[reason]++
    this.droppedByFamily.set(name, (this.droppedByFamily.get(name) ?? 0) + 1)
  }

  partFailed(labels: Readonly<Record<string, string>>, cause: unknown, families?: readonly Family[]): void {
    if (this.#open) this.failedParts.push({ labels, cause, families })
  }

  /** Forgets the run. */
  discard(): void {
    if (!this.#open) return
    this.#open = false
    for (const series of this.#byFamily.values()) series.discard()
  }

  /**
   * Makes the run the instance's truth, all at once. Series of one of `keptParts` that were not written stay.
   * `inPlace`: see `Exposition.rewrite`. Yields to the event loop.
   */
  async commit(keptParts: readonly FailedPart[], inPlace: boolean): Promise<void> {
    this.#open = false
    for (const series of this.#byFamily.values()) {
      for (const render of series.commit(keeper(series.family, keptParts))) {
        render(inPlace)
        if (isTurnOver()) await nextTurn()
      }
    }
    for (const series of this.#byFamily.values()) series.publish()
    releaseDraft()
  }

  /** The same in one go, for a batch of a few series. */
  commitNow(): void {
    this.#open = false
    for (const series of this.#byFamily.values()) {
      for (const render of series.commit()) render(false)
      series.publish()
    }
  }
}

/** Tells whether a series of this family belongs to one of the parts. */
function keeper(family: Family, parts: readonly FailedPart[]) {
  const names = new Set<string>(family.labelNames)
  // One set of values for each set of label names, however many parts there are.
  const byNames = new Map<string, { names: string[]; values: Set<string> }>()
  for (const { labels, families } of parts) {
    const given = Object.keys(labels).sort()
    const partNames = given.filter((name) => names.has(name))
    if (families ? !families.includes(family) : partNames.length < given.length) continue
    const key = partNames.join()
    const group = byNames.get(key) ?? { names: partNames, values: new Set() }
    group.values.add(JSON.stringify(partNames.map((name) => labels[name])))
    byNames.set(key, group)
  }
  if (byNames.size === 0) return undefined
  const groups = [...byNames.values()]
  return (labels: Readonly<Record<string, string>>): boolean =>
    groups.some((group) => group.values.has(JSON.stringify(group.names.map((name) => labels[name]))))
}
