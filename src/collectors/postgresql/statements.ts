import { quoteIdentifier } from '../../clients/postgresql.ts'
import * as metrics from './metrics.ts'
import { addRows, type Part, type Server } from './part.ts'

// The setting is there when the library is loaded, without which the view only fails.
const EXTENSION = `
  SELECT nspname, string_to_array(extversion, '.')::int[] >= '{1,9}' AS tells_top_level
  FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
  WHERE extname = 'pg_stat_statements' AND current_setting('pg_stat_statements.max', true) IS NOT NULL`

interface StatementsView {
  /** The function of the extension, without the statements' texts. */
  readonly rows: string
  /** Whether it tells what a client sent from what a function ran. */
  readonly tellsTopLevel: boolean
}

/** Undefined where the extension is not to be had. */
async function statementsView(server: Server, signal: AbortSignal): Promise<StatementsView | undefined> {
  const [row] = await server.query(EXTENSION, [], signal)
  if (typeof row?.nspname !== 'string') return undefined
  return {
    rows: `${quoteIdentifier(row.nspname)}.pg_stat_statements(false)`,
    tellsTopLevel: row.tells_top_level === 't',
  }
}

const TRANSACTIONS = `
  SELECT datname, 'transactions' AS source, xact_commit + xact_rollback AS total
  FROM pg_stat_database
  WHERE datname IS NOT NULL`

/** How many statements clients ran, or how many transactions where nobody counts statements. */
export function queries(): Part {
  /** By database: what we have counted, and what the view said at last. */
  const counted = new Map<string, { readonly total: number; readonly seen: number }>()
  return {
    name: 'queries',
    families: [metrics.queries],
    async collect(server, batch, signal) {
      const view = await statementsView(server, signal)
      if (view === undefined) {
        counted.clear()
        addRows(batch, await server.query(TRANSACTIONS, [], signal), { total: metrics.queries })
        return
      }
      const sql = `
        SELECT datname, coalesce(sum(calls), 0) AS calls
        FROM pg_database LEFT JOIN ${view.rows} ON dbid = pg_database.oid ${view.tellsTopLevel ? 'AND toplevel' : ''}
        GROUP BY datname`
      const rows = await server.query(sql, [], signal)
      const names = new Set(rows.map(({ datname }) => datname))
      for (const name of counted.keys()) if (!names.has(name)) counted.delete(name)
      for (const { datname, calls } of rows) {
        if (typeof datname !== 'string') continue
        const seen = Number(calls)
        const last = counted.get(datname)
        // Less than before: statements were evicted or reset, which is no statement run.
        const total = last === undefined ? seen : last.total + Math.max(0, seen - last.seen)
        counted.set(datname, { total, seen })
        batch.add(metrics.queries, { datname, source: 'pg_stat_statements' }, total)
      }
    },
  }
}

const STATEMENTS = {
  calls: metrics.statementCalls,
  seconds: metrics.statementSeconds,
  rows: metrics.statementRows,
  read_seconds: metrics.statementReadSeconds,
  write_seconds: metrics.statementWriteSeconds,
}

/** The `count` statements that took the longest in all; none without the extension. */
export const longestStatements = (count: number): Part => ({
  name: 'pg_stat_statements',
  families: Object.values(STATEMENTS),
  async collect(server, batch, signal) {
    const view = await statementsView(server, signal)
    if (view === undefined) return
    // Columns that 1.11 of the extension has under another name are read by either.
    const column = (name: string, before: string) =>
      `sum(coalesce(to_jsonb(longest) ->> '${name}', to_jsonb(longest) ->> '${before}')::float8) / 1000`
    const sql = `
      WITH longest AS (
        SELECT * FROM ${view.rows} WHERE queryid IS NOT NULL ORDER BY total_exec_time DESC LIMIT $1
      )
      SELECT pg_get_userbyid(userid) AS user, datname, queryid, sum(calls) AS calls, sum(rows) AS rows,
        sum(total_exec_time) / 1000 AS seconds,
        ${column('shared_blk_read_time', 'blk_read_time')} AS read_seconds,
        ${column('shared_blk_write_time', 'blk_write_time')} AS write_seconds
      FROM longest JOIN pg_database ON pg_database.oid = dbid
      GROUP BY 1, 2, 3`
    addRows(batch, await server.query(sql, [count], signal), STATEMENTS)
  },
})
