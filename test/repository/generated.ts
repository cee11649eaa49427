import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { z } from 'zod'
import { dashboards } from '../../grafana/src/index.ts'
import { type Check, completed } from '../../src/collection/checks.ts'
import { checkFamilies, runFamilies } from '../../src/collection/run-metrics.ts'
import { allKinds } from '../../src/collectors/index.ts'
import { jsonSchema } from '../../src/config/schema.ts'
import { detailedHealth } from '../../src/http/health.ts'
import type { Family } from '../../src/metrics/family.ts'
import { allRules, groupsOf, ruleFiles } from '../prometheus/rule-files.ts'

const collectorKinds = await allKinds()

// Files that are made from the sources and committed. Without an argument: fails when one is not current.
// With --write: makes them anew.

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

const FILES: Readonly<Record<string, () => string>> = {
  'config/schema.json': () => json(jsonSchema(collectorKinds)),
  'docs/health-detailed.schema.json': () =>
    json({ title: 'GET /health/detailed', ...z.toJSONSchema(detailedHealth(collectorKinds)) }),
  'docs/metrics.md': metricsPage,
  'docs/checks.md': checksPage,
  'deploy/kubernetes/prometheus-rules.yaml': prometheusRule,
  'docs/alerts/README.md': alertsPage,
  ...Object.fromEntries(
    dashboards.map((dashboard) => [`grafana/dashboards/${dashboard.uid}.json`, () => json(dashboard)]),
  ),
}

/** The rules of prometheus/rules for the Prometheus Operator. */
function prometheusRule(): string {
  const manifest = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'cdc-exporter', labels: { 'app.kubernetes.io/name': 'cdc-exporter' } },
    spec: { groups: ruleFiles.flatMap(groupsOf) },
  }
  return [
    '# Made from prometheus/rules by `npm run generate`; do not edit.',
    '# kubectl apply -f deploy/kubernetes/prometheus-rules.yaml',
    '# For the Prometheus Operator. The ServiceMonitor has to set honorLabels, and its job has to be cdc-exporter.',
    stringify(manifest, { lineWidth: 0 }),
  ].join('\n')
}

function alertsPage(): string {
  const rows = allRules.flatMap(({ alert, for: held = '0', labels = {}, annotations = {} }) =>
    alert === undefined
      ? []
      : [`| [${alert}](${alert}.md) | ${labels.severity} | ${held} | ${annotations.summary} |`],
  )
  return [
    '# Alerts',
    'Made from prometheus/rules by `npm run generate`; do not edit.',
    'What an alert says and what is to be done stands in its page. How the rules are built, and why they hold a state for ' +
      '15 minutes without a sample: [decisions/alert-rules.md](../decisions/alert-rules.md). Thresholds stand in the rules, ' +
      'which are plain files and yours; `npm test` holds them to their tests.',
    ['| alert | severity | after | what is wrong |', '|---|---|---|---|', ...rows].join('\n'),
  ]
    .join('\n\n')
    .concat('\n')
}

function metricsPage(): string {
  return [
    '# Metrics',
    'Made from the sources by `npm run generate`; do not edit.',
    'Every series of a collector carries `target`, the name of the instance in the configuration, and the labels ' +
      'that its configuration gives it: `environment`, `platform` and its own under `labels`. ' +
      'They are not repeated below. Numbers are collected in the background: a scrape asks no backend.',
    'A series is absent while its value is unknown. After a failed run the series of an instance stay for ' +
      '`cdc_collector_stale_after_seconds`, and then they go.',
    '## Every collector',
    `Written by the scheduler for each instance; \`collector\` is its kind.`,
    table([...runFamilies, ...checkFamilies]),
    ...collectorKinds.flatMap(({ kind, health, families, up, declared }) => [
      `## ${kind}`,
      `${health.title}: \`${health.key}\` in \`/health\`.${up ? ` \`${up.name}\` is written by the scheduler.` : ''}${declared ? ' Besides these it has the families that its configuration declares.' : ''}`,
      table(families),
    ]),
    '## The exporter itself',
    '`kafka_connect_operations_total{target,environment,platform,operation,result}` (operations on connectors by API, command line and self-healing, by what came of them), ' +
      '`cdc_exporter_build_info{version,nodejs_version}`, `cdc_config_last_reload_successful`, ' +
      "`cdc_config_last_reload_success_timestamp_seconds`, of the dead-man's switch `cdc_watchdog_ok{prometheus}`, " +
      '`cdc_watchdog_last_received_timestamp_seconds{prometheus}` and ' +
      '`cdc_watchdog_notifications_total{receiver,result}` ([watchdog.md](watchdog.md)), and `process_*` and `nodejs_*` of prom-client. ' +
      'But for the first they carry no `target`.',
  ]
    .join('\n\n')
    .concat('\n')
}

function checksPage(): string {
  return [
    '# Checks',
    'Made from the sources by `npm run generate`; do not edit.',
    '`cdc-exporter check [target…]` looks at the configuration first, and ends with 2 and every fault of it at once; then ' +
      'at each backend, the rights there and the parts of the pipeline in it. It ends with 1 where an item that is ' +
      'required fails, else with 0. An item that is advised (`!`) fails nothing. `?` is what could not be found out; then ' +
      '`completed` fails. `--json` gives all of it to programs.',
    'The daemon looks at the same items every `check_interval` (10m where a collector does not say), the first time some ' +
      'seconds after its start, over connections of their own and within the `timeout` of the collector; a collection ' +
      'does not notice. They are `cdc_check_ok{collector,check,subject,level}` and `GET /api/v1/checks` (see ' +
      '[api.md](api.md#checks)), as of the last look. An item that begins to fail, and one that is good again, is a line ' +
      'in the log.',
    'How a kind gets checks: a file `checks.ts` in its folder that declares each item once, by `required` or `advised`, ' +
      'and looks at all of them in `run`, and one line, `checks`, in its `index.ts`; see ' +
      '[decisions/checks.md](decisions/checks.md).',
    '## Every kind below',
    checkTable([completed]),
    ...collectorKinds.flatMap(({ kind, checks }) => (checks ? [`## ${kind}`, checkTable(checks.items)] : [])),
  ]
    .join('\n\n')
    .concat('\n')
}

function checkTable(items: readonly Check[]): string {
  const rows = items.map(
    ({ name, level, each = '', expects }) => `| \`${name}\` | ${level} | ${each} | ${expects} |`,
  )
  return ['| check | level | for each | expected |', '|---|---|---|---|', ...rows].join('\n')
}

function table(families: readonly Family[]): string {
  const rows = families
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, labelNames, help }) => {
      const labels = labelNames.map((label) => `\`${label}\``).join(', ')
      return `| \`${name}\` | ${type} | ${labels} | ${help.replaceAll('|', '\\|')} |`
    })
  return ['| name | type | labels | meaning |', '|---|---|---|---|', ...rows].join('\n')
}

const path = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url))

function isCurrent(file: string, text: string): boolean {
  try {
    return readFileSync(path(file), 'utf8') === text
  } catch {
    return false
  }
}

const stale = Object.entries(FILES)
  .map(([file, make]) => ({ file, text: make() }))
  .filter(({ file, text }) => !isCurrent(file, text))

if (process.argv.includes('--write')) {
  for (const { file, text } of stale) {
    mkdirSync(dirname(path(file)), { recursive: true })
    writeFileSync(path(file), text)
    console.log(`${file} is written`)
  }
} else if (stale.length > 0) {
  console.error(`not current: ${stale.map(({ file }) => file).join(', ')}; run: npm run generate`)
  process.exitCode = 1
}
