import { createClient } from '@clickhouse/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { clickhouse } from '../../../src/collectors/clickhouse/index.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { checked, complaints } from '../check.ts'

let server: ClickHousePart

beforeAll(async () => {
  await installClickHouse()
  server = await startClickHouse({ password: 'sink-secret' })
})
afterAll(() => server?.remove())

async function command(...queries: readonly string[]): Promise<void> {
  const client = createClient({ url: server.url, password: 'sink-secret' })
  for (const query of queries) await client.command({ query })
  await client.close()
}

const settings = (more: object = {}) => ({ url: server.url, password: 'sink-secret', ...more })

const complaintsOf = async (more: object = {}) => complaints(await checked(clickhouse, settings(more)))

test('what the series come from is looked at, item by item', async () => {
  // Of an empty server nobody can tell whether it has no tables or shows none.
  expect(await complaintsOf()).toEqual({
    tables_chosen: expect.stringContaining('the user sees no table of a MergeTree'),
  })
  await command(
    'CREATE DATABASE erp',
    'CREATE TABLE erp.journals (id UInt64, v UInt64, d UInt8) ENGINE = ReplacingMergeTree(v, d) ORDER BY id',
    'CREATE TABLE erp.plain (id UInt64, gone UInt8) ENGINE = MergeTree ORDER BY id',
    'INSERT INTO erp.plain SELECT number, 0 FROM numbers(11)',
  )
  const watch = [{ table: 'erp.journals' }, { table: 'erp.plain', deleted: 'gone' }]
  const found = await checked(clickhouse, settings({ watch }))
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable',
    'authenticated',
    'version_supported',
    'system_tables_readable',
    'tables_chosen',
    'watched_exists erp.journals',
    'watched_readable erp.journals',
    'watched_size erp.journals',
    'watched_exists erp.plain',
    'watched_readable erp.plain',
    'watched_size erp.plain',
    'completed',
  ])
  expect(found.tables_chosen?.message).toBe('2 of 2 tables')

  expect(await complaintsOf({ allow_tables: ['^sales\\.'] })).toEqual({
    tables_chosen: expect.stringContaining('none of 2 tables is chosen'),
  })
  const wrong = [{ table: 'erp.gone' }, { table: 'erp.plain' }, { table: 'erp.journals', deleted: 'gone' }]
  expect(await complaintsOf({ watch: wrong })).toEqual({
    'watched_exists erp.gone': expect.stringContaining('→ correct watch, or GRANT SELECT ON erp.gone TO …;'),
    'watched_exists erp.plain': expect.stringContaining('keeps every row, and has no deleted column'),
  })
  expect(
    await complaintsOf({ watch: [{ table: 'erp.plain', deleted: 'nothing' }], watch_max_rows: 10 }),
  ).toEqual({
    'watched_readable erp.plain': expect.stringMatching(/`?nothing`?.*→ correct its deleted in watch/),
    'watched_size erp.plain': expect.stringContaining('11 rows; watch_max_rows is 10 → raise watch_max_rows'),
  })
})

test('who may not log in is told apart from a server that is away', async () => {
  expect(await complaintsOf({ password: 'old-secret' })).toEqual({
    authenticated: expect.stringMatching(/^(?!.*old-secret).*Authentication failed/),
  })
  expect(await complaintsOf({ database: 'nothing' })).toEqual({
    authenticated: expect.stringContaining('nothing does not exist'),
  })
  expect(await complaintsOf({ url: 'http://127.0.0.1:1' })).toEqual({
    reachable: expect.stringContaining('ECONNREFUSED'),
  })
})
