import mysql from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { sql } from '../../../src/collectors/sql/index.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { type Collecting, collecting } from '../collect.ts'

// StarRocks cannot be had here: MariaDB stands in for it, with the same protocol and the same SQL. That StarRocks
// ends a query at its time-out is not shown: the hint is a comment to MariaDB, and the client's own limit is seen.

let mariadb: MariadbPart
let warehouse: mysql.Connection
const open: Collecting[] = []

beforeAll(async () => {
  mariadb = await startMariadb()
  warehouse = await mysql.createConnection({ uri: mariadb.url('mysql'), multipleStatements: true })
  await warehouse.query(`
    CREATE DATABASE erp; USE erp;
    CREATE TABLE orders (id int PRIMARY KEY, region varchar(9), amount decimal(12, 2), paid boolean);
    INSERT INTO orders VALUES (1, 'eu', 10.5, true), (2, 'us', 0.25, false), (3, 'eu', 1, true), (4, 'id', 2, NULL);
    CREATE TABLE written (n int);
    CREATE FUNCTION writing() RETURNS int BEGIN INSERT INTO written VALUES (1); RETURN 1; END;
    CREATE DATABASE \`br\`\`avo\`; CREATE TABLE \`br\`\`avo\`.journals (tenant varchar(9));
    INSERT INTO \`br\`\`avo\`.journals VALUES ('br\`avo'), ('other')`)
})
afterAll(async () => {
  await warehouse?.end()
  await mariadb?.remove()
})
afterEach(async () => {
  for (const collector of open.splice(0)) await collector.stop()
})

const gauge = (metric: string) => ({ metric, help: `Of ${metric}.` })

function collectorOf(given: Record<string, unknown>): Collecting {
  const collector = collecting(sql, { connection: { starrocks: { url: mariadb.url('erp') } }, ...given })
  open.push(collector)
  return collector
}

const values = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => (line.startsWith('cdc_sql_query_') ? [] : [line.replace('target="test",', '')]))

test('the rows of a query are series', async () => {
  const collector = collectorOf({
    queries: [
      {
        name: 'regions',
        sql: `WITH some AS (SELECT * FROM orders WHERE region IN (?) AND id < ?)
          SELECT region, count(*) AS orders, sum(amount) AS amount, max(paid) AS paid FROM some GROUP BY region -- the end
          ;`,
        parameters: [['eu', 'us', "i'd"], 4],
        labels: ['region'],
        values: { orders: gauge('erp_orders'), amount: gauge('erp_amount'), paid: gauge('erp_paid') },
      },
    ],
  })
  const lines = await collector.run()
  expect(collector.failedParts).toEqual([])
  expect(values(lines)).toEqual([
    'erp_amount{region="eu"} 11.5',
    'erp_amount{region="us"} 0.25',
    'erp_orders{region="eu"} 2',
    'erp_orders{region="us"} 1',
    'erp_paid{region="eu"} 1',
    'erp_paid{region="us"} 0',
  ])
})

test('a tenant is quoted, and rows beyond max_rows are left out', async () => {
  const lines = await collectorOf({
    tenants: ['br`avo'],
    queries: [
      {
        name: 'journals',
        sql: 'SELECT count(*) AS journals FROM {tenant}.journals WHERE tenant = ?',
        parameters: ['{tenant}'],
        values: { journals: gauge('erp_journals') },
      },
      {
        name: 'orders',
        sql: 'SELECT id, paid FROM orders ORDER BY id',
        labels: ['id'],
        values: { paid: gauge('erp_order_paid') },
        max_rows: 3,
      },
    ],
  }).run()
  expect(values(lines)).toContain('erp_journals{tenant="br`avo"} 1')
  expect(values(lines).filter((line) => line.startsWith('erp_order_paid'))).toHaveLength(3)
  expect(lines).toContain('cdc_sql_query_truncated{target="test",query="orders",tenant=""} 1')
})

test('a query that fails or takes too long is a part', async () => {
  const good = { name: 'good', sql: 'SELECT 1 AS n', values: { n: gauge('erp_good') } }
  for (const bad of [{ sql: 'SELECT missing AS n' }, { sql: 'SELECT sleep(60) AS n', timeout: '200ms' }]) {
    const collector = collectorOf({
      queries: [{ name: 'bad', values: { n: gauge('erp_bad') }, ...bad }, good],
    })
    expect(values(await collector.run())).toEqual(['erp_good{target="test"} 1'])
    expect(collector.failedParts.map(({ labels }) => labels)).toEqual([{ sql_query: 'bad' }])
  }
})

test('a configuration that asks for a write gets none, though its user could', async () => {
  const attempts = [
    'INSERT INTO written VALUES (1)',
    'SELECT 1 AS n) AS x; INSERT INTO written VALUES (1); SELECT * FROM (SELECT 1 AS n',
    'SELECT writing() AS n',
    "SELECT 1 AS n INTO OUTFILE '/tmp/written'",
    'SET SESSION TRANSACTION READ WRITE',
    'SELECT n FROM written FOR UPDATE',
  ]
  const collector = collectorOf({
    queries: attempts.map((text, index) => ({
      name: `q${index}`,
      sql: text,
      values: { n: gauge(`erp_q${index}`) },
    })),
  })
  for (let n = 0; n < 2; n++) expect(values(await collector.run())).toEqual([])
  const [rows] = await warehouse.query('SELECT count(*) AS n FROM written')
  expect(rows).toEqual([{ n: 0 }])
})
