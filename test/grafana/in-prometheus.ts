import type { PrometheusApi } from '../testbed/parts/prometheus.ts'
import { asPattern, offered } from './offered.ts'
import { filledIn, labelValuesOf, queriesOf, shipped, variablesOf } from './shipped.ts'

type Expected = readonly (readonly [asked: RegExp, reason: string])[]

// What the pipeline of the tests does not show, by what a query asks for, and why. That it does not is looked at too.
const SILENT: Expected = [
  [/container_/, 'cAdvisor needs containers'],
  [/offset 5m/, 'nobody deploys a new version meanwhile'],
  [/clickhouse_replica/, 'no table is replicated'],
  [/probe_ssl/, 'the service that is asked has no TLS'],
]

// What may have data or not while the tests look, and why.
const EITHER: Expected = [
  [/ALERTS/, 'which alerts fire by then is a matter of time'],
  [/kafka_stalled_lag/, 'known after 15 minutes'],
  [/cdc_collector_failures_total/, 'a collector may fail where the machine is busy'],
  [/kafka_drain/, 'a group that is not behind has nothing to catch up'],
]

interface Asked {
  /** `dashboard: panel: expression`, for who reads that it failed. */
  readonly where: string
  readonly expression: string
}

const asked: readonly Asked[] = shipped.flatMap((dashboard) =>
  queriesOf(dashboard).map(({ title, query: { expr } }) => ({
    where: `${dashboard.uid}: ${title}: ${expr}`,
    expression: expr,
  })),
)

const among = (expected: Expected, { expression }: Asked): boolean =>
  expected.some(([pattern]) => pattern.test(expression))

/** Reasons that no query needs any more. */
export function needlessReasons(): string[] {
  return [...SILENT, ...EITHER]
    .filter(([pattern]) => !asked.some(({ expression }) => pattern.test(expression)))
    .map(([, reason]) => reason)
}

export interface LiveDashboards {
  /** Those that should have data and have never had any, all chosen. */
  withoutData(): Promise<string[]>
  /** Those that are said to have none, and have some. */
  withDataAfterAll(): Promise<string[]>
  /** Values that variables offer and with which no panel has had data: `dashboard: variable=value`. */
  valuesWithoutData(): Promise<string[]>
  /** Queries that were sent so far. */
  count(): number
}

/** Asks a Prometheus what the dashboards would ask it. Each method rejects where a query does not run. */
export function liveDashboards(prometheus: PrometheusApi): LiveDashboards {
  const answered = new Set<string>()
  let sent = 0

  /** Whether it has data now, or had once. */
  async function hasData(expression: string): Promise<boolean> {
    if (answered.has(expression)) return true
    sent++
    if ((await prometheus.query(expression)).length === 0) return false
    answered.add(expression)
    return true
  }

  async function whereNot(queries: readonly Asked[], expected: boolean): Promise<string[]> {
    const found: string[] = []
    for (const { where, expression } of queries)
      if ((await hasData(filledIn(expression))) !== expected) found.push(where)
    return found
  }

  return {
    withoutData: () =>
      whereNot(
        asked.filter((one) => !among(SILENT, one) && !among(EITHER, one)),
        true,
      ),
    withDataAfterAll: () =>
      whereNot(
        asked.filter((one) => among(SILENT, one)),
        false,
      ),
    async valuesWithoutData() {
      const served = new Map<string, boolean>()
      for (const dashboard of shipped) {
        const expressions = queriesOf(dashboard).map(({ query }) => query.expr)
        for (const variable of variablesOf(dashboard)) {
          if (!labelValuesOf(variable)) continue
          const { name } = variable
          const using = expressions.filter((expression) => expression.includes(`$${name}"`))
          // An environment of one kind of part is offered by the dashboards of the others too.
          const scope = ['environment', 'platform'].includes(name) ? 'any' : dashboard.uid
          const values = await offered(variable, prometheus, {})
          if (values.length === 0) served.set(`${scope}: ${name} has no value`, false)
          for (const value of values) {
            const key = `${scope}: ${name}=${value}`
            for (const expression of using) {
              const data = await hasData(filledIn(expression, { [name]: asPattern(value) }))
              served.set(key, data || served.get(key) === true)
            }
          }
        }
      }
      return [...served].filter(([, data]) => !data).map(([key]) => key)
    },
    count: () => sent,
  }
}
