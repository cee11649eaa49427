import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '../../../src/collectors/connect/index.ts'
import { hintOf } from '../../../src/operations/runbook-hints.ts'
import { produce } from '../../testbed/kafka-client.ts'
import { type ConnectPart, startConnect } from '../../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { type Collecting, collecting } from '../collect.ts'

let postgres: PostgresPart
let kafka: KafkaPart
let worker: ConnectPart
let collector: Collecting

/** A row as a JsonConverter with schemas takes it. */
const row = JSON.stringify({
  schema: { type: 'struct', fields: [{ field: 'id', type: 'int64', optional: false }], optional: false },
  payload: { id: 7 },
})

beforeAll(async () => {
  const sink = startPostgres()
  kafka = await startKafka()
  worker = await startConnect({ bootstrap: kafka.bootstrap, jdbcSink: true })
  postgres = await sink
  await createTopics(kafka.bootstrap, [{ topic: 'orders' }])
  await produce(kafka.bootstrap, 'orders', [{ value: row }])
  await worker.putConnector('orders-sink', {
    'connector.class': 'io.debezium.connector.jdbc.JdbcSinkConnector',
    topics: 'orders',
    'connection.url': `jdbc:postgresql://${postgres.host}:${postgres.port}/postgres`,
    'connection.username': postgres.user,
    'connection.password': postgres.password,
    'insert.mode': 'upsert',
    'primary.key.mode': 'record_value',
    'primary.key.fields': 'id',
    'schema.evolution': 'none',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter.schemas.enable': 'true',
    'consumer.override.auto.offset.reset': 'earliest',
  })
  collector = collecting(connect, { urls: worker.url })
})
afterAll(async () => {
  await collector?.stop()
  for (const part of [worker, kafka, postgres]) await part?.remove()
})

async function ask(sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: postgres.url() })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** Everything that was exposed. */
const seen: string[] = []

async function eventually(...wanted: readonly string[]): Promise<string[]> {
  let lines: string[] = []
  await waitFor(wanted.join(', '), async () => {
    lines = await collector.run()
    seen.push(...lines)
    return wanted.every((line) => lines.includes(line))
  })
  return lines
}

const of = (family: string, labels: string, value: number) =>
  `kafka_connect_${family}{target="test",connector="orders-sink"${labels}} ${value}`

test('the table of a sink is missing: its task fails while the connector runs, and recovers with the table', async () => {
  const lines = await eventually(
    of('connector_state', ',state="running"', 1),
    of('task_state', ',task="0",state="failed"', 1),
    of('failures_total', '', 1),
  )
  expect(lines).toContain(of('connector_topic_info', ',topic="orders",role="consumes"', 1))
  expect(lines).toContain(
    of(
      'connector_info',
      ',class="io.debezium.connector.jdbc.JdbcSinkConnector",kind="sink",dbms="postgresql",team="Lainnya",business_cluster="Lainnya"',
      1,
    ),
  )
  expect(lines.find((line) => line.startsWith('kafka_connect_task_failure_info'))).toMatch(
    /connector="orders-sink",task="0",exception_class="[\w.]+Exception"} 1$/,
  )
  const trace = (await worker.status('orders-sink'))?.tasks[0]?.trace ?? ''
  expect(hintOf(trace)?.id).toBe('table-missing')

  await ask('CREATE TABLE orders (id bigint PRIMARY KEY)')
  await worker.operate('orders-sink', 'POST', '/restart?includeTasks=true&onlyFailed=true')
  await eventually(of('task_state', ',task="0",state="running"', 1), of('recoveries_total', '', 1))
  await waitFor('the row', async () => (await ask('SELECT id FROM orders')).length === 1)
  expect(seen.filter((line) => line.includes(postgres.password))).toEqual([])
})
