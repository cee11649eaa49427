import { rootReason, within } from '../../clients/call.ts'
import {
  clickhouseDatabase,
  type Database,
  postgresqlDatabase,
  starrocksDatabase,
} from '../../clients/databases.ts'
import { quoteIdentifier } from '../../clients/postgresql.ts'
import type { Clock } from '../../clock.ts'
import {
  advised,
  authenticated,
  type KindChecks,
  reachable,
  required,
  type Verdict,
  versionSupported,
} from '../../collection/checks.ts'
import { databaseAnswers } from '../../collection/database-checks.ts'
import { clickhouseAddress } from '../../config/clickhouse.ts'
import type { Settings } from './config.ts'
import { sinkOf } from './sink.ts'
import { COLUMNS, type Column, faultOf } from './source.ts'

const sourceWritable = required('source_writable', 'The source is a primary, which takes writes.')
const sourceTable = required(
  'source_table',
  'The table is in the source, and is one of canaries alone: nothing is written to any other.',
)
const sourceRights = required(
  'source_rights',
  'The user of the source has USAGE on the schema, and SELECT, INSERT and UPDATE on the table.',
)
const published = advised(
  'table_published',
  'Where the source has publications, the table is in one: else no canary arrives.',
)
const sinkTable = required(
  'sink_table',
  'The table is in the sink, with the columns that are named, and the user may read it.',
)

/** Nothing is written for them. */
export const checks: KindChecks<Settings> = {
  items: [
    reachable,
    authenticated,
    versionSupported,
    sourceWritable,
    sourceTable,
    sourceRights,
    published,
    sinkTable,
  ],
  async run(settings, report, { clock, signal }) {
    const { source, statement_timeout: timeout } = settings
    const database = postgresqlDatabase(() => source.postgresql.url.reveal(), clock)
    const sinkDatabase = databaseOfSink(settings, clock)
    const sink = sinkOf(settings)
    const names = source.table.split('.')
    const ask = (sql: string, signal: AbortSignal) =>
      database.select(sql, names, { rows: 1_000, timeout }, signal)
    try {
      if (await databaseAnswers(report, signal, database, 'source')) {
        let isThere = false
        await report.ask(sourceWritable, async () => {
          const [row] = await database.select(IS_STANDBY, [], { rows: 1, timeout }, signal)
          if (row?.is_standby === 'f') return { ok: true, message: 'it is a primary' }
          return { ok: false, message: 'it is a standby', remedy: 'point the url at the primary' }
        })
        await report.ask(sourceTable, async () => {
          const columns = (await ask(COLUMNS, signal)) as unknown as readonly Column[]
          isThere = columns.length > 0
          return tableVerdict(source, columns)
        })
        if (isThere) {
          await report.ask(sourceRights, async () => rightsVerdict(source, await ask(RIGHTS, signal)))
          await report.ask(published, async () => {
            const [row] = await ask(PUBLISHED, signal)
            if (row?.publications === '0') return undefined
            if (row?.is_published === 't') return { ok: true, message: 'it is in one' }
            return {
              ok: false,
              message: 'it is in none of them',
              remedy: `ALTER PUBLICATION … ADD TABLE ${quotedTable(source.table)};`,
            }
          })
        }
      }
      if (!(await databaseAnswers(report, signal, sinkDatabase, 'sink'))) return
      await report.ask(sinkTable, async () => {
        try {
          // What the collector asks, of canaries that there are none of.
          await within(timeout, clock, signal, (limited) => sink.newest('nobody', NEVER, limited))
          return { ok: true, message: 'it can be read' }
        } catch (error) {
          const refusal = sinkDatabase.refusalOf(error)
          if (refusal === undefined) throw error
          return { ok: false, message: rootReason(error), remedy: SINK_REMEDIES[refusal] }
        }
      })
    } finally {
      database.close()
      sinkDatabase.close()
      sink.close()
    }
  },
}

/** A sequence that no canary has. */
const NEVER = 2n ** 63n - 1n

const SINK_REMEDIES = {
  absent: 'make the table, or correct sink.table',
  rights: 'GRANT SELECT ON the table to the user',
  statement: 'correct sink.columns, or the table',
}

const IS_STANDBY = 'SELECT pg_is_in_recovery() AS is_standby'

// By the catalog, which a user without any right may read. What is granted on every column is as good.
const RIGHTS = `
  SELECT has_schema_privilege(n.oid, 'USAGE') AS has_schema, current_user AS role,
    array_to_json(ARRAY(
      SELECT wanted FROM unnest('{SELECT,INSERT,UPDATE}'::text[]) AS wanted
      WHERE NOT has_table_privilege(c.oid, wanted) AND EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND NOT has_column_privilege(c.oid, a.attnum, wanted)))) AS lacking
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2`

const PUBLISHED = `
  SELECT (SELECT count(*) FROM pg_publication) AS publications,
    EXISTS (SELECT FROM pg_publication_tables WHERE schemaname = $1 AND tablename = $2) AS is_published`

function tableVerdict(source: Settings['source'], found: readonly Column[]): Verdict {
  const fault = faultOf(source.columns, found)
  if (fault === undefined) return { ok: true, message: 'it is one' }
  const [id, sequence, writtenAt] = [
    source.columns.id,
    source.columns.sequence,
    source.columns.written_at,
  ].map(quoteIdentifier)
  const columns = `${id} text PRIMARY KEY, ${sequence} bigint NOT NULL, ${writtenAt} timestamptz NOT NULL`
  const statement = `CREATE TABLE ${quotedTable(source.table)} (${columns});`
  return {
    ok: false,
    message: fault,
    remedy: found.length === 0 ? statement : `make one of its own: ${statement}`,
  }
}

function rightsVerdict(
  { table }: Settings['source'],
  [row]: readonly Readonly<Record<string, unknown>>[],
): Verdict {
  const lacking: readonly string[] = JSON.parse(String(row?.lacking ?? '[]'))
  const hasSchema = row?.has_schema === 't'
  if (hasSchema && lacking.length === 0) return { ok: true, message: 'it has them' }
  const role = quoteIdentifier(String(row?.role))
  const [schema = ''] = table.split('.')
  const grants = [
    ...(hasSchema ? [] : [`GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${role};`]),
    ...(lacking.length === 0 ? [] : [`GRANT ${lacking.join(', ')} ON ${quotedTable(table)} TO ${role};`]),
  ]
  const missing = [...(hasSchema ? [] : [`USAGE on ${schema}`]), ...lacking]
  return { ok: false, message: `it lacks ${missing.join(', ')}`, remedy: grants.join(' ') }
}

const quotedTable = (table: string): string => table.split('.').map(quoteIdentifier).join('.')

function databaseOfSink({ sink: { clickhouse, starrocks } }: Settings, clock: Clock): Database {
  if (clickhouse) return clickhouseDatabase(() => clickhouseAddress(clickhouse), clock)
  if (starrocks) return starrocksDatabase(() => starrocks.url.reveal(), clock)
  throw new Error('the settings name no sink')
}
