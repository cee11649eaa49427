import { afterAll, beforeAll, expect, test } from 'vitest'
import { kafka } from '../../../src/collectors/kafka/index.ts'
import { patientClient } from '../../testbed/kafka-client.ts'
import { commitOffsets } from '../../testbed/offsets.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { collecting } from '../collect.ts'
import { patient } from './patient.ts'

let part: KafkaPart

beforeAll(async () => {
  part = await startKafka({ nodes: 3 })
  const client = patientClient(part.bootstrap)
  await createTopics(part.bootstrap, [
    // Without a second replica, a dead broker leaves its partitions without a leader.
    { topic: 'single', numPartitions: 6, replicationFactor: 1 },
    { topic: 'replicated', numPartitions: 3, replicationFactor: 3 },
  ])
  const producer = client.producer()
  await producer.connect()
  for (let partition = 0; partition < 6; partition++) {
    await producer.send({
      topic: 'single',
      messages: Array.from({ length: 10 }, () => ({ partition, value: 'x' })),
    })
  }
  await producer.send({
    topic: 'replicated',
    messages: [0, 1, 2].map((partition) => ({ partition, value: 'x' })),
  })
  await producer.disconnect()
  for (let i = 0; i < 8; i++) {
    await commitOffsets(part.bootstrap, `group-${i}`, {
      single: { 0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6 },
      replicated: { 0: 0, 1: 0, 2: 0 },
    })
  }
})

afterAll(async () => {
  await part?.remove()
})

const groupsIn = (samples: readonly string[], name: string, topic: string): string[] =>
  samples.filter((line) => line.startsWith(`${name}{`) && line.includes(`topic="${topic}"`))

test('one broker of three killed: its partitions alone are unknown, the others are counted on, and all comes back', async () => {
  const collector = collecting(kafka, { brokers: part.bootstrap, ...patient })
  const before = await collector.run()
  expect(collector.failedParts).toEqual([])
  expect(groupsIn(before, 'kafka_consumergroup_lag_sum', 'single')).toHaveLength(8)
  expect(before).toContain(
    'kafka_consumergroup_lag_sum{target="test",consumergroup="group-3",topic="single"} 39',
  )
  expect(before).toContain('kafka_topic_offline_partitions{target="test",topic="single"} 0')

  const victim = part.brokers[1]
  if (!victim) throw new Error('no second broker')
  await victim.kill()
  let samples: string[] = []
  await waitFor('the cluster to notice', async () => {
    samples = await collector.run()
    return samples.includes('kafka_topic_offline_partitions{target="test",topic="single"} 2')
  })
  await waitFor('the other brokers to coordinate every group', async () => {
    samples = await collector.run()
    return groupsIn(samples, 'kafka_consumergroup_lag_sum', 'replicated').length === 8
  })
  // No sum is published over a part that is missing; what is known of the rest is.
  expect(groupsIn(samples, 'kafka_consumergroup_lag_sum', 'single')).toEqual([])
  expect(groupsIn(samples, 'kafka_topic_partition_current_offset', 'single')).toHaveLength(4)
  expect(groupsIn(samples, 'kafka_consumergroup_lag', 'single')).toHaveLength(8 * 4)
  expect(
    samples.filter((line) => /kafka_topic_partition_leader\{.*"single".*\} -1$/.test(line)),
  ).toHaveLength(2)
  expect(samples).toContain('kafka_topic_under_replicated_partitions{target="test",topic="replicated"} 3')
  expect(collector.failedParts.some(({ labels }) => labels.topic === 'single')).toBe(true)
  expect(collector.health()).toMatchObject({
    details: { brokers: 2, offline_partitions: 2 },
    problems: ['2 partitions have no leader', expect.stringMatching(/^\d+ partitions are under-replicated$/)],
  })

  await victim.start()
  await waitFor('all to be back', async () => {
    samples = await collector.run()
    return (
      groupsIn(samples, 'kafka_consumergroup_lag_sum', 'single').length === 8 &&
      samples.includes('kafka_topic_offline_partitions{target="test",topic="single"} 0')
    )
  })
  await collector.stop()
})

test('the broker that leads the quorum is frozen: the others are read meanwhile', async () => {
  const collector = collecting(kafka, { brokers: part.bootstrap, broker_timeout: '5s' })
  const before = await collector.run()
  const leader = Number(
    before
      .find((line) => line.startsWith('kafka_quorum_leader_id{'))
      ?.split(' ')
      .at(-1),
  )
  const victim = part.brokers[leader - 1]
  if (!victim) throw new Error(`no broker ${leader}`)
  victim.freeze()
  try {
    const samples = await collector.run()
    expect(groupsIn(samples, 'kafka_topic_partition_current_offset', 'single').length).toBeGreaterThanOrEqual(
      4,
    )
    // The others may have expelled it from the cluster by now; then it need not be asked.
    const isMember = samples.some((line) => line.startsWith(`kafka_broker_info{target="test",id="${leader}"`))
    const failed = collector.failedParts.some(({ labels }) => labels.broker === String(leader))
    expect({ isMember, failed }).not.toEqual({ isMember: true, failed: false })
  } finally {
    victim.thaw()
  }
  await waitFor(
    'all to be back',
    async () => groupsIn(await collector.run(), 'kafka_consumergroup_lag_sum', 'single').length === 8,
  )
  await collector.stop()
})

test('two of three controllers killed: the quorum has no leader, and has one again when they are back', async () => {
  const collector = collecting(kafka, { brokers: part.bootstrap, broker_timeout: '5s' })
  const leaderIn = (samples: readonly string[]) =>
    Number(
      samples
        .find((line) => line.startsWith('kafka_quorum_leader_id{'))
        ?.split(' ')
        .at(-1),
    )
  await waitFor('a leader', async () => leaderIn(await collector.run()) > 0)
  const victims = part.brokers.slice(1)
  for (const victim of victims) await victim.kill()
  try {
    await waitFor('no leader', async () => leaderIn(await collector.run()) === -1)
    // What only a leader knows is unknown.
    const ofTheWhole = collector.failedParts.filter(({ labels }) => Object.keys(labels).length === 0)
    expect(ofTheWhole.map(({ cause }) => String(cause))).toEqual([
      expect.stringContaining('DescribeQuorum to broker'),
    ])
  } finally {
    await Promise.all(victims.map((victim) => victim.start()))
  }
  await waitFor('a leader again', async () => leaderIn(await collector.run()) > 0)
  await collector.stop()
})
