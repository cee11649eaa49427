import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { readExpression } from '../prometheus/promql.ts'
import { type PrometheusApi, prometheusApi } from '../testbed/parts/prometheus.ts'
import { offered, type Variable } from './offered.ts'
import { filledIn } from './shipped.ts'

// How much of a dashboard that somebody else made has data from a Prometheus that scrapes cdc-exporter.

/** A dashboard, row or panel of any age, as far as it is read. */
interface Part {
  readonly title?: string
  readonly panels?: readonly Part[]
  readonly rows?: readonly Part[]
  readonly datasource?: unknown
  readonly targets?: readonly { readonly expr?: string }[]
  readonly templating?: {
    readonly list?: readonly (Variable & {
      readonly includeAll?: boolean
      readonly allValue?: string | null
    })[]
  }
}

interface Query {
  readonly title: string
  readonly expression: string
}

function queriesIn({ title = '', datasource, panels = [], rows = [], targets = [] }: Part): Query[] {
  const ofLogs = JSON.stringify(datasource)?.includes('"loki"') ?? false
  const own = (ofLogs ? [] : targets).flatMap(({ expr }) => (expr ? [{ title, expression: expr }] : []))
  return [...own, ...[...panels, ...rows].flatMap(queriesIn)]
}

/** Chosen as in a dashboard that is just opened: all where it may be, else the first. */
async function choicesOf({ templating }: Part, prometheus: PrometheusApi): Promise<Record<string, string>> {
  const choices: Record<string, string> = {}
  for (const variable of templating?.list ?? []) {
    if (variable.type === 'datasource' || variable.type === 'adhoc') continue
    const values = await offered(variable, prometheus, choices)
    const all = variable.allValue || (values.length === 0 ? '' : `(${values.join('|')})`)
    choices[variable.name] = variable.includeAll ? all : (values[0] ?? '')
  }
  return choices
}

/** Why a query has no data. */
async function reason(expression: string, prometheus: PrometheusApi): Promise<string> {
  const names = new Set(readExpression(expression).selectors.map(({ name }) => name))
  const missing: string[] = []
  for (const name of names) if ((await prometheus.query(`count(${name})`)).length === 0) missing.push(name)
  return missing.length > 0
    ? `no series ${missing.join(', ')}`
    : 'its series are there, and nothing of them is left'
}

const { values: options, positionals } = parseArgs({
  options: { prometheus: { type: 'string', default: 'http://localhost:9090' } },
  allowPositionals: true,
})
const [file] = positionals
if (file === undefined) {
  process.stderr.write(
    'usage: npm run dashboards:share -- <dashboard.json> [--prometheus http://localhost:9090]\n',
  )
  process.exit(2)
}
const dashboard = JSON.parse(readFileSync(file, 'utf8')) as Part
const prometheus = prometheusApi(options.prometheus)
const choices = await choicesOf(dashboard, prometheus)
const queries = queriesIn(dashboard)
const silent: string[] = []
for (const { title, expression } of queries) {
  const sent = filledIn(expression, choices)
  if ((await prometheus.query(sent)).length > 0) continue
  silent.push(`${title}: ${await reason(sent, prometheus)}\n  ${sent.replaceAll(/\s+/g, ' ')}`)
}
const chosen = Object.entries(choices).map(([name, value]) => `${name}=${value}`)
process.stdout.write(
  [
    `${dashboard.title}: ${queries.length - silent.length} of ${queries.length} queries have data`,
    `chosen: ${chosen.join(', ')}`,
    ...silent,
    '',
  ].join('\n'),
)
