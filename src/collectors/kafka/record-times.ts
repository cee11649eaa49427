import { type KafkaPass, OffsetQuestions, type Offsets } from '../../clients/kafka/reader.ts'
import { GREATEST } from '../../clients/kafka/requests.ts'
import { ANY_RECORD, Timeline } from './timeline.ts'

/** A partition whose records' times are wanted. */
export interface Place {
  readonly topic: TrackedTopic
  readonly partition: number
}

/** A topic's timelines, one for each partition that a group reads. */
export interface TrackedTopic {
  readonly name: string
  /** Changes when a topic is deleted and made anew. */
  readonly id: string | undefined
  readonly lines: (Timeline | undefined)[]
  readonly leaders: readonly number[]
  readonly compacted: boolean
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** How far back a partition of which nothing is known is asked for, all at once. */
const LADDER = [15 * SECOND, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 12 * HOUR, DAY, 7 * DAY]

/** After the ladder, so that the first answer is already a good one. */
const FIRST_ROUNDS = 4

/** Partitions in one round of questions. A question can cost the broker a whole batch to unpack. */
const MOST_QUESTIONS = 10_000

/** When the records of a cluster's partitions were written: kept from pass to pass, asked for where unknown. */
export class RecordTimes {
  #topics = new Map<string, TrackedTopic>()

  /** The topics of this pass. Those that are gone, or were made anew, are forgotten. */
  begin(metadata: KafkaPass['metadata'], wanted: Offsets, isCompacted: (topic: string) => boolean): void {
    const before = this.#topics
    this.#topics = new Map()
    for (const { name, id, partitions } of metadata.topics) {
      if (!wanted.has(name)) continue
      const known = before.get(name)
      const leaders: number[] = []
      for (const { partition, leader } of partitions) leaders[partition] = leader
      const same = known?.id === id ? known : undefined
      this.#topics.set(name, {
        // The same text object as in the labels of its series, which are then compared at a glance.
        name: known?.name ?? name,
        id,
        leaders,
        lines: same?.lines ?? [],
        compacted: isCompacted(name),
      })
    }
  }

  topic(name: string): TrackedTopic | undefined {
    return this.#topics.get(name)
  }

  /** Takes note of the ends of all partitions that somebody reads. */
  sample(ends: Offsets, now: number): void {
    for (const { name, lines } of this.#topics.values()) {
      const topicEnds = ends.get(name)
      for (let partition = 0; partition < lines.length; partition++) {
        const end = topicEnds?.[partition] ?? Number.NaN
        if (!Number.isNaN(end)) lines[partition]?.sample(end, now)
      }
    }
  }

  /**
   * For partitions of which too little is known for what is read there, as after a start: asks until enough is known.
   * `read` reads the time of every position.
   */
  async settle(
    pass: KafkaPass,
    unknown: readonly Place[],
    read: () => Promise<void>,
    now: number,
  ): Promise<void> {
    if (unknown.length === 0) return
    const partitions = unknown.slice(0, MOST_QUESTIONS)
    // One after the other: a broker answers a connection in turn, and all answers at once take the memory of all.
    for (const timestamp of [ANY_RECORD, GREATEST, ...LADDER.map((back) => now - back)]) {
      const asked = new Asked()
      for (const { topic, partition } of partitions) asked.add(topic, partition, timestamp)
      await this.#ask(pass, asked, now)
    }
    for (let round = 0; round < FIRST_ROUNDS; round++) {
      await read()
      if (!(await this.refine(pass, now))) return
    }
  }

  /**
   * One question for each partition of which a time was read that is not known well enough; false when there was
   * none.
   */
  async refine(pass: KafkaPass, now: number): Promise<boolean> {
    const asked = new Asked()
    for (const topic of this.#topics.values()) {
      const { lines, compacted } = topic
      for (
        let partition = 0;
        partition < lines.length && asked.questions.size < MOST_QUESTIONS;
        partition++
      ) {
        if ((topic.leaders[partition] ?? -1) < 0) continue
        const timestamp = lines[partition]?.question(now, compacted)
        if (timestamp !== undefined) asked.add(topic, partition, timestamp)
      }
    }
    if (asked.questions.size === 0) return false
    await this.#ask(pass, asked, now)
    return true
  }

  async #ask(pass: KafkaPass, asked: Asked, now: number): Promise<void> {
    await pass.answers(asked.questions, (name, partition, offset, timestamp) => {
      const topic = this.#topics.get(name)
      const since = topic && asked.timestampOf(topic, partition)
      const line = topic?.lines[partition]
      if (!line || since === undefined) return
      if (offset >= 0 && timestamp >= 0)
        line.learn(offset, timestamp, since === GREATEST ? timestamp : since, now)
      else if (since !== GREATEST) line.learnNone(since)
    })
  }
}

/** Questions, and what was asked of which partition: an answer does not tell. */
class Asked {
  readonly questions = new OffsetQuestions()
  readonly #timestamps = new Map<TrackedTopic, number[]>()

  add(topic: TrackedTopic, partition: number, timestamp: number): void {
    this.questions.add(topic.name, partition, topic.leaders[partition] ?? -1, timestamp)
    const timestamps = this.#timestamps.get(topic) ?? []
    timestamps[partition] = timestamp
    this.#timestamps.set(topic, timestamps)
  }

  timestampOf(topic: TrackedTopic, partition: number): number | undefined {
    return this.#timestamps.get(topic)?.[partition]
  }
}

/** Begins the timeline of a partition, with the end that this pass has read. */
export function beginLine(topic: TrackedTopic, partition: number, ends: Offsets, now: number): Timeline {
  const line = new Timeline()
  topic.lines[partition] = line
  const end = ends.get(topic.name)?.[partition] ?? Number.NaN
  if (!Number.isNaN(end)) line.sample(end, now)
  return line
}
