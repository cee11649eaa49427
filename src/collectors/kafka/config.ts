import { z } from 'zod'
import { boolean, integer, pattern, settings } from '../../config/fields.ts'
import { DEAD_LETTER_NAMES, kafkaConnection, tablePattern } from '../../config/kafka.ts'

const topicRule = settings({
  match: tablePattern(),
  team: z.string().optional().describe('Who must act; the label team of cdc_topic_info.'),
  lag_threshold: integer(0).optional().describe('Messages; beats the collector’s own.'),
})

const deadLetters = settings({
  match: z
    .array(pattern())
    .prefault([DEAD_LETTER_NAMES])
    .describe(
      'Topics that hold dead letters, besides those that sink connectors of this configuration name in errors.deadletterqueue.topic.name.',
    ),
  sample: integer(0)
    .default(500)
    .describe(
      'Records of a topic that are read in a pass for their exception class, the newest; the others count as unread. It needs READ on the topic. 0: none, and no kafka_dlq_errors_total.',
    ),
})

const patterns = () => z.array(pattern()).default([])

export const kafkaSettings = settings({
  ...kafkaConnection,
  granularity: z
    .enum(['partition', 'topic'])
    .default('partition')
    .describe(
      'topic: no series per partition, that is kafka_topic_partition_… , kafka_consumergroup_current_offset, _lag and _lag_seconds; the sums and the worst per topic stay.',
    ),
  topics: z
    .array(topicRule)
    .default([])
    .describe(
      'Rules that give a topic its tenant, table, team and threshold; the first that matches counts.',
    ),
  lag_threshold: integer(0)
    .default(10_000)
    .describe('kafka_consumergroup_lag_threshold where no rule gives another, in messages.'),
  allow_topics: patterns().describe('Only topics that one of these matches; all where empty.'),
  deny_topics: patterns().describe('No topic that one of these matches.'),
  allow_groups: patterns().describe('Only consumer groups that one of these matches; all where empty.'),
  deny_groups: patterns().describe('No consumer group that one of these matches.'),
  dead_letters: deadLetters
    .prefault({})
    .describe('Dead-letter topics, of those that allow_topics and deny_topics leave.'),
  internal_topics: boolean()
    .default(false)
    .describe('Also topics that Kafka marks internal, or that begin with __.'),
})

export type KafkaSettings = z.output<typeof kafkaSettings>
