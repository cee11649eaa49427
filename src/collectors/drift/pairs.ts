import { type DiscoverSettings, isByTenant, type Settings, type TableSettings, tableLabel } from './config.ts'

/** One table on one side: where it is, and which of its rows are meant. */
export interface Place {
  /** PostgreSQL's schema or the sink's database; undefined for the connection's own. */
  readonly container: string | undefined
  readonly table: string
  /** The rows are those in which this column has this value; undefined for all. */
  readonly only: { readonly column: string; readonly value: string } | undefined
  /** No row at all is meant: what is asked then only tells whether it can be asked. */
  readonly isNone?: boolean
}

/** The rows that are compared with each other: a table, or one tenant's part of it. */
export interface Pair {
  readonly labels: { readonly table: string; readonly tenant: string }
  readonly source: Place
  readonly sink: Place
  /** Column of the source. */
  readonly watermark: string
  /** Columns of the source; undefined for its primary key. */
  readonly key: readonly string[] | undefined
  /** Columns of the source; undefined for all that both sides have. */
  readonly columns: readonly string[] | undefined
  readonly sums: readonly string[]
  readonly binary: TableSettings['binary']
  /** Columns of the sink. */
  readonly deleted: string | undefined
  readonly version: string | undefined
  readonly sign: string | undefined
  /** Column of the source whose newest value tells the age of the newest row; undefined where nobody asks. */
  readonly freshness: string | undefined
  /** Milliseconds between two comparisons; 0 for each run. */
  readonly every: number
  /** What the sink calls a column of the source. */
  atSink(column: string): string
}

/** The same without any row. */
export const withoutRows = (pair: Pair): Pair => ({
  ...pair,
  source: { ...pair.source, isNone: true },
  sink: { ...pair.sink, isNone: true },
})

/** Every table that is listed, once for each tenant where it is by tenant. */
export function pairsOf({ tables, tenants }: Pick<Settings, 'tables' | 'tenants'>): readonly Pair[] {
  return tables.flatMap((table) =>
    isByTenant(table) ? tenants.map((tenant) => pairOf(table, tenant)) : [pairOf(table, '')],
  )
}

/** Every table of the publication that is wanted. Throws where it has none, or two would have the same series. */
export function discoveredPairs(
  settings: DiscoverSettings,
  published: readonly { readonly schema: string; readonly table: string }[],
): readonly Pair[] {
  if (published.length === 0) {
    throw new Error(`the source has no publication ${settings.publication}, or it has no table`)
  }
  const pairs = new Map<string, Pair>()
  for (const { schema, table } of published) {
    const name = `${schema}.${table}`
    const match = settings.match.exec(name)
    if (!match || settings.exclude.some((pattern) => pattern.test(name))) continue
    const tenant = match.groups?.tenant ?? ''
    const labels = { table, tenant }
    const key = JSON.stringify(labels)
    const other = pairs.get(key)
    if (other) {
      throw new Error(
        `${other.source.container}.${table} and ${name} would have the same series: give match a group (?<tenant>…)`,
      )
    }
    const filled = { tenant, schema, table }
    pairs.set(key, {
      labels,
      source: { container: schema, table, only: undefined },
      sink: placeOf(settings.sink, settings.sink_tenant_column, tenant, filled),
      ...compared(settings),
    })
  }
  return [...pairs.values()]
}

/** Without those whose series another one before them has. */
export function distinctPairs(pairs: readonly Pair[]): readonly Pair[] {
  const byLabels = new Map<string, Pair>()
  for (const pair of pairs) {
    const key = JSON.stringify(pair.labels)
    if (!byLabels.has(key)) byLabels.set(key, pair)
  }
  return [...byLabels.values()]
}

/** `{schema}`, `{table}` and `{tenant}` of the pair filled in. */
export function nameOf(template: string, { labels, source }: Pair): string {
  return filledIn(template, { schema: source.container ?? '', ...labels })
}

function pairOf(table: TableSettings, tenant: string): Pair {
  return {
    labels: { table: tableLabel(table), tenant },
    source: placeOf(table.source, table.source_tenant_column, tenant),
    sink: placeOf(table.sink, table.sink_tenant_column, tenant),
    ...compared(table),
  }
}

function compared(settings: TableSettings | DiscoverSettings) {
  const { watermark, key, columns, sums, binary, deleted, version, sign, every = 0, rename } = settings
  const { freshness } = settings
  const atSink = (column: string) => (Object.hasOwn(rename, column) ? (rename[column] ?? column) : column)
  return { watermark, key, columns, sums, binary, deleted, version, sign, freshness, every, atSink }
}

function placeOf(
  name: string,
  tenantColumn: string | undefined,
  tenant: string,
  values: Readonly<Record<string, string>> = { tenant },
): Place {
  // Split first: a tenant may have a dot in its name.
  const names = name.split('.').map((part) => filledIn(part, values))
  return {
    container: names.length > 1 ? names[0] : undefined,
    table: names.at(-1) ?? name,
    only: tenantColumn === undefined ? undefined : { column: tenantColumn, value: tenant },
  }
}

const filledIn = (template: string, values: Readonly<Record<string, string>>): string =>
  template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole)
