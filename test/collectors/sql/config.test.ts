import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { sql } from '../../../src/collectors/sql/index.ts'
import { loadConfig } from '../../../src/config/load.ts'

const folder = mkdtempSync(join(tmpdir(), 'sql-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const postgresql = { postgresql: { url: 'postgresql://localhost/erp' } }
const clickhouse = { clickhouse: { url: 'http://localhost:8123' } }

const value = (more: Record<string, unknown> = {}) => ({ metric: 'erp_orders', help: 'Orders.', ...more })

const query = (more: Record<string, unknown> = {}) => ({
  name: 'orders',
  sql: 'SELECT count(*) AS n FROM orders',
  values: { n: value() },
  ...more,
})

/** What the loader says of collectors with these settings, without places. */
async function faults(...collectors: Record<string, unknown>[]): Promise<string[]> {
  const file = join(folder, 'config.yaml')
  const entries = collectors.map((given, index) => ({
    kind: 'sql',
    target: `t${index}`,
    connection: postgresql,
    ...given,
  }))
  writeFileSync(file, stringify({ collectors: entries }))
  try {
    await loadConfig(file, { kinds: { sql: async () => sql }, env: {} })
  } catch (error) {
    return String(error)
      .split('\n')
      .map((line) => line.replace(/^.*?yaml:\d+:\d+: (collectors\[0\]\.)?/, ''))
  }
  return []
}

test('one is valid with its defaults', async () => {
  expect(await faults({ queries: [query()] }, { packs: [{ pack: 'votes' }], queries: [query()] })).toEqual([])
  expect(await faults({ connection: clickhouse, queries: [query({ parameters: { a: 1 } })] })).toEqual([])
})

test('a run may take longer than its longest query', async () => {
  const slow = { timeout: '10s', queries: [query({ timeout: '10s' })] }
  expect(await faults(slow)).toEqual([
    'timeout: expected more than 10s, which a run may have to wait, got 10s',
  ])
  expect(await faults({ ...slow, timeout: '11s' })).toEqual([])
})

test('settings are data, so that a reload sees what changed', () => {
  const settings = (more: Record<string, unknown>) =>
    JSON.stringify(sql.settings.parse({ connection: postgresql, queries: [query(more)] }))
  expect(settings({})).toBe(settings({}))
  for (const more of [
    { sql: 'SELECT 1 AS n' },
    { values: { n: value({ help: 'Others.' }) } },
    { parameters: [1] },
  ]) {
    expect(settings(more)).not.toBe(settings({}))
  }
})

test('a name is judged by the rules of Prometheus, and by who has it already', async () => {
  const names = (more: Record<string, unknown>) =>
    faults({ queries: [query({ values: { n: value(more) } })] })
  const at = 'queries[0].values.n.metric: '
  for (const [more, expected] of [
    [
      { metric: 'erp-orders' },
      'expected a name of letters, digits and underscores that starts with no digit, got "erp-orders"',
    ],
    [
      { metric: 'erp:orders' },
      'expected a name of letters, digits and underscores that starts with no digit, got "erp:orders"',
    ],
    [{ metric: 'erp_orders_total' }, 'the name of a gauge does not end in _total, got "erp_orders_total"'],
    [{ type: 'counter' }, 'the name of a counter ends in _total, got "erp_orders"'],
    [{ metric: 'erp_orders_count' }, '_sum, _count and _bucket are of histograms, got "erp_orders_count"'],
    [{ unit: 'seconds' }, 'with the unit seconds the name ends in _seconds, got "erp_orders"'],
    [
      { metric: 'erp_total', unit: 'bytes', type: 'counter' },
      'with the unit bytes the name ends in _bytes_total, got "erp_total"',
    ],
    [{ metric: 'voting_option_votes' }, 'the sql collector has a family voting_option_votes'],
    [{ metric: 'cdc_orders' }, "cdc_orders is a name of the exporter's own"],
  ] as const) {
    expect(await names(more)).toEqual([at + expected])
  }
  expect(await names({ metric: 'erp_busy_seconds_total', unit: 'seconds', type: 'counter' })).toEqual([])
  expect(await names({ metric: 'erp_age_seconds', unit: 'seconds' })).toEqual([])
})

test('a family is the same wherever it is declared', async () => {
  const other = query({ name: 'other', values: { m: value({ help: 'Others.' }) } })
  expect(await faults({ queries: [query(), other] })).toEqual([
    'queries[1].values.m.metric: erp_orders has another type, help or labels elsewhere in this list',
  ])
  expect(await faults({ queries: [query()] }, { queries: [other] })).toEqual([
    expect.stringMatching(
      /^collectors\[1\]\.queries\[0\]\.values\.m\.metric: erp_orders has another type, help or labels at collectors\[0\]\.queries\[0\]\.values\.n\.metric in line \d+$/,
    ),
  ])
  expect(await faults({ queries: [query({ values: { n: value(), m: value() } })] })).toEqual([
    'queries[0].values.m.metric: the column n has this name already',
  ])
})

test('labels are not those of others', async () => {
  expect(await faults({ queries: [query({ labels: ['a', 'state', '1st', '__x'] })] })).toEqual([
    expect.stringContaining('queries[0].labels[2]: expected a column whose name can be a label'),
    expect.stringContaining('queries[0].labels[3]: expected a column whose name can be a label'),
  ])
  expect(await faults({ queries: [query({ labels: ['state', 'state', 'n'] })] })).toEqual([
    'queries[0].values.n: the column is a label already',
    'queries[0].labels[1]: "state" is there already',
  ])
  expect(await faults({ queries: [query({ labels: ['target'] })] })).toEqual([
    'queries[0].values.n.metric: erp_orders has the label target, which is reserved',
  ])
  expect(await faults({ labels: { region: 'x' }, queries: [query({ labels: ['region'] })] })).toEqual([
    'labels.region: erp_orders has a label of this name already',
  ])
})

test('tenants are given where they are used, and nowhere else', async () => {
  const byTenant = query({ sql: 'SELECT count(*) AS n FROM {tenant}.orders' })
  expect(await faults({ queries: [byTenant] })).toEqual([
    'tenants: missing: a query or a pack has {tenant} in it',
  ])
  expect(await faults({ packs: [{ pack: 'login', table: '{tenant}.login' }] })).toEqual([
    'tenants: missing: a query or a pack has {tenant} in it',
  ])
  expect(await faults({ tenants: ['a'], queries: [query()] })).toEqual([
    'tenants: no query and no pack has {tenant} in it',
  ])
  expect(await faults({ tenants: ['a', 'a'], queries: [byTenant] })).toEqual([
    'tenants[1]: "a" is there already',
  ])
  expect(await faults({ tenants: ['a'], queries: [{ ...byTenant, labels: ['tenant'] }] })).toEqual([
    'queries[0].labels[0]: the label tenant is that of {tenant}',
  ])
})

test('what does not fit the database, and what is not there, is told', async () => {
  expect(await faults({})).toEqual(['queries: missing: expected at least one query or pack'])
  expect(await faults({ queries: [query(), query()] })).toEqual([
    'queries[1].name: "orders" is there already',
  ])
  expect(await faults({ packs: [{ pack: 'votes' }], queries: [query({ name: 'votes_total' })] })).toEqual([
    'queries[0].name: "votes_total" is a query of a pack',
  ])
  expect(await faults({ packs: [{ pack: 'votes' }, { pack: 'votes' }] })).toEqual([
    'packs[1].pack: "votes" is there already',
  ])
  expect(await faults({ queries: [query({ parameters: { a: 1 } })] })).toEqual([
    'queries[0].parameters: expected a list: only ClickHouse has names for them',
  ])
  expect(await faults({ connection: clickhouse, queries: [query({ parameters: [1] })] })).toEqual([
    'queries[0].parameters: expected a map for ClickHouse',
  ])
  expect(await faults({ connection: clickhouse, packs: [{ pack: 'votes' }] })).toEqual([
    'packs: packs are for PostgreSQL',
  ])
  expect(await faults({ queries: [query({ values: {} })] })).toEqual([
    'queries[0].values: expected at least one column',
  ])
  expect((await faults({ connection: { oracle: { url: 'x' } }, queries: [query()] }))[0]).toContain(
    'connection',
  )
  expect(await faults({ packs: [{ pack: 'logins' }] })).toEqual([
    'packs[0].pack: expected one of "login", "audit", "jobs", "job_log", "sink_status", "votes", got "logins"',
  ])
})
