import { errorName } from '../../clients/kafka/connection.ts'
import { DEAD_LETTER_HEADERS, readDeadLetter } from '../../clients/kafka/dead-letter.ts'
import { type KafkaPass, OffsetQuestions, type Offsets } from '../../clients/kafka/reader.ts'
import {
  type FetchedPartition,
  fetchRecords,
  type RecordBatch,
  readRecords,
  recordBatches,
} from '../../clients/kafka/records.ts'
import { GREATEST } from '../../clients/kafka/requests.ts'
import { isTurnOver, nextTurn } from '../../clock.ts'
import type { CollectorContext, SampleBatch } from '../../collection/collector.ts'
import type { KafkaSettings } from './config.ts'
import * as metrics from './metrics.ts'

/** What a pass found of the topics' logs. */
interface Reading {
  readonly pass: KafkaPass
  readonly starts: Offsets
  readonly ends: Offsets
  /** Where records end whose transactions are decided. */
  readonly stable: Offsets
}

/** One dead-letter topic, as it is now and as it is remembered. Lists are by partition. */
interface Topic {
  readonly name: string
  /** Undefined where the cluster gives none. */
  readonly id: string | undefined
  /** -1 for none. */
  readonly leaders: readonly number[]
  /** Where to read on; NaN where reading has not begun. */
  readonly next: number[]
  readonly newest: (Newest | undefined)[]
  /** By class and connector. */
  readonly errors: Map<string, { readonly exceptionClass: string; readonly connector: string; count: number }>
}

/** The greatest timestamp of a partition whose log was like this. */
interface Newest {
  readonly start: number
  readonly end: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
}

/** A stretch of a partition that this pass reads. */
interface Stretch {
  readonly topic: string
  readonly partition: number
  readonly leader: number
  readonly offset: number
  readonly end: number
}

/** Says which connector writes its dead letters where; see the connect collector. */
const CONNECTOR_TOPICS = 'kafka_connect_connector_topic_info'

/** Different pairs of class and connector of a topic; the rest is `other`. */
const MOST_ERRORS = 100

/** A record with its trace in the headers may well have 10 kB. */
const LIMITS = { partitionBytes: 1024 * 1024, totalBytes: 4 * 1024 * 1024 }

export const isDeadLetterTopic = (name: string, match: readonly RegExp[]): boolean =>
  match.some((pattern) => pattern.test(name))

/**
 * Depth, age and errors of dead-letter topics. Reads a bounded sample of their records and only the headers
 * of these; joins no group and commits nothing, so it forgets at its end how far it has read.
 */
export class DeadLetters {
  readonly #settings: KafkaSettings['dead_letters']
  readonly #samples: CollectorContext['samples']
  readonly #known = new Map<string, Topic>()

  constructor(settings: KafkaSettings['dead_letters'], samples: CollectorContext['samples']) {
    this.#settings = settings
    this.#samples = samples
  }

  /** Writes the series of every dead-letter topic that is `wanted`. `now` in wall milliseconds. */
  async collect(
    batch: SampleBatch,
    reading: Reading,
    wanted: (topic: string) => boolean,
    now: number,
  ): Promise<void> {
    const topics = this.#find(reading.pass, wanted)
    for (const topic of topics) writeDepth(batch, topic, reading)
    await askForNewest(batch, topics, reading)
    for (const topic of topics) writeAge(batch, topic, reading, now)
    if (this.#settings.sample === 0) return
    // One after the other: a hundred flooded topics at once would need a hundred times the memory.
    for (const topic of topics) {
      await readOn(batch, topic, reading, this.#settings.sample)
      for (const { exceptionClass, connector, count } of topic.errors.values()) {
        batch.add(metrics.dlqErrors, { topic: topic.name, exception_class: exceptionClass, connector }, count)
      }
    }
  }

  /** In the order of the metadata. Forgets topics that the cluster does not have any more. */
  #find({ metadata }: KafkaPass, wanted: (topic: string) => boolean): Topic[] {
    const named = new Set(
      this.#samples(CONNECTOR_TOPICS)
        .filter(({ labels }) => labels.role === 'dead_letter')
        .map(({ labels }) => labels.topic),
    )
    const present = new Set(metadata.topics.map(({ name }) => name))
    for (const name of this.#known.keys()) if (!present.has(name)) this.#known.delete(name)
    const topics: Topic[] = []
    for (const { name, id, error, partitions } of metadata.topics) {
      if (error !== 0 || !wanted(name)) continue
      if (!named.has(name) && !isDeadLetterTopic(name, this.#settings.match)) continue
      const known = this.#known.get(name)
      const isSame = known !== undefined && known.id === id
      const topic: Topic = {
        name,
        id,
        leaders: partitions.map(({ leader }) => leader),
        // All that is in a partition that is new, or in a topic made anew, was written meanwhile.
        next: partitions.map((_, i) => (isSame ? known.next[i] : undefined) ?? (known ? 0 : Number.NaN)),
        newest: isSame ? known.newest : [],
        errors: known?.errors ?? new Map(),
      }
      this.#known.set(name, topic)
      topics.push(topic)
    }
    return topics
  }
}

function writeDepth(batch: SampleBatch, { name: topic }: Topic, { starts, ends }: Reading): void {
  const end = sum(ends.get(topic))
  const messages = end - sum(starts.get(topic))
  // The collector says which partition is unknown.
  if (Number.isNaN(messages)) return
  batch.add(metrics.dlqMessages, { topic }, messages)
  batch.add(metrics.dlqRecords, { topic }, end)
}

/** NaN while a partition is unknown. */
const sum = (offsets: Float64Array | undefined): number =>
  offsets === undefined ? Number.NaN : offsets.reduce((total, offset) => total + offset, 0)

/** Of the partitions whose logs have changed. */
async function askForNewest(
  batch: SampleBatch,
  topics: readonly Topic[],
  { pass, starts, ends }: Reading,
): Promise<void> {
  const questions = new OffsetQuestions()
  const asked = new Map<string, { readonly of: Topic; leader: number; start: number; end: number }>()
  for (const of of topics) {
    for (const [partition, leader] of of.leaders.entries()) {
      const start = starts.get(of.name)?.[partition] ?? Number.NaN
      const end = ends.get(of.name)?.[partition] ?? Number.NaN
      const known = of.newest[partition]
      if (known?.start === start && known.end === end) continue
      of.newest[partition] = undefined
      if (!(start < end)) continue
      questions.add(of.name, partition, leader, GREATEST)
      asked.set(`${of.name}/${partition}`, { of, leader, start, end })
    }
  }
  await pass.answers(questions, (topic, partition, _, timestamp) => {
    const key = `${topic}/${partition}`
    const question = asked.get(key)
    if (!question) return
    const { of, start, end } = question
    of.newest[partition] = { start, end, timestamp }
    asked.delete(key)
  })
  for (const { of, leader } of asked.values()) {
    const cause = pass.failedBrokers.get(leader)
    // Without a cause it is a broker that does not know the question: before Kafka 3.0.
    if (cause !== undefined) batch.partFailed({ topic: of.name }, cause)
  }
}

function writeAge(
  batch: SampleBatch,
  { name: topic, leaders, newest }: Topic,
  { starts, ends }: Reading,
  now: number,
): void {
  let greatest = -1
  for (const partition of leaders.keys()) {
    const isEmpty = starts.get(topic)?.[partition] === ends.get(topic)?.[partition]
    const timestamp = isEmpty ? -1 : newest[partition]?.timestamp
    if (timestamp === undefined) return
    greatest = Math.max(greatest, timestamp)
  }
  if (greatest >= 0) batch.add(metrics.dlqNewestAge, { topic }, Math.max(0, now - greatest) / 1000)
}

async function readOn(batch: SampleBatch, topic: Topic, reading: Reading, sample: number): Promise<void> {
  const { pass } = reading
  const stretches = advance(topic, reading, sample)
  await Promise.all(
    [...Map.groupBy(stretches, ({ leader }) => leader)].map(async ([leader, list]) => {
      const fetched = await pass.ask(leader, fetchRecords(list, LIMITS))
      if (!fetched) batch.partFailed({ topic: topic.name }, pass.failedBrokers.get(leader))
      for (const answer of fetched ?? []) {
        const { partition, error } = answer
        const stretch = list.find((each) => each.partition === partition)
        if (error === 0 && stretch) await take(topic, stretch, answer)
        if (error === 0) continue
        const cause = `Kafka answered Fetch of partition ${partition} of ${topic.name} with ${errorName(error)}`
        batch.partFailed({ topic: topic.name }, new Error(cause))
      }
    }),
  )
}

/**
 * What this pass reads, `sample` records at most: the newest of what was not read. What lies before is counted
 * as unread, but for what was there before the first pass.
 */
function advance(topic: Topic, { starts, stable }: Reading, sample: number): Stretch[] {
  const open = topic.leaders.flatMap((leader, partition) => {
    const start = starts.get(topic.name)?.[partition] ?? Number.NaN
    const end = stable.get(topic.name)?.[partition] ?? Number.NaN
    if (Number.isNaN(start) || Number.isNaN(end)) return []
    // A position past the end: a leader was lost, and records with it.
    const next = Math.min(topic.next[partition] ?? Number.NaN, end)
    return [
      { topic: topic.name, partition, leader, next, offset: Math.min(Math.max(start, next || 0), end), end },
    ]
  })
  const total = open.reduce((records, { offset, end }) => records + end - offset, 0)
  return open.flatMap(({ next, ...stretch }) => {
    const length = stretch.end - stretch.offset
    const share = total <= sample ? length : Math.floor((length * sample) / total)
    const offset = stretch.end - share
    if (!Number.isNaN(next)) count(topic, 'unread', '', offset - next)
    topic.next[stretch.partition] = offset
    return share > 0 ? [{ ...stretch, offset }] : []
  })
}

/** Counts what was fetched of the stretch, and moves on behind it. */
async function take(topic: Topic, { partition, end }: Stretch, fetched: FetchedPartition): Promise<void> {
  for (const batch of recordBatches(fetched)) {
    const from = topic.next[partition] ?? 0
    // A fetch begins with the batch that holds its offset.
    if (batch.lastOffset < from) continue
    if (batch.firstOffset >= end) break
    if (batch.isCommitted) await countBatch(topic, batch, from, end)
    topic.next[partition] = Math.min(batch.lastOffset + 1, end)
    if (isTurnOver()) await nextTurn()
  }
}

async function countBatch(topic: Topic, batch: RecordBatch, from: number, to: number): Promise<void> {
  const records = await readRecords(batch, { from, to, headers: DEAD_LETTER_HEADERS })
  if (!records) {
    const offsets = Math.min(batch.lastOffset + 1, to) - Math.max(batch.firstOffset, from)
    count(topic, 'unread', '', Math.min(batch.count, offsets))
    return
  }
  for (const { headers } of records) {
    const { exceptionClass, connector } = readDeadLetter(headers)
    count(topic, exceptionClass ?? 'unknown', connector, 1)
  }
}

function count(topic: Topic, exceptionClass: string, connector: string, more: number): void {
  if (more <= 0) return
  const key = JSON.stringify([exceptionClass, connector])
  const known = topic.errors.get(key)
  // The two that may always be counted are ours, and have no connector.
  const isOurs = connector === '' && ['unread', 'other'].includes(exceptionClass)
  if (known) known.count += more
  else if (isOurs || topic.errors.size < MOST_ERRORS)
    topic.errors.set(key, { exceptionClass, connector, count: more })
  else count(topic, 'other', '', more)
}
