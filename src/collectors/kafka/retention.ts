import type { KafkaPass } from '../../clients/kafka/reader.ts'

/** What a topic does with old records; undefined where it keeps them, or may not be asked. */
export interface Retention {
  readonly milliseconds: number | undefined
  /** Of each partition. */
  readonly bytes: number | undefined
  /** Records are replaced by newer ones with the same key: offsets may be missing. */
  readonly compacted: boolean
}

/** Settings change seldom, and a request for those of all topics is large. */
const ASK_EVERY_MS = 10 * 60_000

const KEPT_FOR_EVER: Retention = { milliseconds: undefined, bytes: undefined, compacted: false }

/** The retention of topics, asked for when a topic is new and every ten minutes. */
export class Retentions {
  #known = new Map<string, Retention>()
  #askedAt = Number.NEGATIVE_INFINITY

  of(topic: string): Retention {
    return this.#known.get(topic) ?? KEPT_FOR_EVER
  }

  /** A topic that got no answer keeps what was known of it; one of which nothing is known is asked for next time. */
  async refresh(
    pass: Pick<KafkaPass, 'topicConfigs'>,
    topics: readonly string[],
    now: number,
  ): Promise<void> {
    const isDue = now - this.#askedAt >= ASK_EVERY_MS
    const wanted = isDue ? topics : topics.filter((topic) => !this.#known.has(topic))
    if (wanted.length === 0) return
    const configs = await pass.topicConfigs(wanted, ['cleanup.policy', 'retention.ms', 'retention.bytes'])
    if (isDue) {
      this.#askedAt = now
      const present = new Set(topics)
      for (const topic of this.#known.keys()) if (!present.has(topic)) this.#known.delete(topic)
    }
    for (const [topic, settings] of configs) this.#known.set(topic, retentionOf(settings))
  }
}

function retentionOf(settings: ReadonlyMap<string, string> | undefined): Retention {
  if (!settings) return KEPT_FOR_EVER
  const policy = (settings.get('cleanup.policy') ?? 'delete').split(',')
  const deletes = policy.includes('delete')
  const limit = (key: string) => {
    const value = Number(settings.get(key) ?? -1)
    return deletes && value > 0 ? value : undefined
  }
  return {
    milliseconds: limit('retention.ms'),
    bytes: limit('retention.bytes'),
    compacted: policy.includes('compact'),
  }
}
