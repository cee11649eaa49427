import type { KafkaPass, Offsets, Question } from '../../clients/kafka/reader.ts'
import { isTurnOver, nextTurn } from '../../clock.ts'
import { Timeline } from './timeline.ts'

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
    for (const timestamp of [1, 'greatest' as const, ...LADDER.map((back) => now - back)]) {
      await this.#ask(
        pass,
        partitions.map(({ topic, partition }) => questionAt(topic, partition, timestamp)),
        now,
      )
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
    const questions: Question[] = []
    for (const topic of this.#topics.values()) {
      const { lines, compacted } = topic
      for (let partition = 0; partition < lines.length && questions.length < MOST_QUESTIONS; partition++) {
        if ((topic.leaders[partition] ?? -1) < 0) continue
        const timestamp = lines[partition]?.question(now, compacted)
        if (timestamp !== undefined) questions.push(questionAt(topic, partition, timestamp))
      }
    }
    if (questions.length === 0) return false
    await this.#ask(pass, questions, now)
    return true
  }

  /** Partitions without a leader are left out; of two questions for a partition the last is asked. */
  async #ask(pass: KafkaPass, questions: readonly Question[], now: number): Promise<void> {
    const asked = new Map<string, (Question | undefined)[]>()
    for (const question of questions) {
      if (question.leader < 0) continue
      const list = asked.get(question.topic) ?? []
      list[question.partition] = question
      asked.set(question.topic, list)
    }
    const wanted = [...asked.values()].flatMap((list) => list.filter((question) => question !== undefined))
    const answers = await pass.answers(wanted)
    for (const { topic, partition, offset, timestamp } of answers) {
      const line = this.#topics.get(topic)?.lines[partition]
      const question = asked.get(topic)?.[partition]
      if (!line || !question) continue
      const since = question.timestamp === 'greatest' ? timestamp : question.timestamp
      if (offset >= 0 && timestamp >= 0) line.learn(offset, timestamp, since, now)
      else if (question.timestamp !== 'greatest') line.learnNone(question.timestamp)
      if (isTurnOver()) await nextTurn()
    }
  }
}

const questionAt = (topic: TrackedTopic, partition: number, timestamp: Question['timestamp']): Question => ({
  topic: topic.name,
  partition,
  leader: topic.leaders[partition] ?? -1,
  timestamp,
})

/** Begins the timeline of a partition, with the end that this pass has read. */
export function beginLine(topic: TrackedTopic, partition: number, ends: Offsets, now: number): Timeline {
  const line = new Timeline()
  topic.lines[partition] = line
  const end = ends.get(topic.name)?.[partition] ?? Number.NaN
  if (!Number.isNaN(end)) line.sample(end, now)
  return line
}
