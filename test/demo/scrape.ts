import { readExposition, type Sample } from '../testbed/exposition-text.ts'

/** One answer of `/metrics`. */
export interface Scrape {
  readonly samples: readonly Sample[]
  /** The samples of this name that have these labels, in the order of the answer. */
  of(name: string, labels?: Readonly<Record<string, string>>): readonly Sample[]
  /** Of the first such sample; undefined where there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined
}

/** Asks the daemon. Rejects when it does not answer, or not in the text format. */
export async function scrape(daemon: string, signal = AbortSignal.timeout(60_000)): Promise<Scrape> {
  const response = await fetch(`${daemon}/metrics`, { signal })
  if (!response.ok) throw new Error(`the daemon answered ${response.status} to /metrics`)
  return scrapeOf(await response.text())
}

/** Reads the text format 0.0.4. Throws on a body that is not of it. */
export function scrapeOf(text: string): Scrape {
  const { samples } = readExposition(text)
  const byName = Map.groupBy(samples, ({ name }) => name)
  const of: Scrape['of'] = (name, wanted = {}) =>
    (byName.get(name) ?? []).filter(({ labels }) =>
      Object.entries(wanted).every(([label, value]) => labels[label] === value),
    )
  return { samples, of, value: (name, labels) => of(name, labels)[0]?.value }
}

/** Name and label names of each series, `name{a,b}`: sorted, each once, without the values. */
export function seriesKeys({ samples }: Pick<Scrape, 'samples'>): string[] {
  const keys = samples.map(({ name, labels }) => `${name}{${Object.keys(labels).toSorted().join(',')}}`)
  return [...new Set(keys)].toSorted()
}
