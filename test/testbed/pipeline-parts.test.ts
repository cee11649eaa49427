import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { installClickHouse } from './clickhouse.ts'
import { erpTables } from './erp/schema.ts'
import { startTraffic } from './erp/traffic.ts'
import { installJars } from './java.ts'
import { commitOffsets } from './offsets.ts'
import { type ClickHousePart, startClickHouse } from './parts/clickhouse.ts'
import { type ConnectPart, startConnect } from './parts/connect.ts'
import { type KafkaPart, startKafka } from './parts/kafka.ts'
import { erpConnector, etlApp, type Pipeline, startPipeline } from './pipeline.ts'
import { waitFor } from './process.ts'
import { createTopics } from './topics.ts'

beforeAll(async () => {
  await installJars()
  await installClickHouse()
})

describe('Kafka and Connect', () => {
  let kafka: KafkaPart
  let connect: ConnectPart

  beforeAll(async () => {
    kafka = await startKafka()
    connect = await startConnect({ bootstrap: kafka.bootstrap })
  })
  afterAll(async () => {
    await connect?.remove()
    await kafka?.remove()
  })

  test('a frozen Connect answers nothing, and answers again when thawed', async () => {
    connect.freeze()
    await expect(fetch(connect.url, { signal: AbortSignal.timeout(500) })).rejects.toThrow('timeout')
    connect.thaw()
    expect((await fetch(connect.url)).status).toBe(200)
  })

  test('connectors are put, have a state and are deleted', async () => {
    await connect.putConnector('sink', {
      'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector',
      topics: 'nothing',
      file: `${connect.folder}/sink.txt`,
    })
    await waitFor(
      'the task to run',
      async () => (await connect.status('sink'))?.tasks[0]?.state === 'RUNNING',
    )
    await connect.deleteConnector('sink')
    await waitFor('the connector to go', async () => (await connect.status('sink')) === undefined)
  })

  test('both come back after kill -9 on their ports and with their data', async () => {
    await connect.putConnector('kept', {
      'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector',
      topics: 'nothing',
      file: `${connect.folder}/kept.txt`,
    })
    await waitFor('the connector', async () => (await connect.status('kept')) !== undefined)
    await connect.kill()
    await expect(fetch(connect.url)).rejects.toThrow()
    await kafka.kill()
    await kafka.start()
    await connect.start()
    await waitFor('the connector', async () => (await connect.status('kept')) !== undefined)
  })

  test("Kafka's own tool tells of a group", async () => {
    await createTopics(kafka.bootstrap, [{ topic: 'orders' }])
    await commitOffsets(kafka.bootstrap, 'readers', { orders: { 0: 0 } })
    const description = await kafka.consumerGroups(['--describe', '--group', 'readers'])
    expect(description).toMatch(/^readers\s+orders\s+0\s+0\s+0\s+0\s/m)
  })
})

describe('ClickHouse', () => {
  let clickhouse: ClickHousePart
  const clientOf = (compressed = false, password = 'secret') =>
    createClient({
      url: clickhouse.url,
      password,
      compression: { request: compressed, response: compressed },
      log: { level: ClickHouseLogLevel.OFF },
    })

  beforeAll(async () => {
    clickhouse = await startClickHouse({ password: 'secret' })
  })
  afterAll(async () => {
    await clickhouse?.remove()
  })

  test.each([false, true])(
    'it takes inserts, parameters and settings (compressed: %s)',
    async (compressed) => {
      const client = clientOf(compressed)
      const table = `t_${compressed}`
      try {
        await client.command({ query: 'CREATE DATABASE IF NOT EXISTS shop' })
        await client.command({
          query: `CREATE TABLE shop.${table} (id UInt64, name String, v UInt64)
                ENGINE = ReplacingMergeTree(v) ORDER BY id`,
        })
        const name = 'it\'s a "\\N"\n\tname'
        const values = [
          { id: 1, name: 'old', v: 1 },
          { id: 1, name, v: 2 },
        ]
        await client.insert({ table: `shop.${table}`, values, format: 'JSONEachRow' })
        const found = await client.query({
          query: `SELECT id, name, getSetting('max_threads') AS threads FROM shop.{table:Identifier} FINAL
                WHERE name = {name:String} AND id IN {ids:Array(UInt64)}`,
          query_params: { table, name, ids: [1, 2] },
          clickhouse_settings: { max_threads: 1 },
          format: 'JSONEachRow',
        })
        expect(await found.json()).toEqual([{ id: 1, name, threads: 1 }])
      } finally {
        await client.close()
      }
    },
  )

  test('errors carry the code and type of ClickHouse', async () => {
    const client = clientOf()
    const stranger = clientOf(false, 'wrong')
    try {
      const unknown = client.query({ query: 'SELECT * FROM nowhere' })
      await expect(unknown).rejects.toMatchObject({ code: '60', type: 'UNKNOWN_TABLE' })
      const refused = stranger.query({ query: 'SELECT 1' })
      await expect(refused).rejects.toMatchObject({ code: '516', type: 'AUTHENTICATION_FAILED' })
    } finally {
      await client.close()
      await stranger.close()
    }
    const response = await fetch(`${clickhouse.url}/?password=secret&query=SELEC`)
    expect([response.status, response.headers.get('x-clickhouse-exception-code')]).toEqual([404, '47'])
  })

  test('it pings while a statement runs, and not while frozen', async () => {
    const slowly = 'SELECT sleepEachRow(1) FROM numbers(5) SETTINGS max_block_size = 1'
    const slow = fetch(`${clickhouse.url}/?password=secret&query=${encodeURIComponent(slowly)}`)
    const winner = await Promise.race([
      slow.then(() => 'statement'),
      fetch(`${clickhouse.url}/ping`).then(() => 'ping'),
    ])
    expect(winner).toBe('ping')
    expect((await slow).status).toBe(200)
    clickhouse.freeze()
    const frozen = fetch(`${clickhouse.url}/ping`, { signal: AbortSignal.timeout(500) })
    await expect(frozen).rejects.toThrow('timeout')
    clickhouse.thaw()
    expect(await (await fetch(`${clickhouse.url}/ping`)).text()).toBe('Ok.\n')
  })

  test('rows survive kill -9', async () => {
    const ask = async (query: string) => {
      const response = await fetch(`${clickhouse.url}/?password=secret`, { method: 'POST', body: query })
      const text = await response.text()
      if (!response.ok) throw new Error(text)
      return text
    }
    await ask('CREATE TABLE kept (id UInt64) ENGINE = MergeTree ORDER BY id')
    await ask('INSERT INTO kept SELECT number FROM numbers(1000)')
    await clickhouse.kill()
    await clickhouse.start()
    expect(await ask('SELECT count() FROM kept')).toBe('1000\n')
  })
})

describe('the pipeline', () => {
  let pipeline: Pipeline
  let source: pg.Pool

  beforeAll(async () => {
    pipeline = await startPipeline()
    source = new pg.Pool({ connectionString: pipeline.postgres.url('erp') })
  })
  afterAll(async () => {
    await source?.end()
    await pipeline?.stop()
  })

  /** `<tenant>.<table> <rows> <sum>` of all tables, the same in both databases when nothing differs. */
  async function sourceState(): Promise<string[]> {
    const rows: string[] = []
    for (const tenant of pipeline.tenants)
      for (const table of erpTables) {
        const { rows: found } = await source.query<{ rows: string; sum: string }>(
          `SELECT count(*) AS rows, coalesce(sum(${SUMMED[table]}), 0) AS sum FROM ${tenant}.${table}`,
        )
        rows.push(`${tenant}.${table} ${Number(found[0]?.rows)} ${Number(found[0]?.sum)}`)
      }
    return rows
  }

  async function sinkState(): Promise<string[]> {
    const client = createClient({ url: pipeline.clickhouse.url, database: 'erp' })
    try {
      const rows: string[] = []
      for (const tenant of pipeline.tenants)
        for (const table of erpTables) {
          const answer = await client.query({
            query: `SELECT count() AS rows, sum(${SUMMED[table]}) AS sum FROM ${table} FINAL
                    WHERE tenant = {tenant:String}`,
            query_params: { tenant },
            format: 'JSONEachRow',
          })
          const [found] = await answer.json<{ rows: string; sum: string }>()
          rows.push(`${tenant}.${table} ${Number(found?.rows)} ${Number(found?.sum)}`)
        }
      return rows
    } finally {
      await client.close()
    }
  }

  const SUMMED = { journals: 'id', journal_lines: 'debit - 2 * credit', cash_accounts: 'balance' } as const

  async function expectArrival(): Promise<void> {
    const expected = await sourceState()
    let found: string[] = []
    const arrived = waitFor('ClickHouse to have the rows of PostgreSQL', async () => {
      found = await sinkState()
      return found.join() === expected.join()
    })
    await arrived.catch(() => {})
    expect(found).toEqual(expected)
  }

  test('inserts, updates and deletes arrive, also those made while ClickHouse was away', async () => {
    const traffic = startTraffic({
      url: pipeline.postgres.url('erp'),
      tenants: pipeline.tenants,
      ratePerSecond: 50,
      deletes: true,
      redisUrl: pipeline.redis.url,
    })
    const { counters } = traffic
    const seen = (n: number) => waitFor(`${n} deleted journals`, () => counters.deletedJournals >= n)
    try {
      await seen(3)
      await pipeline.clickhouse.kill()
      await seen(6)
      await pipeline.clickhouse.start()
      await seen(9)
    } finally {
      await traffic.stop()
    }
    expect(counters.failed).toBe(0)
    expect(counters.cashUpdates).toBeGreaterThan(0)
    expect(counters.votesPopped).toBeGreaterThan(0)
    await expectArrival()
    expect((await pipeline.connect.status(erpConnector))?.tasks).toMatchObject([{ state: 'RUNNING' }])
  })

  test('a deleted row keeps when it was created', async () => {
    const inserted = await source.query<{ id: string; micros: string }>(
      `INSERT INTO alpha.journals (number) VALUES ('JV-gone')
       RETURNING id, (extract(epoch FROM created_at) * 1000000)::bigint AS micros`,
    )
    const row = inserted.rows[0]
    await source.query('DELETE FROM alpha.journals WHERE id = $1', [row?.id])
    const client = createClient({ url: pipeline.clickhouse.url, database: 'erp' })
    try {
      let micros: unknown
      await waitFor('the delete to arrive', async () => {
        const answer = await client.query({
          query: `SELECT toString(toUnixTimestamp64Micro(created_at)) AS micros FROM journals
                    WHERE tenant = 'alpha' AND id = {id:UInt64} AND _deleted = 1`,
          query_params: { id: row?.id },
          format: 'JSONEachRow',
        })
        const [found] = await answer.json<{ micros: string }>()
        micros = found?.micros
        return found !== undefined
      })
      expect(micros).toBe(row?.micros)
    } finally {
      await client.close()
    }
    await expectArrival()
  })

  test('it flows again after Kafka was killed, and after the ETL was', async () => {
    await pipeline.kafka.kill()
    await source.query(`INSERT INTO bravo.journals (number) VALUES ('JV-while-kafka-was-away')`)
    await pipeline.kafka.start()
    await expectArrival()
    let etl = 0
    await waitFor('the ETL to run', async () => {
      etl = await pipeline.pm2.pidOf(etlApp)
      return etl > 0
    })
    process.kill(etl, 'SIGKILL')
    await source.query(`INSERT INTO citra.journals (number) VALUES ('JV-while-etl-was-away')`)
    await expectArrival()
  })
})
