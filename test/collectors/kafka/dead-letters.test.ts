import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  type Admin,
  CompressionTypes,
  type Kafka,
  type Producer,
  ResourcePatternTypes,
} from 'kafkajs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../../src/collectors/connect/index.ts'
import { kafka } from '../../../src/collectors/kafka/index.ts'
import { Exposition } from '../../../src/metrics/exposition.ts'
import { patientClient } from '../../testbed/kafka-client.ts'
import { type ConnectPart, startConnect } from '../../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { type Collecting, collecting } from '../collect.ts'
import { patient } from './patient.ts'

const CLASS = '__connect.errors.exception.class.name'
const CONNECTOR = '__connect.errors.connector.name'

let part: KafkaPart
let client: Kafka
let admin: Admin
let producer: Producer

beforeAll(async () => {
  part = await startKafka()
  client = patientClient(part.bootstrap)
  admin = client.admin()
  producer = client.producer()
  await admin.connect()
  await producer.connect()
})

afterAll(async () => {
  await producer?.disconnect()
  await admin?.disconnect()
  await part?.remove()
})

async function withCollector<T>(
  settings: object,
  use: (collector: Collecting) => Promise<T>,
  exposition?: Exposition,
): Promise<T> {
  const collector = collecting(kafka, { brokers: part.bootstrap, ...patient, ...settings }, exposition)
  try {
    return await use(collector)
  } finally {
    await collector.stop()
  }
}

async function topic(name: string, numPartitions = 1, config: Record<string, string> = {}): Promise<void> {
  const configEntries = Object.entries(config).map(([key, value]) => ({ name: key, value }))
  await createTopics(part.bootstrap, [{ topic: name, numPartitions, configEntries }])
}

interface Letter {
  readonly headers?: Record<string, string | Buffer>
  readonly partition?: number
  readonly timestamp?: string
}

async function write(name: string, letters: readonly Letter[], compression = CompressionTypes.None) {
  const messages = letters.map((letter) => ({ key: 'a key', value: 'x'.repeat(100), ...letter }))
  await producer.send({ topic: name, messages, compression })
}

const times = (n: number, headers: Record<string, string | Buffer> = {}): Letter[] =>
  Array.from({ length: n }, () => ({ headers }))

const failed = (exceptionClass: string, connector = 'sink') => ({
  [CLASS]: exceptionClass,
  [CONNECTOR]: connector,
  '__connect.errors.exception.stacktrace': `${exceptionClass}: a secret\n\tat somewhere\n`.repeat(50),
})

/** The topic's series without its labels of no interest: `messages 3`, `errors class="x",connector="y" 2`. */
function of(name: string, lines: readonly string[]): string[] {
  const label = `target="test",topic="${name}"`
  return lines
    .filter((line) => line.startsWith('kafka_dlq_') && line.includes(label) && !line.includes('_age_'))
    .map((line) => line.replace(label, '').replace('{}', '').replace('{,', ' ').replace('}', ''))
    .map((line) => line.replace('kafka_dlq_', '').replace('exception_class', 'class'))
}

const age = (name: string, lines: readonly string[]): number | undefined => {
  const line = lines.find((each) =>
    each.startsWith(`kafka_dlq_newest_age_seconds{target="test",topic="${name}"`),
  )
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

describe('a topic that is found by its name', () => {
  test('depth, all ever written, and the classes in the headers, however the records are compressed', async () => {
    await topic('erp.dlq', 3)
    for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
      await write('erp.dlq', [...times(3, failed('java.lang.A')), ...times(2)], compression)
    }
    await withCollector({}, async (collector) => {
      const expected = [
        'errors_total class="java.lang.A",connector="sink" 6',
        'errors_total class="unknown",connector="" 4',
        'messages 10',
        'records_total 10',
      ]
      expect(of('erp.dlq', await collector.run())).toEqual(expected)
      // Nothing twice.
      expect(of('erp.dlq', await collector.run())).toEqual(expected)
      await write('erp.dlq', times(1, failed('java.lang.B$C', 'other sink')))
      expect(of('erp.dlq', await collector.run())).toEqual([
        expected[0],
        'errors_total class="java.lang.B$C",connector="other sink" 1',
        expected[1],
        'messages 11',
        'records_total 11',
      ])
    })
  })

  test('batches that the broker compresses: zstd is read, snappy and lz4 count as unread', async () => {
    for (const type of ['gzip', 'zstd', 'snappy', 'lz4']) {
      await topic(`${type}-dead-letters`, 1, { 'compression.type': type })
      await write(`${type}-dead-letters`, times(4, failed('java.lang.A')))
    }
    await withCollector({}, async (collector) => {
      const lines = await collector.run()
      for (const [type, labels] of [
        ['gzip', 'class="java.lang.A",connector="sink"'],
        ['zstd', 'class="java.lang.A",connector="sink"'],
        ['snappy', 'class="unread",connector=""'],
        ['lz4', 'class="unread",connector=""'],
      ]) {
        expect(of(`${type}-dead-letters`, lines)).toContain(`errors_total ${labels} 4`)
      }
    })
  })

  test('headers of Spring and Kafka Streams are known; what is no class name is no label', async () => {
    await topic('spring.DLT')
    await write('spring.DLT', [
      ...times(1, {
        'kafka_dlt-exception-fqcn': 'org.springframework.kafka.listener.ListenerExecutionFailedException',
        'kafka_dlt-exception-cause-fqcn': 'java.lang.IllegalStateException',
      }),
      ...times(1, { '__streams.errors.exception': 'org.apache.kafka.common.errors.SerializationException' }),
      ...times(1, { [CLASS]: 'could not read account 4711' }),
      ...times(1, { [CLASS]: 'A'.repeat(2000), [CONNECTOR]: 'b'.repeat(500) }),
      ...times(1, { [CLASS]: Buffer.from([0xff, 0, 1]) }),
    ])
    await withCollector({}, async (collector) => {
      expect(of('spring.DLT', await collector.run())).toEqual([
        'errors_total class="java.lang.IllegalStateException",connector="" 1',
        'errors_total class="org.apache.kafka.common.errors.SerializationException",connector="" 1',
        'errors_total class="unknown",connector="" 3',
        'messages 5',
        'records_total 5',
      ])
    })
  })

  test('many classes: a hundred, the rest is other', async () => {
    await topic('classes.dlq')
    await write(
      'classes.dlq',
      Array.from({ length: 130 }, (_, i) => ({ headers: failed(`com.example.E${i}`, `sink-${i}`) })),
    )
    await withCollector({}, async (collector) => {
      const errors = of('classes.dlq', await collector.run()).filter((line) => line.startsWith('errors'))
      expect(errors).toHaveLength(101)
      expect(errors).toContain('errors_total class="other",connector="" 30')
    })
  })

  test('not where the selection leaves it out, and not by another pattern', async () => {
    await topic('left-out.dlq')
    await topic('rejected')
    await write('left-out.dlq', times(1))
    await write('rejected', times(1))
    const settings = { deny_topics: ['^left-out'], dead_letters: { match: ['dlq$', '^rejected$'] } }
    await withCollector(settings, async (collector) => {
      const lines = await collector.run()
      expect(of('left-out.dlq', lines)).toEqual([])
      expect(of('rejected', lines)).toContain('messages 1')
      expect(of('spring.DLT', lines)).toEqual([])
    })
  })

  test('a sample of 0 reads nothing', async () => {
    await topic('unsampled.dlq')
    await write('unsampled.dlq', times(2, failed('java.lang.A')))
    await withCollector({ dead_letters: { sample: 0 } }, async (collector) => {
      const lines = await collector.run()
      expect(of('unsampled.dlq', lines)).toEqual(['messages 2', 'records_total 2'])
      expect(lines.filter((line) => line.startsWith('kafka_dlq_errors'))).toEqual([])
    })
  })
})

describe('a flood', () => {
  const FLOOD = 20_000
  const SAMPLE = 100

  test('costs no more than the sample, and every record is counted once', async () => {
    await topic('flood.dlq', 4)
    await write('flood.dlq', times(3, failed('java.lang.Before')))
    await withCollector({ dead_letters: { sample: SAMPLE } }, async (collector) => {
      expect(of('flood.dlq', await collector.run())).toEqual([
        'errors_total class="java.lang.Before",connector="sink" 3',
        'messages 3',
        'records_total 3',
      ])
      for (let i = 0; i < FLOOD / 2_000; i++)
        await write('flood.dlq', times(2_000, { [CLASS]: 'java.lang.A' }))
      const flooded = of('flood.dlq', await collector.run())
      const total = (labels: string) =>
        Number(
          flooded
            .find((line) => line.startsWith(`errors_total class="${labels}"`))
            ?.split(' ')
            .at(-1) ?? 0,
        )
      expect(total('java.lang.A')).toBeGreaterThan(SAMPLE - 4)
      expect(total('java.lang.A')).toBeLessThanOrEqual(SAMPLE)
      expect(total('java.lang.A') + total('unread')).toBe(FLOOD)
      expect(flooded).toContain(`messages ${FLOOD + 3}`)
      expect(of('flood.dlq', await collector.run())).toEqual(flooded)
      // The newest were read; what comes now is read in full.
      await write('flood.dlq', times(10, failed('java.lang.After')))
      expect(of('flood.dlq', await collector.run())).toContain(
        'errors_total class="java.lang.After",connector="sink" 10',
      )
    })
  })

  test('after a restart only the newest are looked at, and nothing before them is called unread', async () => {
    await withCollector({ dead_letters: { sample: SAMPLE } }, async (collector) => {
      const lines = of('flood.dlq', await collector.run())
      expect(lines.some((line) => line.includes('unread'))).toBe(false)
      const read = lines
        .filter((line) => line.startsWith('errors'))
        .map((line) => Number(line.split(' ').at(-1)))
      const sum = read.reduce((a, b) => a + b, 0)
      expect(sum).toBeGreaterThan(SAMPLE - 4)
      expect(sum).toBeLessThanOrEqual(SAMPLE)
      expect(lines).toContain(`records_total ${FLOOD + 13}`)
    })
  })
})

test('records deleted between two passes are unread, and no longer in the depth', async () => {
  await topic('expiring.dlq')
  await withCollector({}, async (collector) => {
    await write('expiring.dlq', times(1, failed('java.lang.A')))
    await collector.run()
    await write('expiring.dlq', times(9, failed('java.lang.A')))
    // kafkajs deletes only in a topic whose leaders it has asked for.
    await admin.fetchTopicOffsets('expiring.dlq')
    await admin.deleteTopicRecords({ topic: 'expiring.dlq', partitions: [{ partition: 0, offset: '8' }] })
    expect(of('expiring.dlq', await collector.run())).toEqual([
      'errors_total class="java.lang.A",connector="sink" 3',
      'errors_total class="unread",connector="" 7',
      'messages 2',
      'records_total 10',
    ])
  })
})

test('aborted transactions and the marks of transactions are not counted as errors', async () => {
  await topic('transactional.dlq')
  const writer = client.producer({ transactionalId: 'dlq', maxInFlightRequests: 1, idempotent: true })
  await writer.connect()
  for (const [end, name] of [
    ['abort', 'Aborted'],
    ['commit', 'Committed'],
    ['abort', 'Aborted'],
  ] as const) {
    const transaction = await writer.transaction()
    const messages = [{ value: 'x', headers: failed(`java.lang.${name}`) }]
    await transaction.send({ topic: 'transactional.dlq', messages })
    await transaction[end]()
  }
  await writer.disconnect()
  await withCollector({}, async (collector) => {
    const errors = async () =>
      of('transactional.dlq', await collector.run()).filter((line) => line.startsWith('errors'))
    const committed = 'errors_total class="java.lang.Committed",connector="sink" 1'
    await waitFor('the transactions to be decided', async () => (await errors()).includes(committed))
    await write('transactional.dlq', times(1, failed('java.lang.Last')))
    const last = 'errors_total class="java.lang.Last",connector="sink" 1'
    // It is behind the last aborted one, which the broker may not have marked yet.
    await waitFor('the record after them', async () => (await errors()).includes(last))
    expect(await errors()).toEqual([committed, last])
  })
})

test('the age of the newest: absent while the topic is empty', async () => {
  await topic('aged.dlq', 2)
  await withCollector({}, async (collector) => {
    expect(of('aged.dlq', await collector.run())).toEqual(['messages 0', 'records_total 0'])
    expect(age('aged.dlq', await collector.run())).toBeUndefined()
    const newest = Date.now() - 3_600_000
    await write('aged.dlq', [
      { partition: 0, timestamp: String(newest) },
      { partition: 1, timestamp: String(newest - 86_400_000) },
    ])
    for (let pass = 0; pass < 2; pass++) {
      const seconds = age('aged.dlq', await collector.run()) ?? 0
      expect(seconds).toBeGreaterThanOrEqual(3_600)
      expect(seconds).toBeLessThanOrEqual((Date.now() - newest) / 1000)
    }
  })
})

test('a topic deleted and made anew: its counts go on', async () => {
  await topic('again.dlq')
  await write('again.dlq', times(2, failed('java.lang.A')))
  await withCollector({}, async (collector) => {
    await collector.run()
    await admin.deleteTopics({ topics: ['again.dlq'] })
    await waitFor('the topic to be gone', async () => !(await admin.listTopics()).includes('again.dlq'))
    await topic('again.dlq')
    await write('again.dlq', times(5, failed('java.lang.A')))
    expect(of('again.dlq', await collector.run())).toEqual([
      'errors_total class="java.lang.A",connector="sink" 7',
      'messages 5',
      'records_total 5',
    ])
  })
})

describe('a topic that a sink connector names', () => {
  let worker: ConnectPart
  let exposition: Exposition
  let connectors: Collecting

  beforeAll(async () => {
    worker = await startConnect({ bootstrap: part.bootstrap })
    await topic('orders')
    await worker.putConnector('to-file', {
      'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector',
      'tasks.max': '1',
      topics: 'orders, payments',
      file: join(worker.folder, 'orders.txt'),
      'errors.tolerance': 'all',
      'errors.deadletterqueue.topic.name': 'rejected-orders',
      'errors.deadletterqueue.topic.replication.factor': '1',
      'errors.deadletterqueue.context.headers.enable': 'true',
    })
  })
  beforeEach(() => {
    exposition = new Exposition()
    connectors = collecting(connect, { urls: worker.url }, exposition)
  })
  afterAll(() => worker?.remove())

  test('is found though no pattern fits, with the class and the connector of a record that failed', async () => {
    await producer.send({ topic: 'orders', messages: [{ value: '{"id": 1}' }, { value: 'no JSON' }] })
    await waitFor(
      'the dead letter',
      async () => (await admin.fetchTopicOffsets('rejected-orders'))[0]?.high === '1',
    )
    await connectors.run()
    const groups = await admin.listGroups()
    await withCollector(
      {},
      async (collector) => {
        const lines = await collector.run()
        expect(of('rejected-orders', lines)).toEqual([
          'errors_total class="org.apache.kafka.connect.errors.DataException",connector="to-file" 1',
          'messages 1',
          'records_total 1',
        ])
        expect(of('orders', lines)).toEqual([])
        expect(lines.join()).not.toContain('payments')
        await producer.send({ topic: 'orders', messages: [{ value: 'nor this' }] })
        await waitFor('the second dead letter', async () =>
          of('rejected-orders', await collector.run()).includes('messages 2'),
        )
      },
      exposition,
    )
    expect(await admin.listGroups()).toEqual(groups)
    await connectors.stop()
  })

  test('the relation of connector and topics is told, and nothing else of the configuration', async () => {
    const lines = await connectors.run()
    expect(lines.filter((line) => line.includes('_topic_info'))).toEqual(
      [
        ['orders', 'consumes'],
        ['payments', 'consumes'],
        ['rejected-orders', 'dead_letter'],
      ].map(
        ([name, role]) =>
          `kafka_connect_connector_topic_info{target="test",connector="to-file",topic="${name}",role="${role}"} 1`,
      ),
    )
    expect(lines.join()).not.toContain('orders.txt')
    await connectors.stop()
  })
})

test('a topic that may not be read: a failed part, with its depth and its counts so far', async () => {
  await topic('private.dlq')
  await write('private.dlq', times(2, failed('java.lang.A')))
  await withCollector({}, async (collector) => {
    const before = await collector.run()
    const [broker] = part.brokers
    await broker?.stop()
    appendFileSync(
      join(part.folder, 'node-1', 'server.properties'),
      'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n' +
        'allow.everyone.if.no.acl.found=true\n',
    )
    await broker?.start()
    const acl = {
      resourceType: AclResourceTypes.TOPIC,
      resourceName: 'private.dlq',
      resourcePatternType: ResourcePatternTypes.LITERAL,
      principal: 'User:ANONYMOUS',
      host: '*',
      permissionType: AclPermissionTypes.ALLOW,
    }
    const operations = [AclOperationTypes.DESCRIBE, AclOperationTypes.WRITE]
    await admin.createAcls({ acl: operations.map((operation) => ({ ...acl, operation })) })
    // The broker hears of them after the controller. What it lets a pass read before is never asked for again.
    const all = { operation: AclOperationTypes.ANY, permissionType: AclPermissionTypes.ANY }
    await waitFor('the broker to know the rights', async () => {
      const { resources } = await admin.describeAcls({ ...acl, ...all })
      return resources.flatMap(({ acls }) => acls).length === operations.length
    })
    await write('private.dlq', times(3, failed('java.lang.A')))
    let lines: string[] = []
    await waitFor('the refusal', async () => {
      lines = await collector.run()
      // Groups are failed parts too, while their coordinator loads.
      const [failed, ...others] = collector.failedParts
      return (
        failed?.labels.topic === 'private.dlq' &&
        others.length === 0 &&
        of('private.dlq', lines).includes('messages 5')
      )
    })
    expect(collector.failedParts).toEqual([
      {
        labels: { topic: 'private.dlq' },
        cause: new Error(
          'Kafka answered Fetch of partition 0 of private.dlq with TOPIC_AUTHORIZATION_FAILED',
        ),
      },
    ])
    expect(of('private.dlq', lines)).toEqual([
      ...of('private.dlq', before).filter((line) => line.startsWith('errors')),
      'messages 5',
      'records_total 5',
    ])
    expect(age('private.dlq', lines)).toBeDefined()
  })
})
