import { createClient } from '@clickhouse/client'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drift } from '../../../src/collectors/drift/index.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { checked, complaints } from '../check.ts'

const PASSWORD = 'sink-secret'

let postgres: PostgresPart
let clickhouse: ClickHousePart
let mariadb: MariadbPart
let database: pg.Client
let sink: ReturnType<typeof createClient>
let warehouse: mysql.Connection

beforeAll(async () => {
  await installClickHouse()
  ;[postgres, clickhouse, mariadb] = await Promise.all([
    startPostgres(),
    startClickHouse({ password: PASSWORD }),
    startMariadb(),
  ])
  database = new pg.Client({ connectionString: postgres.url() })
  await database.connect()
  await database.query(`
    CREATE ROLE monitor LOGIN PASSWORD 'source-secret' IN ROLE pg_read_all_stats;
    CREATE SCHEMA erp;
    CREATE TABLE erp.journals (id bigint PRIMARY KEY, number text, note text, amount numeric(18, 2), doc jsonb,
      created_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE erp.lines (id uuid, day date, created_at timestamptz, PRIMARY KEY (day, id)) PARTITION BY RANGE (day);
    CREATE TABLE erp.lines_1 PARTITION OF erp.lines FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    GRANT USAGE ON SCHEMA erp TO monitor;
    GRANT SELECT ON ALL TABLES IN SCHEMA erp TO monitor;
    CREATE PUBLICATION erp FOR TABLE erp.journals, erp.lines`)
  await database.query("SELECT pg_create_logical_replication_slot('erp', 'pgoutput')")
  sink = createClient({ url: clickhouse.url, password: PASSWORD })
  await inSink(`CREATE TABLE journals (tenant String, id UInt64, number String, note Nullable(String),
    amount Decimal(18, 2), doc String, created_at DateTime64(6, 'UTC'), _version UInt64, _deleted UInt8)
    ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY (tenant, id)`)
  await inSink(`CREATE TABLE lines (id UUID, day Date32, created_at DateTime64(6, 'UTC'))
    ENGINE = MergeTree ORDER BY id`)
  warehouse = await mysql.createConnection({ uri: mariadb.url('mysql'), multipleStatements: true })
  await warehouse.query(`
    CREATE DATABASE erp; USE erp;
    CREATE TABLE journals (tenant varchar(20), id bigint PRIMARY KEY, number varchar(100), note text,
      amount decimal(18, 2), doc text, created_at datetime(6), _version bigint, _deleted int);
    CREATE USER 'monitor'@'127.0.0.1' IDENTIFIED BY 'sink-secret';
    GRANT SELECT ON erp.journals TO 'monitor'@'127.0.0.1'`)
})
afterAll(async () => {
  await warehouse?.end()
  await sink?.close()
  await database?.end()
  await Promise.all([postgres?.remove(), clickhouse?.remove(), mariadb?.remove()])
})

const inSink = (query: string) => sink.command({ query })

const journals = {
  source: 'erp.journals',
  sink: 'journals',
  watermark: 'created_at',
  version: '_version',
  deleted: '_deleted',
  sums: ['amount'],
  freshness: 'created_at',
}
const lines = { source: 'erp.lines', sink: 'lines', watermark: 'created_at', key: ['id'] }

const url = (user = 'monitor:source-secret') =>
  `postgresql://${user}@${postgres.host}:${postgres.port}/postgres`

const toClickhouse = () => ({ clickhouse: { url: clickhouse.url, password: PASSWORD } })

const toStarrocks = () => {
  const { host } = new URL(mariadb.url('erp'))
  return { starrocks: { url: `mysql://monitor:sink-secret@${host}/erp` } }
}

const settings = (more: object = {}) => ({
  source: { postgresql: { url: url() } },
  sink: toClickhouse(),
  checksums: {},
  tables: [journals, lines],
  ...more,
})

const complaintsOf = async (more: object = {}) => complaints(await checked(drift, settings(more)))

/** What it finds with a part of it broken, and not before or after. */
async function broken(sql: string, repair: string, more: object = {}) {
  await database.query(sql)
  try {
    return await complaintsOf(more)
  } finally {
    await database.query(repair)
  }
}

test('two ends that fit have nothing to complain of', async () => {
  const values = [
    {
      name: 'amounts',
      groups: ['number'],
      value: 'amount',
      source: {
        sql: 'SELECT number, sum(amount) AS amount FROM erp.journals WHERE id > $1 GROUP BY 1',
        parameters: [1],
      },
      sink: { sql: 'SELECT number, sum(amount) AS amount FROM journals FINAL GROUP BY number' },
    },
  ]
  const assertions = [
    { name: 'negative', on: 'sink', sql: 'SELECT * FROM journals WHERE amount < 0 -- none' },
    {
      name: 'young',
      on: 'source',
      sql: 'SELECT 1 FROM {tenant}.journals WHERE created_at > to_timestamp({watermark})',
    },
  ]
  const found = await checked(drift, settings({ slot: 'erp', values, assertions, tenants: ['erp'] }))
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable source',
    'authenticated source',
    'version_supported source',
    'reachable sink',
    'authenticated sink',
    'version_supported sink',
    'transactions_visible',
    'slot_exists erp',
    'source_tables',
    'source_columns',
    'source_readable',
    'sink_tables',
    'sink_columns',
    'sink_readable',
    'keys_comparable',
    'sink_engine',
    'sink_sorting_key',
    'tables_published',
    'value_query amounts',
    'assertion_query negative',
    'assertion_query young',
    'completed',
  ])
  expect(found.source_readable?.message).toBe('2 tables')
})

test('StarRocks as the sink has the same items', async () => {
  const given = { sink: toStarrocks(), tables: [journals] }
  expect(await complaintsOf(given)).toEqual({})
  expect(
    await complaintsOf({ ...given, tables: [{ ...journals, sink: 'others', sums: ['amount'] }] }),
  ).toEqual({
    sink_tables: expect.stringContaining('others is not there, or the user may not see it'),
  })
  expect(await complaintsOf({ ...given, tables: [{ ...journals, deleted: 'gone' }] })).toEqual({
    sink_columns: expect.stringContaining('journals has no column gone'),
  })
  const user = "'monitor'@'127.0.0.1'"
  await warehouse.query(`GRANT INSERT ON erp.journals TO ${user}; REVOKE SELECT ON erp.journals FROM ${user}`)
  try {
    expect(await complaintsOf(given)).toEqual({
      sink_readable: expect.stringMatching(/SELECT command denied.*→ GRANT SELECT ON journals TO its user/),
    })
  } finally {
    await warehouse.query(`GRANT SELECT ON erp.journals TO ${user}`)
  }
})

test('tables that are not there are named at their end', async () => {
  const tables = [
    { ...journals, source: 'erp.gone', sink: 'gone' },
    { ...lines, source: 'nowhere.lines' },
    { ...journals, sink: 'elsewhere.journals' },
  ]
  expect(await complaintsOf({ tables })).toEqual({
    source_tables: expect.stringMatching(/^false: erp\.gone is not there, nowhere\.lines is not there →/),
    sink_tables: expect.stringMatching(
      /^false: elsewhere\.journals is not there, or the user may not see it, gone is not there/,
    ),
  })
})

test('columns that are named and not there are told, with their table', async () => {
  const tables = [
    { ...journals, watermark: 'made_at', sums: ['total'] },
    { ...lines, deleted: '_deleted', rename: { created_at: 'made_at' } },
  ]
  expect(await complaintsOf({ tables })).toEqual({
    source_columns: expect.stringContaining(
      'erp.journals has no column made_at, erp.journals has no column total →',
    ),
    sink_columns: expect.stringContaining(
      'journals has no column made_at, journals has no column total, lines has no column _deleted, lines has no column made_at →',
    ),
    sink_engine: expect.stringContaining('lines is a MergeTree, which keeps each version of a row'),
  })
})

test('rights that are missing come with the statement that gives them', async () => {
  expect(
    await broken('REVOKE SELECT ON erp.journals FROM monitor', 'GRANT SELECT ON erp.journals TO monitor'),
  ).toEqual({
    source_readable:
      'false: erp.journals: permission denied for table journals → GRANT SELECT ON "erp"."journals" TO "monitor";',
  })
  // A column is enough to refuse it.
  expect(
    await broken(
      'REVOKE SELECT ON erp.journals FROM monitor; GRANT SELECT (id, created_at, amount) ON erp.journals TO monitor',
      'REVOKE SELECT (id, created_at, amount) ON erp.journals FROM monitor; GRANT SELECT ON erp.journals TO monitor',
    ),
  ).toEqual({ source_readable: expect.stringContaining('permission denied for table journals') })
  expect(
    await broken('REVOKE USAGE ON SCHEMA erp FROM monitor', 'GRANT USAGE ON SCHEMA erp TO monitor', {
      tables: [journals],
    }),
  ).toEqual({
    source_readable:
      'false: erp.journals: permission denied for schema erp → GRANT USAGE ON SCHEMA "erp" TO "monitor";',
  })
  expect(await broken('REVOKE pg_read_all_stats FROM monitor', 'GRANT pg_read_all_stats TO monitor')).toEqual(
    { transactions_visible: expect.stringContaining('→ GRANT pg_read_all_stats TO "monitor";') },
  )
})

test('a key that has no common text, and a column that cannot be added up, are told', async () => {
  const tables = [
    { ...journals, key: 'doc', sums: ['number'] },
    { ...lines, key: 'day' },
  ]
  expect(await complaintsOf({ tables })).toMatchObject({
    keys_comparable: expect.stringMatching(
      /erp\.journals: the column doc cannot be compared.*erp\.lines: the column day is no key that can be compared/,
    ),
    source_readable: expect.stringContaining('erp.journals: function sum(text) does not exist'),
    sink_readable: expect.stringContaining('journals: the column number of the sink cannot be added up'),
  })
  // Without checksums nobody asks for the key.
  expect(await complaintsOf({ checksums: undefined, tables: [{ ...journals, key: 'doc' }] })).toEqual({})
  expect(await complaintsOf({ tables: [{ ...journals, columns: ['doc'] }] })).toEqual({
    keys_comparable: expect.stringContaining('the column doc cannot be compared'),
  })
})

test('an engine that does not do what the configuration says of its rows is advised against', async () => {
  await inSink(`CREATE TABLE other_version (id UInt64, number String, created_at DateTime64(6, 'UTC'), _version UInt64,
    _deleted UInt8, at DateTime) ENGINE = ReplacingMergeTree(at) ORDER BY number`)
  await inSink(`CREATE TABLE signed (id UInt64, created_at DateTime64(6, 'UTC'), sign Int8)
    ENGINE = CollapsingMergeTree(sign) ORDER BY id`)
  await inSink(`CREATE VIEW seen AS SELECT * FROM journals`)
  const bare = { source: 'erp.journals', watermark: 'created_at' }
  const versioned = { version: '_version', deleted: '_deleted' }
  expect(await complaintsOf({ tables: [{ ...bare, ...versioned, sink: 'other_version' }] })).toEqual({
    sink_engine: expect.stringContaining('other_version is a ReplacingMergeTree by at →'),
    sink_sorting_key: expect.stringContaining('other_version takes rows for one that differ in id alone'),
  })
  expect(await complaintsOf({ tables: [{ ...bare, sink: 'journals', sign: '_deleted' }] })).toEqual({
    sink_engine: expect.stringContaining('which takes back no row by _deleted'),
  })
  // What fits, and what no catalog can tell.
  expect(await complaintsOf({ tables: [{ ...bare, sink: 'signed', sign: 'sign' }] })).toEqual({})
  expect(await complaintsOf({ tables: [{ ...bare, sink: 'seen', deleted: '_deleted' }] })).toEqual({})
})

test('an index is advised where a large table would be read as a whole', async () => {
  const tables = [
    { source: 'erp.many', sink: 'journals', watermark: 'created_at', key: 'number', freshness: 'created_at' },
  ]
  const index = 'CREATE INDEX CONCURRENTLY ON "erp"."many"'
  await database.query(`
    CREATE TABLE erp.many AS SELECT n AS id, n::text AS number, now() AS created_at FROM generate_series(1, 20000) n;
    GRANT SELECT ON erp.many TO monitor; ANALYZE erp.many`)
  expect(await complaintsOf({ tables })).toMatchObject({
    source_indexes: expect.stringContaining(`${index} ("created_at"); ${index} ("number");`),
  })
  await database.query('CREATE INDEX ON erp.many (created_at DESC); CREATE INDEX ON erp.many (number, id)')
  const found = await checked(drift, settings({ tables }))
  expect(found.source_indexes?.ok).toBe(true)
  await database.query('DROP TABLE erp.many')
})

test('what a run waits for has to be there', async () => {
  expect(await complaintsOf({ slot: 'nobody' })).toEqual({
    'slot_exists nobody': expect.stringContaining('it is not there: no table can be compared'),
  })
  await database.query(`SELECT pg_create_physical_replication_slot('physical')`)
  expect(await complaintsOf({ slot: 'physical' })).toEqual({
    'slot_exists physical': expect.stringContaining('a physical one'),
  })
  const other = postgres.url('erp')
  await database.query('CREATE DATABASE erp')
  const moved = await complaintsOf({ source: { postgresql: { url: other } }, slot: 'erp' })
  expect(moved['slot_exists erp']).toContain('of another database')
  expect(
    await broken(
      'ALTER PUBLICATION erp DROP TABLE erp.journals',
      'ALTER PUBLICATION erp ADD TABLE erp.journals',
      { slot: 'erp' },
    ),
  ).toEqual({
    tables_published: expect.stringContaining(
      'none of their changes arrives: erp.journals → ALTER PUBLICATION … ADD TABLE erp.journals;',
    ),
  })
  const kafka = { brokers: ['127.0.0.1:1'], group: 'etl', topic: 'erp.{table}' }
  expect(await complaintsOf({ slot: 'erp', kafka })).toEqual({
    'group_exists etl': expect.stringMatching(/^false: .*ECONNREFUSED.*→ start Kafka/),
  })
})

test('a publication that finds no table is told', async () => {
  const discover = { publication: 'erp', match: '^erp\\.(?<table>journals)$', watermark: 'created_at' }
  const found = await checked(drift, settings({ tables: [], discover }))
  expect(complaints(found)).toEqual({})
  expect(found['publication_exists erp']?.message).toBe('1 of its 2 tables are wanted')
  // What is listed is compared as it is listed.
  expect(await complaintsOf({ discover: { ...discover, sink: 'nowhere' } })).toEqual({})
  expect(await complaintsOf({ discover: { ...discover, match: '^sales\\.' } })).toEqual({
    'publication_exists erp': expect.stringContaining('0 of its 2 tables are wanted'),
  })
  expect(await complaintsOf({ discover: { ...discover, publication: 'sales' } })).toEqual({
    'publication_exists sales': expect.stringContaining('the source has no publication sales'),
  })
})

test('queries that the database refuses are told with what it says, and are not run', async () => {
  const value = (source: string, sink: string) => ({
    name: 'v',
    value: 'n',
    source: { sql: source },
    sink: { sql: sink },
  })
  const given = (more: object) => complaintsOf({ tables: [], checksums: undefined, ...more })
  expect(await given({ values: [value('SELECT 1 AS n', 'SELECT 1 AS m')] })).toEqual({
    'value_query v': expect.stringMatching(/^false: sink: .*`n`/),
  })
  expect(await given({ values: [value('SELECT count(*) AS n FROM gone', 'SELECT 1 AS n')] })).toEqual({
    'value_query v': expect.stringContaining('source: relation "gone" does not exist'),
  })
  const assertion = (on: string, sql: string) => ({ assertions: [{ name: 'a', on, sql }] })
  const writing = 'WITH made AS (INSERT INTO erp.journals (id) VALUES (1) RETURNING id) SELECT id FROM made'
  expect(await given(assertion('source', writing))).toEqual({
    'assertion_query a': expect.stringContaining(
      'WITH clause containing a data-modifying statement must be at the top level',
    ),
  })
  expect(await given(assertion('sink', 'DROP TABLE journals'))).toEqual({
    'assertion_query a': expect.stringContaining('Syntax error'),
  })
  expect(
    await given({ ...assertion('source', 'SELECT 1 FROM {tenant}.journals'), tenants: ['erp', 'bravo'] }),
  ).toEqual({
    'assertion_query a': expect.stringContaining('source, bravo: relation "bravo.journals" does not exist'),
  })
  // One that would never end.
  expect(await given(assertion('source', 'SELECT pg_sleep(100000)'))).toEqual({})
  expect(await given(assertion('sink', 'SELECT sum(number) FROM system.numbers'))).toEqual({})
})

test('an end that is away, or does not let the user in, is told apart, and the other one is looked at', async () => {
  const away = await checked(
    drift,
    settings({ sink: { clickhouse: { url: 'http://127.0.0.1:1', password: PASSWORD } } }),
  )
  expect(complaints(away)).toEqual({ 'reachable sink': expect.stringContaining('ECONNREFUSED') })
  expect(away.source_tables?.ok).toBe(true)
  expect(Object.keys(away)).not.toContain('keys_comparable')

  const refused = await checked(
    drift,
    settings({
      source: { postgresql: { url: url('monitor:old-secret') } },
      sink: { clickhouse: { url: clickhouse.url, password: 'older-secret' } },
    }),
  )
  expect(complaints(refused)).toEqual({
    'authenticated source': expect.stringContaining('password authentication failed'),
    'authenticated sink': expect.stringContaining('Authentication failed'),
  })
  expect(JSON.stringify(refused)).not.toMatch(/old(er)?-secret/)

  const { host } = new URL(mariadb.url('erp'))
  const starrocks = { starrocks: { url: `mysql://monitor:old-secret@${host}/erp` } }
  expect(await complaintsOf({ sink: starrocks })).toEqual({
    'authenticated sink': expect.stringContaining('Access denied'),
  })
})
