import { createClient } from '@clickhouse/client'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ClickhouseReader, connectClickhouse } from '../../../src/clients/clickhouse.ts'
import { clickhouse } from '../../../src/collectors/clickhouse/index.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { type Collecting, collecting } from '../collect.ts'

const PASSWORD = 'secret&word'

let server: ClickHousePart
let collector: Collecting

beforeAll(async () => {
  server = await startClickHouse({ password: PASSWORD })
  await command('CREATE DATABASE erp')
  await command('CREATE TABLE erp.journals (id UInt64) ENGINE = MergeTree ORDER BY id')
  await command('INSERT INTO erp.journals SELECT number FROM numbers(1000)')
  await command('INSERT INTO erp.journals SELECT number FROM numbers(234)')
  await command('CREATE TABLE erp.emptied (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id')
  await command('CREATE VIEW erp.seen AS SELECT id FROM erp.journals')
})
afterAll(() => server.remove())

beforeEach(() => {
  collector = collecting(clickhouse, { url: server.url, password: PASSWORD })
})
afterEach(() => collector.stop())

async function command(query: string): Promise<void> {
  const client = createClient({ url: server.url, password: PASSWORD })
  await client.command({ query })
  await client.close()
}

const rowsOfJournals = 'clickhouse_table_rows{target="test",database="erp",table="journals"} 1234'

test('a table has its rows, parts and bytes; an empty one has none; a view has no series', async () => {
  const lines = await collector.run()
  expect(lines.filter((line) => !line.startsWith('clickhouse_table_bytes'))).toEqual([
    'clickhouse_table_parts{target="test",database="erp",table="emptied"} 0',
    'clickhouse_table_parts{target="test",database="erp",table="journals"} 2',
    'clickhouse_table_rows{target="test",database="erp",table="emptied"} 0',
    rowsOfJournals,
  ])
  const bytes = lines.filter((line) => line.startsWith('clickhouse_table_bytes'))
  expect(bytes[0]).toBe('clickhouse_table_bytes{target="test",database="erp",table="emptied"} 0')
  expect(Number(bytes[1]?.split(' ')[1])).toBeGreaterThan(1000)
})

test('a wrong password is an error that names the server and not the password', async () => {
  const wrong = collecting(clickhouse, { url: server.url, password: 'guess' })
  await expect(wrong.run()).rejects.toThrow(
    /^clickhouse at 127\.0\.0\.1:\d+: SELECT .*: default: Authentication failed(?!.*guess)/,
  )
  await wrong.stop()
})

test('a killed server fails the run, and the run after its return works', async () => {
  await collector.run()
  await server.kill()
  // It may still find the connection that is being lost.
  await expect(collector.run()).rejects.toThrow(/^clickhouse at 127\.0\.0\.1:\d+: /)
  await expect(collector.run()).rejects.toThrow(/: connect ECONNREFUSED/)
  await server.start()
  await expect(collector.run()).resolves.toContain(rowsOfJournals)
})

describe('a frozen server', () => {
  afterEach(() => server.thaw())

  test('fails the run at its time-out, and the run after its return works', async () => {
    await collector.run()
    server.freeze()
    await expect(collector.run(300)).rejects.toThrow(/^clickhouse at .*: SELECT .*: .*timeout/)
    server.thaw()
    await expect(collector.run()).resolves.toContain(rowsOfJournals)
  })
})

describe('the client', () => {
  let reader: ClickhouseReader
  const signal = () => AbortSignal.timeout(10_000)

  beforeEach(() => {
    reader = connectClickhouse(() => ({ url: server.url, password: PASSWORD, database: 'erp' }))
  })
  afterEach(() => reader.close())

  test('gives every number as ClickHouse prints it', async () => {
    const rows = await reader.query(
      `SELECT toUInt64(18446744073709551615) AS big, toDecimal64('0.10', 2) AS amount, NULL AS nothing,
         {given:String} AS given, count() AS count FROM journals`,
      { given: "it's" },
      signal(),
    )
    expect(rows).toEqual([
      { big: '18446744073709551615', amount: '0.1', nothing: null, given: "it's", count: '1234' },
    ])
  })

  test('cannot write', async () => {
    await expect(reader.query('TRUNCATE TABLE journals', {}, signal())).rejects.toThrow(/readonly mode/)
  })

  test('goes on after a query that the server refuses', async () => {
    await expect(reader.query('SELECT missing FROM journals', {}, signal())).rejects.toThrow(/missing/)
    expect(await reader.query('SELECT 1 AS one', {}, signal())).toEqual([{ one: '1' }])
  })

  test.each(['1', '2'])('reads as a user whom the server holds in read-only mode %s', async (mode) => {
    const url = `${server.url}?clickhouse_setting_readonly=${mode}`
    const held = connectClickhouse(() => ({ url, password: PASSWORD, database: 'erp' }))
    const rows = await held.query("SELECT getSetting('readonly') AS mode", {}, signal())
    held.close()
    expect(rows).toEqual([{ mode }])
  })
})
