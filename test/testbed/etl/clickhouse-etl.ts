// clickhouse-etl: writes the change events of the ERP from Kafka to ClickHouse, at least once. An offset is
// committed only after ClickHouse took the rows; while ClickHouse is away the same batch is tried again.
//
// Environment: KAFKA_BOOTSTRAP, CLICKHOUSE_URL, CLICKHOUSE_PASSWORD (none where absent), CLICKHOUSE_DATABASE
// (erp), ETL_GROUP (clickhouse-etl), ETL_TOPICS (a regular expression with the groups tenant and table).
// It reads the topics that exist when it starts.
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import { type EachBatchPayload, Kafka, type KafkaMessage, logLevel } from 'kafkajs'

/** The part of Debezium's envelope that is used. */
interface ChangeEvent {
  /** c, u, r (snapshot) or d. */
  readonly op: string
  readonly before: Record<string, unknown> | null
  readonly after: Record<string, unknown> | null
  readonly source: { readonly lsn: number }
}

const { KAFKA_BOOTSTRAP, CLICKHOUSE_URL, CLICKHOUSE_PASSWORD = '', CLICKHOUSE_DATABASE = 'erp' } = process.env
const { ETL_GROUP = 'clickhouse-etl', ETL_TOPICS = '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$' } = process.env
if (!KAFKA_BOOTSTRAP || !CLICKHOUSE_URL) throw new Error('KAFKA_BOOTSTRAP and CLICKHOUSE_URL are required')

const topics = new RegExp(ETL_TOPICS)
const kafka = new Kafka({
  clientId: 'clickhouse-etl',
  brokers: KAFKA_BOOTSTRAP.split(','),
  logLevel: logLevel.WARN,
  retry: { initialRetryTime: 200, maxRetryTime: 3_000 },
})
const consumer = kafka.consumer({ groupId: ETL_GROUP, sessionTimeout: 8_000, maxWaitTimeInMs: 500 })
const clickhouse = createClient({
  url: CLICKHOUSE_URL,
  password: CLICKHOUSE_PASSWORD,
  database: CLICKHOUSE_DATABASE,
  request_timeout: 3_000,
  compression: { request: true },
  // The events carry time as ISO 8601 with microseconds.
  clickhouse_settings: { date_time_input_format: 'best_effort' },
})

async function writeBatch({ batch, heartbeat, isRunning, isStale, resolveOffset }: EachBatchPayload) {
  const { tenant, table } = topics.exec(batch.topic)?.groups ?? {}
  if (tenant === undefined || table === undefined) throw new Error(`${batch.topic} names no tenant and table`)
  const rows = batch.messages.flatMap((message) => rowOf(message, tenant))
  while (isRunning() && !isStale()) {
    try {
      if (rows.length > 0) await clickhouse.insert({ table, values: rows, format: 'JSONEachRow' })
      resolveOffset(batch.lastOffset())
      return
    } catch (error) {
      console.error(
        `${batch.topic}/${batch.partition}: ${rows.length} rows not written, trying again:`,
        error,
      )
    }
    await heartbeat()
    await delay(1_000)
  }
}

/** The row to insert; none for a tombstone, which follows each delete. */
function rowOf({ value }: KafkaMessage, tenant: string): Record<string, unknown>[] {
  if (value === null) return []
  const { op, before, after, source } = JSON.parse(value.toString()) as ChangeEvent
  return [{ ...(after ?? before), tenant, _version: source.lsn, _deleted: Number(op === 'd') }]
}

async function run(): Promise<void> {
  await consumer.connect()
  await consumer.subscribe({ topics: [topics], fromBeginning: true })
  await consumer.run({ eachBatchAutoResolve: false, eachBatch: writeBatch })
}

async function stop(): Promise<void> {
  await consumer.disconnect()
  await clickhouse.close()
  process.exit(0)
}

function fail(error: unknown): void {
  console.error('clickhouse-etl ends:', error)
  process.exit(1)
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stop().catch(fail))
// kafkajs restarts by itself after errors that may pass; after others PM2 starts the process again.
consumer.on(consumer.events.CRASH, ({ payload }) => {
  if (!payload.restart) fail(payload.error)
})
run().catch(fail)
