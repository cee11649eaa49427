import type { PostgresqlReader, PostgresqlRow } from '../../clients/postgresql.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'

/** The server of one run. */
export interface Server extends Pick<PostgresqlReader, 'query'> {
  /** As server_version_num: 130000 for 13.0. */
  readonly version: number
}

/** What is read by itself: where the server refuses it, for want of a right above all, the other parts go on. */
export interface Part {
  /** For people: the view that it reads. */
  readonly name: string
  readonly families: readonly Family[]
  collect(server: Server, batch: SampleBatch, signal: AbortSignal): Promise<void>
}

/** Columns of a statement, and the family that each gives a sample a row. The family's labels are columns too. */
export type Columns = Readonly<Record<string, Family>>

/** A part that is one statement. `sql`: none for a version that has no such view. */
export function statement(
  name: string,
  sql: string | ((version: number) => string | undefined),
  columns: Columns,
  params: readonly unknown[] = [],
): Part {
  return {
    name,
    families: Object.values(columns),
    async collect(server, batch, signal) {
      const text = typeof sql === 'string' ? sql : sql(server.version)
      if (text !== undefined) addRows(batch, await server.query(text, params, signal), columns)
    },
  }
}

/** NULL is no sample. A label that is NULL is empty. */
export function addRows(batch: SampleBatch, rows: readonly PostgresqlRow[], columns: Columns): void {
  const families = Object.entries(columns)
  for (const row of rows) {
    for (const [column, family] of families) {
      const value = row[column]
      if (value !== null && value !== undefined) batch.add(family, labelsOf(family, row), Number(value))
    }
  }
}

const labelsOf = ({ labelNames }: Family, row: PostgresqlRow): Record<string, string> =>
  Object.fromEntries(labelNames.map((name) => [name, row[name] ?? '']))
