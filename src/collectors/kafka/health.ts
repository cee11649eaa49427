import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  brokers: z.number().optional(),
  topics: z.number(),
  consumer_groups: z.record(z.string(), z.number()).describe('How many are in each state.'),
  offline_partitions: z.number().describe('Without a leader.'),
  under_replicated_partitions: z.number(),
  dead_letters: z
    .array(z.object({ topic: z.string(), messages: z.number() }))
    .describe('The 100 dead-letter topics that have most.'),
})

/** Reads nothing that is there for each partition or pair of group and topic. */
export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const offline = last.sum(metrics.topicOffline) ?? 0
  const under = last.sum(metrics.topicUnderReplicated) ?? 0
  const letters = [...last.samples(metrics.dlqMessages)].map(({ labels: { topic }, value }) => ({
    topic,
    messages: value,
  }))
  return {
    details: {
      brokers: last.value(metrics.brokers),
      topics: last.count(metrics.topicOffline),
      consumer_groups: last.states(metrics.groupState),
      offline_partitions: offline,
      under_replicated_partitions: under,
      dead_letters: letters.toSorted((a, b) => b.messages - a.messages).slice(0, MOST_LISTED),
    },
    problems: [
      ...(offline > 0 ? [`${offline} partitions have no leader`] : []),
      ...(under > 0 ? [`${under} partitions are under-replicated`] : []),
    ],
  }
}
