import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import type { NamedTable } from '../../config/kafka.ts'
import { nameOf } from './ledger.ts'
import * as metrics from './metrics.ts'
import type { Jobs } from './others.ts'

/** From here on a table's error rate is a problem. */
const TOO_MANY_ERRORS = 0.05

const errorRate = z
  .number()
  .optional()
  .describe('Dead letters over records processed in the last 5 minutes; absent where nothing was processed.')

export const details = z.object({
  active_jobs: z.number().optional(),
  error_jobs: z.number().optional(),
  jobs: z
    .array(
      z.object({
        collector: z.string().describe('connect: a connector; flink: a job; starrocks: a routine load.'),
        target: z.string(),
        job: z.string(),
        state: z.string().describe('Of a connector and its tasks the worst.'),
        error_rate: errorRate.describe('Of the tables that the job is known to read or write, as below.'),
      }),
    )
    .describe('100 at the most, those in an error state first.'),
  tables: z
    .array(
      z.object({
        table: z.string(),
        tenant: z.string(),
        error_rate: errorRate,
        records_per_second: z.number().optional(),
        lag_seconds: z.number().optional(),
      }),
    )
    .describe('100 at the most, those with most errors first.'),
})

type Table = z.output<typeof details>['tables'][number]

/** `rateOf`: the error rate of some tables together. */
export function healthOf(
  last: LastRun,
  jobs: Jobs | undefined,
  rateOf: (tables: readonly NamedTable[]) => number | undefined,
): Health<z.output<typeof details>> {
  const all = jobs?.all ?? []
  const wrong = all.filter(({ isWrong }) => isWrong)
  const tables = tablesOf(last, rateOf)
  return {
    details: {
      active_jobs: last.value(metrics.activeJobs),
      error_jobs: last.value(metrics.errorJobs),
      jobs: [...new Set([...wrong, ...all])]
        .slice(0, MOST_LISTED)
        .map(({ collector, target, job, state, tables }) => ({
          collector,
          target,
          job,
          state,
          error_rate: rateOf(tables),
        })),
      tables: tables.slice(0, MOST_LISTED),
    },
    problems: [
      ...wrong.map(({ job, state }) => `job ${job} is ${state}`),
      ...tables
        .filter(({ error_rate = 0 }) => error_rate > TOO_MANY_ERRORS)
        .map(({ table, tenant, error_rate = 0 }) => {
          const name = table === '' ? 'no known table' : `table ${table}`
          const whose = tenant === '' ? '' : ` of ${tenant}`
          return `${(error_rate * 100).toFixed(1)} % of the records of ${name}${whose} went to dead letters`
        }),
    ],
  }
}

/** Those with most errors first. */
function tablesOf(last: LastRun, rateOf: (tables: readonly NamedTable[]) => number | undefined): Table[] {
  const byTable = (family: typeof metrics.lag) =>
    new Map([...last.samples(family)].map(({ labels, value }) => [nameOf(labels), value]))
  const [throughput, lag] = [byTable(metrics.throughput), byTable(metrics.lag)]
  const counted = [...last.samples(metrics.processed), ...last.samples(metrics.failed)]
  const names = new Map(
    counted.map(({ labels: { table, tenant } }) => [nameOf({ table, tenant }), { table, tenant }]),
  )
  return [...names]
    .map(([name, table]) => ({
      ...table,
      error_rate: rateOf([table]),
      records_per_second: throughput.get(name),
      lag_seconds: lag.get(name),
    }))
    .toSorted((a, b) => (b.error_rate ?? 0) - (a.error_rate ?? 0))
}
