import { parseAddress } from '../../clients/kafka/connection.ts'
import { type KafkaPass, KafkaReader, type Offsets } from '../../clients/kafka/reader.ts'
import { securityOf } from '../../clients/kafka/security.ts'
import type { Clock } from '../../clock.ts'
import type { Settings } from './config.ts'
import { nameOf, type Pair } from './pairs.ts'
import type { Source } from './source.ts'

const POLL = 500

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
  close(): void
}

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
  const reader =
    kafka &&
    new KafkaReader({
      seeds: kafka.brokers.map(parseAddress),
      security: securityOf(kafka, kafka.broker_timeout, clock),
      brokerTimeout: kafka.broker_timeout,
    })

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

  async function passedGroup<R extends Read>(reads: readonly R[], signal: AbortSignal): Promise<Arrivals<R>> {
    if (!kafka || !reader || reads.length === 0) return { arrived: reads, late: [] }
    const topics = new Map(reads.map((read) => [read, nameOf(kafka.topic, read.pair)]))
    const wanted = new Set(topics.values())
    const first = await reader.pass(signal)
    const ends = await first.offsets((topic) => wanted.has(topic), 'stable')
    let behind = new Map<string, Error>()
    await until(
      kafka.timeout,
      async () => {
        behind = await behindOf(await reader.pass(signal), kafka.group, wanted, ends)
      },
      () => behind.size === 0,
      signal,
    )
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
      const confirmed = await until(
        slot_timeout,
        () => source.confirmedPosition(slot, signal),
        (confirmed) => reads.every(({ position }) => position <= confirmed),
        signal,
      )
      const late = reads
        .filter(({ position }) => position > confirmed)
        .map((read) => ({
          read,
          cause: new Error(
            `the replication slot ${slot} is ${read.position - confirmed} bytes behind what was read`,
          ),
        }))
      const inTopics = await passedGroup(
        reads.filter(({ position }) => position <= confirmed),
        signal,
      )
      return { arrived: inTopics.arrived, late: [...late, ...inTopics.late] }
    },
    close: () => reader?.close(),
  }
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
    reading?.topics.map(({ topic, partitions, offsets }) => [
      topic,
      new Map(partitions.map((partition, i) => [partition, offsets[i]])),
    ]),
  )
  for (const topic of topics) {
    const end = ends.get(topic)
    if (!end) behind.set(topic, new Error(`the topic ${topic} is not there`))
    else if (!reading) {
      const cause = failed.get(group)
      const why = cause === undefined ? 'is not there' : 'could not be read'
      behind.set(topic, new Error(`the consumer group ${group} ${why}`, { cause }))
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
