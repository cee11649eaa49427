import { cell, cellText, type Parameters, type Row } from '../../clients/databases.ts'
import type { Family } from '../../metrics/family.ts'

/** One SELECT and the series that its rows become. */
export interface Query {
  readonly name: string
  /** Whether it runs once for each tenant, whom `sql` and `parameters` then get. */
  readonly byTenant: boolean
  /** `quote` makes a name of the database's. */
  sql(quote: (name: string) => string, tenant: string): string
  parameters(tenant: string): Parameters
  /** Columns that are labels of the same name. */
  readonly labels: readonly string[]
  readonly values: readonly { readonly column: string; readonly family: Family }[]
  /** Milliseconds between two runs of it; 0 for each run of the collector. */
  readonly interval: number
  /** Milliseconds. */
  readonly timeout: number
  readonly maxRows: number
}

export interface QuerySample {
  readonly family: Family
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** The samples of the rows. Throws where a row does not fit what the query is to give; never tells a value. */
export function samplesOf(
  { labels: columns, values }: Query,
  rows: readonly Row[],
  tenant: string,
): QuerySample[] {
  const samples: QuerySample[] = []
  const seen = new Set<string>()
  for (const row of rows) {
    const labels: Record<string, string> = { tenant }
    for (const column of columns) labels[column] = cellText(row, column)
    const key = JSON.stringify(columns.map((column) => labels[column]))
    if (seen.has(key))
      throw new Error(`two rows have the same labels${columns.length > 0 ? '' : ': it has none'}`)
    seen.add(key)
    for (const { column, family } of values) {
      const value = numberOf(column, cell(row, column))
      if (value === undefined) continue
      const own = Object.fromEntries(family.labelNames.map((name) => [name, labels[name] ?? '']))
      samples.push({ family, labels: own, value })
    }
  }
  return samples
}

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i

const WORDS: Readonly<Record<string, number>> = {
  t: 1,
  f: 0,
  true: 1,
  false: 0,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
}

/** Undefined for NULL and for what is not a number by its own account. */
function numberOf(column: string, value: unknown): number | undefined {
  if (value === null || value === 'NaN') return undefined
  const text = String(value)
  const number = typeof value !== 'object' && NUMBER.test(text) ? Number(text) : WORDS[text]
  if (number === undefined) {
    throw new Error(
      `the column ${column} is not a number; of a time take extract(epoch FROM …) or toUnixTimestamp(…)`,
    )
  }
  return number
}
