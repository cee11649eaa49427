import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readExposition } from '../testbed/exposition-text.ts'
import { type NodeExporterPart, startNodeExporter } from '../testbed/parts/node-exporter.ts'
import {
  COMMON_LABELS,
  type DeclaredSeries,
  ofTheDaemon,
  savedSeries,
  withRecorded,
} from './declared-series.ts'
import { readExpression } from './promql.ts'
import { allRules, folder, type Rule, ruleFiles, testsOf } from './rule-files.ts'

/** Output of promtool; rejects with its output when it finds a fault. */
async function promtool(...args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)('promtool', args)).stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`promtool ${args.join(' ')}\n${stdout}${stderr}`, { cause: error })
  }
}

describe.each(ruleFiles)('%s', (file) => {
  test('is valid', async () => {
    expect(await promtool('check', 'rules', `${folder('rules')}${file}`)).toContain('SUCCESS')
  })
  test('does what its tests say', async () => {
    expect(await promtool('test', 'rules', `${folder('tests')}${file}`)).toContain('SUCCESS')
  })
})

test('every test file belongs to a rule file', () => {
  expect(readdirSync(folder('tests')).filter((file) => file.endsWith('.yml'))).toEqual(ruleFiles)
})

test('prometheus.yml is valid', async () => {
  expect(await promtool('check', 'config', `${folder('')}prometheus.yml`)).toContain('SUCCESS')
})

test('each job has its targets in a file, live or as an example', () => {
  const { scrape_configs } = parse(readFileSync(`${folder('')}prometheus.yml`, 'utf8')) as {
    scrape_configs: { job_name: string; file_sd_configs?: { files: string[] }[] }[]
  }
  const files = scrape_configs.flatMap(({ file_sd_configs = [] }) =>
    file_sd_configs.flatMap(({ files }) => files),
  )
  const live = readdirSync(folder('targets')).filter((file) => file.endsWith('.yml'))
  // What is live without being asked for would be down where it is not there.
  expect(live).toEqual(['alertmanager.yml', 'cdc-exporter.yml'])
  const examples = readdirSync(`${folder('targets')}examples`)
  expect([...live, ...examples].map((file) => `targets/${file}`).toSorted()).toEqual(files.toSorted())
  for (const file of [...live, ...examples.map((example) => `examples/${example}`)]) {
    const groups = parse(readFileSync(`${folder('targets')}${file}`, 'utf8')) as { targets: string[] }[]
    expect(groups.flatMap(({ targets }) => targets).length, file).toBeGreaterThan(0)
  }
})

const alerts = allRules.filter((rule): rule is Rule & { alert: string } => rule.alert !== undefined)
const tests = ruleFiles.flatMap(testsOf)

/** Whether a case of the tests sees the alert fire; undefined where it does not look at it. */
function firesIn(
  { alert_rule_test: checks = [] }: (typeof tests)[number],
  name: string,
): boolean | undefined {
  const ofAlert = checks.filter(({ alertname }) => alertname === name)
  return ofAlert.length === 0 ? undefined : ofAlert.some(({ exp_alerts }) => (exp_alerts ?? []).length > 0)
}

describe.each(alerts)('$alert', ({ alert, labels = {}, annotations = {} }) => {
  test('has a case in which it fires, and one in which it stays silent', () => {
    const outcomes = new Set(tests.map((each) => firesIn(each, alert)))
    expect(outcomes).toContain(true)
    // What always fires is never silent.
    if (alert !== 'Watchdog') expect(outcomes).toContain(false)
  })
  test('says what a person needs', () => {
    expect(['critical', 'warning', 'info', 'none']).toContain(labels.severity)
    expect(labels.alert_group).toMatch(/^[a-z0-9-]+$/)
    expect(annotations.summary).toMatch(/^[^{}]+\.$/)
    expect(annotations.description).toMatch(/\S/)
    expect(annotations.first_step).toMatch(/\S/)
    expect(annotations.runbook_url).toBe(`docs/alerts/${alert}.md`)
    expect(annotations.dashboard_url).toMatch(
      /^\/d\/cdc-[a-z]+(\?var-environment=\{\{ \$labels\.environment \}\}&var-target=\{\{ \$labels\.target \}\})?$/,
    )
  })
  test('has a page with the sections of a runbook', () => {
    const page = readFileSync(`docs/alerts/${alert}.md`, 'utf8')
    const headings = page.split('\n').filter((line) => line.startsWith('#'))
    expect(headings).toEqual([`# ${alert}`, '## Meaning', '## Impact', '## Diagnosis', '## Remedy'])
  })
})

test('every page is of an alert, and no alert is there twice', () => {
  const names = alerts.map(({ alert }) => alert)
  expect(
    readdirSync('docs/alerts')
      .filter((file) => file !== 'README.md')
      .map((file) => file.replace(/\.md$/, '')),
  ).toEqual(names.toSorted())
  expect(new Set(names).size).toBe(names.length)
})

test('the pages name commands that there are', () => {
  const main = readFileSync('src/main.ts', 'utf8')
  const commands = new Set([...main.matchAll(/\.command\('([a-z]+)'\)/g)].map(([, name = '']) => name))
  const texts = [
    ...alerts.map(({ annotations = {} }) => annotations.first_step ?? ''),
    ...alerts.map(({ alert }) => readFileSync(`docs/alerts/${alert}.md`, 'utf8')),
  ]
  const named = texts.flatMap((text) =>
    [...text.matchAll(/cdc-exporter (?!is\b)([a-z]+)/g)].map(([, name = '']) => name),
  )
  expect(named.length).toBeGreaterThan(alerts.length / 2)
  expect([...new Set(named)].filter((name) => !commands.has(name))).toEqual([])
})

describe('series', () => {
  let declared: DeclaredSeries
  const other = savedSeries('other-series.txt')
  const saved = savedSeries('series.txt')

  /** Labels that series of this name may have; undefined for a name that nobody gives. */
  const labelsOf = withRecorded((name) => declared.get(name) ?? other.get(name))

  beforeAll(async () => {
    declared = await ofTheDaemon()
  })

  test.each(allRules.map((rule) => ({ name: rule.alert ?? rule.record, ...rule })))(
    'of $name are declared, with their labels',
    ({ expr }) => {
      const { selectors, grouped } = readExpression(expr)
      const unknown = selectors.filter(({ name }) => labelsOf(name) === undefined)
      expect(unknown.map(({ name }) => name)).toEqual([])
      // ALERTS has the labels of its alerts.
      const known = new Set(selectors.flatMap(({ name }) => [...(labelsOf(name) ?? []), ...COMMON_LABELS]))
      expect(grouped.filter((label) => !known.has(label))).toEqual([])
      for (const { name, labels } of selectors) {
        const allowed = [...(labelsOf(name) ?? []), ...COMMON_LABELS]
        expect(
          Object.keys(labels).filter((label) => !allowed.includes(label)),
          name,
        ).toEqual([])
      }
    },
  )

  test('of the queries in annotations are declared, with their labels', () => {
    const queries = alerts.flatMap(({ annotations = {} }) =>
      Object.values(annotations).flatMap((text) =>
        [...text.matchAll(/query (?:\(printf )?"([^"]+)"/g)].map(([, query = '']) =>
          query.replaceAll('%q', "''"),
        ),
      ),
    )
    expect(queries.length).toBeGreaterThan(10)
    for (const query of queries) {
      for (const { name, labels } of readExpression(query).selectors) {
        const allowed = [...(labelsOf(name) ?? ['no such series']), ...COMMON_LABELS]
        expect(
          Object.keys(labels).filter((label) => !allowed.includes(label)),
          query,
        ).toEqual([])
        expect(labelsOf(name), query).toBeDefined()
      }
    }
    // Without a result it would be an error in the message.
    const guarded = alerts.flatMap(({ annotations = {} }) => Object.values(annotations)).join(' ')
    expect(guarded.match(/with query /g)?.length).toBe(queries.length)
    expect(guarded.match(/\{\{ else \}\}(unknown|an unknown exception)\{\{ end \}\}/g)?.length).toBe(
      queries.length,
    )
  })

  test('that the tests feed are those of a real scrape, name and label names', () => {
    const optional: readonly string[] = ['instance', 'job', 'environment', 'platform']
    const wrong: string[] = []
    const inputs = tests.flatMap(({ input_series = [] }) => input_series.map(({ series }) => series))
    for (const series of new Set(inputs)) {
      const { selectors } = readExpression(series)
      const [selector] = selectors
      if (!selector) throw new Error(`no series: ${series}`)
      const { name, labels } = selector
      const others = other.get(name)
      const real = others ?? saved.get(name) ?? [...(declared.get(name) ?? ['no such series']), 'target']
      // A configuration of Prometheus may put any label on what is not ours.
      const free = others ? [...COMMON_LABELS, 'group'] : optional
      const needed = real.filter((label) => !free.includes(label))
      const given = Object.keys(labels).filter((label) => !free.includes(label) || needed.includes(label))
      if (given.toSorted().join() !== needed.toSorted().join()) wrong.push(`${series} but {${needed.join()}}`)
    }
    expect(inputs.length).toBeGreaterThan(300)
    expect(wrong).toEqual([])
  })

  test('that a demo has saved are declared', () => {
    expect(saved.size).toBeGreaterThan(200)
    // Those of prom-client's own are there once there is something to tell.
    const ours = [...saved].filter(([name]) => !/^(process|nodejs)_/.test(name))
    const wrong = ours.filter(([name, labels]) => {
      const own = declared.get(name)
      if (!own) return true
      const extra = /^cdc_(exporter|config)/.test(name) ? [] : ['target']
      return [...own, ...extra].toSorted().join() !== labels.toSorted().join()
    })
    expect(wrong.map(([name]) => name)).toEqual([])
  })
})

describe('node_exporter', () => {
  let exporter: NodeExporterPart
  beforeAll(async () => {
    exporter = await startNodeExporter()
  })
  afterAll(() => exporter?.remove())

  test('gives the series that the rules take from it', async () => {
    const { samples } = readExposition(await (await fetch(`${exporter.url}/metrics`)).text())
    const wanted = [...savedSeries('other-series.txt')].filter(([name]) => name.startsWith('node_'))
    expect(wanted.length).toBeGreaterThan(3)
    for (const [name, labels] of wanted) {
      const sample = samples.find((each) => each.name === name)
      expect(Object.keys(sample?.labels ?? {}).toSorted(), name).toEqual(labels)
    }
  })
})
