import { readFileSync } from 'node:fs'
import * as units from '@grafana/grafana-foundation-sdk/units'
import { parser as logql } from '@grafana/lezer-logql'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import * as meaning from '../../grafana/src/meaning.ts'
import { COMMON_LABELS } from '../prometheus/declared-series.ts'
import { readExpression } from '../prometheus/promql.ts'
import { allRules } from '../prometheus/rule-files.ts'
import { knownSeries } from './known-series.ts'
import {
  annotationsOf,
  filledIn,
  labelValuesOf,
  panelsOf,
  queriesOf,
  shipped,
  variablesOf,
} from './shipped.ts'

const UNITS: ReadonlySet<unknown> = new Set(Object.values(units))
const COLUMNS = 24
/** Columns that a panel needs to be read on a screen of 1366 pixels. */
const NARROWEST: Readonly<Record<string, number>> = {
  stat: 3,
  piechart: 6,
  timeseries: 8,
  table: 8,
  logs: 12,
}

const uids = shipped.map(({ uid }) => uid ?? '')

let labelsOf: Awaited<ReturnType<typeof knownSeries>>
beforeAll(async () => {
  labelsOf = await knownSeries()
})

/** What of these labels no series of the expression has. */
function strangers(expression: string, labels: readonly string[]): string[] {
  const { selectors } = readExpression(filledIn(expression))
  const known = selectors.flatMap(({ name }) => labelsOf(name) ?? [])
  return labels.filter((label) => ![...known, ...COMMON_LABELS, 'severity'].some((each) => each === label))
}

test('no two dashboards have the same uid or title', () => {
  expect(new Set(uids).size).toBe(shipped.length)
  expect(new Set(shipped.map(({ title }) => title)).size).toBe(shipped.length)
})

test('alerts lead to dashboards that there are, and choose what these let choose', () => {
  for (const { alert, annotations = {} } of allRules.filter(({ alert: name }) => name !== undefined)) {
    const url = annotations.dashboard_url ?? ''
    const uid = /^\/d\/([\w-]+)/.exec(url)?.[1] ?? ''
    expect(uids, alert).toContain(uid)
    const dashboard = shipped.find((each) => each.uid === uid)
    const names = dashboard ? variablesOf(dashboard).map(({ name }) => name) : []
    for (const [, name = ''] of url.matchAll(/var-(\w+)=/g)) expect(names, alert).toContain(name)
  }
})

test('the page on dashboards names panels, annotations and variables that there are', () => {
  const page = readFileSync('docs/dashboards.md', 'utf8')
  const there = shipped.flatMap((dashboard) => [
    dashboard.title,
    ...(dashboard.panels ?? []).map(({ title }) => title),
    ...annotationsOf(dashboard).map(({ name }) => name),
    ...variablesOf(dashboard).map(({ label }) => label),
    ...(dashboard.links ?? []).map(({ title }) => title),
    'All',
  ])
  const named = [...page.matchAll(/\*([A-Z][^*]+)\*/g)].map(([, name]) => name)
  expect(named.length).toBeGreaterThan(50)
  expect(named.filter((name) => !there.includes(name))).toEqual([])
  for (const { title } of shipped) expect(page).toContain(`| ${title} |`)
})

test('a number of a timeline has the colours of its meaning', () => {
  const states = Object.entries(meaning).filter(([name]) => name.endsWith('_STATES'))
  expect(states.length).toBeGreaterThan(4)
  for (const [, each] of states)
    for (const one of Object.values(each as meaning.States)) expect(meaning.COLOUR).toHaveProperty(one)
})

test.each([
  [meaning.CONNECTOR_STATES, 'src/collectors/connect/index.ts'],
  [meaning.HEALING_STATES, 'src/collection/collector.ts'],
  [meaning.GROUP_STATES, 'src/collectors/kafka/index.ts'],
  [meaning.PROCESS_STATES, 'src/collectors/pm2/index.ts'],
  [meaning.JOB_STATES, 'src/collectors/flink/index.ts'],
  [meaning.ROUTINE_LOAD_STATES, 'src/collectors/starrocks/routine-loads.ts'],
])('states of a timeline are those that the collector knows: %o', (states, file) => {
  const [, list = ''] = /STATES = \[([^\]]+)\]/.exec(readFileSync(file, 'utf8')) ?? []
  const known = [...list.matchAll(/'([^']+)'/g)].map(([, state = '']) => state)
  expect(Object.keys(states).toSorted()).toEqual(known.toSorted())
})

test('lines of logs are asked for in LogQL, by labels that Alloy gives them', () => {
  const alloy = readFileSync('deploy/alloy/config.alloy', 'utf8').split('// ----')
  const labelsByJob = new Map(
    alloy.flatMap((pipeline) => {
      const [, job] = /job\s+= "([^"]+)"/.exec(pipeline) ?? []
      const [, labels = ''] = /stage\.labels \{\s+values = \{([^}]*)\}/.exec(pipeline) ?? []
      return job === undefined ? [] : [[job, [...labels.matchAll(/(\w+) =/g)].map(([, label]) => label)]]
    }),
  )
  const asked = shipped.flatMap(panelsOf).filter(({ type }) => type === 'logs')
  expect(asked.length).toBe(labelsByJob.size)
  for (const { title, targets = [] } of asked) {
    const { expr = '' } = targets[0] as { expr?: string }
    const matchers: (readonly [string, string])[] = []
    logql.parse(expr).iterate({
      enter({ type, node }) {
        expect(type.isError, expr).toBe(false)
        if (type.name !== 'Matcher') return
        const [label, value] = [node.getChild('Identifier'), node.getChild('String')]
        matchers.push([expr.slice(label?.from, label?.to), expr.slice(value?.from, value?.to).slice(1, -1)])
      },
    })
    const { job = '', ...others } = Object.fromEntries(matchers)
    expect(labelsByJob.get(job), title).toEqual(expect.arrayContaining(Object.keys(others)))
  }
})

describe.each(shipped.map((dashboard) => [dashboard.uid ?? '', dashboard] as const))('%s', (_, dashboard) => {
  const panels = panelsOf(dashboard)
  const names = variablesOf(dashboard).map(({ name }) => name)

  test('says what it is for, and cannot be changed in Grafana', () => {
    expect(dashboard.description).toMatch(/\?$/)
    expect(dashboard.editable).toBe(false)
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(39)
    expect(dashboard.tags).toEqual(['cdc'])
    expect(dashboard.links).toMatchObject([{ type: 'dashboards', includeVars: true, keepTime: true }])
  })

  test('has variables that list what there is', () => {
    expect(names).toEqual(expect.arrayContaining(['prometheus_datasource', 'environment', 'platform']))
    expect(new Set(names).size).toBe(names.length)
    for (const variable of variablesOf(dashboard)) {
      expect(variable.label).toMatch(/\S/)
      if (variable.type === 'datasource') {
        expect(variable.name).toBe(`${variable.query}_datasource`)
        continue
      }
      const { series, label } = labelValuesOf(variable) ?? { series: '', label: '' }
      expect(label).toBe(variable.name)
      expect(strangers(series, [label])).toEqual([])
      expect(variable).toMatchObject({ refresh: 2, multi: true, includeAll: true, allValue: '.*' })
      expect(variable.datasource).toEqual({ type: 'prometheus', uid: `\${prometheus_datasource}` })
    }
  })

  test('uses each of its variables, and no other', () => {
    const text = JSON.stringify([
      queriesOf(dashboard).map(({ query }) => query.expr),
      panels.map(({ targets }) => targets),
    ])
    const used = new Set([...text.matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name))
    expect([...used].toSorted()).toEqual(names.toSorted())
  })

  test('has ids and titles that are there once', () => {
    const ids = (dashboard.panels ?? []).map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const titles = panels.map(({ title }) => title)
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([])
  })

  test('has no panels over each other, none beyond the edge, and none too narrow to read', () => {
    const taken = new Map<string, string>()
    for (const { title = '', type, gridPos } of dashboard.panels ?? []) {
      const { x, y, w, h } = gridPos ?? { x: 0, y: 0, w: 0, h: 0 }
      expect(x + w, title).toBeLessThanOrEqual(COLUMNS)
      expect(w, title).toBeGreaterThanOrEqual(NARROWEST[type] ?? 8)
      for (let column = x; column < x + w; column++) {
        for (let row = y; row < y + h; row++) {
          expect(taken.get(`${column}/${row}`), title).toBeUndefined()
          taken.set(`${column}/${row}`, title)
        }
      }
    }
  })

  test('describes each panel', () => {
    for (const { title = '', type, description, datasource, targets = [], fieldConfig } of panels) {
      expect(title).toMatch(/^\S.*[^.]$/)
      expect(description, title).toMatch(/\.$/)
      expect(targets.length, title).toBeGreaterThan(0)
      const { defaults, overrides } = fieldConfig ?? { defaults: {}, overrides: [] }
      expect(defaults.noValue, title).toMatch(/\S/)
      const source = type === 'logs' ? 'loki' : 'prometheus'
      expect(datasource, title).toEqual({ type: source, uid: `\${${source}_datasource}` })
      if (type === 'logs') continue
      expect(defaults.thresholds?.steps.length, title).toBeGreaterThan(0)
      const properties = overrides.flatMap((override) => override.properties)
      const used = [defaults.unit, ...properties.filter(({ id }) => id === 'unit').map(({ value }) => value)]
      expect(
        used.filter((unit) => !UNITS.has(unit)),
        title,
      ).toEqual([])
    }
  })

  test('asks for series that there are, with their labels', () => {
    for (const { title, query } of queriesOf(dashboard)) {
      const { expr, legendFormat = '' } = query
      const { selectors, grouped } = readExpression(filledIn(expr))
      for (const { name, labels } of selectors) {
        expect(labelsOf(name), `${title}: ${name}`).toBeDefined()
        const allowed = [...(labelsOf(name) ?? []), ...COMMON_LABELS]
        // ALERTS has the labels of its alerts.
        const strange = Object.keys(labels).filter((label) => !allowed.includes(label) && name !== 'ALERTS')
        expect(strange, `${title}: ${name}`).toEqual([])
        // What others choose by job and instance is here chosen by environment, or fixed.
        expect(Object.keys(labels), `${title}: ${name}`).toEqual(
          expect.arrayContaining([expect.stringMatching(/^(environment|job|name)$/)]),
        )
      }
      const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
      expect(strangers(expr, [...grouped, ...named]), title).toEqual([])
    }
  })

  test('takes rates over windows that hold enough, and of counters nothing else', () => {
    for (const { title, query } of queriesOf(dashboard)) {
      const { expr, interval } = query
      for (const [, window] of expr.matchAll(/\b(?:rate|irate|deriv)\([^[]*\[([^\]]+)\]/g))
        expect(window, title).toBe('$__rate_interval')
      if (expr.includes('$__rate_interval')) expect(interval, title).toMatch(/^\d+m$/)
      for (const [, before = ''] of expr.matchAll(/(\w*)\(?\b\w+_total\{/g))
        expect(['rate', 'irate', 'increase'], title).toContain(before)
    }
  })

  test('has links that keep the time and the choice, to dashboards that there are', () => {
    const urls = [...JSON.stringify(dashboard).matchAll(/"url":"([^"]+)"/g)].map(([, url = '']) => url)
    for (const url of urls) {
      const uid = /^\/d\/([\w-]+)\?/.exec(url)?.[1] ?? ''
      expect(uids).toContain(uid)
      expect(url).toContain(`\${__url_time_range}`)
      const target = shipped.find((each) => each.uid === uid)
      const theirs = target ? variablesOf(target).map(({ name }) => name) : []
      for (const name of ['prometheus_datasource', 'environment', 'platform'])
        expect(url).toMatch(new RegExp(`\\$\\{${name}:queryparam\\}|var-${name}=`))
      for (const [, name = ''] of url.matchAll(/var-(\w+)=/g)) expect(theirs, url).toContain(name)
    }
  })

  test('has tables whose columns are labels of their queries, and links that name their columns', () => {
    for (const { title = '', targets = [], transformations = [] } of panels.filter(
      ({ type }) => type === 'table',
    )) {
      const { renameByName = {} } = transformations.find(({ id }) => id === 'organize')?.options ?? {}
      const fields = Object.keys(renameByName)
      const labels = fields.filter((field) => !field.startsWith('Value')).toSorted()
      for (const target of targets) {
        const { expr = '' } = target as { expr?: string }
        const [, by = ''] = /^(?:topk\(\d+, )?(?:min|max|sum|count) by \(([^)]+)\)/.exec(expr) ?? []
        expect(by.split(', ').toSorted(), title).toEqual(labels)
      }
      const values = fields.filter((field) => field.startsWith('Value')).toSorted()
      const expected =
        targets.length === 1 ? ['Value'] : targets.map((_, index) => `Value #${'ABCDEFGH'[index]}`)
      expect(values, title).toEqual(expected.toSorted())
    }
    for (const [, name = ''] of JSON.stringify(panels).matchAll(/__data\.fields\[\\\\?"([^"\\]+)/g))
      expect(JSON.stringify(panels)).toContain(`":"${name}"`)
  })

  test('marks what happened', () => {
    expect(annotationsOf(dashboard).length).toBeGreaterThan(0)
    for (const { name, iconColor, datasource } of annotationsOf(dashboard)) {
      expect(name).toMatch(/\S/)
      expect(Object.values(meaning.COLOUR)).toContain(iconColor)
      expect(datasource).toEqual({ type: 'prometheus', uid: `\${prometheus_datasource}` })
    }
  })
})

describe('provisioning', () => {
  const read = (file: string) => parse(readFileSync(`grafana/provisioning/${file}`, 'utf8'))

  test('has the data sources that the dashboards choose from', () => {
    const sources: { type: string; uid: string; isDefault?: boolean }[] =
      read('datasources/cdc.yaml').datasources
    expect(sources.map(({ type }) => type)).toEqual(['prometheus', 'alertmanager', 'loki'])
    expect(new Set(sources.map(({ uid }) => uid)).size).toBe(sources.length)
    const needed = shipped.flatMap((each) => variablesOf(each).filter(({ type }) => type === 'datasource'))
    for (const { query } of needed) expect(sources.map(({ type }) => type)).toContain(query)
  })

  test('shows the dashboards in a folder, as they are in their files', () => {
    expect(read('dashboards/cdc.yaml').providers).toMatchObject([
      {
        folder: 'CDC',
        type: 'file',
        allowUiUpdates: false,
        options: { path: '/var/lib/grafana/dashboards' },
      },
    ])
  })
})
