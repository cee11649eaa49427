import { z } from 'zod'
import { clickhouseConnection, clickhouseSecrets } from '../../config/clickhouse.ts'
import { duration, settings as keys, settingsWithSecrets, shown } from '../../config/fields.ts'

const tableName = (pattern: RegExp, expected: string) =>
  z
    .string({ error: `expected ${expected}` })
    .regex(pattern, { error: ({ input }) => `expected ${expected}, got ${shown(input)}` })

const column = (name: string) => z.string().min(1).default(name)

const source = keys({
  postgresql: settingsWithSecrets({}, { required: ['url'] }).describe(
    'Its user needs SELECT, INSERT and UPDATE on the table, and no other right.',
  ),
  table: tableName(/^[^.]+\.[^.]+$/, 'schema.table, such as public.cdc_canary')
    .default('public.cdc_canary')
    .describe('Table of canaries, as schema.table. One with other columns than these three is refused.'),
  columns: keys({
    id: column('id').describe('A text, the primary key.'),
    sequence: column('sequence').describe('A bigint.'),
    written_at: column('written_at').describe('A timestamp, with or without time zone.'),
  })
    .prefault({})
    .describe('How the table calls its columns.'),
})

const sink = keys({
  clickhouse: settingsWithSecrets(clickhouseConnection, clickhouseSecrets).optional(),
  starrocks: settingsWithSecrets({}, { required: ['url'] })
    .optional()
    .describe('Its url is that of a front end’s MySQL port, with the database: mysql://user@host:9030/erp.'),
  table: tableName(/^[^.]+(\.[^.]+)?$/, 'a table such as cdc_canary or erp.cdc_canary')
    .default('cdc_canary')
    .describe('Table where the canaries arrive, with its database where it is another one.'),
  columns: keys({ id: column('id'), sequence: column('sequence') })
    .prefault({})
    .describe('How that table calls its columns.'),
}).refine(({ clickhouse, starrocks }) => (clickhouse === undefined) !== (starrocks === undefined), {
  error: 'give clickhouse or starrocks, one of them',
})

export const settings = keys({
  source: source.describe('Where a canary is written.'),
  sink: sink.describe('Where it is looked for.'),
  name: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe(
      'Begins the ids of the canaries; the target where absent. Of two daemons that write to one table each needs its own.',
    ),
  tenant: z.string().default('').describe('Label tenant of the series.'),
  watch: duration()
    .default(15_000)
    .describe('How long a run looks for the canary that it wrote; the next run looks for it again.'),
  late_after: duration()
    .default(60_000)
    .describe('A canary that is not at the sink after this is late, and the sink not fresh.'),
  lost_after: duration()
    .default(900_000)
    .describe('One that is not there after this is lost, and looked for no more.'),
  statement_timeout: duration().default(5_000).describe('What one statement may take on either side.'),
}).superRefine(({ late_after, lost_after }, context) => {
  if (lost_after > late_after) return
  context.addIssue({ code: 'custom', path: ['lost_after'], message: 'expected more than late_after' })
})

export type Settings = z.output<typeof settings>

/** Milliseconds that a run may spend looking: the last look begins when the watch ends. */
export const longestWait = ({ watch, statement_timeout }: Settings): number => watch + statement_timeout

/** What names the table in the series: its own name, without the schema. */
export const tableLabel = ({ source }: Settings): string => source.table.split('.').at(-1) ?? ''
