import { z } from 'zod'
import { integer, pattern, settings, size } from '../../config/fields.ts'
import { DEAD_LETTER_NAMES, kafkaConnection, tablePattern } from '../../config/kafka.ts'

const namesTable = ({ match }: { readonly match: RegExp }) => match.source.includes('(?<table>')

const topicRule = settings({ match: tablePattern() }).refine(namesTable, {
  path: ['match'],
  error: 'needs the named group table',
})

const jobRule = settings({
  match: tablePattern(),
  tables: z
    .array(z.string().min(1))
    .default([])
    .describe('Tables that the job writes, where its name does not say so.'),
}).refine((rule) => namesTable(rule) !== rule.tables.length > 0, {
  path: ['tables'],
  error: 'give tables, or the named group table in match',
})

export const syncSettings = settings({
  ...kafkaConnection,
  groups: z
    .array(pattern())
    .min(1)
    .describe('Consumer groups of the sink: what all of them that read a topic have committed is processed.'),
  topics: z.array(topicRule).min(1).describe('Topics of tables; the first rule that matches counts.'),
  dead_letters: z
    .array(settings({ match: tablePattern() }))
    .prefault([{ match: DEAD_LETTER_NAMES }])
    .describe(
      'Dead-letter topics, besides those that sink connectors name in errors.deadletterqueue.topic.name. The named groups give the table of a record whose headers do not tell its topic.',
    ),
  read: settings({
    records: integer(0)
      .default(20_000)
      .describe(
        'Records that are read in a run, the newest of each partition; older ones count as unknown. 0: none, and every record is unknown.',
      ),
    bytes: size()
      .default(16 * 1024 * 1024)
      .describe('Bytes that are fetched in a run; what is beyond counts as unknown.'),
  })
    .prefault({})
    .describe('Bounds on reading, which needs READ on the topics.'),
  targets: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      'Targets of the kafka, connect, flink and starrocks collectors of this pipeline, whose series are used; the collector’s own where absent.',
    ),
  jobs: z
    .array(jobRule)
    .default([])
    .describe('Which tables a Flink job writes, by its name; the first rule that matches counts.'),
})

export type SyncSettings = z.output<typeof syncSettings>
