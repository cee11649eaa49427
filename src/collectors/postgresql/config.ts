import { z } from 'zod'
import { integer, settings as object, settingsWithSecrets } from '../../config/fields.ts'
import { DROPPABLE_LABELS } from './activity.ts'

const tables = () => z.array(z.string().regex(/^[^.].*\../, 'expected schema.table, with * for any text'))

const publication = object({
  name: z.string().min(1).describe('Of a publication in the database of url.'),
  tables: tables()
    .min(1)
    .describe(
      'Tables expected in it, as schema.table with * for any text: erp.* are all tables of a schema. One without * is missing also while there is no such table.',
    ),
  except: tables().default([]).describe('Tables that are not expected in it, in the same form.'),
})

export const settings = settingsWithSecrets(
  {
    activity_labels: z
      .array(z.enum(DROPPABLE_LABELS))
      .default([...DROPPABLE_LABELS])
      .describe('Labels of pg_stat_activity_… besides datname and state; the others are empty.'),
    activity_groups: integer(1)
      .default(500)
      .describe(
        'Combinations of labels in pg_stat_activity_… at the most: the rest, with the fewest sessions, is one series for each database and state, without the other labels.',
      ),
    publications: z
      .array(publication)
      .default([])
      .describe('Publications that are looked at for tables that they miss.'),
    statements: integer(0)
      .default(0)
      .describe(
        'Statements in pg_stat_statements_…, those that took the longest in all. It needs the extension.',
      ),
    user_tables: integer(0)
      .default(0)
      .describe('Tables in pg_stat_user_tables_…, the largest of the database of url.'),
    pgbouncer: settingsWithSecrets({}, { required: ['url'] })
      .optional()
      .describe('Admin console of a PgBouncer, such as postgresql://stats@localhost:6432/pgbouncer.'),
  },
  { required: ['url'] },
)

export type Settings = z.output<typeof settings>
