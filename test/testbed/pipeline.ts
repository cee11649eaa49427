import { fileURLToPath } from 'node:url'
import { createClient } from '@clickhouse/client'
import { createErpSink, createErpSource, erpPublication, erpSlot, erpTables } from './erp/schema.ts'
import { type ClickHousePart, startClickHouse } from './parts/clickhouse.ts'
import { type ConnectPart, startConnect } from './parts/connect.ts'
import { type KafkaPart, startKafka } from './parts/kafka.ts'
import { type Pm2Part, startPm2 } from './parts/pm2.ts'
import { type PostgresOptions, type PostgresPart, startPostgres } from './parts/postgres.ts'
import { type RedisPart, startRedis } from './parts/redis.ts'
import { waitFor } from './process.ts'
import { createTopics } from './topics.ts'

export interface PipelineOptions {
  /** Schemas of the ERP; `alpha`, `bravo` and `citra` where absent. */
  readonly tenants?: readonly string[]
  /** Of each topic of the ERP; 1 where absent. */
  readonly partitions?: number
  /** Settings of the PostgreSQL server. */
  readonly postgres?: NonNullable<PostgresOptions['settings']>
  /** Told what came up, in the order in which it did. */
  readonly onProgress?: (text: string) => void
}

export interface Pipeline {
  readonly tenants: readonly string[]
  /** The topics of the ERP: `erp.<tenant>.<table>`. */
  readonly topics: readonly string[]
  readonly postgres: PostgresPart
  readonly kafka: KafkaPart
  readonly connect: ConnectPart
  readonly clickhouse: ClickHousePart
  readonly redis: RedisPart
  /** Runs the application `clickhouse-etl`. */
  readonly pm2: Pm2Part
  /** Stops all parts, in whatever state they are, and deletes their data. */
  stop(): Promise<void>
}

export const erpConnector = 'erp-postgres'
export const etlApp = 'clickhouse-etl'

/**
 * PostgreSQL with the ERP → Debezium → Kafka → clickhouse-etl under PM2 → ClickHouse, and Redis beside it.
 * Resolves when the rows of the first snapshot are in ClickHouse; when that fails, nothing stays behind.
 */
export async function startPipeline(options: PipelineOptions = {}): Promise<Pipeline> {
  const { tenants = ['alpha', 'bravo', 'citra'], partitions = 1, onProgress = () => {} } = options
  const topics = tenants.flatMap((tenant) => erpTables.map((table) => `erp.${tenant}.${table}`))
  const parts: { remove(): Promise<void> }[] = []

  async function up<P extends { readonly name: string; remove(): Promise<void> }>(starting: Promise<P>) {
    const part = await starting
    parts.push(part)
    onProgress(`${part.name} is up`)
    return part
  }

  async function stop(): Promise<void> {
    // What came last goes first: consumers before what they read from.
    const results: PromiseSettledResult<void>[] = []
    for (const part of parts.splice(0).reverse()) results.push(...(await Promise.allSettled([part.remove()])))
    throwFailures(results, 'the pipeline did not stop')
  }

  async function source(): Promise<PostgresPart> {
    const postgres = await up(startPostgres({ settings: options.postgres ?? {} }))
    await createErpSource(postgres.url, tenants)
    return postgres
  }

  async function broker(): Promise<readonly [KafkaPart, ConnectPart]> {
    const kafka = await up(startKafka())
    // Before anything writes to them: the ETL reads the topics that exist when it starts.
    await createTopics(
      kafka.bootstrap,
      topics.map((topic) => ({ topic, numPartitions: partitions })),
    )
    return [kafka, await up(startConnect({ bootstrap: kafka.bootstrap }))]
  }

  async function sink(): Promise<ClickHousePart> {
    const clickhouse = await up(startClickHouse())
    const client = createClient({ url: clickhouse.url })
    try {
      await createErpSink(client)
    } finally {
      await client.close()
    }
    return clickhouse
  }

  try {
    const [postgres, [kafka, connect], clickhouse, redis, pm2] = await allSettledOrThrow([
      source(),
      broker(),
      sink(),
      up(startRedis()),
      up(startPm2()),
    ] as const)
    await allSettledOrThrow([
      connect.putConnector(erpConnector, connectorConfig(postgres, tenants, partitions)),
      pm2.startApp({
        name: etlApp,
        script: fileURLToPath(new URL('etl/clickhouse-etl.ts', import.meta.url)),
        env: { KAFKA_BOOTSTRAP: kafka.bootstrap, CLICKHOUSE_URL: clickhouse.url },
      }),
    ])
    onProgress(`connector ${erpConnector} and application ${etlApp} are started`)
    await waitFor('the snapshot to arrive in ClickHouse', () => hasSnapshot(clickhouse, tenants))
    onProgress('the snapshot is in ClickHouse')
    return { tenants, topics, postgres, kafka, connect, clickhouse, redis, pm2, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Like Promise.all, but all have ended when it rejects: what came up meanwhile is known and can be stopped. */
async function allSettledOrThrow<T extends readonly unknown[]>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  throwFailures(await Promise.allSettled(promises), 'the pipeline did not start')
  return await Promise.all(promises)
}

function throwFailures(results: readonly PromiseSettledResult<unknown>[], message: string): void {
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  if (reasons.length === 1) throw reasons[0]
  if (reasons.length > 1) throw new AggregateError(reasons, `${message}: ${reasons.join('; ')}`)
}

/** Of a connector that reads the schemas of these tenants. */
export function connectorConfig(
  postgres: PostgresPart,
  tenants: readonly string[],
  partitions: number,
): Record<string, string> {
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    'topic.prefix': 'erp',
    'plugin.name': 'pgoutput',
    'publication.name': erpPublication,
    'publication.autocreate.mode': 'disabled',
    'slot.name': erpSlot,
    'schema.include.list': tenants.join(','),
    'database.hostname': postgres.host,
    'database.port': String(postgres.port),
    'database.user': postgres.user,
    'database.password': postgres.password,
    'database.dbname': 'erp',
    // Exact text, which ClickHouse reads into its decimals.
    'decimal.handling.mode': 'string',
    'heartbeat.interval.ms': '1000',
    'poll.interval.ms': '100',
    // After PostgreSQL was away; the default is 10 s.
    'retriable.restart.connector.wait.ms': '1000',
    'topic.creation.default.replication.factor': '1',
    'topic.creation.default.partitions': String(partitions),
  }
}

/** The schema brings each tenant its cash accounts. */
async function hasSnapshot(clickhouse: ClickHousePart, tenants: readonly string[]): Promise<boolean> {
  const client = createClient({ url: clickhouse.url, database: 'erp' })
  try {
    const answer = await client.query({
      query: 'SELECT uniqExact(tenant) AS tenants FROM cash_accounts',
      format: 'JSONEachRow',
    })
    const [row] = await answer.json<{ tenants: number }>()
    return Number(row?.tenants) === tenants.length
  } finally {
    await client.close()
  }
}
