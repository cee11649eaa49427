import type { Database } from '../../clients/databases.ts'
import type { Clock } from '../../clock.ts'
import { defineCollector, type SampleBatch, seconds } from '../../collection/collector.ts'
import { checks } from './checks.ts'
import { makeQueries, settings } from './config.ts'
import { open } from './database.ts'
import { details, healthOf } from './health.ts'
import * as metrics from './metrics.ts'
import { type Query, type QuerySample, samplesOf } from './query.ts'

/** A query, for one tenant where it is by tenant, and how it last went. */
interface Task {
  readonly query: Query
  readonly tenant: string
  readonly labels: { readonly query: string; readonly tenant: string }
  /** Monotonic milliseconds. */
  due: number
  /** Seconds; undefined before its first run. */
  duration: number | undefined
  /** Of its last run that went well, which is told until the next one. */
  samples: readonly QuerySample[]
  rows: number
  truncated: boolean
  lastSuccess: number | undefined
  /** Of its last run, if that went badly. */
  failure: { readonly cause: unknown } | undefined
}

/** Milliseconds of a run in which queries are begun, each with its time-out; the longest waiting ones come first. */
const BUDGET = 20_000

/** Milliseconds by which a run may begin earlier than the one before, measured from there. */
const JITTER = 1_000

/** Series from queries of the configuration, and from packs of queries. */
export const sql = defineCollector({
  kind: 'sql',
  health: { key: 'sql', title: 'SQL', details },
  settings,
  checks,
  families: Object.values(metrics),
  declared: (given) => makeQueries(given).declared,
  longestWait: (given) => Math.max(...makeQueries(given).queries.map(({ timeout }) => timeout)),
  defaults: { interval: seconds(30), timeout: seconds(30) },
  create(settings, { clock }) {
    const { connection, tenants } = settings
    const database = open(connection, clock)
    const tasks = makeQueries(settings).queries.flatMap((query) =>
      (query.byTenant ? tenants : ['']).map((tenant) => newTask(query, tenant)),
    )
    return {
      async collect(batch, signal) {
        // A database that does not answer is no failure of a query.
        await database.ping(signal)
        const from = clock.monotonic()
        const due = tasks.filter((task) => task.due <= from).toSorted((a, b) => a.due - b.due)
        for (const [index, task] of due.entries()) {
          const spent = clock.monotonic() - from
          // The first one runs in any case, however long it may take.
          if (index > 0 && spent + task.query.timeout > BUDGET) break
          task.due = from + Math.max(0, task.query.interval - JITTER)
          await run(task, database, clock, signal)
        }
        for (const task of tasks) write(task, batch)
      },
      health: healthOf,
      async stop() {
        database.close()
      },
    }
  },
})

const newTask = (query: Query, tenant: string): Task => ({
  query,
  tenant,
  labels: { query: query.name, tenant },
  due: Number.NEGATIVE_INFINITY,
  duration: undefined,
  samples: [],
  rows: 0,
  truncated: false,
  lastSuccess: undefined,
  failure: undefined,
})

async function run(task: Task, database: Database, clock: Clock, signal: AbortSignal): Promise<void> {
  const { query, tenant } = task
  const from = clock.monotonic()
  try {
    const found = await database.select(
      query.sql(database.quote, tenant),
      query.parameters(tenant),
      { rows: query.maxRows + 1, timeout: query.timeout },
      signal,
    )
    const rows = found.slice(0, query.maxRows)
    task.samples = samplesOf(query, rows, tenant)
    task.rows = rows.length
    task.truncated = found.length > rows.length
    task.lastSuccess = clock.now() / 1000
    task.failure = undefined
  } catch (error) {
    if (signal.aborted) throw error
    task.failure = {
      cause: new Error(`query ${query.name}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      }),
    }
  }
  task.duration = (clock.monotonic() - from) / 1000
}

function write(task: Task, batch: SampleBatch): void {
  const { query, tenant, labels, duration, lastSuccess, failure } = task
  // It has not had its turn yet.
  if (duration === undefined) return
  batch.add(metrics.querySuccess, labels, Number(failure === undefined))
  batch.add(metrics.queryDuration, labels, duration)
  if (lastSuccess !== undefined) {
    batch.add(metrics.queryRows, labels, task.rows)
    batch.add(metrics.queryTruncated, labels, Number(task.truncated))
    batch.add(metrics.queryLastSuccess, labels, lastSuccess)
  }
  if (failure === undefined) {
    for (const { family, labels, value } of task.samples) batch.add(family, labels, value)
    return
  }
  const part = { sql_query: query.name, ...(query.byTenant ? { tenant } : {}) }
  batch.partFailed(
    part,
    failure.cause,
    query.values.map(({ family }) => family),
  )
}
