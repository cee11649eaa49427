import { z } from 'zod'
import type { DeclaredFamily } from '../../collection/collector.ts'
import { clickhouseConnection, clickhouseSecrets } from '../../config/clickhouse.ts'
import { declaredMetric } from '../../config/declared.ts'
import { duration, integer, settings as keys, settingsWithSecrets, shown } from '../../config/fields.ts'
import { isByTenant, parameters, parametersFault, TENANT, withTenant } from '../../config/query.ts'
import type { Family } from '../../metrics/family.ts'
import { pack, queriesOf } from './packs.ts'
import type { Query } from './query.ts'

const label = () =>
  z.string().regex(/^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/, {
    error: ({ input }) =>
      `expected a column whose name can be a label, of letters, digits and underscores, got ${shown(input)}; name it by AS`,
  })

const query = keys({
  name: z.string().min(1).describe('The label query of the series that tell what it costs.'),
  sql: z
    .string()
    .min(1)
    .describe(
      'One SELECT. With {tenant} in it, a name in quotes for the database, it runs once for each tenant, whose name is the label tenant.',
    ),
  parameters: parameters(),
  labels: z.array(label()).default([]).describe('Columns that are labels; NULL is empty.'),
  values: z
    .record(z.string().min(1), declaredMetric)
    .refine((values) => Object.keys(values).length > 0, { error: 'expected at least one column' })
    .describe('What each other column is the value of; NULL has no series.'),
  interval: duration()
    .optional()
    .describe('Runs no more often than this; otherwise in each run of the collector.'),
  timeout: duration()
    .default(5_000)
    .describe('After this time the server gives it up; the collector’s own has to be longer.'),
  max_rows: integer(1, 100_000)
    .default(1_000)
    .describe('Rows beyond have no series: cdc_sql_query_truncated.'),
})

type QuerySettings = z.output<typeof query>

const connection = z.union([
  keys({ postgresql: settingsWithSecrets({}, { required: ['url'] }) }),
  keys({ clickhouse: settingsWithSecrets(clickhouseConnection, clickhouseSecrets) }),
  keys({ starrocks: settingsWithSecrets({}, { required: ['url'] }) }),
])

export type ConnectionSettings = z.output<typeof connection>

function databaseOf(connection: ConnectionSettings) {
  if ('clickhouse' in connection) return 'clickhouse'
  return 'starrocks' in connection ? 'starrocks' : 'postgresql'
}

export const settings = keys({
  connection: connection.describe('The database; its user needs SELECT only.'),
  tenants: z
    .array(z.string().min(1))
    .default([])
    .describe('What {tenant} stands for in queries and packs, one after the other.'),
  queries: z.array(query).default([]).describe('Queries, and the series that their rows become.'),
  packs: z
    .array(pack)
    .default([])
    .describe('Queries that come with the exporter, for PostgreSQL: docs/sql-packs.md.'),
}).superRefine(({ connection, tenants, queries, packs }, context) => {
  const complain = (path: (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', path, message })
  const unique = (names: readonly string[], path: (index: number) => (string | number)[]) => {
    for (const [index, name] of names.entries()) {
      if (names.indexOf(name) < index) complain(path(index), `${shown(name)} is there already`)
    }
  }
  if (queries.length + packs.length === 0) complain(['queries'], 'expected at least one query or pack')
  unique(tenants, (index) => ['tenants', index])
  unique(
    packs.map((each) => each.pack),
    (index) => ['packs', index, 'pack'],
  )
  const ofPacks = new Set(packs.flatMap((each) => queriesOf(each).map(({ name }) => name)))
  unique(
    queries.map(({ name }) => name),
    (index) => ['queries', index, 'name'],
  )
  for (const [index, { name }] of queries.entries()) {
    if (ofPacks.has(name)) complain(['queries', index, 'name'], `${shown(name)} is a query of a pack`)
  }
  const isPostgresql = 'postgresql' in connection
  if (!isPostgresql && packs.length > 0) complain(['packs'], 'packs are for PostgreSQL')
  const byTenant = [...queries.map(isByTenant), ...packs.map(({ table }) => table.includes(TENANT))]
  if (byTenant.includes(true) && tenants.length === 0) {
    complain(['tenants'], 'missing: a query or a pack has {tenant} in it')
  }
  if (!byTenant.includes(true) && tenants.length > 0) {
    complain(['tenants'], 'no query and no pack has {tenant} in it')
  }
  const families = new Map<string, Family>()
  for (const [index, each] of queries.entries()) {
    const { labels, values } = each
    unique(labels, (at) => ['queries', index, 'labels', at])
    if (isByTenant(each) && labels.includes('tenant')) {
      complain(['queries', index, 'labels', labels.indexOf('tenant')], 'the label tenant is that of {tenant}')
    }
    const fault = parametersFault(each, databaseOf(connection))
    if (fault !== undefined) complain(['queries', index, 'parameters'], fault)
    for (const column of Object.keys(values)) {
      const at = ['queries', index, 'values', column]
      if (labels.includes(column)) complain(at, 'the column is a label already')
      const { metric } = values[column] ?? {}
      const twice = Object.keys(values).find((other) => values[other]?.metric === metric)
      if (twice !== column) complain([...at, 'metric'], `the column ${twice} has this name already`)
      const family = familyOf(each, column)
      const known = families.get(family.name)
      if (known && JSON.stringify(known) !== JSON.stringify(family)) {
        complain([...at, 'metric'], `${family.name} has another type, help or labels elsewhere in this list`)
      }
      families.set(family.name, known ?? family)
    }
  }
})

export type Settings = z.output<typeof settings>

/** The series of one of its columns. */
function familyOf(each: QuerySettings, column: string): Family {
  const { metric: name, type = 'gauge', help = '' } = each.values[column] ?? { metric: column }
  return { name, type, help, labelNames: [...(isByTenant(each) ? ['tenant'] : []), ...each.labels] }
}

/** What settings make: it is made once for each, since a family is one object for whoever writes it. */
const made = new WeakMap<Settings, Made>()

interface Made {
  readonly queries: readonly Query[]
  readonly declared: readonly DeclaredFamily[]
}

/** The queries of these settings, those of packs first, and the families that they declare. */
export function makeQueries(given: Settings): Made {
  const before = made.get(given)
  if (before) return before
  const declared = new Map<string, DeclaredFamily>()
  const own = given.queries.map((each, index): Query => {
    const values = Object.keys(each.values).map((column) => {
      const family = familyOf(each, column)
      const known = declared.get(family.name) ?? {
        family,
        path: ['queries', index, 'values', column, 'metric'],
      }
      declared.set(family.name, known)
      return { column, family: known.family }
    })
    const { name, sql, parameters = [], labels, interval = 0, timeout, max_rows } = each
    return {
      name,
      byTenant: isByTenant(each),
      sql: (quote, tenant) => sql.replaceAll(TENANT, () => quote(tenant)),
      parameters: (tenant) => withTenant(parameters, tenant),
      labels,
      values,
      interval,
      timeout,
      maxRows: max_rows,
    }
  })
  const result = { queries: [...given.packs.flatMap(queriesOf), ...own], declared: [...declared.values()] }
  made.set(given, result)
  return result
}
