import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { connectPostgresql, type PostgresqlReader } from '../../../src/clients/postgresql.ts'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

let server: PostgresPart
let collector: Collecting

beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.remove())

beforeEach(() => {
  collector = collecting(postgresql, { url: server.url() })
})
afterEach(() => collector.stop())

/** Runs one statement as the superuser. */
async function ask(sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

test('every database has its size', async () => {
  await ask('CREATE DATABASE erp')
  const lines = (await collector.run()).filter((line) => line.startsWith('pg_database_size_bytes'))
  expect(lines.map((line) => line.split(' ')[0])).toEqual([
    'pg_database_size_bytes{target="test",datname="erp"}',
    'pg_database_size_bytes{target="test",datname="postgres"}',
    'pg_database_size_bytes{target="test",datname="template0"}',
    'pg_database_size_bytes{target="test",datname="template1"}',
  ])
  const [row] = await ask("SELECT pg_database_size('erp') AS size")
  expect(lines[0]?.split(' ')[1]).toBe(row?.size)
})

test('a user without privileges sees the databases that it may connect to', async () => {
  await ask("CREATE ROLE watcher LOGIN PASSWORD 'watch'")
  await ask('CREATE DATABASE closed')
  await ask('REVOKE CONNECT ON DATABASE closed FROM PUBLIC')
  const url = server.url().replace(`postgres:${server.password}`, 'watcher:watch')
  const watcher = collecting(postgresql, { url })
  const lines = await watcher.run()
  await watcher.stop()
  expect(lines.join('\n')).toContain('datname="postgres"')
  expect(lines.join('\n')).not.toContain('datname="closed"')
})

describe('replication slots', () => {
  const value = (lines: readonly string[], series: string) => {
    const line = lines.find((line) => line.startsWith(`${series} `))
    return line === undefined ? undefined : Number(line.slice(series.length + 1))
  }
  const LOGICAL = 'target="test",slot_name="moves",slot_type="logical"'

  test('without any, the WAL has a position', async () => {
    const lines = await collector.run()
    expect(value(lines, 'cdc_wal_position_bytes{target="test"}')).toBeGreaterThan(0)
    expect(lines.filter((line) => line.includes('slot'))).toEqual([])
  })

  test('a logical and a physical slot have what is known of each, and nothing else', async () => {
    await ask("SELECT pg_create_logical_replication_slot('moves', 'pgoutput')")
    await ask("SELECT pg_create_physical_replication_slot('copies')")
    const lines = (await collector.run()).filter((line) => line.includes('slot'))
    expect(lines.map((line) => line.split(' ')[0])).toEqual([
      `pg_replication_slot_slot_confirmed_flush_lsn{${LOGICAL}}`,
      'pg_replication_slot_slot_current_wal_lsn{target="test",slot_name="copies",slot_type="physical"}',
      `pg_replication_slot_slot_current_wal_lsn{${LOGICAL}}`,
      'pg_replication_slot_slot_is_active{target="test",slot_name="copies",slot_type="physical"}',
      `pg_replication_slot_slot_is_active{${LOGICAL}}`,
      `pg_replication_slot_wal_status{${LOGICAL},wal_status="reserved"}`,
      'pg_replication_slots_active{target="test",slot_name="copies",database=""}',
      'pg_replication_slots_active{target="test",slot_name="moves",database="postgres"}',
      'pg_replication_slots_pg_wal_lsn_diff{target="test",slot_name="moves",database="postgres"}',
    ])
    expect(value(lines, `pg_replication_slot_slot_is_active{${LOGICAL}}`)).toBe(0)
  })

  test('WAL that nobody confirms is retained; what is confirmed moves the slot', async () => {
    const confirmed = `pg_replication_slot_slot_confirmed_flush_lsn{${LOGICAL}}`
    const position = 'cdc_wal_position_bytes{target="test"}'
    const before = await collector.run()
    await ask('CREATE TABLE written AS SELECT generate_series(1, 1000) AS id')
    const behind = await collector.run()
    expect(value(behind, confirmed)).toBe(value(before, confirmed))
    expect(value(behind, position)).toBeGreaterThan(value(before, position) ?? Number.NaN)
    const [there] = await ask(
      `SELECT (confirmed_flush_lsn - '0/0')::text AS lsn FROM pg_replication_slots WHERE slot_name = 'moves'`,
    )
    expect(value(behind, confirmed)).toBe(Number(there?.lsn))
    await ask("SELECT pg_replication_slot_advance('moves', pg_current_wal_lsn())")
    const after = await collector.run()
    expect(value(after, confirmed)).toBeGreaterThan(value(behind, confirmed) ?? Number.NaN)
  })

  test('a slot that has a bound says how much is left, and one that is lost says so', async () => {
    const status = (text: string) => `pg_replication_slot_wal_status{${LOGICAL},wal_status="${text}"} 1`
    await ask("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    await ask('SELECT pg_reload_conf()')
    await waitFor(
      'a bound',
      async () =>
        value(await collector.run(), `pg_replication_slot_safe_wal_size_bytes{${LOGICAL}}`) !== undefined,
      10_000,
    )
    for (let segment = 0; segment < 3; segment++) {
      await ask("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000))")
      await ask('SELECT pg_switch_wal()')
    }
    await ask('CHECKPOINT')
    const lines = await collector.run()
    expect(lines).toContain(status('lost'))
    expect(value(lines, `pg_replication_slot_safe_wal_size_bytes{${LOGICAL}}`)).toBeUndefined()
    expect(lines.filter((line) => line.startsWith('pg_replication_slots_pg_wal_lsn_diff'))).toEqual([])
  })

  test('a slot that is dropped is gone', async () => {
    for (const slot of ['moves', 'copies']) await ask(`SELECT pg_drop_replication_slot('${slot}')`)
    await ask('ALTER SYSTEM RESET max_slot_wal_keep_size')
    await ask('SELECT pg_reload_conf()')
    expect((await collector.run()).filter((line) => line.includes('slot'))).toEqual([])
  })
})

test('a wrong password is an error that names the server and not the password', async () => {
  const wrong = collecting(postgresql, { url: server.url().replace(server.password, 'guess') })
  await expect(wrong.run()).rejects.toThrow(
    /^postgresql at 127\.0\.0\.1:\d+: connect: password authentication failed(?!.*guess)/,
  )
  await wrong.stop()
})

test('a killed server fails the run, and the run after its return works', async () => {
  await collector.run()
  await server.kill()
  // It may still find the connection that is being lost.
  await expect(collector.run()).rejects.toThrow(/^postgresql at 127\.0\.0\.1:\d+: /)
  await expect(collector.run()).rejects.toThrow(/: connect: .*ECONNREFUSED/)
  await server.start()
  await expect(collector.run()).resolves.not.toEqual([])
})

describe('a frozen server', () => {
  afterEach(() => server.thaw())

  test('fails the run at its time-out on an open connection, and the run after its return works', async () => {
    await collector.run()
    server.freeze()
    await expect(collector.run(300)).rejects.toThrow(/^postgresql at .*: SELECT datname.*: .*timeout/)
    server.thaw()
    await expect(collector.run()).resolves.not.toEqual([])
  })

  test('fails the run at its time-out on a new connection', async () => {
    server.freeze()
    await expect(collector.run(300)).rejects.toThrow(/^postgresql at .*: connect: .*timeout/)
    server.thaw()
    await expect(collector.run()).resolves.not.toEqual([])
  })

  test('is left with no connection of ours when the collector stops', async () => {
    await collector.run()
    server.freeze()
    await collector.stop()
    server.thaw()
    await waitFor('the connection to be gone', async () => (await ask(OUR_CONNECTIONS)).length === 0, 5_000)
  })
})

const OUR_CONNECTIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'cdc-exporter'"

describe('the client', () => {
  let reader: PostgresqlReader
  const signal = () => AbortSignal.timeout(10_000)

  afterEach(() => reader.close())

  test('gives every value as PostgreSQL prints it', async () => {
    reader = connectPostgresql(() => ({ url: server.url(), statementTimeout: 5_000 }))
    const rows = await reader.query(
      `SELECT 9223372036854775807 AS big, 0.10::numeric AS amount, NULL AS nothing, $1::int AS given,
         '2026-01-02 03:04:05.123456'::timestamp AS at`,
      [7],
      signal(),
    )
    expect(rows).toEqual([
      {
        big: '9223372036854775807',
        amount: '0.10',
        nothing: null,
        given: '7',
        at: '2026-01-02 03:04:05.123456',
      },
    ])
  })

  test('cannot write, whatever options the URL brings', async () => {
    const url = `${server.url()}?options=${encodeURIComponent('-c default_transaction_read_only=off -c work_mem=2MB')}`
    reader = connectPostgresql(() => ({ url, statementTimeout: 5_000 }))
    await expect(reader.query('CREATE TABLE written (id int)', [], signal())).rejects.toThrow(
      'cannot execute CREATE TABLE in a read-only transaction',
    )
    expect(await reader.query('SHOW work_mem', [], signal())).toEqual([{ work_mem: '2MB' }])
  })

  test('has the server give a long statement up', async () => {
    reader = connectPostgresql(() => ({ url: server.url(), statementTimeout: 50 }))
    await expect(reader.query('SELECT pg_sleep(60)', [], signal())).rejects.toThrow('statement timeout')
  })

  test('opens a new connection after the server ended the old one between two queries', async () => {
    reader = connectPostgresql(() => ({ url: server.url(), statementTimeout: 5_000 }))
    const [before] = await reader.query('SELECT pg_backend_pid() AS pid', [], signal())
    await ask(`SELECT pg_terminate_backend(${before?.pid}, 5000)`)
    await waitFor(
      'a new connection',
      async () =>
        (await reader.query('SELECT pg_backend_pid() AS pid', [], signal()))[0]?.pid !== before?.pid,
      5_000,
    )
  })
})
