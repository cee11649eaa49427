import { parseAddress } from '../../clients/kafka/connection.ts'
import {
  type GroupReading,
  type GroupsReading,
  type KafkaPass,
  KafkaReader,
  type Offsets,
} from '../../clients/kafka/reader.ts'
import type { LogSize, Quorum } from '../../clients/kafka/requests.ts'
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
        const [groups, stable, sizes] = await Promise.all([
          pass.groups(chosen.group),
          pass.offsets(chosen.topic, 'stable'),
          pass.logSizes(),
          memory.retentions.refresh(pass, names, clock.now()),
        ])
        // Ends are read after commits: a lag is never negative because the log was read too early.
        const [starts, ends] = await Promise.all([
          pass.offsets(chosen.topic, 'start'),
          pass.offsets(chosen.topic, 'end'),
        ])
        const reading: Reading = { pass, groups, starts, ends, stable, sizes }
        const unknown = await takeNote(reading, memory, clock.now())
        await memory.times.settle(
          pass,
          unknown,
          () => readTimes(reading, memory.times, clock.now()),
          clock.now(),
        )
        const quorum = await pass.quorum()

        writeCluster(batch, reading, quorum)
        await writeTopics(batch, reading, chosen, settings)
        await writeGroups(batch, reading, memory, chosen, settings, clock)
        await deadLetters.collect(batch, reading, chosen.topic, clock.now())
        // Asked for now, known in the next pass: what is written above is an estimate until then.
        await memory.times.refine(pass, clock.now())
      },
      health: healthOf,
      stop: async () => reader.close(),
    }
  },
})

/** What one pass read. */
interface Reading {
  readonly pass: KafkaPass
  readonly groups: GroupsReading
  readonly starts: Offsets
  readonly ends: Offsets
  readonly stable: Offsets
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
async function takeNote(reading: Reading, { times, retentions }: Memory, now: number): Promise<Place[]> {
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
  { groups, starts }: Reading,
  times: RecordTimes,
  visit: (topic: TrackedTopic, partition: number, position: number) => void,
): Promise<void> {
  for (const { committed } of groups.groups) {
    // By index here and below: what makes a hundred thousand steps is no place for an iterator's objects.
    for (let t = 0; t < committed.topics.length; t++) {
      const name = committed.topics[t] ?? ''
      const topic = times.topic(name)
      const topicStarts = starts.get(name)
      for (let i = committed.from(t); topic && i < committed.to(t); i++) {
        const partition = committed.partitions[i] ?? 0
        visit(topic, partition, Math.max(committed.offsets[i] ?? 0, topicStarts?.[partition] || 0))
      }
    }
    if (isTurnOver()) await nextTurn()
  }
}

async function readTimes(reading: Reading, times: RecordTimes, now: number): Promise<void> {
  await eachCommit(reading, times, (topic, partition, position) => {
    topic.lines[partition]?.readTime(position, now, topic.compacted)
  })
}

function writeCluster(
  batch: SampleBatch,
  { pass: { metadata, failedBrokers } }: Reading,
  quorum: Quorum | undefined,
): void {
  batch.add(metrics.brokers, {}, metadata.brokers.length)
  batch.add(metrics.clusterInfo, { cluster_id: metadata.clusterId }, 1)
  for (const { id, host, port } of metadata.brokers) {
    batch.add(metrics.brokerInfo, { id: text(id), address: `${host}:${port}` }, 1)
  }
  for (const [id, cause] of failedBrokers) batch.partFailed({ broker: text(id) }, cause)
  if (!quorum) return
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
      if (!Number.isNaN(end)) batch.add(metrics.currentOffset, labels, end)
      if (!Number.isNaN(start)) batch.add(metrics.oldestOffset, labels, start)
      const last = topicStable?.[partition] ?? Number.NaN
      if (!Number.isNaN(last)) batch.add(metrics.stableOffset, labels, last)
      batch.add(metrics.leader, labels, leader)
      batch.add(metrics.replicas, labels, replicas.length)
      batch.add(metrics.inSyncReplicas, labels, inSync.length)
      batch.add(metrics.leaderIsPreferred, labels, Number(leader >= 0 && leader === replicas[0]))
      batch.add(metrics.underReplicated, labels, Number(inSync.length < replicas.length))
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
  for (const group of reading.groups.groups) {
    writeGroup(batch, group)
    for (let t = 0; t < group.committed.topics.length; t++) {
      const topic = memory.times.topic(group.committed.topics[t] ?? '')
      // A topic that is gone, or not wanted.
      if (!topic) continue
      writeGroupTopic(batch, group, t, topic, {
        reading,
        memory,
        now,
        leaderBytes,
        isPartitionWanted: settings.granularity === 'partition',
      })
      const labels = { consumergroup: group.group, topic: topic.name }
      batch.add(metrics.groupLagThreshold, labels, chosen.about(topic.name).lagThreshold)
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

function writeGroupTopic(
  batch: SampleBatch,
  { group: consumergroup, committed }: GroupReading,
  /** Its place in what the group has committed. */
  index: number,
  topic: TrackedTopic,
  from: {
    readonly reading: Reading
    readonly memory: Memory
    /** Wall milliseconds. */
    readonly now: number
    /** By topic, then by partition. */
    readonly leaderBytes: ReadonlyMap<string, readonly number[]>
    readonly isPartitionWanted: boolean
  },
): void {
  const { reading, memory, now } = from
  const starts = reading.starts.get(topic.name)
  const ends = reading.ends.get(topic.name)
  const stables = reading.stable.get(topic.name)
  const bytes = from.leaderBytes.get(topic.name)
  const retention = memory.retentions.of(topic.name)
  const doesDelete = retention.milliseconds !== undefined || retention.bytes !== undefined
  let offsetSum = 0
  let lagSum = 0
  let stableSum = 0
  let lost = 0
  let worst = 0
  let used = 0
  // One object for all: an object for each would be most of what a pass throws away.
  const pair = { consumergroup, topic: topic.name, partition: '' }
  for (let i = committed.from(index); i < committed.to(index); i++) {
    const partition = committed.partitions[i] ?? 0
    const offset = committed.offsets[i] ?? 0
    const start = starts?.[partition] ?? Number.NaN
    const end = ends?.[partition] ?? Number.NaN
    if (offset > end) memory.clamped++
    // NaN, for an end that is unknown, goes into the sums, which are then not published.
    const lag = offset > end ? 0 : end - offset
    offsetSum += offset
    lagSum += lag
    stableSum += Math.max(0, (stables?.[partition] ?? Number.NaN) - offset)
    lost += Math.max(0, start - offset)
    let age = 0
    if (lag > 0) {
      // Below the start of the log the first record to be read is the oldest that there is.
      const position = Math.max(offset, start || 0)
      const time = topic.lines[partition]?.readTime(position, now, topic.compacted) ?? Number.NaN
      age = Math.max(0, Math.round(now - time)) / 1000
    }
    worst = Math.max(worst, Number.isNaN(lag) ? lag : age)
    if (doesDelete && lag > 0) {
      const byTime = retention.milliseconds === undefined ? 0 : (age * 1000) / retention.milliseconds
      const share = Math.min(1, lag / Math.max(1, end - start))
      const byBytes =
        retention.bytes === undefined ? 0 : (share * (bytes?.[partition] ?? 0)) / retention.bytes
      used = Math.max(used, byTime, byBytes)
    }
    if (!from.isPartitionWanted) continue
    pair.partition = text(partition)
    batch.add(metrics.groupOffset, pair, offset)
    if (Number.isNaN(lag)) continue
    batch.add(metrics.groupLag, pair, lag)
    if (!Number.isNaN(age)) batch.add(metrics.groupLagSeconds, pair, age)
  }
  const labels = { consumergroup, topic: topic.name }
  batch.add(metrics.groupOffsetSum, labels, offsetSum)
  const commitAge = memory.commits.age(consumergroup, topic.name, offsetSum, now)
  if (commitAge !== undefined) batch.add(metrics.groupLastCommitAge, labels, commitAge / 1000)
  if (Number.isNaN(lagSum)) {
    batch.partFailed(labels, new Error(`the end of a partition of ${topic.name} is unknown`))
    return
  }
  batch.add(metrics.groupLagSum, labels, lagSum)
  if (!Number.isNaN(stableSum)) batch.add(metrics.groupStableLag, labels, stableSum)
  if (!Number.isNaN(lost)) batch.add(metrics.groupMessagesLost, labels, lost)
  if (!Number.isNaN(worst)) batch.add(metrics.groupLagSecondsMax, labels, worst)
  if (doesDelete && !Number.isNaN(used)) batch.add(metrics.groupRetentionUsed, labels, used)
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
