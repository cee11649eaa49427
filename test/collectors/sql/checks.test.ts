import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sql } from '../../../src/collectors/sql/index.ts'
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
    CREATE ROLE monitor LOGIN PASSWORD 'source-secret';
    CREATE TABLE orders (region text, amount numeric);
    INSERT INTO orders VALUES ('eu', 1), ('us', 2), ('us', 3);
    CREATE TABLE votes (id int, vote text);
    CREATE SCHEMA alpha; CREATE SCHEMA bravo;
    CREATE TABLE alpha.journals (id int); CREATE TABLE bravo.journals (id int);
    GRANT USAGE ON SCHEMA alpha, bravo TO monitor;
    GRANT SELECT ON orders, votes, alpha.journals, bravo.journals TO monitor;
    CREATE FUNCTION writing() RETURNS int LANGUAGE sql AS 'INSERT INTO orders VALUES (''x'', 1) RETURNING 1'`)
  const client = createClient({ url: clickhouse.url })
  await client.command({ query: 'CREATE TABLE orders (region String) ENGINE = MergeTree ORDER BY region' })
  await client.close()
})
afterAll(async () => {
  await database?.end()
  await Promise.all([postgres?.remove(), clickhouse?.remove(), mariadb?.remove()])
})

const url = (password = 'source-secret') =>
  `postgresql://monitor:${password}@${postgres.host}:${postgres.port}/postgres`

const query = (sql: string, more: object = {}) => ({
  name: 'orders',
  sql,
  labels: ['region'],
  values: { amount: { metric: 'erp_amount', help: 'Of it.' } },
  ...more,
})

const settings = (given: object) => ({ connection: { postgresql: { url: url() } }, ...given })

const complaintsOf = async (given: object) => complaints(await checked(sql, settings(given)))

const good = 'SELECT region, sum(amount) AS amount FROM orders GROUP BY 1'

test('queries and packs that fit have nothing to complain of', async () => {
  const byTenant = {
    name: 'journals',
    sql: 'SELECT count(*) AS n FROM {tenant}.journals',
    values: { n: { metric: 'erp_journals', help: 'Of it.' } },
  }
  // One that is meant to run once a day is not run for this.
  const daily = { ...query('SELECT region, pg_sleep(1000)::text AS amount FROM orders'), interval: '1d' }
  const queries = [query(good), byTenant, { ...daily, name: 'daily' }]
  const found = await checked(
    sql,
    settings({ queries, packs: [{ pack: 'votes' }], tenants: ['alpha', 'bravo'] }),
  )
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable',
    'authenticated',
    'version_supported',
    'query_accepted votes_total',
    'query_runs votes_total',
    'query_bounded votes_total',
    'query_accepted votes_options',
    'query_runs votes_options',
    'query_accepted orders',
    'query_runs orders',
    'query_bounded orders',
    'query_accepted journals',
    'query_runs journals',
    'query_bounded journals',
    'query_accepted daily',
    'completed',
  ])
})

test('what the database refuses is told with what it says', async () => {
  const accepted = async (given: object) => (await complaintsOf(given))['query_accepted orders']
  expect(await accepted({ queries: [query('SELECT region, n FROM orders')] })).toContain(
    'column "n" does not exist',
  )
  expect(await accepted({ queries: [query('SELECT region, amount AS total FROM orders')] })).toContain(
    'column "amount" does not exist',
  )
  expect(
    await accepted({ queries: [query("INSERT INTO orders VALUES ('x', 1) RETURNING region, amount")] }),
  ).toContain('syntax error')
  expect(
    await accepted({
      queries: [query('SELECT region, amount FROM {tenant}.orders')],
      tenants: ['alpha', 'bravo'],
    }),
  ).toContain('alpha: relation "alpha.orders" does not exist')
  expect(await complaintsOf({ packs: [{ pack: 'audit' }] })).toEqual({
    'query_accepted audit': expect.stringContaining('relation "logs.audit" does not exist'),
  })
  await database.query('REVOKE SELECT ON orders FROM monitor')
  try {
    expect(await accepted({ queries: [query(good)] })).toMatch(
      /permission denied for table orders.*GRANT SELECT/,
    )
  } finally {
    await database.query('GRANT SELECT ON orders TO monitor')
  }
})

test('what only its rows show is told too', async () => {
  const runs = async (sql: string, more: object = {}) => await complaintsOf({ queries: [query(sql, more)] })
  expect(await runs('SELECT region, writing() AS amount FROM orders')).toEqual({
    'query_runs orders': expect.stringContaining('cannot execute INSERT in a read-only transaction'),
  })
  expect(await runs('SELECT region, amount FROM orders')).toEqual({
    'query_runs orders': expect.stringContaining('two rows have the same labels'),
  })
  expect(await runs(`SELECT region, 'many' AS amount FROM orders GROUP BY 1`)).toEqual({
    'query_runs orders': expect.stringContaining('the column amount is not a number'),
  })
  expect(await runs('SELECT region, pg_sleep(1000)::text AS amount FROM orders', { timeout: '1s' })).toEqual({
    'query_runs orders': expect.stringMatching(/statement timeout.*longer timeout/),
  })
  expect(await runs(good, { max_rows: 1 })).toEqual({
    'query_bounded orders': expect.stringContaining('it gives more than 1 rows'),
  })
})

test('ClickHouse and StarRocks have the same items', async () => {
  const constant = (sql: string) => ({ queries: [query(sql)] })
  const onClickhouse = { connection: { clickhouse: { url: clickhouse.url } } }
  const bySystem = 'SELECT region, count() AS amount FROM orders GROUP BY region'
  expect(await complaintsOf({ ...onClickhouse, ...constant(bySystem) })).toEqual({})
  expect(await complaintsOf({ ...onClickhouse, ...constant('SELECT region FROM orders') })).toEqual({
    'query_accepted orders': expect.stringContaining('amount'),
  })
  const onStarrocks = { connection: { starrocks: { url: mariadb.url('mysql') } } }
  expect(await complaintsOf({ ...onStarrocks, ...constant("SELECT 'eu' AS region, 1 AS amount") })).toEqual(
    {},
  )
  expect(await complaintsOf({ ...onStarrocks, ...constant("SELECT 'eu' AS region, 1 AS n") })).toEqual({
    'query_accepted orders': expect.stringContaining("Unknown column 'amount'"),
  })
})

test('who may not log in is told apart from a database that is away', async () => {
  const queries = [query(good)]
  const refused = await complaintsOf({ connection: { postgresql: { url: url('old-secret') } }, queries })
  expect(refused).toEqual({ authenticated: expect.stringContaining('password authentication failed') })
  expect(JSON.stringify(refused)).not.toContain('old-secret')
  const away = { connection: { starrocks: { url: 'mysql://monitor:old-secret@127.0.0.1:1/erp' } }, queries }
  expect(await complaintsOf(away)).toEqual({ reachable: expect.stringContaining('ECONNREFUSED') })
})
