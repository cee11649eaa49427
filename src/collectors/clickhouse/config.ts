import { z } from 'zod'
import { clickhouseConnection, clickhouseSecrets } from '../../config/clickhouse.ts'
import { duration, integer, settings as keys, pattern, settingsWithSecrets } from '../../config/fields.ts'

const patterns = () => z.array(pattern()).default([])

const watched = keys({
  table: z
    .string()
    .regex(/^[^.]+\..+$/, { error: 'expected database.table, such as erp.journals' })
    .describe('As database.table.'),
  deleted: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Column that is 0 for a row and not 0 for one that is deleted: clickhouse_table_deleted_ratio.',
    ),
})

export type WatchedTable = z.output<typeof watched>

export const settings = settingsWithSecrets(
  {
    ...clickhouseConnection,
    allow_tables: patterns().describe(
      'Only tables whose database.table one of these matches; all where empty.',
    ),
    deny_tables: patterns().describe('No table whose database.table one of these matches.'),
    max_tables: integer(1)
      .default(10_000)
      .describe('Of the tables chosen the largest this many have series, by bytes on disk.'),
    watch: z
      .array(watched)
      .default([])
      .describe('Tables of a MergeTree that are read as a whole, for duplicate and deleted rows.'),
    watch_interval: duration()
      .default(600_000)
      .describe('Between two looks at a watched table; the runs in between tell the last one.'),
    watch_timeout: duration()
      .default(5_000)
      .describe(
        'What one look may take. A run begins none after this time, so its timeout has to be above the double.',
      ),
    watch_max_rows: integer(1).default(50_000_000).describe('A watched table with more rows is not read.'),
  },
  clickhouseSecrets,
).superRefine(({ watch }, context) => {
  const names = watch.map(({ table }) => table)
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) < index) {
      context.addIssue({
        code: 'custom',
        path: ['watch', index, 'table'],
        message: `${name} is there already`,
      })
    }
  }
})

export type Settings = z.output<typeof settings>
