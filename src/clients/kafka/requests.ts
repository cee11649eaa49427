import { isTurnOver, nextTurn } from '../../clock.ts'
import { CommitsWriter, type CommittedOffsets } from './committed.ts'
import { failOn, type Request } from './connection.ts'
import type { Reader } from './wire.ts'

/** https://kafka.apache.org/protocol: the requests that kafkajs lacks, or parses in the wrong way. */

export interface Metadata {
  readonly brokers: readonly { readonly id: number; readonly host: string; readonly port: number }[]
  readonly clusterId: string
  readonly controllerId: number
  readonly topics: readonly TopicMetadata[]
}

interface TopicMetadata {
  /** 0, or why the broker could not tell more. */
  readonly error: number
  readonly name: string
  /** Undefined below version 10. */
  readonly id: string | undefined
  readonly internal: boolean
  /** In order of their numbers. */
  readonly partitions: readonly PartitionMetadata[]
}

interface PartitionMetadata {
  readonly partition: number
  /** -1 when there is none. */
  readonly leader: number
  readonly replicas: readonly number[]
  readonly inSync: readonly number[]
}

/** All topics; creates none. */
export const METADATA: Request<Metadata> = {
  name: 'Metadata',
  key: 3,
  min: 5,
  max: 12,
  flexibleFrom: 9,
  write: (writer, version) => {
    writer.array(null, () => {}).boolean(false)
    if (version >= 8 && version <= 10) writer.boolean(false)
    if (version >= 8) writer.boolean(false)
    writer.tags()
  },
  read: async (reader, version) => {
    reader.int32()
    const brokers = reader.array(() => {
      const broker = { id: reader.int32(), host: reader.string(), port: reader.int32() }
      reader.skipString()
      reader.tags()
      return broker
    })
    const clusterId = reader.string()
    const controllerId = reader.int32()
    const topics: TopicMetadata[] = []
    for (let left = reader.length(); left > 0; left--) {
      topics.push(readTopic(reader, version))
      if (isTurnOver()) await nextTurn()
    }
    return { brokers, clusterId, controllerId, topics }
  },
}

function readTopic(reader: Reader, version: number): TopicMetadata {
  const error = reader.int16()
  const name = reader.string()
  const id = version >= 10 ? reader.uuid() : undefined
  const internal = reader.boolean()
  const partitions = reader.array(() => {
    reader.int16()
    const partition = reader.int32()
    const leader = reader.int32()
    if (version >= 7) reader.int32()
    const replicas = reader.array(() => reader.int32())
    const inSync = reader.array(() => reader.int32())
    reader.each(() => reader.int32())
    reader.tags()
    return { partition, leader, replicas, inSync }
  })
  // With ZooKeeper a broker gives them in the order of a hash table.
  partitions.sort((a, b) => a.partition - b.partition)
  if (version >= 8) reader.int32()
  reader.tags()
  return { error, name, id, internal, partitions }
}

/** An answer to `METADATA`, and the bytes that it was read from. */
export interface KnownMetadata {
  readonly metadata: Metadata
  readonly bytes: Buffer
}

/** The same, where most answers are like the one before: such a one is not read again. */
export const metadataAfter = (known: KnownMetadata | undefined): Request<KnownMetadata> => ({
  ...METADATA,
  read: async (reader, version) => {
    const bytes = reader.rest()
    if (known?.bytes.equals(bytes)) return known
    const copy = Buffer.from(bytes)
    return { metadata: await METADATA.read(reader, version), bytes: copy }
  },
})

export interface ListedGroup {
  readonly group: string
  /** `consumer` for every group of consumers, whatever its type; `connect` and others are no consumers. */
  readonly protocolType: string
  /** As Kafka writes it, such as Stable or PreparingRebalance; undefined below version 4. */
  readonly state: string | undefined
  /** Lower case: classic, consumer, share; undefined below version 5. */
  readonly type: string | undefined
}

export interface ListedGroups {
  /** Not 0 where there may be more, as while the broker still loads groups. */
  readonly error: number
  readonly groups: readonly ListedGroup[]
}

/** The groups that the broker coordinates. */
export const LIST_GROUPS: Request<ListedGroups> = {
  name: 'ListGroups',
  key: 16,
  min: 2,
  max: 5,
  flexibleFrom: 3,
  write: (writer, version) => {
    if (version >= 4) writer.array([], () => {})
    if (version >= 5) writer.array([], () => {})
    writer.tags()
  },
  read: (reader, version) => {
    reader.int32()
    const error = reader.int16()
    const groups = reader.array(() => {
      const group = reader.string()
      const protocolType = reader.string()
      const state = version >= 4 ? reader.string() : undefined
      const type = version >= 5 ? reader.string().toLowerCase() : undefined
      reader.tags()
      return { group, protocolType, state, type }
    })
    return { error, groups }
  },
}

export interface GroupCommits {
  readonly group: string
  /** 0, or why the coordinator could not tell. */
  readonly error: number
  readonly committed: CommittedOffsets
}

/** Everything that the groups have committed; many groups in one request. Versions below 8 take one group. */
export function offsetFetch(groups: readonly string[]): Request<GroupCommits[]> {
  return {
    name: 'OffsetFetch',
    key: 9,
    min: 6,
    max: 8,
    flexibleFrom: 6,
    write: (writer, version) => {
      if (version >= 8) {
        writer.array(groups, (group) => {
          writer
            .string(group)
            .array(null, () => {})
            .tags()
        })
      } else {
        writer.string(groups[0] ?? '').array(null, () => {})
      }
      // The last stable offsets are not waited for.
      if (version >= 7) writer.boolean(false)
      writer.tags()
    },
    read: async (reader, version) => {
      reader.int32()
      const commits = new CommitsWriter()
      const readTopics = () => {
        reader.each(() => {
          commits.topic(reader.string())
          reader.each(() => {
            const partition = reader.int32()
            const offset = reader.int64()
            reader.int32()
            reader.skipString()
            const error = reader.int16()
            reader.tags()
            if (error === 0 && offset >= 0) commits.add(partition, offset)
          })
          reader.tags()
        })
        return commits.take()
      }
      if (version < 8) {
        const committed = readTopics()
        const error = reader.int16()
        reader.tags()
        return [{ group: groups[0] ?? '', error, committed }]
      }
      const answers: GroupCommits[] = []
      for (let left = reader.length(); left > 0; left--) {
        const group = reader.string()
        const committed = readTopics()
        const error = reader.int16()
        reader.tags()
        answers.push({ group, error, committed })
        if (isTurnOver()) await nextTurn()
      }
      reader.tags()
      return answers
    },
  }
}

/**
 * Pseudo timestamps of ListOffsets: the end of the log, its start, and the record with the greatest timestamp. Of the
 * last a broker before Kafka 3.0 knows none.
 */
export const LATEST = -1
export const EARLIEST = -2
export const GREATEST = -3

export interface OffsetQuestion {
  readonly topic: string
  /** Each at most once in one request. */
  readonly partitions: readonly number[]
  /** One for each partition, in milliseconds or a pseudo timestamp. */
  readonly timestamps: readonly number[]
}

/** An offset of a partition. */
type TakeOffset = (
  topic: string,
  partition: number,
  error: number,
  /** -1 when there is no such record. */
  offset: number,
  /** Of the record found; -1 for LATEST and EARLIEST. */
  timestamp: number,
) => void

/**
 * The first offset whose record is not older than the timestamp, for `take`. `committed`: up to the last stable
 * offset only.
 */
export function listOffsets(
  questions: readonly OffsetQuestion[],
  committed: boolean,
  take: TakeOffset,
): Request<void> {
  return {
    name: 'ListOffsets',
    key: 2,
    min: 4,
    max: 7,
    flexibleFrom: 6,
    write: (writer, version) => {
      // Such a broker would take it for a time long ago. After the end of all time there is no record.
      const asAsked = (timestamp: number) =>
        timestamp === GREATEST && version < 7 ? Number.MAX_SAFE_INTEGER : timestamp
      writer
        .int32(-1)
        .int8(committed ? 1 : 0)
        .array(questions, ({ topic, partitions, timestamps }) => {
          let i = 0
          writer
            .string(topic)
            .array(partitions, (partition) => {
              writer
                .int32(partition)
                .int32(-1)
                .int64(asAsked(timestamps[i++] ?? LATEST))
                .tags()
            })
            .tags()
        })
        .tags()
    },
    read: async (reader) => {
      reader.int32()
      for (let left = reader.length(); left > 0; left--) {
        const topic = reader.string()
        reader.each(() => {
          const partition = reader.int32()
          const error = reader.int16()
          const timestamp = reader.int64()
          const offset = reader.int64()
          reader.int32()
          reader.tags()
          take(topic, partition, error, offset, timestamp)
        })
        reader.tags()
        if (isTurnOver()) await nextTurn()
      }
    },
  }
}

export interface DescribedGroup {
  readonly group: string
  readonly error: number
  /** As Kafka writes it. */
  readonly state: string
  readonly members: number
}

/** Members of groups of the classic protocol. */
export function describeGroups(groups: readonly string[]): Request<DescribedGroup[]> {
  return {
    name: 'DescribeGroups',
    key: 15,
    min: 3,
    max: 5,
    flexibleFrom: 5,
    write: (writer) => {
      writer
        .array(groups, (group) => {
          writer.string(group)
        })
        .boolean(false)
        .tags()
    },
    read: (reader, version) => {
      reader.int32()
      return reader.array(() => {
        const error = reader.int16()
        const group = reader.string()
        const state = reader.string()
        reader.skipString()
        reader.skipString()
        const members = reader.array(() => {
          reader.skipString()
          if (version >= 4) reader.skipString()
          reader.skipString()
          reader.skipString()
          reader.skipBytes()
          reader.skipBytes()
          reader.tags()
        }).length
        reader.int32()
        reader.tags()
        return { group, error, state, members }
      })
    },
  }
}

/** Members of groups of the KIP-848 protocol, which DescribeGroups calls dead. */
export function describeConsumerGroups(groups: readonly string[]): Request<DescribedGroup[]> {
  return describeNewGroups('ConsumerGroupDescribe', 69, 0, groups)
}

/** Members of share groups (KIP-932). */
export function describeShareGroups(groups: readonly string[]): Request<DescribedGroup[]> {
  return describeNewGroups('ShareGroupDescribe', 77, 1, groups)
}

/** The two differ in what a member has. */
function describeNewGroups(
  name: string,
  key: number,
  onlyVersion: number,
  groups: readonly string[],
): Request<DescribedGroup[]> {
  const isShare = key === 77
  const readAssignment = (reader: Parameters<Request<unknown>['read']>[0]) => {
    reader.each(() => {
      reader.uuid()
      reader.skipString()
      reader.each(() => reader.int32())
      reader.tags()
    })
    reader.tags()
  }
  return {
    name,
    key,
    min: onlyVersion,
    max: onlyVersion,
    flexibleFrom: 0,
    write: (writer) => {
      writer
        .array(groups, (group) => {
          writer.string(group)
        })
        .boolean(false)
        .tags()
    },
    read: (reader) => {
      reader.int32()
      return reader.array(() => {
        const error = reader.int16()
        reader.skipString()
        const group = reader.string()
        const state = reader.string()
        reader.int32()
        reader.int32()
        reader.skipString()
        const members = reader.array(() => {
          reader.skipString()
          if (!isShare) reader.skipString()
          reader.skipString()
          reader.int32()
          reader.skipString()
          reader.skipString()
          reader.each(() => reader.skipString())
          if (!isShare) reader.skipString()
          readAssignment(reader)
          if (!isShare) readAssignment(reader)
          reader.tags()
        }).length
        reader.int32()
        reader.tags()
        return { group, error, state, members }
      })
    },
  }
}

export interface LogSize {
  readonly topic: string
  readonly partition: number
  readonly bytes: number
}

/** Bytes on disk of each replica on the broker that is asked. */
export const DESCRIBE_LOG_DIRS: Request<LogSize[]> = {
  name: 'DescribeLogDirs',
  key: 35,
  min: 1,
  max: 4,
  flexibleFrom: 2,
  write: (writer) => {
    writer.array(null, () => {}).tags()
  },
  read: (reader, version) => {
    reader.int32()
    if (version >= 3) failOn(reader.int16(), 'DescribeLogDirs')
    const sizes: LogSize[] = []
    reader.each(() => {
      failOn(reader.int16(), 'DescribeLogDirs')
      reader.skipString()
      reader.each(() => {
        const topic = reader.string()
        reader.each(() => {
          const partition = reader.int32()
          const bytes = reader.int64()
          reader.int64()
          const isFuture = reader.boolean()
          reader.tags()
          // A replica that moves to another folder is there twice for a while.
          if (!isFuture) sizes.push({ topic, partition, bytes })
        })
        reader.tags()
      })
      if (version >= 4) {
        reader.int64()
        reader.int64()
      }
      reader.tags()
    })
    return sizes
  },
}

export interface Quorum {
  readonly leader: number
  readonly epoch: number
  readonly highWatermark: number
  readonly voters: readonly QuorumReplica[]
  readonly observers: readonly QuorumReplica[]
}

interface QuorumReplica {
  readonly id: number
  readonly logEnd: number
}

/** The KRaft quorum of the cluster's metadata. */
export const DESCRIBE_QUORUM: Request<Quorum> = {
  name: 'DescribeQuorum',
  key: 55,
  min: 0,
  max: 2,
  flexibleFrom: 0,
  write: (writer) => {
    writer
      .array(['__cluster_metadata'], (topic) => {
        writer
          .string(topic)
          .array([0], (partition) => {
            writer.int32(partition).tags()
          })
          .tags()
      })
      .tags()
  },
  read: (reader, version) => {
    failOn(reader.int16(), 'DescribeQuorum')
    if (version >= 2) reader.skipString()
    const readReplica = () => {
      const id = reader.int32()
      if (version >= 2) reader.uuid()
      const logEnd = reader.int64()
      if (version >= 1) {
        reader.int64()
        reader.int64()
      }
      reader.tags()
      return { id, logEnd }
    }
    const [quorum] = reader
      .array(() => {
        reader.skipString()
        const partitions = reader.array(() => {
          reader.int32()
          failOn(reader.int16(), 'DescribeQuorum')
          if (version >= 2) reader.skipString()
          const partition = {
            leader: reader.int32(),
            epoch: reader.int32(),
            highWatermark: reader.int64(),
            voters: reader.array(readReplica),
            observers: reader.array(readReplica),
          }
          reader.tags()
          return partition
        })
        reader.tags()
        return partitions
      })
      .flat()
    if (!quorum) throw new Error('Kafka answered DescribeQuorum without a quorum')
    return quorum
  },
}

export interface TopicConfig {
  readonly topic: string
  readonly error: number
  /** The settings that were asked for, as text. */
  readonly settings: ReadonlyMap<string, string>
}

/** Settings of topics, defaults included. */
export function describeConfigs(topics: readonly string[], keys: readonly string[]): Request<TopicConfig[]> {
  return {
    name: 'DescribeConfigs',
    key: 32,
    min: 1,
    max: 4,
    flexibleFrom: 4,
    write: (writer, version) => {
      writer
        .array(topics, (topic) => {
          writer
            .int8(2)
            .string(topic)
            .array(keys, (key) => {
              writer.string(key)
            })
            .tags()
        })
        .boolean(false)
      if (version >= 3) writer.boolean(false)
      writer.tags()
    },
    read: (reader, version) => {
      reader.int32()
      return reader.array(() => {
        const error = reader.int16()
        reader.skipString()
        reader.int8()
        const topic = reader.string()
        const settings = new Map<string, string>()
        reader.each(() => {
          const name = reader.string()
          settings.set(name, reader.string())
          reader.boolean()
          reader.int8()
          reader.boolean()
          reader.each(() => {
            reader.skipString()
            reader.skipString()
            reader.int8()
            reader.tags()
          })
          if (version >= 3) {
            reader.int8()
            reader.skipString()
          }
          reader.tags()
        })
        reader.tags()
        return { topic, error, settings }
      })
    },
  }
}
