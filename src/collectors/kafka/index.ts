import type { CommittedOffsets } from '../../clients/kafka/committed.ts'
import { parseAddress } from '../../clients/kafka/connection.ts'
import {
  type GroupReading,
  type GroupsReading,
  type KafkaPass,
  KafkaReader,
  type Offsets,
} from '../../clients/kafka/reader.ts'
import type { LogSize } from '../../clients/kafka/requests.ts'
import { securityOf } from '../../clients/kafka/security.ts'
import { type Clock, isTurnOver, nextTurn } from '../../clock.ts'
import { defineCollector, type SampleBatch, seconds } from '../../collection/collector.ts'
import { checks } from './checks.ts'
import { CommitAges } from './commit-ages.ts'
import { type KafkaSettings, kafkaSettings } from './config.ts'
import { DeadLetters } from './dead-letters.ts'
import { details, healthOf } from './health.ts'
import * as metrics from './metrics.ts'
import { beginLine, type Place, RecordTimes, type TrackedTopic } from './record-times.ts'
import { Retentions } from './retention.ts'
import { type Selection, selection } from './selection.ts'
import type { Timeline } from './timeline.ts'

/** Offsets, lag and replication of a Kafka cluster. Joins no group, commits nothing. */
export const kafka = defineCollector({
  kind: 'kafka',
  health: { key: 'kafka', title: 'Kafka', details },
  settings: kafkaSettings,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(10) },
  checks,
  create(settings, { clock, samples }) {
    const reader = new KafkaReader({
      seeds: settings.brokers.map(parseAddress),
      security: securityOf(settings, settings.broker_timeout, clock),
      brokerTimeout: settings.broker_timeout,
    })
    const chosen = selection(settings)
    const memory: Memory = {
      times: new RecordTimes(),
      commits: new CommitAges(),
      retentions: new Retentions(),
      clamped: 0,
    }
    const deadLetters = new DeadLetters(settings.dead_letters, samples)
    return {
      async collect(batch, signal) {
        const pass = await reader.pass(signal)
        const names = pass.metadata.topics.map(({ name }) => name).filter(chosen.topic)
        const listed = await pass.listGroups(chosen.group)
        // A broker answers in the order in which it is asked, and what one answer takes to be read is its time for
        // the next: so all is sent as early as it may be.
        const groupsRead = pass.readGroups(listed)
        // Ends are read after commits: a lag is never negative because the log was read too early.
        const endsRead = groupsRead.then(async () => ({
          ends: await pass.offsets(chosen.topic, 'end'),
          // Not later: what slower answers take is no time in which the logs were seen to end there.
          at: clock.now(),
        }))
        const positionsNoted = Promise.all([
          groupsRead,
          pass.offsets(chosen.topic, 'start'),
          pass.offsets(chosen.topic, 'stable'),
          endsRead,
          memory.retentions.refresh(pass, names, clock.now()),
        ]).then(async ([groups, starts, stable, { ends, at }]) => {
          const positions: Positions = { pass, groups, starts, stable, ends }
          return { positions, unknown: await takeNote(positions, memory, at) }
        })
        const sizesRead = groupsRead.then(() => pass.logSizes())
        const [{ positions, unknown }, sizes] = await Promise.all([positionsNoted, sizesRead])
        const readAgain = () => readTimes(positions, memory.times, clock.now())
        await memory.times.settle(pass, unknown, readAgain, clock.now())

        const reading: Reading = { ...positions, sizes }
        const quorumAsked = Promise.allSettled([pass.quorum()])
        await writeTopics(batch, reading, chosen, settings)
        await writeGroups(batch, reading, memory, chosen, settings, clock)
        const [quorum] = await quorumAsked
        if (quorum.status === 'rejected') throw quorum.reason
        writeCluster(batch, reading, quorum.value)
        await deadLetters.collect(batch, reading, chosen.topic, clock.now())
        // Asked for now, known in the next pass: what is written above is an estimate until then.
        await memory.times.refine(pass, clock.now())
      },
      health: healthOf,
      stop: async () => reader.close(),
    }
  },
})

/** What one pass read of groups and logs. */
interface Positions {
  readonly pass: KafkaPass
  readonly groups: GroupsReading
  readonly starts: Offsets
  readonly ends: Offsets
  readonly stable: Offsets
}

interface Reading extends Positions {
  /** By broker. */
  readonly sizes: ReadonlyMap<number, readonly LogSize[]>
}

/** What is kept from pass to pass. */
interface Memory {
  readonly times: RecordTimes
  readonly commits: CommitAges
  readonly retentions: Retentions
  clamped: number
}

/** Of a topic without offsets. A list that may be absent would make an object of each number that is read from it. */
const UNKNOWN = new Float64Array(0)

/** Numbers as label values: the same few, a hundred thousand times a pass. */
const texts: string[] = []
function text(n: number): string {
  const known = texts[n]
  if (known !== undefined) return known
  const made = String(n)
  if (n >= 0 && n < 100_000) texts[n] = made
  return made
}

/** Samples the ends; gives the partitions of which too little is known for what is read there, as after a start. */
async function takeNote(reading: Positions, { times, retentions }: Memory, now: number): Promise<Place[]> {
  times.begin(reading.pass.metadata, reading.ends, (topic) => retentions.of(topic).compacted)
  times.sample(reading.ends, now)
  const unknown = new Map<Timeline, Place>()
  await eachCommit(reading, times, (topic, partition, position) => {
    const line = topic.lines[partition] ?? beginLine(topic, partition, reading.ends, now)
    if (line.isBefore(position) && !unknown.has(line)) unknown.set(line, { topic, partition })
  })
  return [...unknown.values()]
}

/**
 * Every commit of a group in a topic that is tracked. Below the start of the log the position is that start: the first
 * record to be read is the oldest that there is.
 */
async function eachCommit(
  { groups, starts }: Positions,
  times: RecordTimes,
  visit: (topic: TrackedTopic, partition: number, position: number) => void,
): Promise<void> {
  for (const { committed } of groups.groups) {
    // By index here and below: what makes a hundred thousand steps is no place for an iterator's objects.
    for (let t = 0; t < committed.topics.length; t++) {
      const name = committed.topics[t] ?? ''
      const topic = times.topic(name)
      const topicStarts = starts.get(name) ?? UNKNOWN
      for (let i = committed.from(t); topic && i < committed.to(t); i++) {
        const partition = committed.partitions[i] ?? 0
        visit(topic, partition, Math.max(committed.offsets[i] ?? 0, topicStarts[partition] || 0))
      }
    }
    if (isTurnOver()) await nextTurn()
  }
}

async function readTimes(reading: Positions, times: RecordTimes, now: number): Promise<void> {
  await eachCommit(reading, times, (topic, partition, position) => {
    topic.lines[partition]?.readTime(position, now, topic.compacted)
  })
}

/** What only the leader of the controllers knows. */
const ofQuorum = [
  metrics.quorumLeaderEpoch,
  metrics.quorumVoters,
  metrics.quorumObservers,
  metrics.quorumReplicaLag,
]

function writeCluster(
  batch: SampleBatch,
  { pass: { metadata, failedBrokers, incompleteLists } }: Reading,
  quorum: Awaited<ReturnType<KafkaPass['quorum']>>,
): void {
  batch.add(metrics.brokers, {}, metadata.brokers.length)
  batch.add(metrics.clusterInfo, { cluster_id: metadata.clusterId }, 1)
  for (const { id, host, port } of metadata.brokers) {
    batch.add(metrics.brokerInfo, { id: text(id), address: `${host}:${port}` }, 1)
  }
  for (const [id, cause] of failedBrokers) batch.partFailed({ broker: text(id) }, cause)
  for (const [id, cause] of incompleteLists) batch.partFailed({ broker: text(id) }, cause)
  if (!quorum) return
  if ('unanswered' in quorum) {
    batch.add(metrics.quorumLeaderId, {}, -1)
    batch.partFailed({}, quorum.unanswered, ofQuorum)
    return
  }
  batch.add(metrics.quorumLeaderId, {}, quorum.leader)
  batch.add(metrics.quorumLeaderEpoch, {}, quorum.epoch)
  batch.add(metrics.quorumVoters, {}, quorum.voters.length)
  batch.add(metrics.quorumObservers, {}, quorum.observers.length)
  const leaderEnd = quorum.voters.find(({ id }) => id === quorum.leader)?.logEnd ?? quorum.highWatermark
  for (const [role, replicas] of [
    ['voter', quorum.voters],
    ['observer', quorum.observers],
  ] as const) {
    for (const { id, logEnd } of replicas) {
      // -1: the leader has not heard of it yet.
      if (logEnd >= 0) {
        batch.add(metrics.quorumReplicaLag, { replica_id: text(id), role }, Math.max(0, leaderEnd - logEnd))
      }
    }
  }
}

const partitionRow = [
  metrics.currentOffset,
  metrics.oldestOffset,
  metrics.stableOffset,
  metrics.leader,
  metrics.replicas,
  metrics.inSyncReplicas,
  metrics.leaderIsPreferred,
  metrics.underReplicated,
]
const partitionValues = new Float64Array(partitionRow.length)

async function writeTopics(
  batch: SampleBatch,
  { pass: { metadata, failedBrokers }, starts, ends, stable, sizes }: Reading,
  chosen: Selection,
  { granularity }: KafkaSettings,
): Promise<void> {
  const bytes = bytesByTopic(sizes)
  for (const { name: topic, error, partitions } of metadata.topics) {
    if (!chosen.topic(topic)) continue
    const topicEnds = ends.get(topic)
    if (!topicEnds) {
      batch.partFailed({ topic }, new Error(`Metadata gives no partitions of ${topic} (error ${error})`))
      continue
    }
    const topicStarts = starts.get(topic)
    const topicStable = stable.get(topic)
    const { tenant, table, team } = chosen.about(topic)
    batch.add(metrics.topicInfo, { topic, tenant, table, team }, 1)
    batch.add(metrics.topicPartitions, { topic }, partitions.length)
    let endSum = 0
    let startSum = 0
    let offline = 0
    let under = 0
    for (const { partition, leader, replicas, inSync } of partitions) {
      const start = topicStarts?.[partition] ?? Number.NaN
      const end = topicEnds[partition] ?? Number.NaN
      startSum += start
      endSum += end
      if (leader < 0) offline++
      if (inSync.length < replicas.length) under++
      const isUnknown = Number.isNaN(start) || Number.isNaN(end)
      if (granularity === 'topic') {
        continue
      }
      const labels = { topic, partition: text(partition) }
      if (isUnknown)
        batch.partFailed(labels, failedBrokers.get(leader) ?? withoutOffsets(topic, partition, leader))
      partitionValues.set([
        end,
        start,
        topicStable?.[partition] ?? Number.NaN,
        leader,
        replicas.length,
        inSync.length,
        Number(leader >= 0 && leader === replicas[0]),
        Number(inSync.length < replicas.length),
      ])
      batch.addRow(partitionRow, labels, partitionValues)
    }
    if (Number.isNaN(endSum + startSum)) {
      batch.partFailed({ topic }, new Error(`the offsets of a partition of ${topic} are unknown`))
    } else {
      batch.add(metrics.topicOffset, { topic }, endSum)
      batch.add(metrics.topicOldestOffset, { topic }, startSum)
    }
    batch.add(metrics.topicOffline, { topic }, offline)
    batch.add(metrics.topicUnderReplicated, { topic }, under)
    const isWhole = partitions.every(({ replicas }) => replicas.every((replica) => sizes.has(replica)))
    if (isWhole) batch.add(metrics.topicLogSize, { topic }, bytes.get(topic) ?? 0)
    if (isTurnOver()) await nextTurn()
  }
}

const withoutOffsets = (topic: string, partition: number, leader: number) =>
  new Error(
    leader < 0
      ? `partition ${partition} of ${topic} has no leader`
      : `broker ${leader} gave no offsets of partition ${partition} of ${topic}`,
  )

function bytesByTopic(sizes: Reading['sizes']): Map<string, number> {
  const bytes = new Map<string, number>()
  for (const list of sizes.values()) {
    for (const size of list) bytes.set(size.topic, (bytes.get(size.topic) ?? 0) + size.bytes)
  }
  return bytes
}

/** States of every type of group, as Kafka names them. */
const STATES = [
  'stable',
  'empty',
  'preparing_rebalance',
  'completing_rebalance',
  'assigning',
  'reconciling',
  'not_ready',
  'dead',
  'unknown',
]

/** `PreparingRebalance` → `preparing_rebalance`. */
const stateLabel = (state: string): string => state.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toLowerCase()

async function writeGroups(
  batch: SampleBatch,
  reading: Reading,
  memory: Memory,
  chosen: Selection,
  settings: KafkaSettings,
  clock: Clock,
): Promise<void> {
  const now = clock.now()
  const leaderBytes = bytesByPartition(reading)
  for (const [consumergroup, cause] of reading.groups.failed) batch.partFailed({ consumergroup }, cause)
  memory.commits.begin()
  const isPartitionWanted = settings.granularity === 'partition'
  const context = { reading, memory, now, leaderBytes, isPartitionWanted }
  for (const group of reading.groups.groups) {
    writeGroup(batch, group)
    for (let t = 0; t < group.committed.topics.length; t++) {
      const topic = memory.times.topic(group.committed.topics[t] ?? '')
      // A topic that is gone, or not wanted.
      if (!topic) continue
      writeGroupTopic(batch, group, t, topic, chosen.about(topic.name).lagThreshold, context)
      if (isTurnOver()) await nextTurn()
    }
  }
  memory.commits.end(reading.groups.failed.keys())
  batch.add(metrics.groupLagClamped, {}, memory.clamped)
}

function writeGroup(
  batch: SampleBatch,
  { group: consumergroup, members, state, type, coordinator }: GroupReading,
): void {
  if (members !== undefined) batch.add(metrics.groupMembers, { consumergroup }, members)
  if (state === undefined) return
  const current = stateLabel(state)
  batch.add(
    metrics.groupInfo,
    { consumergroup, state: current, type: type ?? 'unknown', coordinator: text(coordinator) },
    1,
  )
  for (const known of STATES)
    batch.add(metrics.groupState, { consumergroup, state: known }, Number(known === current))
  if (!STATES.includes(current)) batch.add(metrics.groupState, { consumergroup, state: current }, 1)
}

const pairRow = [metrics.groupOffset, metrics.groupLag, metrics.groupLagSeconds]
const pairValues = new Float64Array(pairRow.length)

const groupTopicRow = [
  metrics.groupOffsetSum,
  metrics.groupLastCommitAge,
  metrics.groupLagSum,
  metrics.groupStableLag,
  metrics.groupMessagesLost,
  metrics.groupLagSecondsMax,
  metrics.groupRetentionUsed,
  metrics.groupLagThreshold,
]
const groupTopicValues = new Float64Array(groupTopicRow.length)

function writeGroupTopic(
  batch: SampleBatch,
  { group: consumergroup, committed }: GroupReading,
  /** Its place in what the group has committed. */
  index: number,
  topic: TrackedTopic,
  lagThreshold: number,
  context: {
    readonly reading: Reading
    readonly memory: Memory
    /** Wall milliseconds. */
    readonly now: number
    /** By topic, then by partition. */
    readonly leaderBytes: ReadonlyMap<string, readonly number[]>
    readonly isPartitionWanted: boolean
  },
): void {
  const { reading, memory, now } = context
  const starts = reading.starts.get(topic.name) ?? UNKNOWN
  const ends = reading.ends.get(topic.name) ?? UNKNOWN
  const stables = reading.stable.get(topic.name) ?? UNKNOWN
  const bytes = context.leaderBytes.get(topic.name)
  const retention = memory.retentions.of(topic.name)
  const doesDelete = retention.milliseconds !== undefined || retention.bytes !== undefined
  let offsetSum = 0
  let lagSum = 0
  let stableSum = 0
  let lost = 0
  let worst = 0
  let used = 0
  let sizeFailed: unknown
  // One object for all: an object for each would be most of what a pass throws away.
  const pair = { consumergroup, topic: topic.name, partition: '' }
  const from = committed.from(index)
  const ages = readAges(committed, index, topic, { starts, ends, now })
  for (let i = from; i < committed.to(index); i++) {
    const partition = committed.partitions[i] ?? 0
    const offset = committed.offsets[i] ?? 0
    const start = starts[partition] ?? Number.NaN
    const end = ends[partition] ?? Number.NaN
    if (offset > end) memory.clamped++
    // NaN, for an end that is unknown, goes into the sums, which are then not published.
    const lag = offset > end ? 0 : end - offset
    offsetSum += offset
    lagSum += lag
    stableSum += Math.max(0, (stables[partition] ?? Number.NaN) - offset)
    lost += Math.max(0, start - offset)
    const age = ages[i - from] ?? Number.NaN
    worst = Math.max(worst, age)
    if (doesDelete && lag > 0) {
      const byTime = retention.milliseconds === undefined ? 0 : (age * 1000) / retention.milliseconds
      const share = Math.min(1, lag / Math.max(1, end - start))
      let byBytes = 0
      if (retention.bytes !== undefined) {
        const size = bytes?.[partition]
        if (size !== undefined) byBytes = (share * size) / retention.bytes
        else {
          const failed = reading.pass.failedBrokers.get(topic.leaders[partition] ?? -1)
          sizeFailed ??= failed
          // Of a broker that never tells sizes the time counts alone, where there is one.
          if (failed !== undefined || retention.milliseconds === undefined) byBytes = Number.NaN
        }
      }
      used = Math.max(used, byTime, byBytes)
    }
    if (!context.isPartitionWanted) continue
    pair.partition = text(partition)
    pairValues[0] = offset
    pairValues[1] = lag
    pairValues[2] = age
    batch.addRow(pairRow, pair, pairValues)
  }
  const labels = { consumergroup, topic: topic.name }
  const commitAge = memory.commits.age(consumergroup, topic.name, offsetSum, now) ?? Number.NaN
  const isWhole = !Number.isNaN(lagSum)
  if (!isWhole) batch.partFailed(labels, new Error(`the end of a partition of ${topic.name} is unknown`))
  if (sizeFailed !== undefined) batch.partFailed(labels, sizeFailed, [metrics.groupRetentionUsed])
  const ifWhole = (value: number) => (isWhole ? value : Number.NaN)
  groupTopicValues.set([
    offsetSum,
    commitAge / 1000,
    lagSum,
    ifWhole(stableSum),
    ifWhole(lost),
    ifWhole(worst),
    doesDelete ? ifWhole(used) : Number.NaN,
    lagThreshold,
  ])
  batch.addRow(groupTopicRow, labels, groupTopicValues)
}

let agesRead = new Float64Array(64)

/**
 * For each commit of the group in the topic the age of the first record that it has not read, in seconds: 0 where it
 * has read all, NaN where that is unknown. There until the next call. In a loop of its own: each timeline is somewhere
 * else in memory, and the processor fetches several at once when little lies between.
 */
function readAges(
  committed: CommittedOffsets,
  index: number,
  topic: TrackedTopic,
  { starts, ends, now }: { readonly starts: Float64Array; readonly ends: Float64Array; readonly now: number },
): Float64Array {
  const from = committed.from(index)
  const to = committed.to(index)
  if (to - from > agesRead.length) agesRead = new Float64Array((to - from) * 2)
  const ages = agesRead
  for (let i = from; i < to; i++) {
    const partition = committed.partitions[i] ?? 0
    const offset = committed.offsets[i] ?? 0
    const end = ends[partition] ?? Number.NaN
    if (offset < end) {
      // Below the start of the log the first record to be read is the oldest that there is.
      const position = Math.max(offset, starts[partition] || 0)
      const time = topic.lines[partition]?.readTime(position, now, topic.compacted) ?? Number.NaN
      ages[i - from] = Math.max(0, Math.round(now - time)) / 1000
    } else ages[i - from] = Number.isNaN(end) ? end : 0
  }
  return ages
}

/** Bytes of the leaders' replicas, by topic, then by partition. */
function bytesByPartition({ pass, sizes }: Reading): Map<string, number[]> {
  const leaders = new Map<string, readonly number[]>()
  for (const { name, partitions } of pass.metadata.topics) {
    const list: number[] = []
    for (const { partition, leader } of partitions) list[partition] = leader
    leaders.set(name, list)
  }
  const bytes = new Map<string, number[]>()
  for (const [broker, list] of sizes) {
    for (const size of list) {
      if (leaders.get(size.topic)?.[size.partition] !== broker) continue
      const topic = bytes.get(size.topic) ?? []
      topic[size.partition] = size.bytes
      bytes.set(size.topic, topic)
    }
  }
  return bytes
}
