import { z } from 'zod'
import { within } from '../../clients/call.ts'
import type { ClickhouseReader } from '../../clients/clickhouse.ts'
import { mergeTreeOf } from '../../clients/clickhouse-engine.ts'
import type { Clock } from '../../clock.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Settings, WatchedTable } from './config.ts'
import * as metrics from './metrics.ts'

/** What one look at a table found. */
interface Look {
  /** Undefined for an engine that keeps every row. */
  readonly duplicates: number | undefined
  /** Undefined without a column to tell, and for an empty table. */
  readonly deletedRatio: number | undefined
}

interface Watched extends WatchedTable {
  readonly labels: { readonly database: string; readonly table: string }
  /** Monotonic milliseconds. */
  due: number
  last: { readonly look: Look } | { readonly failure: unknown } | undefined
}

/** The client's own limit, where the server's does not reach the user. */
const GRACE = 1_000

/** Looks at the watched tables, each at its own interval, and no longer in one run than twice the time-out. */
export class WatchedTables {
  readonly #server: ClickhouseReader
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #tables: readonly Watched[]

  constructor(server: ClickhouseReader, settings: Settings, clock: Clock) {
    this.#server = server
    this.#settings = settings
    this.#clock = clock
    this.#tables = settings.watch.map((watched) => ({
      ...watched,
      labels: labelsOf(watched.table),
      due: Number.NEGATIVE_INFINITY,
      last: undefined,
    }))
  }

  async collect(batch: SampleBatch, signal: AbortSignal): Promise<void> {
    const { watch_timeout, watch_interval } = this.#settings
    const from = this.#clock.monotonic()
    // Those that waited longest come first: a run may end before the others.
    for (const table of this.#tables.toSorted((a, b) => a.due - b.due)) {
      const now = this.#clock.monotonic()
      if (table.due > now || now - from > watch_timeout) break
      table.due = now + watch_interval
      try {
        const work = (limited: AbortSignal) => this.#look(table, limited)
        table.last = { look: await within(watch_timeout + GRACE, this.#clock, signal, work) }
      } catch (failure) {
        if (signal.aborted) throw failure
        table.last = { failure }
      }
    }
    for (const { labels, last } of this.#tables) {
      if (last === undefined) continue
      if ('failure' in last) {
        batch.partFailed(labels, last.failure, [metrics.duplicateRows, metrics.deletedRatio])
        continue
      }
      const { duplicates, deletedRatio } = last.look
      if (duplicates !== undefined) batch.add(metrics.duplicateRows, labels, duplicates)
      if (deletedRatio !== undefined) batch.add(metrics.deletedRatio, labels, deletedRatio)
    }
  }

  async #look(watched: Watched, signal: AbortSignal): Promise<Look> {
    const { watch_max_rows, watch_timeout } = this.#settings
    const about = await aboutOf(this.#server, watched, signal)
    if (!about) throw new Error(`there is no table ${watched.table}`)
    if (about.row_count > watch_max_rows) {
      throw new Error(`${watched.table} has ${about.row_count} rows, more than watch_max_rows allows`)
    }
    const { merging, knowsDeleted, sql, params } = countingOf(watched, about)
    const [row] = counts.parse(
      await this.#server.query(sql, params, signal, {
        // A common default of operators that counts a row twice when its versions are in two partitions.
        do_not_merge_across_partitions_select_final: 0,
        max_execution_time: Math.max(1, Math.ceil(watch_timeout / 1000)),
        max_rows_to_read: String(watch_max_rows),
        max_memory_usage: MAX_MEMORY,
      }),
    )
    if (!row) throw new Error(`the counts of ${watched.table} came without a row`)
    if (merging && row.unmerged !== 0) {
      throw new Error(
        'ClickHouse does not merge across partitions for this user, whose read-only mode lets no query change that: unset do_not_merge_across_partitions_select_final',
      )
    }
    return {
      // Rows may arrive between the two counts.
      duplicates: merging ? Math.max(0, row.raw - row.kept) : undefined,
      deletedRatio: !knowsDeleted || row.kept === 0 ? undefined : row.deleted / row.kept,
    }
  }
}

/** `erp.journals` → its database and its table. */
function labelsOf(name: string): Watched['labels'] {
  const dot = name.indexOf('.')
  return { database: name.slice(0, dot), table: name.slice(dot + 1) }
}

/** Bytes; keys are counted in memory. */
const MAX_MEMORY = String(2 ** 30)

const ABOUT = `
  SELECT engine, engine_full, sorting_key, ifNull(total_rows, 0) AS row_count
  FROM system.tables
  WHERE database = {database:String} AND name = {table:String}`

const tables = z.array(
  z.object({
    engine: z.string(),
    engine_full: z.string(),
    sorting_key: z.string(),
    row_count: z.coerce.number(),
  }),
)

export type About = z.output<typeof tables>[number]

/** What the catalog has of a table; undefined where it is not there, or the user may not see it. */
export const aboutOf = async (
  server: ClickhouseReader,
  { table }: WatchedTable,
  signal: AbortSignal,
): Promise<About | undefined> => tables.parse(await server.query(ABOUT, { ...labelsOf(table) }, signal))[0]

const counts = z.array(
  z.object({
    raw: z.coerce.number(),
    kept: z.coerce.number(),
    deleted: z.coerce.number(),
    unmerged: z.coerce.number(),
  }),
)

/**
 * Whether FINAL leaves out what is deleted: the engine has a version and a deleted column, such as
 * `ReplicatedReplacingMergeTree('/path', '{replica}', _version, _deleted)`.
 */
function dropsDeleted(engine: string): boolean {
  const { merges, columns = [] } = mergeTreeOf(engine) ?? {}
  return merges === 'Replacing' && columns.length > 1
}

interface Counting {
  /** Whether the engine leaves one version of a row. */
  readonly merging: boolean
  readonly knowsDeleted: boolean
  readonly sql: string
  readonly params: Readonly<Record<string, string>>
}

/** How the rows of a table are counted, or with `isNone` no row of it. Throws where there is nothing to find out. */
export function countingOf({ table, deleted }: WatchedTable, about: About, isNone = false): Counting {
  const merging = /(?:Replacing|Collapsing|Summing|Aggregating|Coalescing|Graphite)MergeTree$/.test(
    about.engine,
  )
  if (!merging && deleted === undefined) {
    throw new Error(
      `${table} is a ${about.engine}, which keeps every row, and has no deleted column to count`,
    )
  }
  // An expression of the server's own, where FINAL does not show what is deleted.
  const sortingKey = merging && dropsDeleted(about.engine_full) ? about.sorting_key : undefined
  return {
    merging,
    knowsDeleted: deleted !== undefined || sortingKey !== undefined,
    sql: countsOf(merging, sortingKey, deleted, isNone ? 'WHERE 0' : ''),
    params: { ...labelsOf(table), ...(deleted === undefined ? {} : { deleted }) },
  }
}

function countsOf(
  merging: boolean,
  sortingKey: string | undefined,
  deleted: string | undefined,
  where: string,
): string {
  const from = '{database:Identifier}.{table:Identifier}'
  const final = merging ? 'FINAL' : ''
  const raw = `(SELECT count() FROM ${from} ${where}) AS raw`
  const unmerged = `toUInt8(getSetting('do_not_merge_across_partitions_select_final')) AS unmerged`
  if (sortingKey !== undefined) {
    return `
      SELECT ${raw}, (SELECT uniqExact(${sortingKey}) FROM ${from} ${where}) AS kept, kept - count() AS deleted,
        ${unmerged}
      FROM ${from} FINAL ${where}`
  }
  const isDeleted = deleted === undefined ? '0' : 'countIf({deleted:Identifier} != 0)'
  return `SELECT ${raw}, count() AS kept, ${isDeleted} AS deleted, ${unmerged} FROM ${from} ${final} ${where}`
}
