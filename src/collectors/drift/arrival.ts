import { parseAddress } from '../../clients/kafka/connection.ts'
import { type KafkaPass, KafkaReader, type Offsets } from '../../clients/kafka/reader.ts'
import { securityOf } from '../../clients/kafka/security.ts'
import type { Clock } from '../../clock.ts'
import type { Settings } from './config.ts'
import { nameOf, type Pair } from './pairs.ts'
import type { Source } from './source.ts'

const POLL = 500

export type KafkaSettings = NonNullable<Settings['kafka']>

/** What was read at the source, and where the WAL was then. */
export interface Read {
  readonly pair: Pair
  readonly position: bigint
}

interface Arrivals<R extends Read> {
  readonly arrived: readonly R[]
  /** What did not come in time, and why; where Kafka was not to be read at all, that is the cause. */
  readonly late: readonly { readonly read: R; readonly cause: Error }[]
}

/** Knows when what was read at the source has to be in the sink. */
export interface Arrival {
  /** Resolves when all has arrived, or the time is over. */
  wait<R extends Read>(reads: readonly R[], source: Source, signal: AbortSignal): Promise<Arrivals<R>>
  /**
   * The same for what may be of any table: of every topic that the group reads all has arrived. Resolves to why
   * not, where the time was over before.
   */
  waitForAll(position: bigint, source: Source, signal: AbortSignal): Promise<Error | undefined>
  close(): void
}

export const groupReader = (kafka: KafkaSettings, clock: Clock): KafkaReader =>
  new KafkaReader({
    seeds: kafka.brokers.map(parseAddress),
    security: securityOf(kafka, kafka.broker_timeout, clock),
    brokerTimeout: kafka.broker_timeout,
  })

/**
 * The connector has confirmed the position: all up to it is in the topics. Then the ends of the topics are
 * noted, and the group has committed them: all of it is in the sink. Offsets are read here and not taken from
 * the series of a kafka collector, since they have to be younger than the slot's answer, which no series says,
 * and by partition, which `granularity: topic` leaves out. Undefined without a slot.
 */
export function arrivalOf(
  { slot, slot_timeout, kafka }: Pick<Settings, 'slot' | 'slot_timeout' | 'kafka'>,
  clock: Clock,
): Arrival | undefined {
  if (slot === undefined) return undefined
  const reader = kafka && groupReader(kafka, clock)

  /** Asks until `isDone` or the time is over, and gives the last answer. */
  async function until<T>(
    timeout: number,
    ask: () => Promise<T>,
    isDone: (answer: T) => boolean,
    signal: AbortSignal,
  ): Promise<T> {
    const deadline = clock.monotonic() + timeout
    for (;;) {
      const answer = await ask()
      if (isDone(answer) || clock.monotonic() >= deadline) return answer
      await clock.sleep(POLL, signal)
    }
  }

  async function confirmedAfter(position: bigint, source: Source, signal: AbortSignal): Promise<bigint> {
    return await until(
      slot_timeout,
      () => source.confirmedPosition(slot ?? '', signal),
      (confirmed) => position <= confirmed,
      signal,
    )
  }

  const behindSlot = (position: bigint, confirmed: bigint) =>
    new Error(`the replication slot ${slot} is ${position - confirmed} bytes behind what was read`)

  /** Why the group has not taken what the topics hold by now, for each of which it has not in time. */
  async function behindGroup(
    { group, timeout }: KafkaSettings,
    reader: KafkaReader,
    pass: KafkaPass,
    topics: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Error>> {
    const ends = await pass.offsets((topic) => topics.has(topic), 'stable')
    return await until(
      timeout,
      async () => await behindOf(await reader.pass(signal), group, topics, ends),
      (behind) => behind.size === 0,
      signal,
    )
  }

  async function passedGroup<R extends Read>(reads: readonly R[], signal: AbortSignal): Promise<Arrivals<R>> {
    if (!kafka || !reader || reads.length === 0) return { arrived: reads, late: [] }
    const topics = new Map(reads.map((read) => [read, nameOf(kafka.topic, read.pair)]))
    const wanted = new Set(topics.values())
    const behind = await behindGroup(kafka, reader, await reader.pass(signal), wanted, signal)
    const causeOf = (read: R) => behind.get(topics.get(read) ?? '')
    return {
      arrived: reads.filter((read) => causeOf(read) === undefined),
      late: reads.flatMap((read) => {
        const cause = causeOf(read)
        return cause === undefined ? [] : [{ read, cause }]
      }),
    }
  }

  return {
    async wait<R extends Read>(reads: readonly R[], source: Source, signal: AbortSignal) {
      const furthest = reads.reduce((most, { position }) => (position > most ? position : most), 0n)
      const confirmed = await confirmedAfter(furthest, source, signal)
      const late = reads
        .filter(({ position }) => position > confirmed)
        .map((read) => ({ read, cause: behindSlot(read.position, confirmed) }))
      const inTopics = await passedGroup(
        reads.filter(({ position }) => position <= confirmed),
        signal,
      )
      return { arrived: inTopics.arrived, late: [...late, ...inTopics.late] }
    },
    async waitForAll(position, source, signal) {
      const confirmed = await confirmedAfter(position, source, signal)
      if (confirmed < position) return behindSlot(position, confirmed)
      if (!kafka || !reader) return undefined
      const pass = await reader.pass(signal)
      const { groups, failed } = await pass.groups((name) => name === kafka.group)
      const [reading] = groups
      if (!reading) return unread(kafka.group, failed)
      // What it has committed outlives a topic that was deleted.
      const there = new Set(pass.metadata.topics.map(({ name }) => name))
      const topics = new Set(reading.committed.topics.filter((topic) => there.has(topic)))
      const behind = await behindGroup(kafka, reader, pass, topics, signal)
      return behind.values().next().value
    },
    close: () => reader?.close(),
  }
}

function unread(group: string, failed: ReadonlyMap<string, unknown>): Error {
  const cause = failed.get(group)
  const why = cause === undefined ? 'is not there' : 'could not be read'
  return new Error(`the consumer group ${group} ${why}`, { cause })
}

/** Why the group has not taken all up to `ends`, for each topic of which it has not. */
async function behindOf(
  pass: KafkaPass,
  group: string,
  topics: ReadonlySet<string>,
  ends: Offsets,
): Promise<Map<string, Error>> {
  const { groups, failed } = await pass.groups((name) => name === group)
  const behind = new Map<string, Error>()
  const reading = groups[0]
  const committed = new Map(
    reading?.committed.topics.map((topic, index) => [topic, new Map(reading.committed.of(index))]),
  )
  for (const topic of topics) {
    const end = ends.get(topic)
    if (!end) behind.set(topic, new Error(`the topic ${topic} is not there`))
    else if (!reading) {
      behind.set(topic, unread(group, failed))
    } else {
      let records = 0
      for (const [partition, offset] of end.entries()) {
        // An empty partition has nothing to commit; NaN is unknown, and so not reached.
        if (offset === 0) continue
        const left = offset - (committed.get(topic)?.get(partition) ?? 0)
        records += left > 0 || Number.isNaN(left) ? left : 0
      }
      if (records !== 0) {
        const count = Number.isNaN(records) ? 'an unknown number of' : records
        behind.set(topic, new Error(`the consumer group ${group} is ${count} records behind in ${topic}`))
      }
    }
  }
  return behind
}
