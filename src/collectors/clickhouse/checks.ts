import { rootReason } from '../../clients/call.ts'
import { type ClickhouseReader, connectClickhouse, refusalOf } from '../../clients/clickhouse.ts'
import { clickhouseDatabase } from '../../clients/databases.ts'
import {
  advised,
  authenticated,
  type CheckReport,
  type KindChecks,
  named,
  reachable,
  required,
  type Verdict,
  versionSupported,
} from '../../collection/checks.ts'
import { databaseAnswers } from '../../collection/database-checks.ts'
import { clickhouseAddress } from '../../config/clickhouse.ts'
import type { Settings, WatchedTable } from './config.ts'
import { countTables, tableSelection } from './tables.ts'
import { type About, aboutOf, countingOf } from './watched.ts'

const systemTables = required(
  'system_tables_readable',
  'The user may read `parts`, `mutations`, `replicas`, `metrics` and `disks` of `system`.',
)
const tablesChosen = advised(
  'tables_chosen',
  'The user sees tables of a MergeTree, and `allow_tables` and `deny_tables` leave some of them.',
)
const watchedExists = required(
  'watched_exists',
  'The table is there, the user may see it, and its engine has something to be watched for.',
  'table',
)
const watchedReadable = required(
  'watched_readable',
  'The user may read the table, and its `deleted` column is there.',
  'table',
)
const watchedSize = required('watched_size', 'The table has no more rows than `watch_max_rows`.', 'table')

export const checks: KindChecks<Settings> = {
  items: [
    reachable,
    authenticated,
    versionSupported,
    systemTables,
    tablesChosen,
    watchedExists,
    watchedReadable,
    watchedSize,
  ],
  async run(settings, report, { clock, signal }) {
    const database = clickhouseDatabase(() => clickhouseAddress(settings), clock)
    const server = connectClickhouse(() => clickhouseAddress(settings))
    try {
      if (!(await databaseAnswers(report, signal, database))) return
      await report.ask(systemTables, () => systemVerdict(server, signal))
      await report.ask(tablesChosen, () => choiceVerdict(server, settings, signal))
      for (const watched of settings.watch) await checkWatched(server, settings, watched, report, signal)
    } finally {
      database.close()
      server.close()
    }
  },
}

const SYSTEM_TABLES = ['parts', 'mutations', 'replicas', 'metrics', 'disks']

async function systemVerdict(server: ClickhouseReader, signal: AbortSignal): Promise<Verdict> {
  const refused: string[] = []
  for (const table of SYSTEM_TABLES) {
    try {
      await server.query(`SELECT * FROM system.${table} LIMIT 0`, {}, signal)
    } catch (error) {
      if (refusalOf(error) === undefined) throw error
      refused.push(`system.${table}`)
    }
  }
  if (refused.length === 0) return { ok: true, message: 'it may read them' }
  return {
    ok: false,
    message: `it may not read ${named(refused)}`,
    remedy: refused.map((table) => `GRANT SELECT ON ${table} TO …;`).join(' '),
  }
}

async function choiceVerdict(
  server: ClickhouseReader,
  settings: Settings,
  signal: AbortSignal,
): Promise<Verdict> {
  const { seen, chosen } = await countTables(server, tableSelection(settings), signal)
  if (chosen > 0) return { ok: true, message: `${chosen} of ${seen} tables` }
  return seen === 0
    ? {
        ok: false,
        message: 'the user sees no table of a MergeTree: none has series',
        remedy: 'GRANT SHOW TABLES ON the databases that are wanted; SELECT on a table shows it too',
      }
    : {
        ok: false,
        message: `none of ${seen} tables is chosen: none has series`,
        remedy: 'correct allow_tables and deny_tables, which look at database.table',
      }
}

async function checkWatched(
  server: ClickhouseReader,
  { watch_max_rows }: Settings,
  watched: WatchedTable,
  report: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  const { table } = watched
  let about: About | undefined
  let counting: ReturnType<typeof countingOf> | undefined
  await report.ask(
    watchedExists,
    async () => {
      about = await aboutOf(server, watched, signal)
      if (!about) {
        return {
          ok: false,
          message: 'it is not there, or the user may not see it',
          remedy: `correct watch, or GRANT SELECT ON ${table} TO …;`,
        }
      }
      try {
        counting = countingOf(watched, about, true)
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        return { ok: false, message, remedy: 'give deleted, or take it out of watch' }
      }
      return { ok: true, message: `it is a ${about.engine}` }
    },
    table,
  )
  if (!about || !counting) return
  const { sql, params } = counting
  await report.ask(
    watchedReadable,
    async () => {
      try {
        await server.query(sql, params, signal)
        return { ok: true, message: 'it can be counted' }
      } catch (error) {
        const refusal = refusalOf(error)
        if (refusal === undefined) throw error
        return {
          ok: false,
          message: rootReason(error),
          remedy: refusal === 'rights' ? `GRANT SELECT ON ${table} TO …;` : 'correct its deleted in watch',
        }
      }
    },
    table,
  )
  const rows = about.row_count
  const message = `${rows} rows; watch_max_rows is ${watch_max_rows}`
  report.add(
    watchedSize,
    rows <= watch_max_rows
      ? { ok: true, message }
      : { ok: false, message, remedy: 'raise watch_max_rows with watch_timeout, or take it out of watch' },
    table,
  )
}
