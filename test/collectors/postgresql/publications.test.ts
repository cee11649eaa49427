import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { collecting } from '../collect.ts'

let server: PostgresPart
let client: pg.Client

beforeAll(async () => {
  server = await startPostgres()
  client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  for (const schema of ['alpha', 'bravo', 'b%avo', 'other']) {
    await client.query(`CREATE SCHEMA "${schema}"`)
    await client.query(`CREATE TABLE "${schema}".journals (id int)`)
    await client.query(`CREATE TABLE "${schema}".accounts (id int)`)
  }
  await client.query('CREATE UNLOGGED TABLE alpha.scratch (id int)')
  await client.query('CREATE VIEW alpha.sums AS SELECT 1')
  await client.query('CREATE TABLE alpha.moves (at date) PARTITION BY RANGE (at)')
  await client.query(
    "CREATE TABLE alpha.moves_1 PARTITION OF alpha.moves FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
  )
  await client.query(
    "CREATE TABLE alpha.moves_2 PARTITION OF alpha.moves FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
  )
})
afterAll(async () => {
  await client?.end()
  await server?.remove()
})

/** What is missing by name, and how many tables the publication has. */
async function looked(publication: { tables: string[]; except?: string[] }) {
  const collector = collecting(postgresql, {
    url: server.url(),
    publications: [{ name: 'erp', ...publication }],
  })
  const lines = await collector.run()
  expect(collector.failedParts).toEqual([])
  await collector.stop()
  const missing = lines.flatMap(
    (line) => /^cdc_publication_table_missing\{.*publication="erp",table="(.*)"\} 1$/.exec(line)?.[1] ?? [],
  )
  const count = lines
    .find((line) => line.startsWith('cdc_publication_tables{'))
    ?.split(' ')
    .at(-1)
  return { missing, count }
}

const publish = async (what: string) => {
  await client.query('DROP PUBLICATION IF EXISTS erp')
  await client.query(`CREATE PUBLICATION erp ${what}`)
}

test('without the publication every expected table is missing', async () => {
  await client.query('DROP PUBLICATION IF EXISTS erp')
  expect(await looked({ tables: ['alpha.journals', 'bravo.*'] })).toEqual({
    missing: ['alpha.journals', 'bravo.accounts', 'bravo.journals'],
    count: '0',
  })
})

test('a table that the publication lacks is missing until it is added', async () => {
  await publish('FOR TABLE alpha.journals, bravo.journals')
  const expected = { tables: ['*.journals', 'alpha.accounts'], except: ['other.*'] }
  expect(await looked(expected)).toEqual({ missing: ['alpha.accounts', 'b%avo.journals'], count: '2' })
  await client.query('ALTER PUBLICATION erp ADD TABLE alpha.accounts, "b%avo".journals')
  expect(await looked(expected)).toEqual({ missing: [], count: '4' })
})

test('a named table is missing while there is none of the name; % and _ are themselves', async () => {
  await publish('FOR TABLE alpha.journals')
  expect((await looked({ tables: ['alpha.journals', 'alpha.orders'] })).missing).toEqual(['alpha.orders'])
  expect((await looked({ tables: ['b%avo.*'] })).missing).toEqual(['b%avo.accounts', 'b%avo.journals'])
  expect((await looked({ tables: ['br_vo.*'] })).missing).toEqual([])
})

test('what cannot be published is not expected', async () => {
  await publish('FOR ALL TABLES')
  expect((await looked({ tables: ['*.*'] })).missing).toEqual([])
  await publish('FOR TABLE alpha.journals')
  expect((await looked({ tables: ['alpha.*'] })).missing).toEqual(['alpha.accounts', 'alpha.moves'])
})

test.each([
  ['itself', 'FOR TABLE alpha.moves', []],
  ['itself, published as one table', 'FOR TABLE alpha.moves WITH (publish_via_partition_root = true)', []],
  ['all of its partitions', 'FOR TABLE alpha.moves_1, alpha.moves_2', []],
  ['one of its partitions', 'FOR TABLE alpha.moves_1', ['alpha.moves', 'alpha.moves_2']],
])('a partitioned table is covered by %s or not', async (_, what, missing) => {
  await publish(what)
  expect((await looked({ tables: ['alpha.moves', 'alpha.moves_2'] })).missing).toEqual(missing)
})
