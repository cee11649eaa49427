import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { installClickHouse } from '../testbed/clickhouse.ts'
import { type ClickHousePart, startClickHouse } from '../testbed/parts/clickhouse.ts'
import { type PostgresPart, startPostgres } from '../testbed/parts/postgres.ts'
import { waitFor } from '../testbed/process.ts'
import { runCommand, startDaemon } from './daemon.ts'

let postgres: PostgresPart
let clickhouse: ClickHousePart
let config: string

const SECRET = 'key-with-secret-4711'

beforeAll(async () => {
  await installClickHouse()
  ;[postgres, clickhouse] = await Promise.all([startPostgres(), startClickHouse({ password: SECRET })])
  await inSource(`
    CREATE TABLE journals (id bigint PRIMARY KEY, note text, created_at timestamptz);
    INSERT INTO journals SELECT n, 'note ' || n, '2026-01-01' FROM generate_series(1, 5000) n;
    CREATE TABLE notes (id text PRIMARY KEY, company text, created_at timestamptz);
    INSERT INTO notes VALUES ('${SECRET}', 'alpha', '2026-01-01'), ('fine', 'alpha', '2026-01-01')`)
  await inSink(
    'CREATE TABLE journals (id UInt64, note String, created_at DateTime) ENGINE = ReplacingMergeTree ORDER BY id',
  )
  await inSink(
    `INSERT INTO journals SELECT number + 1, 'note ' || toString(number + 1), '2026-01-01' FROM numbers(5000)`,
  )
  await inSink(
    'CREATE TABLE notes (id String, company String, created_at DateTime) ENGINE = MergeTree ORDER BY id',
  )
  await inSink(`INSERT INTO notes VALUES ('fine', 'alpha', '2026-01-01')`)
  config = join(postgres.folder, 'config.yaml')
  writeFileSync(config, stringify({ collectors: [collector] }))
})
afterAll(async () => {
  await Promise.all([postgres?.remove(), clickhouse?.remove()])
})

/** Getters: the parts start later. */
const collector = {
  kind: 'drift',
  target: 'erp',
  environment: 'test',
  interval: '2m',
  timeout: '2m',
  lag: '100ms',
  get source() {
    return { postgresql: { url: postgres.url() } }
  },
  get sink() {
    return { clickhouse: { url: clickhouse.url, password: SECRET } }
  },
  tenants: ['alpha'],
  tables: [
    { source: 'public.journals', sink: 'journals', watermark: 'created_at' },
    {
      source: 'public.notes',
      sink: 'notes',
      source_tenant_column: 'company',
      sink_tenant_column: 'company',
      watermark: 'created_at',
    },
  ],
}

const values = [
  {
    name: 'notes_by_company',
    groups: ['company'],
    value: 'notes',
    source: { sql: 'SELECT company, count(*) AS notes FROM notes GROUP BY company' },
    sink: { sql: 'SELECT company, 1 AS notes FROM notes GROUP BY company' },
  },
]

const named = {
  name: 'named',
  on: 'source',
  sql: 'SELECT id, company FROM notes ORDER BY id DESC',
  sample: 1,
}

async function inSource(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.url() })
  await client.connect()
  await client.query(sql).finally(() => client.end())
}

async function inSink(query: string): Promise<void> {
  const client = createClient({ url: clickhouse.url, password: SECRET })
  await client.command({ query, clickhouse_settings: { mutations_sync: '1' } }).finally(() => client.close())
}

const drift = (...args: string[]) => runCommand('drift', ...args, '--config', config)

test('show counts, and ends with 0 where nothing differs and 1 where something does', async () => {
  const same = await drift('show', 'erp/journals')
  expect(same).toMatchObject({ exitCode: 0, stderr: '' })
  expect(same.stdout).toMatch(/^TABLE +TENANT +SOURCE ROWS +SINK ROWS +DIFFERENCE/)
  expect(same.stdout).toMatch(/\njournals +5000 +5000 +0 +–/)

  const other = await drift('show', 'erp', '--json')
  expect(other.exitCode).toBe(1)
  expect(JSON.parse(other.stdout)).toMatchObject([
    { table: 'journals', tenant: '', differs: false, source_rows: '5000', row_difference: '0' },
    { table: 'notes', tenant: 'alpha', differs: true, row_difference: '1', differing_rows: null },
  ])
})

test('bisect names the keys that differ, without checksums in the configuration and without a secret', async () => {
  await inSink(`INSERT INTO journals VALUES (3333, 'tampered', '2026-01-01')`)
  try {
    const one = await drift('bisect', 'erp/journals')
    expect(one.exitCode).toBe(1)
    expect(one.stderr).toMatch(/^journals: 5,000 rows in [23] rounds, 1 ranges differ at first\n$/)
    expect(one.stdout).toMatch(/\n {2}3333 {2}different\n/)

    const { exitCode, stdout } = await drift('bisect', 'erp/notes/alpha', '--json')
    expect(exitCode).toBe(1)
    expect(stdout).not.toContain(SECRET)
    expect(JSON.parse(stdout)).toMatchObject([
      { table: 'notes', differing_rows: 1, ranges: [{ keys: [{ key: ['[redacted]'], fault: 'missing' }] }] },
    ])
  } finally {
    await inSink(`INSERT INTO journals VALUES (3333, 'note 3333', '2026-01-01')`)
  }
  expect(await drift('bisect', 'erp/journals')).toMatchObject({ exitCode: 0 })
})

test('show tells what queries say, alone or beside tables', async () => {
  const file = join(postgres.folder, 'queries.yaml')
  const { tables, tenants, ...rest } = collector
  writeFileSync(file, stringify({ collectors: [{ ...rest, values, assertions: [named] }] }))
  const shown = await runCommand('drift', 'show', 'erp', '--config', file)
  expect(shown).toMatchObject({ exitCode: 1, stderr: '' })
  expect(shown.stdout.split('\n')).toEqual([
    'value notes_by_company: 1 of 1 groups differ',
    '  alpha  2 at the source, 1 at the sink',
    'assertion named: 2 rows at the source that should not be',
    '',
  ])
  const one = await runCommand('drift', 'show', 'erp/notes_by_company', '--json', '--config', file)
  expect(one.exitCode).toBe(1)
  expect(JSON.parse(one.stdout)).toMatchObject([
    { value: 'notes_by_company', differs: true, differing_groups: 1 },
  ])
})

test('a check that is not there says which are', async () => {
  expect(await drift('show', 'nothing')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('has no drift collector "nothing"; it has erp'),
  })
  expect(await drift('show', 'erp/nothing')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('the drift collector erp compares no erp/nothing'),
  })
})

test('the API tells what the last run found, and the log when it begins and ends', async () => {
  const daemon = await startDaemon([
    { ...collector, interval: '10s', timeout: '10s', checksums: {}, values, assertions: [named] },
  ])
  try {
    const asked = async (path: string) => JSON.parse(await daemon.get(path))
    await waitFor('the drift', async () => (await asked('/api/v1/drift?differs=true')).total === 3)
    expect(await asked('/api/v1/drift?target=erp&environment=test')).toMatchObject({
      total: 4,
      items: [
        {
          target: 'erp',
          table: 'journals',
          tenant: '',
          differs: false,
          source_rows: '5000',
          confirmed_ranges: 0,
        },
        {
          table: 'notes',
          tenant: 'alpha',
          differs: true,
          row_difference: '1',
          differing_rows: 1,
          confirmed_ranges: 1,
        },
        { value: 'notes_by_company', tenant: '', differs: true, groups: 1, differing_groups: 1 },
        { assertion: 'named', tenant: '', side: 'source', differs: true, violations: '2' },
      ],
    })
    expect(await asked('/api/v1/drift?limit=1&offset=1')).toMatchObject({
      items: [{ table: 'notes' }],
      total: 4,
    })
    expect((await asked('/api/v1/drift?assertion=named')).items).toEqual([
      expect.not.objectContaining({ sample: expect.anything() }),
    ])
    expect(await asked('/api/v1/drift/erp/values/notes_by_company')).toMatchObject({
      differences: [{ tenant: '', group: 'alpha', source: '2', sink: '1', difference: '1' }],
      total: 1,
    })
    expect(await asked('/api/v1/drift/erp/assertions/named')).toMatchObject({
      violations: '2',
      sample: [{ id: '[redacted]', company: 'alpha' }],
    })
    expect(await asked('/api/v1/drift/erp/values/named')).toMatchObject({
      error: expect.stringMatching('no such value'),
    })
    expect(await asked('/api/v1/drift/erp/notes?tenant=alpha')).toMatchObject({
      columns: ['id', 'company', 'created_at'],
      ranges: [{ keys: [{ key: ['[redacted]'], fault: 'missing' }] }],
      total: 1,
    })
    expect(await asked('/api/v1/drift/erp/notes')).toMatchObject({ error: expect.stringMatching('tenant') })
    expect(await asked('/api/v1/drift?differs=maybe')).toMatchObject({
      error: 'differs: expected true or false',
    })
    for (const path of ['/api/v1/drift', '/health', '/health/detailed', '/'])
      expect(await daemon.get(path)).not.toContain(SECRET)
    expect(await asked('/health')).toMatchObject({
      checks: {
        drift: {
          status: 'degraded',
          message: expect.stringMatching(
            /^Drift is degraded: table notes of alpha: rows confirmed to differ: 1; row difference: 1 and \d+ more$/,
          ),
        },
      },
    })

    await inSink(`INSERT INTO notes VALUES ('${SECRET}', 'alpha', '2026-01-01')`)
    await waitFor(
      'the repair',
      async () => (await asked('/api/v1/drift?differs=true&table=notes')).total === 0,
    )
    const found = daemon.log().filter(({ level }) => level === 'WARNING')
    const differences = daemon.log().filter(({ message }) => /difference/.test(String(message)))
    const lines = differences.filter(({ table }) => table === 'notes')
    expect(lines).toMatchObject([
      { level: 'WARNING', collector: 'drift', table: 'notes', tenant: 'alpha', differing_rows: 1 },
      { level: 'INFO', message: 'the difference is gone', table: 'notes', tenant: 'alpha' },
    ])
    const violated = { message: 'an assertion is violated', assertion: 'named', violations: '2' }
    expect(found).toContainEqual(expect.objectContaining(violated))
    expect(found.filter((line) => 'sample' in line)).toEqual([])
    expect(daemon.output()).not.toContain(SECRET)
  } finally {
    await daemon.stop()
  }
})
