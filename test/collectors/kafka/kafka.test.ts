import { type AddressInfo, createServer, type Server } from 'node:net'
import type { Admin, Consumer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { kafka } from '../../../src/collectors/kafka/index.ts'
import { patientClient } from '../../testbed/kafka-client.ts'
import { commitOffsets } from '../../testbed/offsets.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { type Collecting, collecting } from '../collect.ts'
import { patient } from './patient.ts'

let part: KafkaPart
let admin: Admin
let consumer: Consumer
let collector: Collecting

beforeAll(async () => {
  part = await startKafka()
  const client = patientClient(part.bootstrap)
  admin = client.admin()
  await admin.connect()
  await createTopics(part.bootstrap, [
    { topic: 'erp.alpha.journals', numPartitions: 3 },
    { topic: 'erp.bravo.journals', numPartitions: 1 },
    { topic: 'idle', numPartitions: 2 },
  ])
  const producer = client.producer()
  await producer.connect()
  for (let partition = 0; partition < 3; partition++) {
    const messages = Array.from({ length: 10 * (partition + 1) }, (_, i) => ({ partition, value: `${i}` }))
    await producer.send({ topic: 'erp.alpha.journals', messages })
  }
  await producer.send({
    topic: 'erp.bravo.journals',
    messages: Array.from({ length: 7 }, () => ({ value: 'x' })),
  })
  await producer.disconnect()
  // Without this, kafkajs does not know the leader.
  await admin.fetchTopicOffsets('erp.bravo.journals')
  await admin.deleteTopicRecords({ topic: 'erp.bravo.journals', partitions: [{ partition: 0, offset: '2' }] })

  // A group whose consumer is long gone, and one that never had one for partition 2.
  await commitOffsets(part.bootstrap, 'dead', {
    'erp.alpha.journals': { 0: 4, 1: 20 },
    'erp.bravo.journals': { 0: 3 },
  })

  consumer = client.consumer({ groupId: 'live' })
  await consumer.connect()
  await consumer.subscribe({ topics: ['erp.alpha.journals'], fromBeginning: true })
  let read = 0
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: async () => {
      read++
    },
  })
  await waitFor('the live group to have read all', () => read === 60)
  await waitFor('its commit', async () => {
    const [topic] = await admin.fetchOffsets({ groupId: 'live', topics: ['erp.alpha.journals'] })
    return topic?.partitions.every(({ partition, offset }) => offset === `${10 * (partition + 1)}`) ?? false
  })
  collector = collecting(kafka, { brokers: part.bootstrap, ...patient })
})

afterAll(async () => {
  await collector?.stop()
  await consumer?.disconnect()
  await admin?.disconnect()
  await part?.remove()
})

/** What Kafka's own tool prints, as `group topic partition` → `[offset, end, lag]`. */
async function toolOffsets(group: string): Promise<Map<string, readonly [number, number, number]>> {
  const text = await part.consumerGroups(['--describe', '--group', group])
  return new Map(
    text
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((cells) => cells[0] === group)
      .map(([, topic, partition, offset, end, lag]) => [
        `${group} ${topic} ${partition}`,
        [Number(offset), Number(end), Number(lag)] as const,
      ]),
  )
}

const value = (samples: readonly string[], series: string): number | undefined => {
  const line = samples.find((sample) => sample.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

test('offsets and lag are those of Kafka’s own tool, for a live group and for a dead one', async () => {
  const samples = await collector.run()
  for (const group of ['live', 'dead']) {
    const tool = await toolOffsets(group)
    expect(tool.size).toBe(3)
    const ours = new Map<string, (number | undefined)[]>()
    for (const key of tool.keys()) {
      const [, topic, partition] = key.split(' ')
      const labels = `{target="test",consumergroup="${group}",topic="${topic}",partition="${partition}"}`
      ours.set(key, [
        value(samples, `kafka_consumergroup_current_offset${labels}`),
        value(
          samples,
          `kafka_topic_partition_current_offset{target="test",topic="${topic}",partition="${partition}"}`,
        ),
        value(samples, `kafka_consumergroup_lag${labels}`),
      ])
    }
    expect(ours).toEqual(tool)
  }
})

test('sums, members, partitions and the start of the log', async () => {
  const samples = await collector.run()
  expect(
    samples.filter((line) =>
      /^kafka_(consumergroup_(current_offset_sum|lag_sum|members)|topic_partitions|topic_partition_oldest_offset|brokers)\b/.test(
        line,
      ),
    ),
  ).toEqual([
    'kafka_brokers{target="test"} 1',
    'kafka_consumergroup_current_offset_sum{target="test",consumergroup="dead",topic="erp.alpha.journals"} 24',
    'kafka_consumergroup_current_offset_sum{target="test",consumergroup="dead",topic="erp.bravo.journals"} 3',
    'kafka_consumergroup_current_offset_sum{target="test",consumergroup="live",topic="erp.alpha.journals"} 60',
    'kafka_consumergroup_lag_sum{target="test",consumergroup="dead",topic="erp.alpha.journals"} 6',
    'kafka_consumergroup_lag_sum{target="test",consumergroup="dead",topic="erp.bravo.journals"} 4',
    'kafka_consumergroup_lag_sum{target="test",consumergroup="live",topic="erp.alpha.journals"} 0',
    'kafka_consumergroup_members{target="test",consumergroup="dead"} 0',
    'kafka_consumergroup_members{target="test",consumergroup="live"} 1',
    'kafka_topic_partition_oldest_offset{target="test",topic="erp.alpha.journals",partition="0"} 0',
    'kafka_topic_partition_oldest_offset{target="test",topic="erp.alpha.journals",partition="1"} 0',
    'kafka_topic_partition_oldest_offset{target="test",topic="erp.alpha.journals",partition="2"} 0',
    'kafka_topic_partition_oldest_offset{target="test",topic="erp.bravo.journals",partition="0"} 2',
    'kafka_topic_partition_oldest_offset{target="test",topic="idle",partition="0"} 0',
    'kafka_topic_partition_oldest_offset{target="test",topic="idle",partition="1"} 0',
    'kafka_topic_partitions{target="test",topic="erp.alpha.journals"} 3',
    'kafka_topic_partitions{target="test",topic="erp.bravo.journals"} 1',
    'kafka_topic_partitions{target="test",topic="idle"} 2',
  ])
  expect(samples.filter((line) => line.includes('topic="idle",partition="0"'))).toEqual([
    'kafka_topic_partition_current_offset{target="test",topic="idle",partition="0"} 0',
    'kafka_topic_partition_in_sync_replica{target="test",topic="idle",partition="0"} 1',
    'kafka_topic_partition_last_stable_offset{target="test",topic="idle",partition="0"} 0',
    'kafka_topic_partition_leader_is_preferred{target="test",topic="idle",partition="0"} 1',
    'kafka_topic_partition_leader{target="test",topic="idle",partition="0"} 1',
    'kafka_topic_partition_oldest_offset{target="test",topic="idle",partition="0"} 0',
    'kafka_topic_partition_replicas{target="test",topic="idle",partition="0"} 1',
    'kafka_topic_partition_under_replicated_partition{target="test",topic="idle",partition="0"} 0',
  ])
  expect(collector.failedParts).toEqual([])
})

test('a deleted topic and a deleted group are gone from the next run', async () => {
  await createTopics(part.bootstrap, [{ topic: 'short-lived', numPartitions: 1 }])
  await commitOffsets(part.bootstrap, 'passing', { 'short-lived': { 0: 0 } })
  await waitFor('the topic and the group to show', async () => {
    const samples = await collector.run()
    return ['topic="short-lived"', 'consumergroup="passing"'].every((label) =>
      samples.some((line) => line.includes(label)),
    )
  })
  await admin.deleteGroups(['passing'])
  await admin.deleteTopics({ topics: ['short-lived'] })
  await waitFor(
    'the broker to have dropped the topic',
    async () => !(await admin.listTopics()).includes('short-lived'),
  )
  const after = await collector.run()
  expect(after.filter((line) => /short-lived|passing/.test(line))).toEqual([])
})

describe('a broker that does not answer', () => {
  test('frozen: the run fails, and the first one after it works again', async () => {
    const own = collecting(kafka, { brokers: part.bootstrap, broker_timeout: '5s' })
    await own.run()
    part.freeze()
    await expect(own.run()).rejects.toThrow(`no broker answered; tried ${part.bootstrap}`)
    part.thaw()
    expect(await own.run()).toContain('kafka_brokers{target="test"} 1')
    await own.stop()
  })

  test('one of the seeds down: the others serve', async () => {
    const own = collecting(kafka, { brokers: `127.0.0.1:1,${part.bootstrap}`, ...patient })
    expect(await own.run()).toContain('kafka_brokers{target="test"} 1')
    await own.stop()
  })

  /** A collector of two seeds that hang, which take up a run, and the broker behind them. */
  async function behindHangingSeeds(use: (collector: Collecting) => Promise<void>): Promise<void> {
    const hanging = await Promise.all([listen(), listen()])
    const brokers = [...hanging.map(({ address }) => address), part.bootstrap].join(',')
    const own = collecting(kafka, { brokers, broker_timeout: '2s' })
    try {
      await expect(own.run(3_000)).rejects.toThrow()
      await use(own)
    } finally {
      await own.stop()
      for (const { server } of hanging) server.close()
    }
  }
  const comesToTheBroker = (own: Collecting) =>
    waitFor('a run that comes to the broker', async () =>
      (await own.run(3_000)).includes('kafka_brokers{target="test"} 1'),
    )

  test('seeds that hang until the end of a run are not the first of the next', () =>
    behindHangingSeeds(comesToTheBroker))

  test('seeds that hang, and a broker that was too slow once: it is asked again', () =>
    behindHangingSeeds(async (own) => {
      part.freeze()
      try {
        // Asked first now; the run is over before the second of the seeds is.
        await expect(own.run(3_000)).rejects.toThrow()
      } finally {
        part.thaw()
      }
      await comesToTheBroker(own)
    }))

  test('restarted: groups do not blink while their coordinator loads', async () => {
    const own = collecting(kafka, { brokers: part.bootstrap, ...patient })
    await own.run()
    await part.stop()
    await expect(own.run()).rejects.toThrow('no broker answered')
    await part.start()
    let gone = 0
    await waitFor('groups to be complete again', async () => {
      const samples = await own.run()
      const listed = samples.some(
        (line) => line.startsWith('kafka_consumergroup_lag_sum') && line.includes('"dead"'),
      )
      const failed = own.failedParts.some(({ labels }) => labels.consumergroup === 'dead')
      if (!listed && !failed) gone++
      return listed
    })
    expect(gone, 'passes without the group and without a failed part').toBe(0)
    await own.stop()
  })
})

/** What takes connections and never answers. */
async function listen(): Promise<{ readonly address: string; readonly server: Server }> {
  const server = createServer(() => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}
