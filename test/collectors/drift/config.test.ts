import { describe, expect, test } from 'vitest'
import { settings } from '../../../src/collectors/drift/config.ts'
import { pairsOf } from '../../../src/collectors/drift/pairs.ts'

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
    expect(pairs([{ ...journals, sink: 'erp.journals', deleted: '_deleted' }])).toEqual([
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

describe('what is refused', () => {
  test('names that are no tables', () => {
    expect(complaints([{ ...journals, source: 'journals' }])).toEqual([
      'tables.0.source: expected schema.table, such as public.journals or {tenant}.journals, got "journals"',
    ])
    expect(complaints([{ ...journals, sink: 'a.b.c' }])).toEqual([
      'tables.0.sink: expected a table such as journals, erp.journals or {tenant}.journals, got "a.b.c"',
    ])
    expect(complaints([{ ...journals, source: '{tenants}.journals' }], ['alpha'])).toEqual([
      'tables.0.source: expected schema.table, such as public.journals or {tenant}.journals, got "{tenants}.journals"',
      'tenants: no table is by tenant',
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
    expect(complaints([journals], ['alpha'])).toEqual(['tenants: no table is by tenant'])
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
    expect(complaints([])).toEqual(['tables: expected at least one table'])
    expect(complaints([{ ...journals, updated: 'updated_at' }])).toEqual([
      'tables.0: Unrecognized key: "updated"',
    ])
  })
})
