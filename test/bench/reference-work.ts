import { setTimeout as delay } from 'node:timers/promises'
import { Kafka, logLevel } from 'kafkajs'
import { BrokerConnection, failOn, parseAddress, type Request } from '../../src/clients/kafka/connection.ts'
import { createTopics } from '../testbed/topics.ts'

export interface WorkSize {
  /** Rounded down to whole topics of ten. */
  readonly partitions: number
  readonly groups: number
}

export const REFERENCE: WorkSize = { partitions: 2_100, groups: 200 }

const PARTITIONS_A_TOPIC = 10
const MOST_TOPICS_A_GROUP = 50
const TOPICS_A_REQUEST = 30
const COMMITS_AT_ONCE = 8
const AGE_MS = 2 * 3_600_000

/** What `buildWork` made. */
export interface Work {
  readonly topics: number
  readonly partitions: number
  readonly groups: number
  readonly committedOffsets: number
}

/**
 * Topics of ten partitions with 20 to 50 records each, written over the last two hours by their timestamps,
 * and groups that have committed offsets in 50 topics each. Every other group is behind.
 */
export async function buildWork(bootstrap: string, size: WorkSize): Promise<Work> {
  const topics = Array.from(
    { length: Math.floor(size.partitions / PARTITIONS_A_TOPIC) },
    (_, i) => `erp.tenant-${String(i % 21).padStart(2, '0')}.table-${String(i).padStart(3, '0')}`,
  )
  const kafka = new Kafka({ clientId: 'bench', brokers: bootstrap.split(','), logLevel: logLevel.NOTHING })
  const producer = kafka.producer()
  await producer.connect()
  try {
    for (const some of slices(topics, TOPICS_A_REQUEST)) {
      await createTopics(
        bootstrap,
        some.map((topic) => ({ topic, numPartitions: PARTITIONS_A_TOPIC })),
      )
      await producer.sendBatch({
        topicMessages: some.map((topic) => ({ topic, messages: recordsOf(topics.indexOf(topic)) })),
      })
    }
  } finally {
    await producer.disconnect()
  }
  const committedOffsets = await commit(bootstrap, topics, size.groups)
  return {
    topics: topics.length,
    partitions: topics.length * PARTITIONS_A_TOPIC,
    groups: size.groups,
    committedOffsets,
  }
}

const recordCount = (topic: number, partition: number): number => 20 + ((topic * 7 + partition * 3) % 31)

function recordsOf(topic: number) {
  const now = Date.now()
  return Array.from({ length: PARTITIONS_A_TOPIC }, (_, partition) => {
    const count = recordCount(topic, partition)
    return Array.from({ length: count }, (_, i) => ({
      partition,
      timestamp: String(Math.round(now - AGE_MS * (1 - i / count))),
      value: `{"id":${i}}`,
    }))
  }).flat()
}

/** All that a group has, in one request; kafkajs's own way takes one for each topic. */
async function commit(bootstrap: string, topics: readonly string[], groups: number): Promise<number> {
  const signal = AbortSignal.timeout(120_000)
  const security = { tls: undefined, sasl: undefined }
  const [seed = ''] = bootstrap.split(',')
  const connection = await BrokerConnection.open(parseAddress(seed), security, 30_000, signal)
  let committed = 0
  try {
    const all = Array.from({ length: groups }, (_, group) => group)
    for (const some of slices(all, COMMITS_AT_ONCE)) {
      await Promise.all(
        some.map(async (group) => {
          const offsets = offsetsOf(group, topics)
          committed += offsets.length * PARTITIONS_A_TOPIC
          await commitGroup(connection, `group-${String(group).padStart(3, '0')}`, offsets, signal)
        }),
      )
    }
  } finally {
    connection.close()
  }
  return committed
}

function offsetsOf(group: number, topics: readonly string[]): TopicOffsets[] {
  return Array.from({ length: Math.min(MOST_TOPICS_A_GROUP, topics.length) }, (_, i) => {
    const topic = (group * 7 + i) % topics.length
    return {
      topic: topics[topic] ?? '',
      offsets: Array.from({ length: PARTITIONS_A_TOPIC }, (_, partition) => {
        const end = recordCount(topic, partition)
        return group % 2 === 0 ? end : end - 1 - ((group + partition) % 19)
      }),
    }
  })
}

interface TopicOffsets {
  readonly topic: string
  /** By partition. */
  readonly offsets: readonly number[]
}

/** COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR: the first commit makes the topic. */
const NOT_YET = [14, 15, 16]

async function commitGroup(
  connection: BrokerConnection,
  group: string,
  offsets: readonly TopicOffsets[],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await connection.send(findCoordinator(group), signal)
    const errors = await connection.send(offsetCommit(group, offsets), signal)
    const error = errors.find((code) => code !== 0)
    if (error === undefined) return
    if (!NOT_YET.includes(error)) failOn(error, 'OffsetCommit')
    await delay(200, undefined, { signal })
  }
}

/** Makes the broker create the topic of committed offsets. */
const findCoordinator = (group: string): Request<void> => ({
  name: 'FindCoordinator',
  key: 10,
  min: 0,
  max: 0,
  flexibleFrom: 3,
  write: (writer) => {
    writer.string(group)
  },
  read: () => {},
})

/** As a consumer without a group's protocol commits; the error code of each partition. */
const offsetCommit = (group: string, offsets: readonly TopicOffsets[]): Request<number[]> => ({
  name: 'OffsetCommit',
  key: 8,
  min: 5,
  max: 5,
  flexibleFrom: 8,
  write: (writer) => {
    writer
      .string(group)
      .int32(-1)
      .string('')
      .array(offsets, (topic) => {
        let partition = 0
        writer.string(topic.topic).array(topic.offsets, (offset) => {
          writer.int32(partition++).int64(offset).string(null)
        })
      })
  },
  read: (reader) => {
    reader.int32()
    return reader
      .array(() => {
        reader.skipString()
        return reader.array(() => {
          reader.int32()
          return reader.int16()
        })
      })
      .flat()
  },
})

function slices<T>(items: readonly T[], size: number): T[][] {
  const result: T[][] = []
  for (let i = 0; i < items.length; i += size) result.push(items.slice(i, i + size))
  return result
}
