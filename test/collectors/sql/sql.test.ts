import { chmodSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../../src/collectors/sql/index.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { type Collecting, collecting } from '../collect.ts'

let postgres: PostgresPart
let source: pg.Pool
let clickhouse: ClickHousePart
const open: Collecting[] = []

beforeAll(async () => {
  ;[postgres, clickhouse] = await Promise.all([startPostgres(), startClickHouse()])
  source = new pg.Pool({ connectionString: postgres.url(), max: 1 })
  source.on('error', () => {})
  await source.query(`
    CREATE TABLE orders (id int PRIMARY KEY, region text, state text, amount numeric, paid boolean);
    INSERT INTO orders VALUES (1, 'eu', 'open', 10.5, true), (2, 'eu', 'open', 0.25, false),
      (3, 'eu', 'done', 7, true), (4, 'us', 'open', 1, true);
    CREATE TABLE written (n int);
    CREATE FUNCTION writing() RETURNS int LANGUAGE sql AS 'INSERT INTO written VALUES (1) RETURNING n'`)
  for (const tenant of ['alpha', 'br"a.vo']) {
    const schema = pg.escapeIdentifier(tenant)
    await source.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.journals (tenant text)`)
    await source.query(`INSERT INTO ${schema}.journals VALUES ('alpha'), ('other')`)
  }
  await command(
    'CREATE TABLE orders (id UInt64, region String, amount Decimal64(2)) ENGINE = MergeTree ORDER BY id',
  )
  await command("INSERT INTO orders VALUES (1, 'eu', 10.5), (2, 'us', 0.25), (3, 'eu', 1)")
  await command('CREATE TABLE written (n UInt8) ENGINE = MergeTree ORDER BY n')
})
afterAll(async () => {
  await source?.end()
  await Promise.all([postgres?.remove(), clickhouse?.remove()])
})
afterEach(async () => {
  for (const collector of open.splice(0)) await collector.stop()
})

async function command(query: string): Promise<void> {
  const client = createClient({ url: clickhouse.url })
  await client.command({ query })
  await client.close()
}

function collectorOf(given: Record<string, unknown>): Collecting {
  const collector = collecting(sql, { connection: { postgresql: { url: postgres.url() } }, ...given })
  open.push(collector)
  return collector
}

const onClickhouse = (given: Record<string, unknown>) =>
  collectorOf({ connection: { clickhouse: { url: clickhouse.url } }, ...given })

const gauge = (metric: string) => ({ metric, help: `Of ${metric}.` })

/** Without what each query costs, and without the target. */
const values = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => (line.startsWith('cdc_sql_query_') ? [] : [line.replace('target="test",', '')]))

const costs = (lines: readonly string[], name: string): string[] =>
  lines
    .filter((line) => line.startsWith(`cdc_sql_query_${name}{`))
    .map((line) => line.replace('target="test",', '').slice('cdc_sql_query_'.length))

const STATES = {
  name: 'states',
  sql: `SELECT state, count(*) AS orders, sum(amount) AS amount, bool_and(paid) AS paid, NULL AS nothing
    FROM orders WHERE region = $1 AND id < $2 GROUP BY state -- whatever comes last`,
  parameters: ['eu', 100],
  labels: ['state'],
  values: {
    orders: gauge('erp_orders'),
    amount: { ...gauge('erp_amount_total'), type: 'counter' },
    paid: gauge('erp_paid'),
    nothing: gauge('erp_nothing'),
  },
}

describe('the rows of a query', () => {
  test('are series, with HELP and TYPE from the configuration; NULL is none', async () => {
    const collector = collectorOf({ queries: [STATES] })
    const lines = await collector.run()
    expect(values(lines)).toEqual([
      'erp_amount_total{state="done"} 7',
      'erp_amount_total{state="open"} 10.75',
      'erp_orders{state="done"} 1',
      'erp_orders{state="open"} 2',
      'erp_paid{state="done"} 1',
      'erp_paid{state="open"} 0',
    ])
    expect(collector.failedParts).toEqual([])
    expect(costs(lines, 'rows')).toEqual(['rows{query="states",tenant=""} 2'])
    expect(costs(lines, 'success')).toEqual(['success{query="states",tenant=""} 1'])
    expect(costs(lines, 'truncated')).toEqual(['truncated{query="states",tenant=""} 0'])
    expect(costs(lines, 'duration_seconds')).toHaveLength(1)
    expect(costs(lines, 'last_success_timestamp_seconds')).toHaveLength(1)
  })

  test('are gone with the row', async () => {
    const collector = collectorOf({ queries: [STATES] })
    await source.query("INSERT INTO orders VALUES (9, 'eu', 'lost', 0, true)")
    expect(values(await collector.run())).toContain('erp_orders{state="lost"} 1')
    await source.query('DELETE FROM orders WHERE id = 9')
    expect(values(await collector.run()).filter((line) => line.includes('lost'))).toEqual([])
  })

  test('come from ClickHouse as well', async () => {
    const collector = onClickhouse({
      queries: [
        {
          name: 'regions',
          sql: `SELECT region, count() AS orders, sum(amount) AS amount, count() > 1 = true AS many, NULL AS nothing
            FROM orders WHERE region IN {regions:Array(String)} AND id < {below:UInt64} GROUP BY region -- the end
            ;`,
          parameters: { regions: ['eu', 'us'], below: 3 },
          labels: ['region'],
          values: {
            orders: gauge('erp_orders'),
            amount: gauge('erp_amount'),
            many: gauge('erp_many'),
            nothing: gauge('erp_nothing'),
          },
        },
      ],
    })
    const lines = await collector.run()
    expect(collector.failedParts).toEqual([])
    expect(values(lines)).toEqual([
      'erp_amount{region="eu"} 10.5',
      'erp_amount{region="us"} 0.25',
      'erp_many{region="eu"} 0',
      'erp_many{region="us"} 0',
      'erp_orders{region="eu"} 1',
      'erp_orders{region="us"} 1',
    ])
  })

  test('beyond max_rows have no series, and that is told', async () => {
    const numbers = (sql: string) => ({
      name: 'numbers',
      sql,
      labels: ['n'],
      values: { n2: gauge('erp_numbers') },
      max_rows: 3,
    })
    const all = [
      collectorOf({ queries: [numbers('SELECT n, n AS n2 FROM generate_series(1, 4) AS n')] }),
      // They have no end: the bound is the server's.
      collectorOf({
        queries: [
          numbers(
            'WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n % 1000 AS n, 1 AS n2 FROM t',
          ),
        ],
      }),
      onClickhouse({ queries: [numbers('SELECT number AS n, n AS n2 FROM system.numbers')] }),
      onClickhouse({ queries: [numbers('SELECT number AS n, n AS n2 FROM numbers(4)')] }),
    ]
    for (const collector of all) {
      const lines = await collector.run()
      expect(values(lines)).toHaveLength(3)
      expect([costs(lines, 'rows'), costs(lines, 'truncated')]).toEqual([
        ['rows{query="numbers",tenant=""} 3'],
        ['truncated{query="numbers",tenant=""} 1'],
      ])
    }
  })

  test('of one family may come from several queries', async () => {
    const one = (name: string) => ({
      name,
      sql: `SELECT '${name}' AS side, 1 AS n`,
      labels: ['side'],
      values: { n: gauge('erp_sides') },
    })
    expect(values(await collectorOf({ queries: [one('left'), one('right')] }).run())).toEqual([
      'erp_sides{side="left"} 1',
      'erp_sides{side="right"} 1',
    ])
  })
})

describe('a query with {tenant}', () => {
  const JOURNALS = {
    name: 'journals',
    sql: 'SELECT count(*) AS journals FROM {tenant}.journals WHERE tenant = $1',
    parameters: ['{tenant}'],
    values: { journals: gauge('erp_journals') },
  }

  test('runs for each tenant, whose name is quoted in it, and a label', async () => {
    const lines = await collectorOf({ tenants: ['alpha', 'br"a.vo'], queries: [JOURNALS] }).run()
    expect(values(lines)).toEqual(['erp_journals{tenant="alpha"} 1', 'erp_journals{tenant="br\\"a.vo"} 0'])
    expect(costs(lines, 'success')).toEqual([
      'success{query="journals",tenant="alpha"} 1',
      'success{query="journals",tenant="br\\"a.vo"} 1',
    ])
  })

  test('fails for a tenant alone', async () => {
    const collector = collectorOf({ tenants: ['alpha', 'charlie'], queries: [JOURNALS] })
    expect(values(await collector.run())).toEqual(['erp_journals{tenant="alpha"} 1'])
    expect(collector.failedParts.map(({ labels }) => labels)).toEqual([
      { sql_query: 'journals', tenant: 'charlie' },
    ])
  })

  test('runs on ClickHouse as well', async () => {
    for (const tenant of ['alpha', 'br`avo']) {
      await command(`CREATE DATABASE \`${tenant.replace('`', '\\`')}\``)
      await command(
        `CREATE TABLE \`${tenant.replace('`', '\\`')}\`.journals (id UInt64) ENGINE = MergeTree ORDER BY id`,
      )
    }
    await command('INSERT INTO alpha.journals VALUES (1)')
    const query = {
      ...JOURNALS,
      sql: 'SELECT count() AS journals FROM {tenant}.journals WHERE {name:String} != {tenant_is:String}',
      parameters: { name: 'bravo', tenant_is: '{tenant}' },
    }
    const collector = onClickhouse({ tenants: ['alpha', 'br`avo'], queries: [query] })
    const lines = await collector.run()
    expect(collector.failedParts).toEqual([])
    expect(values(lines)).toEqual(['erp_journals{tenant="alpha"} 1', 'erp_journals{tenant="br`avo"} 0'])
  })
})

describe('a query that fails', () => {
  const good = { name: 'good', sql: 'SELECT 1 AS n', values: { n: gauge('erp_good') } }
  const bad = (sql: string, more: Record<string, unknown> = {}) => ({
    name: 'bad',
    sql,
    values: { n: gauge('erp_bad') },
    ...more,
  })

  test.each([
    ['SELECT missing AS n', {}, /^Error: query bad: postgresql at .*: SELECT missing AS n: column "missing"/],
    ['SELECT 1 AS other', {}, 'its rows have no column n'],
    ["SELECT 'a' AS n", {}, 'the column n is not a number'],
    ["SELECT '' AS n", {}, 'the column n is not a number'],
    ['SELECT now() AS n', {}, 'the column n is not a number; of a time take'],
    ['SELECT 1 AS n UNION ALL SELECT 2', {}, 'two rows have the same labels: it has none'],
    ["SELECT 1 AS n, 'x' AS l UNION ALL SELECT 2, 'x'", { labels: ['l'] }, 'two rows have the same labels'],
    ['SELECT $1::int AS n', {}, 'query bad: '],
    ['SELECT 1 AS n FROM pg_sleep(60)', { timeout: '200ms' }, 'canceling statement due to statement timeout'],
  ])('%s %o: it is a part, the others go on, and its success is 0', async (text, more, message) => {
    const collector = collectorOf({ queries: [bad(text, more), good] })
    const lines = await collector.run()
    expect(values(lines)).toEqual(['erp_good{target="test"} 1'])
    expect(costs(lines, 'success')).toEqual([
      'success{query="bad",tenant=""} 0',
      'success{query="good",tenant=""} 1',
    ])
    expect(costs(lines, 'last_success_timestamp_seconds')).toHaveLength(1)
    expect(costs(lines, 'rows')).toEqual(['rows{query="good",tenant=""} 1'])
    expect(collector.failedParts.map(({ labels }) => labels)).toEqual([{ sql_query: 'bad' }])
    if (message instanceof RegExp) expect(String(collector.failedParts[0]?.cause)).toMatch(message)
    else expect(String(collector.failedParts[0]?.cause)).toContain(message)
  })

  test('on ClickHouse is a part as well, also one that takes too long', async () => {
    const slow = bad('SELECT sleepEachRow(0.1) AS n FROM numbers(1000) SETTINGS max_block_size = 1', {
      timeout: '1s',
    })
    for (const query of [bad('SELECT missing AS n'), bad('SELECT [1] AS n'), slow]) {
      const collector = onClickhouse({ queries: [query, good] })
      expect(values(await collector.run())).toEqual(['erp_good{target="test"} 1'])
      expect(collector.failedParts.map(({ labels }) => labels)).toEqual([{ sql_query: 'bad' }])
    }
  })

  test('works again when what it reads is there', async () => {
    const collector = collectorOf({ queries: [bad('SELECT n FROM late')] })
    expect(values(await collector.run())).toEqual([])
    await source.query('CREATE TABLE late AS SELECT 5 AS n')
    expect(values(await collector.run())).toEqual(['erp_bad{target="test"} 5'])
    await source.query('DROP TABLE late')
    const lines = await collector.run()
    expect(values(lines)).toEqual([])
    // What it was is still told.
    expect(costs(lines, 'rows')).toEqual(['rows{query="bad",tenant=""} 1'])
  })

  test('never tells a value or the password', async () => {
    const collector = collectorOf({ queries: [bad("SELECT 'hunter2' AS n")] })
    await collector.run()
    const cause = String(collector.failedParts[0]?.cause)
    expect(cause).not.toContain('hunter2')
    expect(cause).not.toContain(postgres.password)
  })
})

test('a query with an interval of its own is told in between, and not asked', async () => {
  const queries = [
    { name: 'seldom', sql: 'SELECT n FROM ticks', values: { n: gauge('erp_seldom') }, interval: '1h' },
    { name: 'often', sql: 'SELECT n FROM ticks', values: { n: gauge('erp_often') } },
  ]
  await source.query('CREATE TABLE ticks AS SELECT 1 AS n')
  const collector = collectorOf({ queries })
  expect(values(await collector.run())).toEqual(['erp_often{target="test"} 1', 'erp_seldom{target="test"} 1'])
  await source.query('UPDATE ticks SET n = 2')
  expect(values(await collector.run())).toEqual(['erp_often{target="test"} 2', 'erp_seldom{target="test"} 1'])
})

test('a database that is away is a failed run, not failed queries', async () => {
  const nobody = collectorOf({
    connection: { postgresql: { url: 'postgresql://x:y@127.0.0.1:1/z' } },
    queries: [STATES],
  })
  await expect(nobody.run()).rejects.toThrow(/^postgresql at 127\.0\.0\.1:1: connect: /)
})

describe('a configuration that asks for a write', () => {
  const folder = temporaryFolder('sql-write')
  afterAll(() => folder.remove())
  const file = join(folder.path, 'written')
  // For the user that the server runs as.
  chmodSync(folder.path, 0o777)

  const written = async () => {
    expect(existsSync(file)).toBe(false)
    return (await source.query('SELECT count(*)::int AS n FROM written')).rows[0].n
  }
  const query = (text: string, index: number) => ({
    name: `q${index}`,
    sql: text,
    values: { n: gauge(`erp_q${index}`) },
  })

  test('gets none on PostgreSQL, whatever it tries, though its user could', async () => {
    const attempts = [
      'INSERT INTO written VALUES (1) RETURNING n',
      'WITH x AS (INSERT INTO written VALUES (1) RETURNING n) SELECT n FROM x',
      'SELECT writing() AS n',
      'SELECT 1 AS n; INSERT INTO written VALUES (1)',
      'SELECT 1 AS n; COMMIT; INSERT INTO written VALUES (1)',
      'COMMIT',
      "SELECT 1 AS n FROM set_config('transaction_read_only', 'off', true), writing()",
      'SELECT 1 AS n INTO created',
      'SELECT n FROM written FOR UPDATE',
      `COPY (SELECT 1) TO '${file}'`,
      `COPY (SELECT 1) TO PROGRAM 'touch ${file}'`,
      'DO $$ BEGIN COMMIT; INSERT INTO written VALUES (1); END $$',
      'CREATE TABLE created (n int)',
      'SET default_transaction_read_only = off',
    ]
    const url = new URL(postgres.url())
    url.searchParams.set('options', '-c default_transaction_read_only=off')
    const collector = collectorOf({
      connection: { postgresql: { url: url.href } },
      queries: attempts.map(query),
    })
    for (let n = 0; n < 2; n++) {
      expect(values(await collector.run())).toEqual([])
      expect(collector.failedParts).toHaveLength(attempts.length)
    }
    // Reading goes on, and what a query set for the session does not make the next one write.
    const sly = collectorOf({
      queries: [
        "SELECT length(set_config('default_transaction_read_only', 'off', false)) AS n",
        'SELECT writing() AS n',
      ].map(query),
    })
    for (let n = 0; n < 2; n++) expect(values(await sly.run())).toEqual(['erp_q0{target="test"} 3'])
    expect(String(sly.failedParts[0]?.cause)).toContain('read-only transaction')
    expect(await written()).toBe(0)
    expect((await source.query("SELECT to_regclass('created') AS t")).rows).toEqual([{ t: null }])
  })

  test('gets none on ClickHouse', async () => {
    const attempts = [
      'INSERT INTO written SELECT 1 AS n',
      'SELECT 1 AS n) SETTINGS readonly = 0; INSERT INTO written SELECT 1; SELECT * FROM (SELECT 1 AS n',
      "INSERT INTO FUNCTION file('written.csv') SELECT 1 AS n",
      'ALTER TABLE written DELETE WHERE 1',
      'TRUNCATE TABLE written',
      'SYSTEM STOP MERGES',
    ]
    const collector = onClickhouse({ queries: attempts.map(query) })
    expect(values(await collector.run())).toEqual([])
    expect(collector.failedParts).toHaveLength(attempts.length)
    const count = {
      name: 'count',
      sql: 'SELECT count() AS n FROM written',
      values: { n: gauge('erp_written') },
    }
    expect(values(await onClickhouse({ queries: [count] }).run())).toEqual(['erp_written{target="test"} 0'])
  })
})
