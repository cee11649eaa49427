import { join } from 'node:path'
import type { Admin, Kafka, Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafka } from '../../../src/collectors/kafka/index.ts'
import { kafkaJava } from '../../testbed/java.ts'
import { patientClient } from '../../testbed/kafka-client.ts'
import { commitOffsets } from '../../testbed/offsets.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { TestbedProcess, waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { type Collecting, collecting } from '../collect.ts'
import { patient } from './patient.ts'

const DAY = 86_400_000

let part: KafkaPart
let client: Kafka
let admin: Admin
let producer: Producer
let collector: Collecting

beforeAll(async () => {
  part = await startKafka()
  client = patientClient(part.bootstrap)
  admin = client.admin()
  producer = client.producer()
  await admin.connect()
  await producer.connect()
  collector = collecting(kafka, { brokers: part.bootstrap, ...patient })
})

afterAll(async () => {
  await collector?.stop()
  await producer?.disconnect()
  await admin?.disconnect()
  await part?.remove()
})

const sampleOf = (
  samples: readonly string[],
  name: string,
  labels: Readonly<Record<string, string>>,
): number | undefined => {
  const line = samples.find(
    (sample) =>
      sample.startsWith(`${name}{`) &&
      Object.entries(labels).every(([label, value]) => sample.includes(`${label}="${value}"`)),
  )
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ') + 1))
}

async function topic(name: string, numPartitions = 1, config: Record<string, string> = {}): Promise<void> {
  const configEntries = Object.entries(config).map(([key, value]) => ({ name: key, value }))
  await createTopics(part.bootstrap, [{ topic: name, numPartitions, configEntries }])
}

/** `timestamps`: of the records, in milliseconds; written one a batch, so that each keeps its own. */
async function write(name: string, timestamps: readonly number[], partition = 0): Promise<void> {
  await producer.send({
    topic: name,
    messages: timestamps.map((timestamp, i) => ({ partition, value: `${i}`, timestamp: String(timestamp) })),
  })
}

const commit = (group: string, name: string, offset: number) =>
  commitOffsets(part.bootstrap, group, { [name]: { 0: offset } })

/** A console consumer of Kafka's own; its group is of the type that its class and settings ask for. */
async function consoleConsumer(className: string, args: readonly string[], isIn: () => Promise<boolean>) {
  const process = new TestbedProcess({
    name: 'console-consumer',
    command: 'java',
    args: [...kafkaJava(), className, '--bootstrap-server', part.bootstrap, ...args],
    logFile: join(part.folder, 'console-consumer.log'),
    ready: isIn,
  })
  await process.start()
  return process
}

/** Cells of the one line that Kafka's own tool prints for the group. */
async function toolLine(group: string, ...args: string[]): Promise<string[]> {
  const text = await part.consumerGroups(['--describe', '--group', group, ...args])
  const line = text.split('\n').find((each) => each.startsWith(group))
  return line?.trim().split(/\s+/) ?? []
}

describe('a group of the KIP-848 protocol', () => {
  test('live: type, state and member are told, as Kafka’s own tool tells them; empty: it keeps its lag', async () => {
    await topic('new-protocol')
    await write(
      'new-protocol',
      Array.from({ length: 20 }, () => Date.now()),
    )
    const labels = { consumergroup: 'kip848' }
    let live: string[] = []
    const consumer = await consoleConsumer(
      'org.apache.kafka.tools.consumer.ConsoleConsumer',
      [
        '--topic',
        'new-protocol',
        '--group',
        'kip848',
        '--from-beginning',
        '--consumer-property',
        'group.protocol=consumer',
      ],
      async () => {
        live = await collector.run()
        return (
          sampleOf(live, 'kafka_consumergroup_lag_sum', labels) === 0 &&
          sampleOf(live, 'kafka_consumergroup_state', { ...labels, state: 'stable' }) === 1
        )
      },
    )
    expect(
      live.filter((line) => line.startsWith('kafka_consumergroup_info') && line.includes('"kip848"')),
    ).toEqual([
      'kafka_consumergroup_info{target="test",consumergroup="kip848",state="stable",type="consumer",coordinator="1"} 1',
    ])
    expect(sampleOf(live, 'kafka_consumergroup_members', labels)).toBe(1)
    expect(sampleOf(live, 'kafka_consumergroup_state', { ...labels, state: 'empty' })).toBe(0)
    await waitFor('Kafka’s own tool to say so', async () =>
      /Stable.* 1$/.test((await toolLine('kip848', '--state')).join(' ')),
    )

    await consumer.kill()
    await write(
      'new-protocol',
      Array.from({ length: 5 }, () => Date.now()),
    )
    await waitFor(
      'the group to be empty',
      async () =>
        sampleOf(await collector.run(), 'kafka_consumergroup_state', { ...labels, state: 'empty' }) === 1,
    )
    const dead = await collector.run()
    expect(sampleOf(dead, 'kafka_consumergroup_members', labels)).toBe(0)
    expect(sampleOf(dead, 'kafka_consumergroup_lag_sum', labels)).toBe(5)
    expect((await toolLine('kip848')).slice(0, 6)).toEqual(['kip848', 'new-protocol', '0', '20', '25', '5'])
  })
})

test('a share group: type, state and member', async () => {
  await topic('shared')
  const labels = { consumergroup: 'sharers' }
  const consumer = await consoleConsumer(
    'org.apache.kafka.tools.consumer.ConsoleShareConsumer',
    ['--topic', 'shared', '--group', 'sharers'],
    async () => sampleOf(await collector.run(), 'kafka_consumergroup_members', labels) === 1,
  )
  const samples = await collector.run()
  expect(sampleOf(samples, 'kafka_consumergroup_info', { ...labels, type: 'share', state: 'stable' })).toBe(1)
  await consumer.kill()
})

test('an open transaction holds the stable end back; an aborted one does not', async () => {
  await topic('transactional')
  await write('transactional', [Date.now(), Date.now()])
  await commit('reader', 'transactional', 2)
  const labels = { consumergroup: 'reader', topic: 'transactional' }
  const writer = client.producer({ transactionalId: 'tx', maxInFlightRequests: 1, idempotent: true })
  await writer.connect()
  const transaction = await writer.transaction()
  await transaction.send({ topic: 'transactional', messages: [{ value: 'a' }, { value: 'b' }] })
  const open = await collector.run()
  expect(sampleOf(open, 'kafka_topic_partition_current_offset', { topic: 'transactional' })).toBe(4)
  expect(sampleOf(open, 'kafka_topic_partition_last_stable_offset', { topic: 'transactional' })).toBe(2)
  expect(sampleOf(open, 'kafka_consumergroup_lag_sum', labels)).toBe(2)
  expect(sampleOf(open, 'kafka_consumergroup_stable_lag', labels)).toBe(0)
  await transaction.abort()
  await writer.disconnect()
  await waitFor(
    'the stable end to reach the end',
    async () =>
      sampleOf(await collector.run(), 'kafka_topic_partition_last_stable_offset', {
        topic: 'transactional',
      }) === 5,
  )
  expect(sampleOf(await collector.run(), 'kafka_consumergroup_stable_lag', labels)).toBe(3)
})

test('retention overtakes a group: what it lost is counted', async () => {
  await topic('expiring')
  await write(
    'expiring',
    Array.from({ length: 30 }, () => Date.now()),
  )
  await commit('overtaken', 'expiring', 10)
  await admin.fetchTopicOffsets('expiring')
  await admin.deleteTopicRecords({ topic: 'expiring', partitions: [{ partition: 0, offset: '25' }] })
  const samples = await collector.run()
  const labels = { consumergroup: 'overtaken', topic: 'expiring' }
  expect(sampleOf(samples, 'kafka_consumergroup_messages_lost', labels)).toBe(15)
  expect(sampleOf(samples, 'kafka_consumergroup_lag_sum', labels)).toBe(20)
})

describe('lag in seconds', () => {
  /** Within half a minute or a fifth of the age, whichever is more. */
  function expectAge(measured: number | undefined, trueAge: number): void {
    expect(measured).toBeDefined()
    expect(Math.abs((measured ?? 0) - trueAge / 1000)).toBeLessThanOrEqual(
      Math.max(30, (trueAge / 1000) * 0.2),
    )
  }

  test('in the first run ever: of a consumer that died days ago, on a topic that is idle since', async () => {
    const now = Date.now()
    await topic('days-old', 1, { 'retention.ms': String(30 * DAY) })
    const timestamps = Array.from({ length: 200 }, (_, i) => now - 6 * DAY + i * (DAY / 60))
    await write('days-old', timestamps)
    await commit('died', 'days-old', 60)
    const fresh = collecting(kafka, { brokers: part.bootstrap, ...patient })
    const samples = await fresh.run()
    await fresh.stop()
    const labels = { consumergroup: 'died', topic: 'days-old' }
    const age = now - (timestamps[60] ?? 0)
    expectAge(sampleOf(samples, 'kafka_consumergroup_lag_seconds', labels), age)
    expectAge(sampleOf(samples, 'kafka_consumergroup_lag_seconds_max', labels), age)
    const used = sampleOf(samples, 'kafka_consumergroup_retention_used_ratio', labels) ?? 0
    expect(Math.abs(used - age / (30 * DAY))).toBeLessThan(0.04)
  })

  test('bursts with hours between: right for every place, each in a first run', async () => {
    const now = Date.now()
    await topic('bursts')
    const timestamps = [20, 9, 4, 1].flatMap((hours) =>
      Array.from({ length: 50 }, (_, i) => now - hours * 3_600_000 + i),
    )
    await write('bursts', timestamps)
    for (const offset of [0, 49, 50, 120, 150, 199]) {
      await commit(`at-${offset}`, 'bursts', offset)
    }
    const fresh = collecting(kafka, { brokers: part.bootstrap, ...patient })
    await fresh.run()
    // Each pass asks one more question where several groups stand in one partition.
    for (let pass = 0; pass < 12; pass++) await fresh.run()
    const samples = await fresh.run()
    await fresh.stop()
    for (const offset of [0, 49, 50, 120, 150, 199]) {
      const labels = { consumergroup: `at-${offset}`, topic: 'bursts' }
      expectAge(sampleOf(samples, 'kafka_consumergroup_lag_seconds', labels), now - (timestamps[offset] ?? 0))
    }
  })

  test('0 when caught up, and the time of the write when not', async () => {
    await topic('moving')
    await write('moving', [Date.now()])
    await commit('mover', 'moving', 1)
    const labels = { consumergroup: 'mover', topic: 'moving' }
    expect(sampleOf(await collector.run(), 'kafka_consumergroup_lag_seconds', labels)).toBe(0)
    const written = Date.now()
    await write('moving', [written])
    const samples = await collector.run()
    expectAge(sampleOf(samples, 'kafka_consumergroup_lag_seconds', labels), Date.now() - written)
  })

  test('a topic deleted and made anew is not judged by the old one’s times', async () => {
    await topic('again')
    await write(
      'again',
      Array.from({ length: 40 }, (_, i) => Date.now() - 5 * DAY + i),
    )
    await commit('anew', 'again', 3)
    const labels = { consumergroup: 'anew', topic: 'again' }
    expectAge(sampleOf(await collector.run(), 'kafka_consumergroup_lag_seconds', labels), 5 * DAY)
    await admin.deleteTopics({ topics: ['again'] })
    await waitFor('the topic to be gone', async () => !(await admin.listTopics()).includes('again'))
    await topic('again')
    const written = Date.now()
    await write(
      'again',
      Array.from({ length: 8 }, () => written),
    )
    await commit('anew', 'again', 3)
    const samples = await collector.run()
    expectAge(sampleOf(samples, 'kafka_consumergroup_lag_seconds', labels), Date.now() - written)
    expect(sampleOf(samples, 'kafka_consumergroup_lag', labels)).toBe(5)
  })

  test('never negative and never NaN, whatever the groups', async () => {
    const lags = (await collector.run()).filter((line) => line.startsWith('kafka_consumergroup_lag'))
    expect(lags.length).toBeGreaterThan(0)
    for (const line of lags) expect(Number(line.slice(line.lastIndexOf(' ') + 1))).toBeGreaterThanOrEqual(0)
  })
})

test('the age of the last commit: unknown until one was seen', async () => {
  await topic('commits')
  await write('commits', [Date.now(), Date.now()])
  await commit('committer', 'commits', 0)
  const labels = { consumergroup: 'committer', topic: 'commits' }
  expect(
    sampleOf(await collector.run(), 'kafka_consumergroup_last_commit_age_seconds', labels),
  ).toBeUndefined()
  await commit('committer', 'commits', 1)
  const seen = sampleOf(await collector.run(), 'kafka_consumergroup_last_commit_age_seconds', labels)
  expect(seen).toBe(0)
  await waitFor(
    'the age to grow',
    async () =>
      (sampleOf(await collector.run(), 'kafka_consumergroup_last_commit_age_seconds', labels) ?? 0) > 0,
  )
})

test('a thousand topics in one pass', async () => {
  const topics = Array.from({ length: 1000 }, (_, i) => ({
    topic: `erp.tenant${i % 50}.table${i}`,
    numPartitions: 1,
  }))
  for (let i = 0; i < topics.length; i += 250) await createTopics(part.bootstrap, topics.slice(i, i + 250))
  const own = collecting(kafka, {
    brokers: part.bootstrap,
    ...patient,
    allow_topics: ['^erp\\.'],
    topics: [{ match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$', team: 'Finance', lag_threshold: 5000 }],
  })
  await waitFor(
    'all topics to have a leader',
    async () =>
      (await own.run()).filter((line) => line.startsWith('kafka_topic_partition_current_offset{')).length ===
      1000,
  )
  const samples = await own.run()
  await own.stop()
  expect(samples.filter((line) => line.startsWith('cdc_topic_info{')).length).toBe(1000)
  expect(samples).toContain(
    'cdc_topic_info{target="test",topic="erp.tenant7.table7",tenant="tenant7",table="table7",team="Finance"} 1',
  )
})

test('topic granularity, patterns and thresholds', async () => {
  await commit('excluded-group', 'moving', 1)
  const own = collecting(kafka, {
    brokers: part.bootstrap,
    ...patient,
    granularity: 'topic',
    allow_topics: ['^moving$', '^expiring$'],
    deny_topics: ['expir'],
    deny_groups: ['^excluded-'],
    topics: [{ match: '^moving$', lag_threshold: 7 }],
  })
  const samples = await own.run()
  await own.stop()
  expect(samples.filter((line) => line.includes('partition="'))).toEqual([])
  expect(samples.filter((line) => line.includes('expiring') || line.includes('excluded-group'))).toEqual([])
  expect(samples).toContain(
    'kafka_consumergroup_lag_threshold{target="test",consumergroup="mover",topic="moving"} 7',
  )
  expect(samples).toContain(
    'kafka_consumergroup_lag_sum{target="test",consumergroup="mover",topic="moving"} 1',
  )
  expect(samples).toContain('kafka_topic_current_offset{target="test",topic="moving"} 2')
})

test('the KRaft quorum and the size on disk', async () => {
  const samples = await collector.run()
  expect(samples).toContain('kafka_quorum_leader_id{target="test"} 1')
  expect(samples).toContain('kafka_quorum_voters{target="test"} 1')
  expect(samples).toContain('kafka_quorum_observers{target="test"} 0')
  expect(samples).toContain('kafka_quorum_replica_lag{target="test",replica_id="1",role="voter"} 0')
  expect(sampleOf(samples, 'kafka_topic_log_size_bytes', { topic: 'bursts' })).toBeGreaterThan(1000)
})
