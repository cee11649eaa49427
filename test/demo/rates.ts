import type { Scrape } from './scrape.ts'

/** Rows per second, by topic, and by group and topic; undefined until Kafka was collected twice. */
export interface Rates {
  produced(topic: string): number | undefined
  consumed(group: string, topic: string): number | undefined
}

/** Offsets of one collection, and when it began. */
interface Offsets {
  readonly seconds: number
  readonly byKey: ReadonlyMap<string, number>
}

/** Gives the rates between the last two collections that it was shown; many scrapes may show the same. */
export function rateMeter(): (scrape: Scrape) => Rates {
  let before: Offsets | undefined
  let latest: Offsets | undefined
  return (scrape) => {
    const offsets = offsetsOf(scrape)
    if (offsets && offsets.seconds !== latest?.seconds) {
      before = latest
      latest = offsets
    }
    const rate = (key: string) => {
      const from = before?.byKey.get(key)
      const to = latest?.byKey.get(key)
      if (before === undefined || latest === undefined || from === undefined || to === undefined)
        return undefined
      return (to - from) / (latest.seconds - before.seconds)
    }
    return { produced: rate, consumed: (group, topic) => rate(JSON.stringify([group, topic])) }
  }
}

function offsetsOf(scrape: Scrape): Offsets | undefined {
  const seconds = scrape.value('cdc_collector_last_success_timestamp_seconds', { collector: 'kafka' })
  if (seconds === undefined) return undefined
  const byKey = new Map<string, number>()
  for (const { labels, value } of scrape.of('kafka_topic_partition_current_offset'))
    byKey.set(labels.topic ?? '', (byKey.get(labels.topic ?? '') ?? 0) + value)
  for (const { labels, value } of scrape.of('kafka_consumergroup_current_offset_sum'))
    byKey.set(JSON.stringify([labels.consumergroup, labels.topic]), value)
  return { seconds, byKey }
}
