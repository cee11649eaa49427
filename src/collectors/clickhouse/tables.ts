import { z } from 'zod'
import type { ClickhouseReader } from '../../clients/clickhouse.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Settings } from './config.ts'
import * as metrics from './metrics.ts'

// From system.tables, since a table that was emptied has no parts, and its rows are 0, not unknown. What was
// merged away stays in system.parts for minutes (old_parts_lifetime). Of the parts that hold the last block the
// one written first is the insert itself; the others are merges and mutations of it.
const TABLES = `
  SELECT
    tables.database AS database_name,
    tables.name AS table_name,
    ifNull(parts.row_count, 0) AS row_count,
    ifNull(parts.byte_count, 0) AS byte_count,
    ifNull(parts.part_count, 0) AS part_count,
    ifNull(parts.fullest, 0) AS fullest,
    ifNull(parts.blocks, 0) AS blocks,
    toUnixTimestamp(ifNull(parts.inserted_at, toDateTime(0))) AS inserted_at
  FROM system.tables AS tables
  LEFT JOIN (
    SELECT
      database,
      table,
      sum(partition_rows) AS row_count,
      sum(partition_bytes) AS byte_count,
      sum(partition_parts) AS part_count,
      max(partition_parts) AS fullest,
      sum(last_block) AS blocks,
      max(last_block_at) AS inserted_at
    FROM (
      SELECT
        database,
        table,
        sumIf(rows, active) AS partition_rows,
        sumIf(bytes_on_disk, active) AS partition_bytes,
        countIf(active) AS partition_parts,
        max(max_block_number) AS last_block,
        argMax(modification_time, (max_block_number, -toInt64(toUnixTimestamp(modification_time)))) AS last_block_at
      FROM system.parts
      GROUP BY database, table, partition_id
    )
    GROUP BY database, table
  ) AS parts ON parts.database = tables.database AND parts.table = tables.name
  WHERE tables.engine LIKE '%MergeTree'
    AND tables.database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')
  ORDER BY byte_count DESC, database_name, table_name
  LIMIT 100000`

const CHOICE = `
  SELECT database AS database_name, name AS table_name
  FROM system.tables
  WHERE engine LIKE '%MergeTree' AND database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')
  LIMIT 100000`

const PENDING = `
  SELECT database AS database_name, table AS table_name, count() AS pending
  FROM system.mutations
  WHERE NOT is_done
  GROUP BY database_name, table_name`

const named = { database_name: z.string(), table_name: z.string() }

const tables = z.array(
  z.object({
    ...named,
    row_count: z.coerce.number(),
    byte_count: z.coerce.number(),
    part_count: z.coerce.number(),
    fullest: z.coerce.number(),
    blocks: z.coerce.number(),
    inserted_at: z.coerce.number(),
  }),
)

type Table = z.output<typeof tables>[number]

const mutations = z.array(z.object({ ...named, pending: z.coerce.number() }))

type Named = Pick<Table, 'database_name' | 'table_name'>

const nameOf = ({ database_name, table_name }: Named): string => `${database_name}.${table_name}`

const labelsOf = ({ database_name, table_name }: Named) => ({
  database: database_name,
  table: table_name,
})

/** Whether the configuration wants series of a table, by its `database.table`. */
export function tableSelection({ allow_tables: allow, deny_tables: deny }: Settings) {
  const matches = (patterns: readonly RegExp[], name: string) => patterns.some((each) => each.test(name))
  return (table: Named): boolean =>
    (allow.length === 0 || matches(allow, nameOf(table))) && !matches(deny, nameOf(table))
}

export const tableFamilies = [
  metrics.tableRows,
  metrics.tableBytes,
  metrics.tableParts,
  metrics.partitionPartsMax,
  metrics.newestRow,
]

/** Size, parts and age of the tables that are chosen, which it returns. */
export async function collectTables(
  server: ClickhouseReader,
  { max_tables, chosen, inserts }: TableOptions,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<readonly Table[]> {
  const found = tables
    .parse(await server.query(TABLES, {}, signal))
    .filter(chosen)
    .slice(0, max_tables)
  inserts.see(found)
  for (const table of found) {
    const labels = labelsOf(table)
    batch.add(metrics.tableRows, labels, table.row_count)
    batch.add(metrics.tableBytes, labels, table.byte_count)
    batch.add(metrics.tableParts, labels, table.part_count)
    batch.add(metrics.partitionPartsMax, labels, table.fullest)
    const newest = inserts.newest(table)
    if (newest !== undefined) batch.add(metrics.newestRow, labels, newest)
  }
  return found
}

/** How many tables the user sees, and how many of them are chosen. */
export async function countTables(
  server: ClickhouseReader,
  chosen: TableOptions['chosen'],
  signal: AbortSignal,
): Promise<{ readonly seen: number; readonly chosen: number }> {
  const found = z.array(z.object(named)).parse(await server.query(CHOICE, {}, signal))
  return { seen: found.length, chosen: found.filter(chosen).length }
}

interface TableOptions {
  readonly max_tables: number
  readonly chosen: (table: Named) => boolean
  readonly inserts: Inserts
}

export async function collectMutations(
  server: ClickhouseReader,
  found: readonly Table[],
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  const rows = mutations.parse(await server.query(PENDING, {}, signal))
  const pending = new Map(rows.map((row) => [nameOf(row), row.pending]))
  for (const table of found)
    batch.add(metrics.mutationsPending, labelsOf(table), pending.get(nameOf(table)) ?? 0)
}

/**
 * When each table was last inserted to. The part of an insert is there for minutes, so a run sees it; later only
 * merges are left, whose time says nothing: then what was seen before counts, as long as no block was added.
 */
export class Inserts {
  #seen = new Map<string, { readonly blocks: number; readonly at: number }>()

  /** The whole truth of a run. */
  see(found: readonly Table[]): void {
    const before = this.#seen
    this.#seen = new Map(
      found
        .filter(({ row_count }) => row_count > 0)
        .map((table) => {
          const known = before.get(nameOf(table))
          const at = known && table.blocks <= known.blocks ? known.at : table.inserted_at
          return [nameOf(table), { blocks: table.blocks, at }]
        }),
    )
  }

  /** Seconds since the epoch. */
  newest(table: Named): number | undefined {
    return this.#seen.get(nameOf(table))?.at
  }
}
