import { z } from 'zod'
import { clickhouseConnection, clickhouseSecrets } from '../../config/clickhouse.ts'
import {
  boolean,
  duration,
  integer,
  isTimezone,
  settings as keys,
  pattern,
  settingsWithSecrets,
  shown,
} from '../../config/fields.ts'
import { kafkaConnection } from '../../config/kafka.ts'
import { assertions, checkQueries, hasTenants, values } from './query-config.ts'

/** A name of a database, schema or table, in which `{tenant}` stands for each tenant. */
const NAME = /^(?:[^.{}]|\{tenant\})+$/

/** The same where the tables are discovered. */
const DISCOVERED_NAME = /^(?:[^.{}]|\{(?:tenant|schema|table)\})+$/

/** `first.second`, or `second` alone where `firstIsOptional`. */
const qualified = (expected: string, firstIsOptional: boolean, name = NAME) =>
  z.string({ error: `expected ${expected}` }).refine(
    (text) => {
      const names = text.split('.')
      return (
        names.length <= 2 && names.length >= (firstIsOptional ? 1 : 2) && names.every((n) => name.test(n))
      )
    },
    { error: ({ input }) => `expected ${expected}, got ${shown(input)}` },
  )

const column = () => z.string().min(1)

/** What is compared of a table, and how; the same for one that is listed and for those discovered. */
const comparison = {
  source_tenant_column: column()
    .optional()
    .describe('Column of the source that holds the tenant, where one table holds all tenants.'),
  sink_tenant_column: column()
    .optional()
    .describe('Column of the sink that holds the tenant, where one table holds all tenants.'),
  key: z
    .union([column(), z.array(column()).min(1)])
    .transform((value) => (typeof value === 'string' ? [value] : value))
    .optional()
    .describe(
      'Columns of the source that name a row: integers, UUIDs or texts. The primary key where absent; only checksums need it.',
    ),
  watermark: column().describe(
    'Time at which a row was made, a column of the source that never changes, such as created_at. Not updated_at.',
  ),
  version: column()
    .optional()
    .describe(
      'Column of the sink that tells the versions of a row apart. Where the source has it too, a row that differs is told to be older or corrupt.',
    ),
  deleted: column()
    .optional()
    .describe('Column of the sink that is 0 for a row and not 0 for one that the source has deleted.'),
  sign: column()
    .optional()
    .describe('Column of a CollapsingMergeTree that is 1 for a row and -1 for one that is taken back.'),
  rename: z
    .record(column(), column())
    .default({})
    .describe('Columns that the sink calls otherwise: the source’s name, then the sink’s.'),
  columns: z
    .array(column())
    .min(1)
    .optional()
    .describe(
      'Columns of the source whose values the checksums compare; where absent, all that both sides have and that can be compared.',
    ),
  sums: z
    .array(column())
    .default([])
    .describe('Columns of the source, integers or decimals, whose sums are compared with the counts.'),
  binary: z
    .enum(['raw', 'base64', 'hex'])
    .default('raw')
    .describe('How the sink keeps a bytea: its bytes, or as text (Debezium’s binary.handling.mode).'),
  freshness: column()
    .optional()
    .describe(
      'Column of the source, such as the watermark or updated_at, whose newest value tells how old the newest row of either side is: cdc_freshness_seconds. Read at each run; wants an index.',
    ),
  every: duration()
    .optional()
    .describe('Compared not oftener than this; at each run where absent. Between, its last values stay.'),
}

const table = keys({
  source: qualified('schema.table, such as public.journals or {tenant}.journals', false).describe(
    'Table of the source as schema.table; {tenant} in the schema stands for each tenant.',
  ),
  sink: qualified('a table such as journals, erp.journals or {tenant}.journals', true).describe(
    'Table of the sink, with its database where it is another one; {tenant} stands for each tenant.',
  ),
  ...comparison,
}).superRefine(({ source, sink, source_tenant_column, sink_tenant_column }, context) => {
  const complain = (path: string, message: string) =>
    context.addIssue({ code: 'custom', path: [path], message })
  const atSource = source.includes('{tenant}')
  const atSink = sink.includes('{tenant}')
  if (source.split('.')[1]?.includes('{tenant}')) {
    complain('source', '{tenant} may be in the schema only: the table names the series')
  }
  if (atSource && source_tenant_column !== undefined) {
    complain('source_tenant_column', 'the tenant is in the name of the source already')
  }
  if (atSink && sink_tenant_column !== undefined) {
    complain('sink_tenant_column', 'the tenant is in the name of the sink already')
  }
  const sourceHasTenants = atSource || source_tenant_column !== undefined
  const sinkHasTenants = atSink || sink_tenant_column !== undefined
  if (sourceHasTenants && !sinkHasTenants) {
    complain(
      'sink',
      'the source is by tenant, the sink is not: put {tenant} in it or give sink_tenant_column',
    )
  }
  if (sinkHasTenants && !sourceHasTenants) {
    complain(
      'source',
      'the sink is by tenant, the source is not: put {tenant} in it or give source_tenant_column',
    )
  }
})

export type TableSettings = z.output<typeof table>

const { source_tenant_column: _, ...ofDiscovered } = comparison

const discover = keys({
  publication: z.string().min(1).describe('Its tables are compared, those that `match` names.'),
  match: pattern()
    .prefault('^(?<schema>[^.]+)\\.(?<table>.+)$')
    .describe('Over schema.table; where it has a group named tenant, what that matches is the tenant.'),
  exclude: z.array(pattern()).default([]).describe('Over schema.table: tables that are left out.'),
  sink: qualified('a table such as {table}, erp.{table} or {tenant}.{table}', true, DISCOVERED_NAME)
    .default('{table}')
    .describe('Table of the sink; {schema}, {table} and {tenant} stand for those of the source.'),
  ...ofDiscovered,
}).superRefine(({ match, sink, sink_tenant_column }, context) => {
  const hasTenant = match.source.includes('(?<tenant>')
  if (sink_tenant_column === undefined && !sink.includes('{tenant}')) return
  if (hasTenant) return
  context.addIssue({
    code: 'custom',
    path: ['match'],
    message: 'the sink is by tenant: missing a group (?<tenant>…)',
  })
})

export type DiscoverSettings = z.output<typeof discover>

/** Whether the table is compared tenant by tenant. */
export const isByTenant = ({ source, source_tenant_column }: TableSettings): boolean =>
  source.includes('{tenant}') || source_tenant_column !== undefined

/** What names the table in the series: its own name, without the schema. */
export const tableLabel = ({ source }: TableSettings): string => source.split('.').at(-1) ?? source

const group = keys({
  ...kafkaConnection,
  group: z.string().min(1).describe('Consumer group that writes to the sink.'),
  topic: z
    .string()
    .min(1)
    .describe(
      'Topic of a table; {schema}, {table} and {tenant} stand for those of the source: erp.{schema}.{table}.',
    ),
  timeout: duration().default(30_000).describe('How long to wait for the group, after the slot.'),
})

const checksums = keys({
  slice: integer(1)
    .default(100_000)
    .describe(
      'Rows of a table that are compared in a run, besides those that are new: a rolling part of it.',
    ),
  count_every: duration()
    .optional()
    .describe(
      'Whole tables are counted not oftener than this; at each run where absent. Between, a run reads only what is new and the slice.',
    ),
  passes: integer(2, 3)
    .default(2)
    .describe('Readings, at least the lag apart, at which a row has to differ to count.'),
  max_rows: integer(1000)
    .default(2_000_000)
    .describe(
      'Rows that a run reads on one side, but for the counts; what is left is skipped, and comes first next time.',
    ),
  max_keys: integer(1, 100_000)
    .default(1000)
    .describe('Rows of a table that are named; of further ones only the range is.'),
})

export type ChecksumSettings = z.output<typeof checksums>

const HOURS = /^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$/

export const settings = keys({
  source: keys({ postgresql: settingsWithSecrets({}, { required: ['url'] }) }).describe(
    'Where the rows come from. Its user needs SELECT on the tables; pg_read_all_stats shows it others’ long transactions.',
  ),
  sink: keys({
    clickhouse: settingsWithSecrets(clickhouseConnection, clickhouseSecrets).optional(),
    starrocks: settingsWithSecrets({}, { required: ['url'] })
      .optional()
      .describe(
        'Its url is that of a front end’s MySQL port, with the database: mysql://user@host:9030/erp.',
      ),
  })
    .refine(({ clickhouse, starrocks }) => (clickhouse === undefined) !== (starrocks === undefined), {
      error: 'give clickhouse or starrocks, one of them',
    })
    .describe('Where the rows go.'),
  lag: duration()
    .default(30_000)
    .describe(
      'What the pipeline may be late: rows younger than this are not judged, and a difference counts only when it is still there this much later. It has to fit into the timeout; a sink that is later than this has drift, unless slot and kafka tell how far it is.',
    ),
  slot: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Replication slot of the connector: the sink is read only after it confirmed what was counted. On a database that may be idle it does so only with a heartbeat.action.query.',
    ),
  slot_timeout: duration()
    .default(70_000)
    .describe(
      'How long to wait for the slot; Connect confirms a position once in offset.flush.interval.ms, 1m.',
    ),
  kafka: group
    .optional()
    .describe(
      'The consumer group of the sink: it is waited for after the slot, until it has committed what the topics then hold.',
    ),
  checksums: checksums
    .optional()
    .describe('Compares the values of rows too, and names what differs. Without it rows are counted only.'),
  estimates: boolean()
    .default(false)
    .describe('Also what the catalogs think how many rows there are: cheap, a trend, and never exact.'),
  statement_timeout: duration().default(60_000).describe('What one statement may take on either side.'),
  concurrency: integer(1, 32)
    .default(2)
    .describe('Connections to each side, each with one statement at a time.'),
  max_time: duration()
    .optional()
    .describe('After this a run begins with no further table; those left out come first at the next one.'),
  quiet_hours: z
    .array(
      z
        .string()
        .regex(HOURS, { error: ({ input }) => `expected hours such as 08:00-18:00, got ${shown(input)}` }),
    )
    .default([])
    .describe('Hours in which nothing is compared, such as 08:00-18:00 or 22:00-02:00.'),
  quiet_timezone: z
    .string()
    .default('UTC')
    .refine(isTimezone, {
      error: ({ input }) => `expected a time zone such as Asia/Jakarta, got ${shown(input)}`,
    })
    .describe('Of the quiet hours.'),
  tenants: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'The tenants of the tables and queries that are by tenant. The label tenant of all others is empty.',
    ),
  tables: z.array(table).default([]),
  discover: discover.optional().describe('Tables are also those of a publication.'),
  values,
  assertions,
}).superRefine((given, context) => {
  const { sink, tenants, tables, slot, kafka, values, assertions } = given
  const complain = (path: readonly (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', path: [...path], message })
  if (!hasTables(given) && values.length === 0 && assertions.length === 0) {
    complain(['tables'], 'expected at least one table, or something in discover, values or assertions')
  }
  checkQueries(values, assertions, sink.clickhouse ? 'clickhouse' : 'starrocks', complain)
  if (kafka !== undefined && slot === undefined) {
    complain(['kafka'], 'missing: it needs slot, which tells when the topics hold what was counted')
  }
  for (const [index, tenant] of tenants.entries()) {
    if (tenants.indexOf(tenant) < index) complain(['tenants', index], `${shown(tenant)} is there already`)
  }
  const first = tables.findIndex(isByTenant)
  const byTenant = first >= 0 || hasTenants(values, assertions)
  if (byTenant && tenants.length === 0) {
    complain(['tenants'], `missing: ${first >= 0 ? `tables.${first}` : 'a query'} is by tenant`)
  }
  if (!byTenant && tenants.length > 0) complain(['tenants'], 'no table and no query is by tenant')
  for (const [index, entry] of tables.entries()) {
    // Of two tables only one of which is by tenant the series differ in the tenant.
    const same = tables.findIndex(
      (other) => tableLabel(other) === tableLabel(entry) && isByTenant(other) === isByTenant(entry),
    )
    if (same < index) {
      complain(
        ['tables', index, 'source'],
        `its series would be those of tables.${same}: both are named ${shown(tableLabel(entry))}; use another drift collector`,
      )
    }
  }
})

export type Settings = z.output<typeof settings>

/** Whether tables are compared, and not queries alone. */
const hasTables = ({ tables, discover }: Pick<Settings, 'tables' | 'discover'>): boolean =>
  tables.length > 0 || discover !== undefined

/** Readings at which a difference has to be there. */
export const passesOf = ({ checksums }: Pick<Settings, 'checksums'>): number => checksums?.passes ?? 2

/** Milliseconds that a run of these settings may wait, besides what it reads: the timeout has to be longer. */
export function longestWait(settings: Settings): number {
  const { lag, slot, slot_timeout, kafka, checksums, values, assertions } = settings
  const arrival = slot === undefined ? 0 : slot_timeout + (kafka?.timeout ?? 0)
  // Once the group has committed it, a row needs no more time.
  const each = kafka === undefined ? arrival + lag : arrival
  const confirmations = (passesOf(settings) - 1) * each
  const ofTables = hasTables(settings) ? arrival + lag + (checksums === undefined ? 0 : confirmations) : 0
  const ofQueries = values.length + assertions.length > 0 ? arrival + confirmations : 0
  return ofTables + ofQueries
}
