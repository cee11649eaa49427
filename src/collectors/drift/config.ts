import { z } from 'zod'
import { duration, integer, settings as keys, settingsWithSecrets, shown } from '../../config/fields.ts'

/** A name of a database, schema or table, in which `{tenant}` stands for each tenant. */
const NAME = /^(?:[^.{}]|\{tenant\})+$/

/** `first.second`, or `second` alone where `firstIsOptional`. */
const qualified = (expected: string, firstIsOptional: boolean) =>
  z.string({ error: `expected ${expected}` }).refine(
    (text) => {
      const names = text.split('.')
      return (
        names.length <= 2 && names.length >= (firstIsOptional ? 1 : 2) && names.every((n) => NAME.test(n))
      )
    },
    { error: ({ input }) => `expected ${expected}, got ${shown(input)}` },
  )

const column = () => z.string().min(1)

const table = keys({
  source: qualified('schema.table, such as public.journals or {tenant}.journals', false).describe(
    'Table of the source as schema.table; {tenant} in the schema stands for each tenant.',
  ),
  sink: qualified('a table such as journals, erp.journals or {tenant}.journals', true).describe(
    'Table of the sink, with its database where it is another one; {tenant} stands for each tenant.',
  ),
  source_tenant_column: column()
    .optional()
    .describe('Column of the source that holds the tenant, where one table holds all tenants.'),
  sink_tenant_column: column()
    .optional()
    .describe('Column of the sink that holds the tenant, where one table holds all tenants.'),
  key: column().optional().describe('Primary key, the same on both sides. Counting does not need it.'),
  watermark: column().describe(
    'Time at which a row was made, the same on both sides and never changed, such as created_at. Not updated_at.',
  ),
  version: column()
    .optional()
    .describe('Column of the sink that tells the versions of a row apart. Counting leaves that to FINAL.'),
  deleted: column()
    .optional()
    .describe('Column of the sink that is 0 for a row and not 0 for one that the source has deleted.'),
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

/** Whether the table is compared tenant by tenant. */
export const isByTenant = ({ source, source_tenant_column }: TableSettings): boolean =>
  source.includes('{tenant}') || source_tenant_column !== undefined

/** What names the table in the series: its own name, without the schema. */
export const tableLabel = ({ source }: TableSettings): string => source.split('.').at(-1) ?? source

export const settings = keys({
  source: keys({ postgresql: settingsWithSecrets({}, { required: ['url'] }) }).describe(
    'Where the rows come from. Its user needs SELECT on the tables; pg_read_all_stats shows it others’ long transactions.',
  ),
  sink: keys({
    clickhouse: settingsWithSecrets(
      { username: z.string().optional(), database: z.string().min(1).default('default') },
      { required: ['url'], optional: ['password'] },
    ),
  }).describe('Where the rows go.'),
  lag: duration()
    .default(30_000)
    .describe(
      'What the pipeline may be late: rows younger than this are not judged, and a difference counts only when it is still there this much later. It has to fit into the timeout; a sink that is later than this has drift.',
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
  statement_timeout: duration().default(60_000).describe('What one count may take on either side.'),
  concurrency: integer(1, 32).default(2).describe('Connections to each side, each with one count at a time.'),
  tenants: z
    .array(z.string().min(1))
    .default([])
    .describe('The tenants of the tables that are by tenant. The label tenant of all others is empty.'),
  tables: z.array(table).min(1, { error: 'expected at least one table' }),
}).superRefine(({ tenants, tables }, context) => {
  for (const [index, tenant] of tenants.entries()) {
    if (tenants.indexOf(tenant) < index) {
      context.addIssue({
        code: 'custom',
        path: ['tenants', index],
        message: `${shown(tenant)} is there already`,
      })
    }
  }
  const first = tables.findIndex(isByTenant)
  if (first >= 0 && tenants.length === 0) {
    context.addIssue({ code: 'custom', path: ['tenants'], message: `missing: tables.${first} is by tenant` })
  }
  if (first < 0 && tenants.length > 0) {
    context.addIssue({ code: 'custom', path: ['tenants'], message: 'no table is by tenant' })
  }
  for (const [index, entry] of tables.entries()) {
    // Of two tables only one of which is by tenant the series differ in the tenant.
    const same = tables.findIndex(
      (other) => tableLabel(other) === tableLabel(entry) && isByTenant(other) === isByTenant(entry),
    )
    if (same < index) {
      context.addIssue({
        code: 'custom',
        path: ['tables', index, 'source'],
        message: `its series would be those of tables.${same}: both are named ${shown(tableLabel(entry))}; use another drift collector`,
      })
    }
  }
})

export type Settings = z.output<typeof settings>
