import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { kafka } from '../../../src/collectors/kafka/index.ts'
import { type GuardedKafka, type Right, startGuardedKafka } from '../../testbed/guarded-kafka.ts'
import { produce } from '../../testbed/kafka-client.ts'
import { commitOffsets } from '../../testbed/offsets.ts'
import { waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { checked, complaints } from '../check.ts'
import { collecting } from '../collect.ts'
import { patient } from './patient.ts'

let part: GuardedKafka

beforeAll(async () => {
  part = await startGuardedKafka()
  await createTopics(part.bootstrap, [{ topic: 'erp.alpha.journals' }, { topic: 'erp.dlq' }])
  await commitOffsets(part.bootstrap, 'clickhouse-etl', { 'erp.alpha.journals': { 0: 0 } })
  await part.permit(
    ['DESCRIBE', 'CLUSTER', 'kafka-cluster'],
    ['DESCRIBE', 'GROUP', '*'],
    ['DESCRIBE', 'TOPIC', '*'],
    ['DESCRIBE_CONFIGS', 'TOPIC', '*'],
    ['READ', 'TOPIC', 'erp.dlq'],
  )
})
afterAll(() => part?.remove())

const as = (...user: Parameters<GuardedKafka['as']>) => ({ ...patient, ...part.as(...user) })

/** What is told for the want of a right, which it then has again. An ACL counts a moment after it was made. */
async function without(...right: Right) {
  const look = async () => complaints(await checked(kafka, as('monitor')))
  await part.forbid(right)
  let found = await look()
  await waitFor('the right to be gone', async () => {
    found = await look()
    return Object.keys(found).length > 0
  })
  await part.permit(right)
  await waitFor('the right to be back', async () => Object.keys(await look()).length === 0)
  return found
}

test('a cluster that is as it should be has nothing to complain of', async () => {
  const settings = { ...as('monitor'), topics: [{ match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$' }] }
  let found = await checked(kafka, settings)
  await waitFor('the ACLs to count', async () => {
    found = await checked(kafka, settings)
    return Object.keys(complaints(found)).length === 0
  })
  expect(Object.keys(found)).toEqual([
    'reachable',
    'authenticated',
    'version_supported',
    'broker_reachable 1',
    'cluster_described',
    'topics_seen',
    'topic_rule_applies ^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$',
    'topic_settings_readable',
    'groups_seen',
    'groups_readable',
    'dead_letters_readable',
    'completed',
  ])
  expect(found.dead_letters_readable?.message).toBe('erp.dlq')
})

test('rights that are missing are told with the command that gives them', async () => {
  const add = 'kafka-acls.sh --bootstrap-server … --add --allow-principal User:monitor --operation'
  expect(await without('DESCRIBE', 'CLUSTER', 'kafka-cluster')).toEqual({
    cluster_described: `false: the user may not → ${add} Describe --cluster`,
  })
  expect(await without('DESCRIBE', 'GROUP', '*')).toEqual({
    groups_readable: `false: refused: clickhouse-etl → ${add} Describe --group '*'`,
  })
  expect(await without('DESCRIBE_CONFIGS', 'TOPIC', '*')).toEqual({
    topic_settings_readable: `false: refused: erp.alpha.journals, erp.dlq → ${add} DescribeConfigs --topic '*'`,
  })
  expect(await without('READ', 'TOPIC', 'erp.dlq')).toEqual({
    dead_letters_readable: `false: refused: erp.dlq → ${add} Read --topic 'erp.dlq'; or dead_letters.sample: 0`,
  })
})

test('who has no right at all sees nothing, and is told so', async () => {
  expect(complaints(await checked(kafka, as('stranger')))).toEqual({
    cluster_described: expect.stringContaining('the user may not'),
    topics_seen: expect.stringMatching(
      /it sees no topic.* → .*User:stranger --operation Describe --topic '\*'/,
    ),
    groups_seen: expect.stringMatching(/it sees none.* → .*User:stranger --operation Describe --group '\*'/),
  })
})

test('rules and lists that leave nothing are told with what there is', async () => {
  const settings = { ...as('monitor'), topics: [{ match: '^crm\\.' }], dead_letters: { sample: 0 } }
  expect(complaints(await checked(kafka, settings))).toEqual({
    'topic_rule_applies ^crm\\.': expect.stringContaining(
      'it matches no topic; there are erp.alpha.journals, erp.dlq → correct match',
    ),
  })
  expect(complaints(await checked(kafka, { ...settings, allow_topics: ['^crm'] }))).toEqual({
    topics_seen: expect.stringContaining('none is left of erp.alpha.journals, erp.dlq'),
  })
})

test('a broker that advertises what leads nowhere is named', async () => {
  const found = complaints(await checked(kafka, as('monitor', 'lost')))
  expect(found['broker_reachable 1']).toMatch(
    /cannot connect to broker 127\.0\.0\.2:\d+: .*ECONNREFUSED.* → let the exporter reach 127\.0\.0\.2:\d+, or correct advertised/,
  )
})

test('credentials that are wrong, and a broker that is away; no password is told', async () => {
  const { brokers } = as('monitor')
  const sasl = { mechanism: 'plain', username: 'monitor', password: 'old-secret' }
  const refused = await checked(kafka, { ...as('monitor'), sasl })
  expect(complaints(refused)).toEqual({
    authenticated: expect.stringMatching(/SASL PLAIN authentication failed.* → correct sasl/),
  })
  expect(JSON.stringify(refused)).not.toContain('old-secret')
  expect(complaints(await checked(kafka, { ...patient, brokers }))).toEqual({
    reachable: expect.stringMatching(/→ start the broker, or correct brokers; a listener with TLS or SASL/),
  })
  expect(complaints(await checked(kafka, { ...as('monitor'), brokers: `127.0.0.1:1,${brokers}` }))).toEqual({
    'address_answers 127.0.0.1:1': expect.stringContaining('ECONNREFUSED'),
  })
})

test('a broker that is too old says which requests it does not know', async () => {
  // Answers ApiVersions with Metadata alone.
  const server = createServer((socket) =>
    socket.on('data', (request) => {
      const answer = Buffer.alloc(4 + 4 + 2 + 4 + 6)
      answer.writeInt32BE(answer.length - 4, 0)
      answer.writeInt32BE(request.readInt32BE(8), 4)
      answer.writeInt32BE(1, 10)
      answer.writeInt16BE(3, 14)
      answer.writeInt16BE(9, 18)
      socket.write(answer)
    }),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const brokers = `127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(complaints(await checked(kafka, { ...patient, brokers }))).toEqual({
    version_supported: expect.stringContaining(
      'version without ListGroups, OffsetFetch, ListOffsets, Fetch; Kafka 2.4 or later is expected',
    ),
  })
  server.close()
})

test('who may not see sizes is not told that a group is far from what retention.bytes deletes', async () => {
  const topic = 'sized'
  await createTopics(part.bootstrap, [
    {
      topic,
      configEntries: [
        { name: 'retention.ms', value: '-1' },
        { name: 'retention.bytes', value: '1000000' },
      ],
    },
  ])
  await produce(part.bootstrap, topic, [{ value: 'x'.repeat(100_000) }])
  await commitOffsets(part.bootstrap, 'late', { [topic]: { 0: 0 } })
  const collector = collecting(kafka, as('monitor'))
  const seriesOf = async (name: string) =>
    (await collector.run()).filter((line) => line.startsWith(`${name}{`) && line.includes('"late"'))
  const used = () => seriesOf('kafka_consumergroup_retention_used_ratio')
  const right = ['DESCRIBE', 'CLUSTER', 'kafka-cluster'] as const
  await waitFor('the share to be known', async () => Number((await used())[0]?.split(' ').at(-1)) > 0.09)
  await part.forbid(right)
  try {
    await waitFor('the share to be unknown', async () => (await used()).length === 0)
    expect(await seriesOf('kafka_consumergroup_lag_sum')).toHaveLength(1)
  } finally {
    await part.permit(right)
    await collector.stop()
  }
})
