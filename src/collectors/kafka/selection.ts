import { tableByRule } from '../../config/kafka.ts'
import type { KafkaSettings } from './config.ts'

/** What the configuration says of topics and groups by their names; each name is matched once. */
export interface Selection {
  topic(name: string): boolean
  group(name: string): boolean
  about(topic: string): TopicFacts
}

/** Empty where no rule gives it. */
interface TopicFacts {
  readonly tenant: string
  readonly table: string
  readonly team: string
  /** Messages. */
  readonly lagThreshold: number
}

export function selection(settings: KafkaSettings): Selection {
  const allows = (name: string, allow: readonly RegExp[], deny: readonly RegExp[]) =>
    (allow.length === 0 || allow.some((pattern) => pattern.test(name))) &&
    !deny.some((pattern) => pattern.test(name))
  return {
    topic: remembered(
      (name) =>
        (settings.internal_topics || !name.startsWith('__')) &&
        allows(name, settings.allow_topics, settings.deny_topics),
    ),
    group: remembered((name) => allows(name, settings.allow_groups, settings.deny_groups)),
    about: remembered((topic) => {
      const { tenant = '', table = '', rule } = tableByRule(settings.topics, topic) ?? {}
      return {
        tenant,
        table,
        team: rule?.team ?? '',
        lagThreshold: rule?.lag_threshold ?? settings.lag_threshold,
      }
    }),
  }
}

/** Names come and go; beyond this many the memory begins anew. */
const REMEMBERED = 100_000

function remembered<T>(decide: (name: string) => T): (name: string) => T {
  const known = new Map<string, T>()
  return (name) => {
    const before = known.get(name)
    if (before !== undefined) return before
    const decided = decide(name)
    if (known.size >= REMEMBERED) known.clear()
    known.set(name, decided)
    return decided
  }
}
