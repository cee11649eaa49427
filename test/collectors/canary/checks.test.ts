import { createClient } from '@clickhouse/client'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { canary } from '../../../src/collectors/canary/index.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { checked, complaints } from '../check.ts'

let postgres: PostgresPart
let clickhouse: ClickHousePart
let mariadb: MariadbPart
let database: pg.Client

beforeAll(async () => {
  await installClickHouse()
  ;[postgres, clickhouse, mariadb] = await Promise.all([startPostgres(), startClickHouse(), startMariadb()])
  database = new pg.Client({ connectionString: postgres.url() })
  await database.connect()
  await database.query(`
    CREATE ROLE canary LOGIN PASSWORD 'source-secret';
    CREATE SCHEMA erp;
    CREATE TABLE erp.cdc_canary (id text PRIMARY KEY, sequence bigint NOT NULL, written_at timestamptz NOT NULL);
    GRANT USAGE ON SCHEMA erp TO canary;
    GRANT SELECT, INSERT, UPDATE ON erp.cdc_canary TO canary;
    CREATE PUBLICATION erp FOR TABLE erp.cdc_canary`)
  const client = createClient({ url: clickhouse.url })
  await client.command({
    query: `CREATE TABLE cdc_canary (id String, sequence Int64, _version UInt64)
      ENGINE = ReplacingMergeTree(_version) ORDER BY id`,
  })
  await client.close()
  const warehouse = await mysql.createConnection({ uri: mariadb.url('mysql') })
  await warehouse.query('CREATE DATABASE erp')
  await warehouse.query('CREATE TABLE erp.cdc_canary (id varchar(200) PRIMARY KEY, sequence bigint)')
  await warehouse.end()
})
afterAll(async () => {
  await database?.end()
  await Promise.all([postgres?.remove(), clickhouse?.remove(), mariadb?.remove()])
})

const url = (password = 'source-secret') =>
  `postgresql://canary:${password}@${postgres.host}:${postgres.port}/postgres`

const settings = ({ source = {}, sink = {} }: { source?: object; sink?: object } = {}) => ({
  source: { postgresql: { url: url() }, table: 'erp.cdc_canary', ...source },
  sink: { clickhouse: { url: clickhouse.url }, ...sink },
})

const complaintsOf = async (more: Parameters<typeof settings>[0] = {}) =>
  complaints(await checked(canary, settings(more)))

/** What it finds with a part of it broken, and not before or after. */
async function broken(sql: string, repair: string) {
  await database.query(sql)
  try {
    return await complaintsOf()
  } finally {
    await database.query(repair)
  }
}

test('a way that is as it should be has nothing to complain of, and no canary is sent', async () => {
  const found = await checked(canary, settings())
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable source',
    'authenticated source',
    'version_supported source',
    'source_writable',
    'source_table',
    'source_rights',
    'table_published',
    'reachable sink',
    'authenticated sink',
    'version_supported sink',
    'sink_table',
    'completed',
  ])
  const starrocks = { clickhouse: undefined, starrocks: { url: mariadb.url('erp') } }
  expect(await complaintsOf({ sink: starrocks })).toEqual({})
  expect((await database.query('SELECT FROM erp.cdc_canary')).rowCount).toBe(0)
})

test('a table of another shape, or none, is told with the statement that makes one', async () => {
  expect(await complaintsOf({ source: { table: 'erp.canaries' } })).toEqual({
    source_table:
      'false: it is not there → CREATE TABLE "erp"."canaries" ("id" text PRIMARY KEY, "sequence" bigint NOT NULL, "written_at" timestamptz NOT NULL);',
  })
  expect(
    await broken('ALTER TABLE erp.cdc_canary ADD note text', 'ALTER TABLE erp.cdc_canary DROP note'),
  ).toEqual({ source_table: expect.stringContaining('it has a column note → make one of its own') })
})

test('rights that are missing come with the statement that gives them', async () => {
  expect(
    await broken(
      'REVOKE INSERT, UPDATE ON erp.cdc_canary FROM canary; REVOKE USAGE ON SCHEMA erp FROM canary',
      'GRANT INSERT, UPDATE ON erp.cdc_canary TO canary; GRANT USAGE ON SCHEMA erp TO canary',
    ),
  ).toEqual({
    source_rights:
      'false: it lacks USAGE on erp, INSERT, UPDATE → GRANT USAGE ON SCHEMA "erp" TO "canary"; GRANT INSERT, UPDATE ON "erp"."cdc_canary" TO "canary";',
  })
  // What is granted on every column is as good.
  expect(
    await broken(
      'REVOKE UPDATE ON erp.cdc_canary FROM canary; GRANT UPDATE (id, sequence, written_at) ON erp.cdc_canary TO canary',
      'GRANT UPDATE ON erp.cdc_canary TO canary',
    ),
  ).toEqual({})
  expect(
    await broken(
      'ALTER PUBLICATION erp DROP TABLE erp.cdc_canary',
      'ALTER PUBLICATION erp ADD TABLE erp.cdc_canary',
    ),
  ).toEqual({
    table_published: expect.stringContaining('→ ALTER PUBLICATION … ADD TABLE "erp"."cdc_canary";'),
  })
})

test('a sink without the table or a column of it is told', async () => {
  const starrocks = { clickhouse: undefined, starrocks: { url: mariadb.url('erp') } }
  const other = { columns: { id: 'canary' } }
  expect(await complaintsOf({ sink: { table: 'canaries' } })).toEqual({
    sink_table: expect.stringMatching(/canaries.*→ make the table, or correct sink.table/),
  })
  expect(await complaintsOf({ sink: other })).toEqual({
    sink_table: expect.stringMatching(/canary.*→ correct sink.columns/),
  })
  expect(await complaintsOf({ sink: { ...starrocks, table: 'canaries' } })).toEqual({
    sink_table: expect.stringMatching(/canaries.*→ make the table, or correct sink.table/),
  })
  expect(await complaintsOf({ sink: { ...starrocks, ...other } })).toEqual({
    sink_table: expect.stringMatching(/canary.*→ correct sink.columns/),
  })
})

test('an end that is away, or does not let the user in, is told apart', async () => {
  const refused = await complaintsOf({ source: { postgresql: { url: url('old-secret') } } })
  expect(refused).toEqual({
    'authenticated source': expect.stringContaining('password authentication failed'),
  })
  expect(JSON.stringify(refused)).not.toContain('old-secret')
  expect(await complaintsOf({ sink: { clickhouse: { url: 'http://127.0.0.1:1' } } })).toEqual({
    'reachable sink': expect.stringContaining('ECONNREFUSED'),
  })
})
