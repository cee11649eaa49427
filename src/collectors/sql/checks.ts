import { rootReason } from '../../clients/call.ts'
import { type Database, planQuery } from '../../clients/databases.ts'
import {
  advised,
  authenticated,
  type CheckReport,
  type KindChecks,
  reachable,
  required,
  type Verdict,
  versionSupported,
} from '../../collection/checks.ts'
import { databaseAnswers } from '../../collection/database-checks.ts'
import { makeQueries, type Settings } from './config.ts'
import { open } from './database.ts'
import { type Query, samplesOf } from './query.ts'

const queryPlanned = required(
  'query_accepted',
  'The database takes it as a SELECT that changes nothing, for each tenant, and it gives the columns that are named.',
  'query',
)
const queryRuns = required(
  'query_runs',
  'It ends within its `timeout`, and its rows are of distinct labels and have numbers as values. One with an `interval` of its own is not run for this.',
  'query',
)
const queryBounded = advised('query_bounded', 'It gives no more rows than `max_rows`.', 'query')

export const checks: KindChecks<Settings> = {
  items: [reachable, authenticated, versionSupported, queryPlanned, queryRuns, queryBounded],
  async run(settings, report, { clock, signal }) {
    const database = open(settings.connection, clock)
    try {
      if (!(await databaseAnswers(report, signal, database))) return
      for (const query of makeQueries(settings).queries) {
        await checkQuery(query, query.byTenant ? settings.tenants : [''], database, report, signal)
      }
    } finally {
      database.close()
    }
  },
}

async function checkQuery(
  query: Query,
  tenants: readonly string[],
  database: Database,
  report: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  const { name, labels, values, timeout, maxRows, interval } = query
  const columns = [...labels, ...values.map(({ column }) => column)]
  /** What `work` says of the first tenant of whom it is not well. */
  const each = async (work: (tenant: string, sql: string) => Promise<string | undefined>) => {
    for (const tenant of tenants) {
      const wrong = await work(tenant, query.sql(database.quote, tenant))
      if (wrong !== undefined) return tenant === '' ? wrong : `${tenant}: ${wrong}`
    }
    return undefined
  }
  const verdict = (wrong: string | undefined, good: string, remedy: string): Verdict =>
    wrong === undefined ? { ok: true, message: good } : { ok: false, message: wrong, remedy }

  let isTaken = false
  await report.ask(
    queryPlanned,
    async () => {
      const wrong = await each(async (tenant, sql) => {
        try {
          const parameters = query.parameters(tenant)
          await planQuery(database, sql, { parameters, columns }, timeout, signal)
          return undefined
        } catch (error) {
          if (database.refusalOf(error) === undefined) throw error
          return rootReason(error)
        }
      })
      isTaken = wrong === undefined
      return verdict(
        wrong,
        'it is taken',
        'correct the query or the names of its pack, or GRANT SELECT to the user',
      )
    },
    name,
  )
  if (!isTaken || interval > 0) return
  let most = 0
  await report.ask(
    queryRuns,
    async () => {
      const wrong = await each(async (tenant, sql) => {
        try {
          const bounds = { rows: maxRows + 1, timeout }
          const rows = await database.select(sql, query.parameters(tenant), bounds, signal)
          most = Math.max(most, rows.length)
          samplesOf(query, rows.slice(0, maxRows), tenant)
          return undefined
        } catch (error) {
          signal.throwIfAborted()
          return rootReason(error)
        }
      })
      return verdict(wrong, 'it gives what it should', 'correct the query, or give it a longer timeout')
    },
    name,
  )
  if (most === 0) return
  report.add(
    queryBounded,
    verdict(
      most > maxRows ? `it gives more than ${maxRows} rows, of which the others have no series` : undefined,
      `${most} rows of ${maxRows}`,
      'let it give fewer, or raise max_rows',
    ),
    name,
  )
}
