import { isByTenant, type Settings, type TableSettings, tableLabel } from './config.ts'

/** One table on one side: where it is, and which of its rows are meant. */
interface Place {
  /** PostgreSQL's schema or ClickHouse's database; undefined for the connection's own. */
  readonly container: string | undefined
  readonly table: string
  /** The rows are those in which this column has this value; undefined for all. */
  readonly only: { readonly column: string; readonly value: string } | undefined
}

/** The rows that are compared with each other: a table, or one tenant's part of it. */
export interface Pair {
  readonly labels: { readonly table: string; readonly tenant: string }
  readonly source: Place
  readonly sink: Place
  readonly watermark: string
  readonly deleted: string | undefined
}

/** Every table of the configuration, once for each tenant where it is by tenant. */
export function pairsOf({ tables, tenants }: Pick<Settings, 'tables' | 'tenants'>): readonly Pair[] {
  return tables.flatMap((table) =>
    isByTenant(table) ? tenants.map((tenant) => pairOf(table, tenant)) : [pairOf(table, '')],
  )
}

function pairOf(table: TableSettings, tenant: string): Pair {
  return {
    labels: { table: tableLabel(table), tenant },
    source: placeOf(table.source, table.source_tenant_column, tenant),
    sink: placeOf(table.sink, table.sink_tenant_column, tenant),
    watermark: table.watermark,
    deleted: table.deleted,
  }
}

function placeOf(name: string, tenantColumn: string | undefined, tenant: string): Place {
  // Split first: a tenant may have a dot in its name.
  const names = name.split('.').map((part) => part.replaceAll('{tenant}', () => tenant))
  return {
    container: names.length > 1 ? names[0] : undefined,
    table: names.at(-1) ?? name,
    only: tenantColumn === undefined ? undefined : { column: tenantColumn, value: tenant },
  }
}
