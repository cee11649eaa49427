import { z } from 'zod'
import type { KeptState } from '../../collection/collector.ts'
import type { NamedTable } from '../../config/kafka.ts'
import { Distribution } from '../../metrics/distribution.ts'
import * as metrics from './metrics.ts'

/** How far a topic has been read. */
export interface Position {
  /** Changes when a topic is deleted and made anew; empty where the cluster gives none. */
  readonly id: string
  /** By partition: the offset to read on at; null where reading has not begun. */
  readonly next: (number | null)[]
}

/** What was counted of a table. */
export interface Table extends NamedTable {
  /** By operation. */
  readonly processed: Map<string, number>
  /** By type of error. */
  readonly failed: Map<string, number>
  /** By operation. */
  readonly latency: Map<string, Distribution>
  readonly batchSize: Distribution
  readonly checkpoints: { completed: number; failed: number }
}

const counts = z.record(z.string(), z.number())
const distribution = z.object({ counts: z.array(z.number()), sum: z.number() })
const gone = z.object({ goneSince: z.number().optional() })

const keptPosition = gone.extend({ id: z.string(), next: z.array(z.number().nullable()) })
const keptTable = gone.extend({
  tenant: z.string(),
  table: z.string(),
  processed: counts,
  failed: counts,
  latency: z.record(z.string(), distribution),
  batchSize: distribution,
  checkpoints: z.object({ completed: z.number(), failed: z.number() }),
})
const keptCounter = gone.extend({ last: z.number() })

/** What the cluster lacks may come back, as after the start of a broker; after this it is forgotten. */
const FORGET_AFTER_MS = 7 * 86_400_000

interface Entry<T> {
  readonly value: T
  /** Wall milliseconds; undefined for what is there. */
  goneSince: number | undefined
}

/**
 * What has been counted, and up to where: kept together, so that nothing is counted twice or left out by a restart.
 * Changes are kept by `save`.
 */
export class Ledger {
  readonly #state: KeptState
  readonly #rules: string
  readonly #positions = new Map<string, Entry<Position>>()
  readonly #tables = new Map<string, Entry<Table>>()
  /** The last value of a counter of another collector. */
  readonly #counters = new Map<string, Entry<{ last: number }>>()
  readonly #changed = new Set<string>()
  #continues = false

  /** `rules`: what decides which topics are followed. */
  constructor(state: KeptState, rules: string) {
    this.#state = state
    this.#rules = rules
  }

  /** Whether the topics of before were followed by the same rules: one that is not known is new then. */
  get continues(): boolean {
    return this.#continues
  }

  /** What does not read as it was written, by another version, is forgotten. */
  load(): void {
    for (const [key, kept] of this.#state.load()) {
      const name = key.slice(key.indexOf(' ') + 1)
      if (key === 'rules') this.#continues = kept === this.#rules
      else if (key.startsWith('position ')) {
        const { success, data } = keptPosition.safeParse(kept)
        if (success) this.#positions.set(name, { value: data, goneSince: data.goneSince })
      } else if (key.startsWith('counter ')) {
        const { success, data } = keptCounter.safeParse(kept)
        if (success) this.#counters.set(name, { value: data, goneSince: data.goneSince })
      } else if (key.startsWith('table ')) {
        const { success, data } = keptTable.safeParse(kept)
        if (success) this.#tables.set(name, { value: tableOf(data), goneSince: data.goneSince })
      }
    }
  }

  /** The position of a topic, begun if this is the first that is heard of it, and anew if it was made anew. */
  position(topic: string, id: string, partitions: number): Position {
    const known = this.#positions.get(topic)
    if (known?.value.id === id && known.value.next.length >= partitions) return known.value
    // All that is in a partition that is new, or in a topic made anew, was written meanwhile.
    const first = known || this.#continues ? 0 : null
    const before = known?.value.id === id ? known.value.next : []
    const more = Math.max(0, partitions - before.length)
    const value = { id, next: [...before, ...new Array<number | null>(more).fill(first)] }
    this.#positions.set(topic, { value, goneSince: undefined })
    this.#touch(`position ${topic}`)
    return value
  }

  move(topic: string, partition: number, offset: number): void {
    const position = this.#positions.get(topic)?.value
    if (!position || position.next[partition] === offset) return
    position.next[partition] = offset
    this.#touch(`position ${topic}`)
  }

  find(table: NamedTable): Table | undefined {
    return this.#tables.get(nameOf(table))?.value
  }

  /** All of which something is known. */
  get tables(): readonly Table[] {
    return [...this.#tables.values()].map(({ value }) => value)
  }

  /** To be changed. */
  table(table: NamedTable): Table {
    const name = nameOf(table)
    this.#touch(`table ${name}`)
    const known = this.#tables.get(name)
    if (known) return known.value
    const value = tableOf(table)
    this.#tables.set(name, { value, goneSince: undefined })
    return value
  }

  /** By how much another collector's counter has grown since it was last seen; a reset begins at 0. */
  grown(counter: string, value: number): number {
    const known = this.#counters.get(counter)
    const { last } = known?.value ?? { last: 0 }
    if (known && last === value) return 0
    this.#counters.set(counter, { value: { last: value }, goneSince: undefined })
    this.#touch(`counter ${counter}`)
    return value >= last ? value - last : value
  }

  /** Takes note of what is there, and forgets what has not been for long. `now` in wall milliseconds. */
  sweep(
    is: {
      topic(name: string): boolean
      table(table: NamedTable): boolean
      counter(name: string): boolean
    },
    now: number,
  ): void {
    this.#sweep('position', this.#positions, (name) => is.topic(name), now)
    this.#sweep('table', this.#tables, (_, table) => is.table(table), now)
    this.#sweep('counter', this.#counters, (name) => is.counter(name), now)
  }

  #sweep<T>(
    kind: string,
    entries: Map<string, Entry<T>>,
    isThere: (name: string, value: T) => boolean,
    now: number,
  ): void {
    for (const [name, entry] of entries) {
      const since = isThere(name, entry.value) ? undefined : (entry.goneSince ?? now)
      if (since !== entry.goneSince) this.#touch(`${kind} ${name}`)
      entry.goneSince = since
      if (since === undefined || now - since < FORGET_AFTER_MS) continue
      entries.delete(name)
      this.#touch(`${kind} ${name}`)
    }
  }

  #touch(key: string): void {
    this.#changed.add(key)
  }

  /** Keeps what has changed. */
  save(): void {
    if (!this.#continues) this.#touch('rules')
    this.#continues = true
    this.#state.save(new Map([...this.#changed].map((key) => [key, this.#kept(key)])))
    this.#changed.clear()
  }

  #kept(key: string): unknown {
    if (key === 'rules') return this.#rules
    const name = key.slice(key.indexOf(' ') + 1)
    const position = this.#positions.get(name)
    const table = this.#tables.get(name)
    const counter = this.#counters.get(name)
    if (key.startsWith('position ')) return position && { ...position.value, goneSince: position.goneSince }
    if (key.startsWith('counter ')) return counter && { ...counter.value, goneSince: counter.goneSince }
    if (!table) return undefined
    const { processed, failed, latency, batchSize, ...rest } = table.value
    return {
      ...rest,
      processed: Object.fromEntries(processed),
      failed: Object.fromEntries(failed),
      latency: Object.fromEntries([...latency].map(([operation, each]) => [operation, each.toJSON()])),
      batchSize: batchSize.toJSON(),
      goneSince: table.goneSince,
    }
  }
}

/** As JSON: no two tables have the same. */
export const nameOf = ({ tenant, table }: NamedTable): string => JSON.stringify([tenant, table])

function tableOf(kept: NamedTable & Partial<z.output<typeof keptTable>>): Table {
  const { tenant, table, processed = {}, failed = {}, latency = {}, batchSize, checkpoints } = kept
  return {
    tenant,
    table,
    processed: new Map(Object.entries(processed)),
    failed: new Map(Object.entries(failed)),
    latency: new Map(
      Object.entries(latency).map(([operation, each]) => [
        operation,
        new Distribution(metrics.latency.buckets, each),
      ]),
    ),
    batchSize: new Distribution(metrics.batchSize.buckets, batchSize),
    checkpoints: { ...(checkpoints ?? { completed: 0, failed: 0 }) },
  }
}
