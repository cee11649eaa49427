import { expect, test } from 'vitest'
import { GREATEST, listOffsets, METADATA } from '../../../src/clients/kafka/requests.ts'
import { Reader, Writer } from '../../../src/clients/kafka/wire.ts'

// What brokers say that the testbed does not have: with ZooKeeper, and before Kafka 3.0.

test('partitions are in order of their numbers, also from a broker that has them in a hash table', async () => {
  const answer = new Writer(false)
  answer
    .int32(0)
    .array([1, 2], (id) => {
      answer.int32(id).string('localhost').int32(9092).string(null)
    })
    .string('cluster')
    .int32(1)
    .array(['erp.alpha.journals'], (topic) => {
      answer
        .int8(0)
        .int8(0)
        .string(topic)
        .boolean(false)
        .array([0, 5, 1, 4, 2, 3], (partition) => {
          const leader = 1 + (partition % 2)
          answer.int8(0).int8(0).int32(partition).int32(leader)
          for (const replicas of [[leader], [leader], []]) answer.array(replicas, (id) => answer.int32(id))
        })
    })
  const { topics } = await METADATA.read(new Reader(answer.bytes, false), 5)
  expect(topics[0]?.partitions.map(({ partition, leader }) => [partition, leader])).toEqual([
    [0, 1],
    [1, 2],
    [2, 1],
    [3, 2],
    [4, 1],
    [5, 2],
  ])
})

test('the record with the greatest timestamp is asked for only where that question is known', () => {
  const bytes = (version: number, timestamp: number) => {
    const writer = new Writer(version >= 6)
    const question = { topic: 'dlq', partitions: [0], timestamps: [timestamp] }
    listOffsets([question], false, () => {}).write(writer, version)
    return writer.bytes
  }
  for (const version of [4, 5, 6]) {
    expect(bytes(version, GREATEST)).toEqual(bytes(version, Number.MAX_SAFE_INTEGER))
  }
  expect(bytes(7, GREATEST)).not.toEqual(bytes(7, Number.MAX_SAFE_INTEGER))
})
