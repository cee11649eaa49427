import * as metrics from './metrics.ts'
import type { Part, Server } from './part.ts'

/** What a publication should have in it. */
export interface ExpectedPublication {
  readonly name: string
  /** `schema.table`, with * for any text. One without * is expected also where there is no such table. */
  readonly tables: readonly string[]
  readonly except: readonly string[]
}

// A table is in a publication also by a table that it is a partition of, or by all its own partitions.
// https://www.postgresql.org/docs/current/view-pg-publication-tables.html
const MISSING = `
  WITH covered AS (
    SELECT pg_class.oid
    FROM pg_publication_tables
      JOIN pg_namespace ON nspname = schemaname
      JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = tablename
    WHERE pubname = $1
  ), existing AS (
    SELECT pg_class.oid, nspname || '.' || relname AS name, relkind = 'p' AS is_partitioned, relispartition
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND relpersistence = 'p' AND nspname NOT IN ('pg_catalog', 'information_schema')
  ), expected AS (
    SELECT * FROM existing WHERE NOT relispartition AND name LIKE ANY ($2)
    UNION
    SELECT oid, name, is_partitioned, relispartition
    FROM unnest($3::text[]) AS named (name) LEFT JOIN existing USING (name)
  ), missing AS (
    SELECT name
    FROM expected
    WHERE NOT name LIKE ANY ($4)
      AND NOT coalesce(oid IN (SELECT oid FROM covered), false)
      AND NOT (coalesce(relispartition, false)
        AND EXISTS (SELECT FROM pg_partition_ancestors(oid) WHERE relid IN (SELECT oid FROM covered)))
      AND NOT (coalesce(is_partitioned, false)
        AND EXISTS (SELECT FROM pg_partition_tree(oid) WHERE isleaf)
        AND NOT EXISTS (
          SELECT FROM pg_partition_tree(oid) WHERE isleaf AND relid NOT IN (SELECT oid FROM covered)))
    ORDER BY name
    LIMIT 1000
  )
  SELECT (SELECT count(*) FROM covered) AS tables, name FROM (SELECT) AS always LEFT JOIN missing ON true`

/** How many tables the publication covers, and which it should cover and does not, 1000 at most. */
export async function coverage(
  server: Pick<Server, 'query'>,
  { name, tables, except }: ExpectedPublication,
  signal: AbortSignal,
): Promise<{ readonly tables: number; readonly missing: readonly string[] }> {
  const patterns = tables.filter((table) => table.includes('*')).map(likePattern)
  const named = tables.filter((table) => !table.includes('*'))
  const rows = await server.query(MISSING, [name, patterns, named, except.map(likePattern)], signal)
  return { tables: Number(rows[0]?.tables), missing: rows.flatMap((row) => row.name ?? []) }
}

/** Tables that should be in a publication of the database we are connected to, and are not. */
export const publication = (expected: ExpectedPublication): Part => ({
  name: `pg_publication_tables of ${expected.name}`,
  families: [metrics.publicationTables, metrics.publicationTableMissing],
  async collect(server, batch, signal) {
    const { tables, missing } = await coverage(server, expected, signal)
    const labels = { publication: expected.name }
    batch.add(metrics.publicationTables, labels, tables)
    for (const table of missing) batch.add(metrics.publicationTableMissing, { ...labels, table }, 1)
  },
})

/** What LIKE takes for a text in which * stands for any other. */
const likePattern = (text: string): string => text.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%')
