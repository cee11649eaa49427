import { type Admin, CompressionTypes, type Kafka, type Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import type { KeptState } from '../../../src/collection/collector.ts'
import { stateInMemory } from '../../../src/collection/kept-state.ts'
import { sync } from '../../../src/collectors/sync/index.ts'
import { InstanceSeries } from '../../../src/metrics/batch.ts'
import { Exposition } from '../../../src/metrics/exposition.ts'
import { counter, type Family, gauge } from '../../../src/metrics/family.ts'
import { patientClient } from '../../testbed/kafka-client.ts'
import { commitOffsets as commitAll, type Offsets } from '../../testbed/offsets.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { PATIENCE_MS, waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { type Collecting, collecting } from '../collect.ts'

let part: KafkaPart
let client: Kafka
let admin: Admin
let producer: Producer

/** A client asks for a topic that it has written to for ever, and fails when that is deleted: a new one. */
async function renewProducer(): Promise<void> {
  await producer.disconnect()
  producer = client.producer()
  await producer.connect()
}

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

/** Reading stops at half of a run's time-out, which a busy machine may need for all that comes before. */
const patientSync = { ...sync, defaults: { ...sync.defaults, timeout: PATIENCE_MS } }

/** Of one pipeline: topics `<name>.<tenant>.<table>`, and the group `<name>`. */
function pipeline(name: string, settings: object = {}) {
  const topicOf = (table: string, tenant = 'a') => `${name}.${tenant}.${table}`
  return {
    topicOf,
    collector: (state: KeptState = stateInMemory(), exposition = new Exposition()) =>
      collecting(
        patientSync,
        {
          brokers: part.bootstrap,
          broker_timeout: '3m',
          groups: [`^${name}$`],
          topics: [{ match: `^${name}\\.(?<tenant>[^.]+)\\.(?<table>[^.]+)$` }],
          ...settings,
        },
        exposition,
        systemClock,
        state,
      ),
    commit: (offsets: Offsets) => commitAll(part.bootstrap, name, offsets),
    create: (table: string, numPartitions = 1, config: Record<string, string> = {}) =>
      createTopics(part.bootstrap, [
        {
          topic: topicOf(table),
          numPartitions,
          configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
        },
      ]),
    write: (table: string, values: readonly (string | null)[], partition = 0) =>
      producer.send({
        topic: topicOf(table),
        messages: values.map((value) => ({ key: 'a key', value, partition })),
        compression: CompressionTypes.GZIP,
      }),
  }
}

const envelope = (op: string, committedAt = 1_700_000_000_000): string =>
  JSON.stringify({
    before: { id: 1, op: 'x' },
    after: { id: 1, note: '"op":"d"', op: 'd' },
    source: { version: '3.7.0.Final', connector: 'postgresql', ts_ms: committedAt },
    op,
    ts_ms: committedAt + 5,
  })

const times = <T>(n: number, value: T): T[] => Array.from({ length: n }, () => value)

/** `table=…,…` of the family with its value, such as `operation="insert",table="t" 3`, without target and tenant. */
function of(family: string, lines: readonly string[]): string[] {
  return lines
    .filter((line) => line.startsWith(`${family}{`) || line.startsWith(`${family} `))
    .map((line) => line.slice(family.length).replace('target="test",', '').replace('tenant="a",', ''))
    .map((line) => line.replace(',tenant="a"', '').replace(/[{}]/g, ''))
}

const processed = (lines: readonly string[], table: string): Record<string, number> =>
  Object.fromEntries(
    of('sync_records_processed_total', lines)
      .filter((line) => line.includes(`table="${table}"`))
      .map((line) => [/operation="(\w+)"/.exec(line)?.[1] ?? '', Number(line.split(' ').at(-1))]),
  )

const NONE = { insert: 0, update: 0, delete: 0 }

async function closing<T>(collector: Collecting, use: (collector: Collecting) => Promise<T>): Promise<T> {
  try {
    return await use(collector)
  } finally {
    await collector.stop()
  }
}

describe('records that the group has committed', () => {
  test('by operation; not what was before, not what is only in the log, no tombstones', async () => {
    const { create, write, commit, collector, topicOf } = pipeline('operations')
    await create('t', 2)
    await write('t', times(7, envelope('c')))
    await commit({ [topicOf('t')]: { 0: 5 } })
    await closing(collector(), async (it) => {
      expect(processed(await it.run(), 't')).toEqual(NONE)
      await write('t', [envelope('u'), envelope('d'), null, envelope('r'), envelope('t'), envelope('u')])
      await write('t', [envelope('c'), `{"schema":{},"payload":${envelope('u')}}`], 1)
      // The consumer has stopped: ends move, it does not.
      expect(processed(await it.run(), 't')).toEqual(NONE)
      await commit({ [topicOf('t')]: { 0: 12, 1: 2 } })
      const expected = { ...NONE, insert: 3, update: 2, delete: 1, snapshot: 1, truncate: 1 }
      expect(processed(await it.run(), 't')).toEqual(expected)
      await commit({ [topicOf('t')]: { 0: 13 } })
      expect(processed(await it.run(), 't')).toEqual({ ...expected, update: 3 })
      // Set back and read again: each record counts once.
      await commit({ [topicOf('t')]: { 0: 0, 1: 0 } })
      await it.run()
      await commit({ [topicOf('t')]: { 0: 13, 1: 2 } })
      const lines = await it.run()
      expect(processed(lines, 't')).toEqual({ ...expected, update: 3 })
      expect(of('sync_throughput_records_per_second', lines)).toEqual(['table="t" 0'])
    })
  })

  test('what is no envelope, or compressed with snappy or lz4, is unknown', async () => {
    const { create, write, commit, collector, topicOf } = pipeline('strange')
    for (const type of ['plain', 'snappy', 'lz4', 'zstd']) {
      await create(type, 1, { 'compression.type': type === 'plain' ? 'producer' : type })
      await write(type, [envelope('c')])
    }
    const values = ['text', '{"op":"c"}', '[1]', '{"op":"c","source"', 'null', '\u0000\u0001', envelope('zz')]
    await write('plain', values)
    await commit(Object.fromEntries(['plain', 'snappy', 'lz4', 'zstd'].map((t) => [topicOf(t), { 0: 0 }])))
    await closing(collector(), async (it) => {
      await it.run()
      for (const type of ['snappy', 'lz4', 'zstd']) await commit({ [topicOf(type)]: { 0: 1 } })
      await commit({ [topicOf('plain')]: { 0: 8 } })
      const lines = await it.run()
      expect(processed(lines, 'plain')).toEqual({ ...NONE, insert: 1, unknown: 7 })
      expect(processed(lines, 'zstd')).toEqual({ ...NONE, insert: 1 })
      expect(processed(lines, 'snappy')).toEqual({ ...NONE, unknown: 1 })
      expect(processed(lines, 'lz4')).toEqual({ ...NONE, unknown: 1 })
    })
  })

  test('marks of transactions and what was aborted are no records', async () => {
    const { create, commit, collector, topicOf } = pipeline('transactions')
    await create('t')
    await commit({ [topicOf('t')]: { 0: 0 } })
    const writer = client.producer({ transactionalId: 'sync', maxInFlightRequests: 1, idempotent: true })
    await writer.connect()
    for (const [end, op] of [
      ['abort', 'u'],
      ['commit', 'c'],
      ['abort', 'u'],
    ] as const) {
      const transaction = await writer.transaction()
      await transaction.send({ topic: topicOf('t'), messages: [{ value: envelope(op) }] })
      await transaction[end]()
    }
    await writer.disconnect()
    await closing(collector(), async (it) => {
      await it.run()
      // Each transaction is a record and its mark.
      await commit({ [topicOf('t')]: { 0: 6 } })
      await waitFor('all to be decided', async () => processed(await it.run(), 't').insert === 1)
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 1 })
    })
  })

  test('beyond the bounds they are unknown at once, and each counts once', async () => {
    const { create, write, commit, collector, topicOf } = pipeline('bounded', { read: { records: 10 } })
    await create('t', 2)
    await commit({ [topicOf('t')]: { 0: 0, 1: 0 } })
    await closing(collector(), async (it) => {
      await it.run()
      for (const partition of [0, 1]) await write('t', times(50, envelope('c')), partition)
      await commit({ [topicOf('t')]: { 0: 50, 1: 50 } })
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 10, unknown: 90 })
      await write('t', times(4, envelope('u')))
      await commit({ [topicOf('t')]: { 0: 54 } })
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 10, update: 4, unknown: 90 })
    })
    const bytes = pipeline('bounded', { read: { bytes: '1B' } })
    await closing(bytes.collector(), async (it) => {
      await it.run()
      // Two batches: the first one is had, however large it is.
      for (const _ of [1, 2]) await write('t', times(3, envelope('d')), 1)
      await commit({ [topicOf('t')]: { 1: 56 } })
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, delete: 3, unknown: 3 })
    })
  })

  test('a restart goes on where the one before ended; without its state it begins anew', async () => {
    const { create, write, commit, collector, topicOf } = pipeline('restarted')
    await create('t')
    await commit({ [topicOf('t')]: { 0: 0 } })
    const state = stateInMemory()
    await closing(collector(state), (it) => it.run())
    await write('t', [...times(3, envelope('c')), ...times(2, envelope('u'))])
    await commit({ [topicOf('t')]: { 0: 4 } })
    await closing(collector(state), async (it) =>
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 3, update: 1 }),
    )
    await create('later')
    await write('later', times(2, envelope('d')))
    await commit({ [topicOf('t')]: { 0: 5 }, [topicOf('later')]: { 0: 2 } })
    await closing(collector(state), async (it) => {
      const lines = await it.run()
      expect(processed(lines, 't')).toEqual({ ...NONE, insert: 3, update: 2 })
      // It was not there before.
      expect(processed(lines, 'later')).toEqual({ ...NONE, delete: 2 })
    })
    await closing(collector(), async (it) => expect(processed(await it.run(), 't')).toEqual(NONE))
  })

  test('a topic deleted and made anew: the counts go on; one that is gone has no series', async () => {
    const { create, write, commit, collector, topicOf } = pipeline('again')
    await create('t')
    await commit({ [topicOf('t')]: { 0: 0 } })
    await closing(collector(), async (it) => {
      await it.run()
      await write('t', times(3, envelope('c')))
      await commit({ [topicOf('t')]: { 0: 3 } })
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 3 })
      const remove = async () => {
        await admin.deleteTopics({ topics: [topicOf('t')] })
        await waitFor('the topic to be gone', async () => !(await admin.listTopics()).includes(topicOf('t')))
      }
      await remove()
      await renewProducer()
      await create('t')
      await write('t', times(2, envelope('u')))
      await commit({ [topicOf('t')]: { 0: 2 } })
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 3, update: 2 })
      await remove()
      await renewProducer()
      expect(processed(await it.run(), 't')).toEqual({})
    })
  })

  test('records deleted before they were read are unknown', async () => {
    const { create, write, commit, collector, topicOf } = pipeline('expired')
    await create('t')
    await commit({ [topicOf('t')]: { 0: 0 } })
    await closing(collector(), async (it) => {
      await it.run()
      await write('t', times(9, envelope('c')))
      // kafkajs deletes only in a topic whose leaders it has asked for.
      await admin.fetchTopicOffsets(topicOf('t'))
      await admin.deleteTopicRecords({ topic: topicOf('t'), partitions: [{ partition: 0, offset: '7' }] })
      await commit({ [topicOf('t')]: { 0: 9 } })
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 2, unknown: 7 })
    })
  })

  test('of two groups the one that is behind counts; without any there is no series', async () => {
    const { create, write, commit, collector, topicOf } = pipeline('two', { groups: ['^two(-b)?$'] })
    await create('t')
    await write('t', times(4, envelope('c')))
    await closing(collector(), async (it) => {
      expect(processed(await it.run(), 't')).toEqual({})
      await commit({ [topicOf('t')]: { 0: 0 } })
      await commitAll(part.bootstrap, 'two-b', { [topicOf('t')]: { 0: 0 } })
      expect(processed(await it.run(), 't')).toEqual(NONE)
      await commit({ [topicOf('t')]: { 0: 4 } })
      await commitAll(part.bootstrap, 'two-b', { [topicOf('t')]: { 0: 1 } })
      expect(processed(await it.run(), 't')).toEqual({ ...NONE, insert: 1 })
    })
  })
})

test('latency and steps, by the times and offsets of the commits themselves', async () => {
  const { create, write, commit, collector, topicOf } = pipeline('measured')
  await create('t')
  await commit({ [topicOf('t')]: { 0: 0 } })
  await closing(collector(), async (it) => {
    const none = await it.run()
    expect(of('sync_processing_latency_seconds_count', none)).toEqual([])
    expect(of('sync_batch_size_count', none)).toEqual([])
    // The first commit that is seen: what was before it is not known.
    await write('t', [envelope('c')])
    await commit({ [topicOf('t')]: { 0: 1 } })
    expect(of('sync_processing_latency_seconds_count', await it.run())).toEqual([])
    const anHourAgo = Date.now() - 3_600_000
    const inAnHour = Date.now() + 3_600_000
    await write('t', [
      ...times(3, envelope('c', anHourAgo)),
      ...times(2, envelope('u', inAnHour)),
      envelope('r'),
    ])
    await commit({ [topicOf('t')]: { 0: 3 } })
    await commit({ [topicOf('t')]: { 0: 7 } })
    const lines = await it.run()
    expect(of('sync_batch_size_count', lines)).toEqual(['table="t" 2'])
    expect(of('sync_batch_size_sum', lines)).toEqual(['table="t" 6'])
    expect(of('sync_batch_size_bucket', lines)).toContain('table="t",le="5" 2')
    expect(of('sync_processing_latency_seconds_count', lines)).toEqual([
      'table="t",operation="insert" 3',
      'table="t",operation="update" 2',
    ])
    const sum = of('sync_processing_latency_seconds_sum', lines)
    expect(Number(sum[0]?.split(' ')[1])).toBeGreaterThanOrEqual(3 * 3_600)
    // A clock of the source that is ahead.
    expect(sum[1]).toBe('table="t",operation="update" 0')
  })
})

test('dead letters: by the topic and the class in their headers, and over a restart', async () => {
  const { create, commit, collector, topicOf } = pipeline('failing', {
    dead_letters: [
      { match: '^failing\\.(?<tenant>[^.]+)\\.(?<table>[^.]+)\\.dlq$' },
      { match: '^failing-dlq$' },
    ],
  })
  await create('t')
  await createTopics(part.bootstrap, [
    { topic: 'failing-dlq', numPartitions: 1 },
    { topic: 'failing.a.orders.dlq', numPartitions: 1 },
  ])
  await commit({ [topicOf('t')]: { 0: 0 } })
  const letter = (exceptionClass: string | undefined, topic?: string) => ({
    value: 'x',
    headers: {
      ...(exceptionClass === undefined ? {} : { '__connect.errors.exception.class.name': exceptionClass }),
      ...(topic === undefined ? {} : { '__connect.errors.topic': topic }),
    },
  })
  const send = (topic: string, messages: ReturnType<typeof letter>[]) => producer.send({ topic, messages })
  const invalid = 'org.apache.kafka.connect.errors.DataException'
  await send('failing-dlq', [letter(invalid, topicOf('t'))])
  const state = stateInMemory()
  await closing(collector(state), async (it) => {
    expect(of('sync_records_failed_total', await it.run())).toEqual([])
    await send('failing-dlq', [
      letter(invalid, topicOf('t')),
      letter('java.net.ConnectException', topicOf('t')),
      letter('java.net.ConnectException', topicOf('t')),
      letter(invalid, 'another.pipeline'),
      letter(invalid),
    ])
    await send('failing.a.orders.dlq', [letter(undefined)])
  })
  const expected = [
    'error_type="connection" 2',
    'error_type="unknown" 1',
    'error_type="validation" 1',
    'error_type="validation" 1',
  ]
  await closing(collector(state), async (it) => {
    const lines = of('sync_records_failed_total', await it.run())
    expect(lines.map((line) => line.replace(/^.*(?=error_type)/, '')).toSorted()).toEqual(expected)
    expect(lines).toContain('table="t",error_type="connection" 2')
    expect(lines).toContain('table="t",error_type="validation" 1')
    // What was before the start is no rate of now.
    expect(it.health()).toMatchObject({ problems: [] })
    await send('failing-dlq', [letter(invalid, topicOf('t'))])
    await it.run()
    expect(it.health()).toMatchObject({
      details: { tables: expect.arrayContaining([expect.objectContaining({ table: 't', error_rate: 1 })]) },
      problems: ['100.0 % of the records of table t of a went to dead letters'],
    })
  })
})

describe('what other collectors know', () => {
  const families = {
    connectUp: gauge('kafka_connect_up', 'As the connect collector has it.'),
    connector: gauge('kafka_connect_connector_state', 'As the connect collector has it.', [
      'connector',
      'state',
    ]),
    task: gauge('kafka_connect_task_state', 'As the connect collector has it.', [
      'connector',
      'task',
      'state',
    ]),
    job: gauge('flink_job_state', 'As the flink collector has it.', ['job', 'state']),
    completed: counter('flink_job_checkpoints_completed_total', 'As the flink collector has it.', ['job']),
    failed: counter('flink_job_checkpoints_failed_total', 'As the flink collector has it.', ['job']),
    lag: gauge('kafka_consumergroup_lag_seconds_max', 'As the kafka collector has it.', [
      'consumergroup',
      'topic',
    ]),
  }
  type Written = readonly [Family, Record<string, string>, number][]

  function others(exposition: Exposition, target: string) {
    const series = new InstanceSeries('others', Object.values(families), { target }, 1_000)
    exposition.attach(series)
    return async (written: Written) => {
      const batch = series.begin()
      for (const [family, labels, value] of written) batch.add(family, labels, value)
      await batch.commit([], exposition.unread)
    }
  }

  test('jobs, checkpoints and lag of the targets that are named', async () => {
    const { create, commit, collector, topicOf } = pipeline('joined', {
      targets: ['erp'],
      jobs: [{ match: '^to-(?<table>\\w+)$' }, { match: '^both$', tables: ['t', 'u'] }],
    })
    await create('t')
    await commit({ [topicOf('t')]: { 0: 0 } })
    const exposition = new Exposition()
    const [erp, foreign] = [others(exposition, 'erp'), others(exposition, 'foreign')]
    const jobs: Written = [
      [families.connectUp, {}, 1],
      [families.connector, { connector: 'good', state: 'running' }, 1],
      [families.connector, { connector: 'good', state: 'failed' }, 0],
      [families.task, { connector: 'good', task: '0', state: 'running' }, 1],
      [families.connector, { connector: 'bad', state: 'running' }, 1],
      [families.task, { connector: 'bad', task: '0', state: 'running' }, 1],
      [families.task, { connector: 'bad', task: '1', state: 'failed' }, 1],
      [families.connector, { connector: 'paused', state: 'paused' }, 1],
      [families.job, { job: 'both', state: 'running' }, 1],
      [families.job, { job: 'to-t', state: 'restarting' }, 1],
    ]
    const checkpoints = (both: number, toT: number): Written => [
      [families.completed, { job: 'both' }, both],
      [families.completed, { job: 'to-t' }, toT],
      [families.failed, { job: 'to-t' }, 1],
      [families.completed, { job: 'of another' }, 99],
    ]
    const state = stateInMemory()
    const completed = (lines: readonly string[]) =>
      of('sync_checkpoints_completed_total', lines).map((line) => line.replace(/tenant="\w*",?/, ''))
    await closing(collector(state, exposition), async (it) => {
      const bare = await it.run()
      for (const family of ['active_jobs', 'error_jobs', 'lag_seconds', 'checkpoints_completed_total'])
        expect(bare.filter((line) => line.startsWith(`sync_${family}`))).toEqual([])
      await foreign([...jobs, ...checkpoints(50, 50)])
      await erp([
        ...jobs,
        ...checkpoints(5, 3),
        [families.lag, { consumergroup: 'joined', topic: topicOf('t') }, 12.5],
      ])
      const lines = await it.run()
      expect(lines).toContain('sync_active_jobs{target="test"} 2')
      expect(lines).toContain('sync_error_jobs{target="test"} 2')
      expect(of('sync_lag_seconds', lines)).toEqual(['table="t" 12.5'])
      const { details, problems } = it.health()
      expect(details).toMatchObject({
        active_jobs: 2,
        error_jobs: 2,
        jobs: [
          { collector: 'connect', target: 'erp', job: 'bad', state: 'failed' },
          { collector: 'flink', target: 'erp', job: 'to-t', state: 'restarting' },
          { collector: 'connect', job: 'good', state: 'running' },
          { collector: 'connect', job: 'paused', state: 'paused' },
          { collector: 'flink', job: 'both', state: 'running' },
        ],
        tables: expect.arrayContaining([
          expect.objectContaining({ table: 't', tenant: 'a', lag_seconds: 12.5 }),
        ]),
      })
      expect(problems).toEqual(['job bad is failed', 'job to-t is restarting'])
      expect(
        completed(lines)
          .map((line) => line.replace(/,(?= )/, ''))
          .toSorted(),
      ).toEqual(['table="t" 8', 'table="u" 5'])
      await erp([[families.connectUp, {}, 0], ...checkpoints(6, 1)])
      const down = await it.run()
      expect(of('sync_active_jobs', down)).toEqual([])
      // What the other collectors still know is told.
      expect(it.health()).toMatchObject({ details: { jobs: [] }, problems: [] })
    })
    // A job that was started anew counts from 0; the table's count goes on, over a restart of ours too.
    await closing(collector(state, exposition), async (it) => {
      expect(
        completed(await it.run())
          .map((line) => line.replace(/,(?= )/, ''))
          .toSorted(),
      ).toEqual(['table="t" 10', 'table="u" 6'])
    })
  })
})
