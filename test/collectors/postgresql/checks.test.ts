import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { waitFor } from '../../testbed/process.ts'
import { checked, complaints } from '../check.ts'

let server: PostgresPart
let client: pg.Client
let stop: () => Promise<void>

beforeAll(async () => {
  server = await startPostgres({
    settings: { max_slot_wal_keep_size: '1GB', shared_preload_libraries: 'pg_stat_statements' },
  })
  client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  await client.query(`
    CREATE EXTENSION pg_stat_statements;
    CREATE ROLE monitor LOGIN PASSWORD 'monitor-secret' IN ROLE pg_monitor;
    CREATE SCHEMA erp;
    CREATE TABLE erp.journals (id bigint PRIMARY KEY, note text);
    CREATE TABLE erp.lines (id bigint, journal bigint) PARTITION BY RANGE (id);
    CREATE TABLE erp.lines_1 PARTITION OF erp.lines FOR VALUES FROM (0) TO (1000);
    ALTER TABLE erp.lines_1 REPLICA IDENTITY FULL;
    CREATE PUBLICATION erp FOR TABLE erp.journals, erp.lines`)
  stop = await streamFrom('erp_cdc')
})
afterAll(async () => {
  await stop?.()
  await client?.end()
  await server?.remove()
})

/** A slot that is read, as by a connector, until the result is called. */
async function streamFrom(slot: string): Promise<() => Promise<void>> {
  const reader = new pg.Client({ connectionString: `${server.url()}?replication=database` })
  await reader.connect()
  reader.on('error', () => {})
  await reader.query(`CREATE_REPLICATION_SLOT ${slot} LOGICAL pgoutput`)
  reader
    .query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0 (proto_version '1', publication_names 'erp')`)
    .catch(() => {})
  await waitFor('the slot to be read', async () => {
    const { rows } = await client.query('SELECT active FROM pg_replication_slots')
    return rows[0]?.active === true
  })
  return async () => void reader.connection.stream.destroy()
}

const settings = (more: object = {}) => ({
  url: `postgresql://monitor:monitor-secret@${server.host}:${server.port}/postgres`,
  publications: [{ name: 'erp', tables: ['erp.*'] }],
  ...more,
})

/** What it finds with a part of it broken, and not before or after. */
async function broken(sql: string, repair: string, more: object = {}) {
  await client.query(sql)
  try {
    return complaints(await checked(postgresql, settings(more)))
  } finally {
    await client.query(repair)
  }
}

test('a server that is as it should be has nothing to complain of', async () => {
  const found = await checked(postgresql, settings())
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable',
    'authenticated',
    'version_supported',
    'wal_level',
    'monitoring_rights',
    'slot_exists',
    'slot_active erp_cdc',
    'slot_kept erp_cdc',
    'max_slot_wal_keep_size',
    'publication_exists erp',
    'publication_operations erp',
    'publication_covers_tables erp',
    'replica_identity erp',
    'pg_stat_statements',
    'completed',
  ])
  expect(found).toMatchObject({
    wal_level: { message: 'wal_level is logical' },
    'publication_covers_tables erp': { message: '2 tables, none is missing' },
    'replica_identity erp': { message: 'all of its 2 tables have one' },
  })
})

test('a table without a usable REPLICA IDENTITY is named, with the statement that gives it one', async () => {
  const without = (name: string) => ({
    'replica_identity erp': expect.stringContaining(
      `no usable identity: ${name}; their updates and deletes fail → ALTER TABLE "erp"."${name.slice(4)}" REPLICA IDENTITY FULL;`,
    ),
  })
  const key = 'ALTER TABLE erp.journals REPLICA IDENTITY DEFAULT'
  expect(await broken('ALTER TABLE erp.journals REPLICA IDENTITY NOTHING', key)).toEqual(
    without('erp.journals'),
  )
  expect(
    await broken(
      'ALTER TABLE erp.journals DROP CONSTRAINT journals_pkey',
      'ALTER TABLE erp.journals ADD PRIMARY KEY (id)',
    ),
  ).toEqual(without('erp.journals'))
  // Of a table with partitions these count.
  expect(
    await broken(
      'ALTER TABLE erp.lines_1 REPLICA IDENTITY DEFAULT',
      'ALTER TABLE erp.lines_1 REPLICA IDENTITY FULL',
    ),
  ).toEqual(without('erp.lines_1'))
})

test('what a publication lacks is told with the statement that adds it', async () => {
  expect(
    await broken(
      `CREATE TABLE erp."Cash accounts" (id int PRIMARY KEY); ALTER PUBLICATION erp SET (publish = 'insert')`,
      `DROP TABLE erp."Cash accounts"; ALTER PUBLICATION erp SET (publish = 'insert, update, delete')`,
    ),
  ).toEqual({
    'publication_covers_tables erp':
      'false: missing: erp.Cash accounts → ALTER PUBLICATION "erp" ADD TABLE "erp"."Cash accounts";',
    'publication_operations erp': expect.stringContaining('it does not publish updates and deletes'),
  })
  const publications = [{ name: 'sales', tables: ['erp.*'] }]
  expect(complaints(await checked(postgresql, settings({ publications })))).toEqual({
    'publication_exists sales': expect.stringContaining('→ CREATE PUBLICATION "sales" FOR TABLE'),
  })
})

test('rights that are missing are named, and so is a slot that nobody reads', async () => {
  await client.query(`SELECT pg_create_physical_replication_slot('old', true)`)
  expect(
    await broken(
      'REVOKE pg_monitor FROM monitor; GRANT pg_read_all_stats TO monitor',
      `GRANT pg_monitor TO monitor; REVOKE pg_read_all_stats FROM monitor; SELECT pg_drop_replication_slot('old')`,
    ),
  ).toEqual({
    monitoring_rights:
      'false: monitor has no rights of pg_read_all_settings, pg_stat_scan_tables → GRANT pg_monitor TO "monitor";',
    'slot_active old': expect.stringContaining("SELECT pg_drop_replication_slot('old');"),
  })
})

test('who may not log in is told apart from a server that is away; no password is told', async () => {
  const url = (text: string) => settings({ url: text })
  const refused = await checked(postgresql, url(settings().url.replace('monitor-secret', 'old-secret')))
  expect(complaints(refused)).toEqual({
    authenticated: expect.stringContaining('password authentication failed'),
  })
  expect(refused.reachable?.ok).toBe(true)
  expect(JSON.stringify(refused)).not.toContain('old-secret')

  const absent = await checked(postgresql, url(settings().url.replace(/postgres$/, 'nothing')))
  expect(complaints(absent)).toEqual({
    authenticated: expect.stringContaining('database "nothing" does not exist'),
  })

  const away = await checked(postgresql, url('postgresql://monitor:old-secret@127.0.0.1:1/postgres'))
  expect(complaints(away)).toEqual({ reachable: expect.stringContaining('ECONNREFUSED') })
  expect(JSON.stringify(away)).not.toContain('old-secret')
})

test('a server that is not ready for logical replication says how it is made so', async () => {
  const replica = await startPostgres({ version: '15', settings: { wal_level: 'replica' } })
  try {
    const found = await checked(postgresql, { url: replica.url() })
    expect(complaints(found)).toMatchObject({
      wal_level:
        "false: wal_level is replica; logical is expected → ALTER SYSTEM SET wal_level = 'logical'; then restart the server",
      slot_exists: expect.stringContaining('no logical slot in postgres'),
      max_slot_wal_keep_size: expect.stringContaining('not set'),
      pg_stat_statements: expect.stringContaining('CREATE EXTENSION'),
    })
    // What is advised fails nothing.
    const failing = Object.values(found).filter(({ ok, check }) => ok === false && check.level === 'required')
    expect(failing.map(({ check }) => check.name)).toEqual(['wal_level'])
  } finally {
    await replica.remove()
  }
})
