import type { StarrocksReader } from '../../clients/starrocks.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Settings } from './config.ts'
import * as metrics from './metrics.ts'
import { wholeNumber } from './texts.ts'

const OWN_DATABASES = "('information_schema', '_statistics_', 'sys')"

const TABLES = `
  SELECT table_schema AS database_name, table_name AS table_name, table_rows AS row_count, data_length AS byte_count
  FROM information_schema.tables
  WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ${OWN_DATABASES}
  ORDER BY data_length DESC, table_schema, table_name
  LIMIT 100000`

interface Table {
  readonly database: string
  readonly table: string
  readonly rows: number | undefined
  readonly bytes: number | undefined
}

const nameOf = ({ database, table }: Pick<Table, 'database' | 'table'>): string => `${database}.${table}`

/** The tables that the configuration wants, the largest first. */
export async function readTables(
  server: StarrocksReader,
  { allow_tables: allow, deny_tables: deny }: Pick<Settings, 'allow_tables' | 'deny_tables'>,
  signal: AbortSignal,
): Promise<readonly Table[]> {
  const matches = (patterns: readonly RegExp[], name: string) => patterns.some((each) => each.test(name))
  const tables = (await server.query(TABLES, [], signal)).map((row) => ({
    database: row.database_name ?? '',
    table: row.table_name ?? '',
    rows: wholeNumber(row.row_count),
    bytes: wholeNumber(row.byte_count),
  }))
  return tables.filter((table) => {
    const name = nameOf(table)
    return (allow.length === 0 || matches(allow, name)) && !matches(deny, name)
  })
}

export const tableFamilies = [metrics.tableRows, metrics.tableBytes]

export async function collectTables(
  server: StarrocksReader,
  settings: Settings,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  const tables = await readTables(server, settings, signal)
  for (const { database, table, rows, bytes } of tables.slice(0, settings.max_tables)) {
    if (rows !== undefined) batch.add(metrics.tableRows, { database, table }, rows)
    if (bytes !== undefined) batch.add(metrics.tableBytes, { database, table }, bytes)
  }
}

const DATABASES = `
  SELECT schema_name AS database_name FROM information_schema.schemata
  WHERE schema_name NOT IN ${OWN_DATABASES}
  ORDER BY schema_name
  LIMIT 100000`

/** Names of the databases that the user sees. */
export async function readDatabases(
  server: StarrocksReader,
  signal: AbortSignal,
): Promise<readonly string[]> {
  return (await server.query(DATABASES, [], signal)).map((row) => row.database_name ?? '')
}

// The times in the table and now() are both of the session's time zone.
const LOADS = `
  SELECT lower(\`type\`) AS load_type, lower(\`state\`) AS load_state, count(*) AS load_count
  FROM information_schema.loads
  WHERE create_time >= date_sub(now(), INTERVAL ? SECOND)
  GROUP BY lower(\`type\`), lower(\`state\`)
  LIMIT 1000`

/** https://docs.starrocks.io/docs/sql-reference/information_schema/loads/ */
const LOAD_STATES = [
  'pending',
  'begin',
  'queueing',
  'before_load',
  'loading',
  'preparing',
  'prepared',
  'commited',
  'finished',
  'cancelled',
]

/** `window`: milliseconds. */
export async function collectLoads(
  server: StarrocksReader,
  window: number,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  const rows = await server.query(LOADS, [Math.ceil(window / 1000)], signal)
  const types = Map.groupBy(rows, (row) => row.load_type ?? '')
  for (const [type, found] of types) {
    const counts = new Map<string, number | undefined>(LOAD_STATES.map((state) => [state, 0]))
    for (const row of found) counts.set(row.load_state ?? '', wholeNumber(row.load_count))
    for (const [state, count] of counts) {
      if (count !== undefined) batch.add(metrics.loads, { type, state }, count)
    }
  }
}
