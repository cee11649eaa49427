import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { longestWait, settings } from '../../../src/collectors/drift/config.ts'
import { drift } from '../../../src/collectors/drift/index.ts'
import { discoveredPairs, pairsOf } from '../../../src/collectors/drift/pairs.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { temporaryFolder } from '../../testbed/part.ts'

const sides = {
  source: { postgresql: { url: 'postgres://localhost/erp' } },
  sink: { clickhouse: { url: 'http://localhost:8123' } },
}

const journals = { source: 'public.journals', sink: 'journals', watermark: 'created_at' }

/** `path: message` of each complaint. */
function complaints(tables: readonly object[], tenants: readonly string[] = []): string[] {
  const result = settings.safeParse({ ...sides, tenants, tables })
  return (result.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)
}

function pairs(tables: readonly object[], tenants: readonly string[] = []) {
  return pairsOf(settings.parse({ ...sides, tenants, tables }))
}

describe('what is compared', () => {
  test('a table is named without its schema, and its tenant is empty', () => {
    expect(pairs([{ ...journals, sink: 'erp.journals', deleted: '_deleted' }])).toMatchObject([
      {
        labels: { table: 'journals', tenant: '' },
        source: { container: 'public', table: 'journals', only: undefined },
        sink: { container: 'erp', table: 'journals', only: undefined },
        watermark: 'created_at',
        deleted: '_deleted',
      },
    ])
  })

  test('a schema of each tenant against a column', () => {
    const table = { ...journals, source: '{tenant}.journals', sink_tenant_column: 'tenant' }
    expect(pairs([table], ['alpha', 'bra.vo'])).toMatchObject([
      {
        labels: { table: 'journals', tenant: 'alpha' },
        source: { container: 'alpha', table: 'journals', only: undefined },
        sink: { container: undefined, table: 'journals', only: { column: 'tenant', value: 'alpha' } },
      },
      { labels: { tenant: 'bra.vo' }, source: { container: 'bra.vo', table: 'journals' } },
    ])
  })

  test('a schema of each tenant against a database or a table of each', () => {
    const table = { ...journals, source: 'erp_{tenant}.journals', sink: '{tenant}.journals_{tenant}' }
    expect(pairs([table], ['$&'])).toMatchObject([
      {
        source: { container: 'erp_$&', table: 'journals' },
        sink: { container: '$&', table: 'journals_$&' },
      },
    ])
  })

  test('a column on both sides, beside a table without tenants', () => {
    const table = { ...journals, source_tenant_column: 'company', sink_tenant_column: 'tenant' }
    expect(pairs([table, { ...journals, source: 'public.tenants' }], ['alpha'])).toMatchObject([
      {
        labels: { table: 'journals', tenant: 'alpha' },
        source: { only: { column: 'company', value: 'alpha' } },
      },
      { labels: { table: 'tenants', tenant: '' } },
    ])
  })
})

describe('what is discovered', () => {
  const published = [
    { schema: 'alpha', table: 'journals' },
    { schema: 'bravo', table: 'journals' },
    { schema: 'alpha', table: 'cdc_log' },
    { schema: 'public', table: 'tenants' },
  ]
  const discovered = (discover: object) => {
    const given = settings.parse({
      ...sides,
      discover: { publication: 'erp', watermark: 'created_at', ...discover },
    })
    if (!given.discover) throw new Error('it was given')
    return discoveredPairs(given.discover, published)
  }

  test('tenants by schema, but for what is left out', () => {
    const discover = {
      match: '^(?<tenant>alpha|bravo)\\.',
      exclude: ['\\.cdc_'],
      sink: '{table}_copy',
      sink_tenant_column: 'tenant',
      rename: { created_at: 'made_at' },
    }
    const pairs = discovered(discover)
    expect(pairs).toMatchObject([
      {
        labels: { table: 'journals', tenant: 'alpha' },
        source: { container: 'alpha', table: 'journals' },
        sink: { container: undefined, table: 'journals_copy', only: { column: 'tenant', value: 'alpha' } },
      },
      { labels: { table: 'journals', tenant: 'bravo' }, source: { container: 'bravo' } },
    ])
    expect(pairs[0]?.atSink('created_at')).toBe('made_at')
    expect(pairs[0]?.atSink('toString')).toBe('toString')
  })

  test('a database of each schema', () => {
    expect(discovered({ match: '^(?<tenant>[^.]+)', sink: '{schema}.{table}' })).toMatchObject([
      { sink: { container: 'alpha', table: 'journals', only: undefined } },
      { sink: { container: 'bravo', table: 'journals' } },
      { sink: { container: 'alpha', table: 'cdc_log' } },
      { labels: { table: 'tenants', tenant: 'public' } },
    ])
  })

  test('two tables of one name are no two series', () => {
    expect(() => discovered({})).toThrow('alpha.journals and bravo.journals would have the same series')
  })
})

describe('how long a run may wait', () => {
  const wait = (given: object) => longestWait(settings.parse({ ...sides, tables: [journals], ...given }))

  test('for the lag, and for the slot and the group before it', () => {
    expect(wait({ lag: '20s' })).toBe(20_000)
    expect(wait({ lag: '20s', slot: 'cdc', slot_timeout: '40s' })).toBe(60_000)
    const kafka = { brokers: 'localhost:9092', group: 'etl', topic: 'erp.{schema}.{table}', timeout: '10s' }
    expect(wait({ lag: '20s', slot: 'cdc', slot_timeout: '40s', kafka })).toBe(70_000)
  })

  test('which has to fit into the timeout, its own or an inherited one', async () => {
    const folder = temporaryFolder('config')
    const file = join(folder.path, 'config.yaml')
    const loaded = (timeout: string, defaults = '') => {
      const collector = { kind: 'drift', target: 'erp', ...sides, tables: [journals], lag: '30s' }
      const given = { collectors: [{ ...collector, ...(timeout === '' ? {} : { timeout }) }] }
      writeFileSync(
        file,
        JSON.stringify(defaults === '' ? given : { ...given, defaults: { timeout: defaults } }),
      )
      return loadConfig(file, { kinds: { drift: async () => drift }, env: {} })
    }
    try {
      expect((await loaded('')).collectors[0]?.timeout).toBe(240_000)
      expect((await loaded('31s')).collectors[0]?.timeout).toBe(31_000)
      const message = /collectors\[0\]\.timeout: expected more than 30s, which a run may have to wait, got/
      await expect(loaded('30s')).rejects.toThrow(message)
      await expect(loaded('', '10s')).rejects.toThrow(message)
    } finally {
      folder.remove()
    }
  })

  test('and again before each further pass of the checksums', () => {
    expect(wait({ lag: '20s', checksums: {} })).toBe(40_000)
    expect(wait({ lag: '20s', checksums: { passes: 3 } })).toBe(60_000)
    const arrival = { slot: 'cdc', slot_timeout: '40s', checksums: {} }
    expect(wait({ lag: '20s', ...arrival })).toBe(40_000 + 20_000 + 40_000 + 20_000)
  })
})

describe('what is refused', () => {
  test('a sink by tenant whose tables are discovered without one, a group without a slot, hours that are none', () => {
    const given = {
      ...sides,
      discover: { publication: 'erp', watermark: 'created_at', sink_tenant_column: 'tenant' },
      kafka: { brokers: 'localhost:9092', group: 'etl', topic: 'erp.{schema}.{table}' },
      quiet_hours: ['8-18'],
    }
    const { error } = settings.safeParse({ ...given, quiet_hours: [] })
    const messages = (of: typeof error) =>
      of?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    expect(messages(error)).toEqual([
      'discover.match: the sink is by tenant: missing a group (?<tenant>…)',
      'kafka: missing: it needs slot, which tells when the topics hold what was counted',
    ])
    expect(messages(settings.safeParse({ ...given, quiet_timezone: 'Nowhere' }).error)).toEqual(
      expect.arrayContaining([
        'quiet_hours.0: expected hours such as 08:00-18:00, got "8-18"',
        'quiet_timezone: expected a time zone such as Asia/Jakarta, got "Nowhere"',
      ]),
    )
  })

  test('names that are no tables', () => {
    expect(complaints([{ ...journals, source: 'journals' }])).toEqual([
      'tables.0.source: expected schema.table, such as public.journals or {tenant}.journals, got "journals"',
    ])
    expect(complaints([{ ...journals, sink: 'a.b.c' }])).toEqual([
      'tables.0.sink: expected a table such as journals, erp.journals or {tenant}.journals, got "a.b.c"',
    ])
    expect(complaints([{ ...journals, source: '{tenants}.journals' }], ['alpha'])).toEqual([
      'tables.0.source: expected schema.table, such as public.journals or {tenant}.journals, got "{tenants}.journals"',
      'tenants: no table and no query is by tenant',
    ])
  })

  test('tenants on one side only', () => {
    expect(complaints([{ ...journals, source: '{tenant}.journals' }], ['alpha'])).toEqual([
      'tables.0.sink: the source is by tenant, the sink is not: put {tenant} in it or give sink_tenant_column',
    ])
    expect(complaints([{ ...journals, sink_tenant_column: 'tenant' }])).toEqual([
      'tables.0.source: the sink is by tenant, the source is not: put {tenant} in it or give source_tenant_column',
    ])
  })

  test('tenants that are said twice, or not at all', () => {
    const table = { ...journals, source: '{tenant}.journals', sink: '{tenant}.journals' }
    expect(
      complaints([{ ...table, source_tenant_column: 'a', sink_tenant_column: 'b' }], ['x', 'x']),
    ).toEqual([
      'tables.0.source_tenant_column: the tenant is in the name of the source already',
      'tables.0.sink_tenant_column: the tenant is in the name of the sink already',
      'tenants.1: "x" is there already',
    ])
    expect(complaints([table])).toEqual(['tenants: missing: tables.0 is by tenant'])
    expect(complaints([journals], ['alpha'])).toEqual(['tenants: no table and no query is by tenant'])
  })

  test('a tenant in the name of the table, which names the series', () => {
    expect(complaints([{ ...journals, source: 'public.{tenant}', sink: '{tenant}' }], ['alpha'])).toEqual([
      'tables.0.source: {tenant} may be in the schema only: the table names the series',
    ])
  })

  test('two tables whose series would be the same', () => {
    expect(complaints([journals, { ...journals, source: 'archive.journals' }])).toEqual([
      'tables.1.source: its series would be those of tables.0: both are named "journals"; use another drift collector',
    ])
  })

  test('no table, and a key that is not known', () => {
    expect(complaints([])).toEqual([
      'tables: expected at least one table, or something in discover, values or assertions',
    ])
    expect(complaints([{ ...journals, updated: 'updated_at' }])).toEqual([
      'tables.0: Unrecognized key: "updated"',
    ])
  })
})

describe('queries', () => {
  const pair = (source: object = {}, sink: object = {}, given: object = {}) => ({
    name: 'cash_balance',
    groups: ['account'],
    value: 'balance',
    source: { sql: 'SELECT account, balance FROM cash', ...source },
    sink: { sql: 'SELECT account, balance FROM cash', ...sink },
    ...given,
  })
  const assertion = (given: object = {}) => ({ name: 'unbalanced', on: 'sink', sql: 'SELECT 1', ...given })
  const faults = (given: object) =>
    (settings.safeParse({ ...sides, ...given }).error?.issues ?? []).map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    )

  test('need no table, and have small bounds and no sample where nothing is said', () => {
    expect(settings.parse({ ...sides, values: [pair()], assertions: [assertion()] })).toMatchObject({
      values: [{ tolerance: '0', relative_tolerance: '0', max_groups: 1000 }],
      assertions: [{ sample: 0 }],
    })
    const tolerances = ['0.010', 0.25, '1e-7'].map((tolerance) =>
      pair({}, {}, { name: tolerance, tolerance }),
    )
    const named = tolerances.map((value, i) => ({ ...value, name: `v${i}` }))
    expect(settings.parse({ ...sides, values: named }).values.map(({ tolerance }) => tolerance)).toEqual([
      '0.01',
      '0.25',
      '0.0000001',
    ])
  })

  test('wait as long as their passes do, after the tables', () => {
    const wait = (given: object) => longestWait(settings.parse({ ...sides, lag: '20s', ...given }))
    expect(wait({ assertions: [assertion()] })).toBe(20_000)
    expect(wait({ values: [pair()], checksums: { passes: 3 } })).toBe(40_000)
    expect(wait({ values: [pair()], tables: [journals] })).toBe(40_000)
    const kafka = { brokers: 'localhost:9092', group: 'etl', topic: 'erp.{schema}.{table}', timeout: '10s' }
    expect(wait({ values: [pair()], slot: 'cdc', slot_timeout: '40s', kafka })).toBe(100_000)
  })

  test.each([
    [
      'names that are there twice',
      { values: [pair(), pair()], assertions: [assertion(), assertion()] },
      ['values.1.name: "cash_balance" is there already', 'assertions.1.name: "unbalanced" is there already'],
    ],
    [
      'parameters of another database',
      {
        values: [pair({ parameters: { a: 1 } }, { parameters: [1] })],
        assertions: [
          assertion({ parameters: [1] }),
          assertion({ name: 'other', on: 'source', parameters: {} }),
        ],
      },
      [
        'values.0.source.parameters: expected a list: only ClickHouse has names for them',
        'values.0.sink.parameters: expected a map for ClickHouse',
        'assertions.0.parameters: expected a map for ClickHouse',
        'assertions.1.parameters: expected a list: only ClickHouse has names for them',
      ],
    ],
    [
      'one side by tenant',
      { tenants: ['alpha'], values: [pair({ sql: 'SELECT 1 FROM {tenant}.cash' })] },
      ['values.0.sink: the source’s query is by tenant, this one is not: missing {tenant}'],
    ],
    [
      'tenants that nobody told',
      { assertions: [assertion({ parameters: { t: '{tenant}' } })] },
      ['tenants: missing: a query is by tenant'],
    ],
    [
      'one side with a watermark',
      { values: [pair({}, { sql: 'SELECT {watermark}' })] },
      ['values.0.source.sql: the other query is bounded by {watermark}, this one is not'],
    ],
    [
      'groups that are there twice, or no groups',
      { values: [pair({}, {}, { groups: ['a', 'a', 'balance'] })] },
      ['values.0.groups.1: "a" is there already', 'values.0.groups.2: it is the value already'],
    ],
    [
      'a tenant that is two',
      {
        tenants: ['alpha'],
        values: [pair({ sql: 'SELECT {tenant}' }, { sql: 'SELECT {tenant}' }, { groups: ['tenant'] })],
      },
      ['values.0.groups.0: the label tenant is that of {tenant}'],
    ],
    [
      'a tolerance that is none',
      { values: [pair({}, {}, { tolerance: '-1', relative_tolerance: 'much' })] },
      [
        'values.0.tolerance: expected a decimal number from 0, such as 0.01, got "-1"',
        'values.0.relative_tolerance: expected a decimal number from 0, such as 0.01, got "much"',
      ],
    ],
    [
      'a side that is none, and a sample without end',
      { assertions: [assertion({ on: 'kafka', sample: 101 })] },
      [
        'assertions.0.on: Invalid option: expected one of "source"|"sink"',
        'assertions.0.sample: expected a whole number from 0 to 100, got 101',
      ],
    ],
  ])('%s are refused', (_, given, expected) => {
    expect(faults(given)).toEqual(expected)
  })
})
