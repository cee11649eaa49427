import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { connectPostgresql, type PostgresqlReader, StatementError } from '../../../src/clients/postgresql.ts'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { PATIENCE_MS, waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

let server: PostgresPart
let collector: Collecting

beforeAll(async () => {
  // Autovacuum's sessions come and go as they like.
  const settings = { shared_preload_libraries: 'pg_stat_statements', autovacuum: 'off' }
  server = await startPostgres({ settings })
})
afterAll(() => server?.remove())

beforeEach(() => {
  collector = collecting(postgresql, { url: server.url() })
})
afterEach(() => collector.stop())

/** Runs one statement as the superuser. */
async function ask(sql: string, database?: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url(database) })
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
  // Autovacuum may write a file there meanwhile.
  await waitFor('the size that the server says', async () => {
    const series = 'pg_database_size_bytes{target="test",datname="erp"}'
    const line = (await collector.run()).find((line) => line.startsWith(series))
    const [row] = await ask("SELECT pg_database_size('erp') AS size")
    return line === `${series} ${row?.size}`
  })
})

test('a user without privileges sees the databases that it may connect to', async () => {
  await ask("CREATE ROLE watcher LOGIN PASSWORD 'watch'")
  await ask('CREATE DATABASE closed')
  await ask('REVOKE CONNECT ON DATABASE closed FROM PUBLIC')
  const url = server.url().replace(`postgres:${server.password}`, 'watcher:watch')
  const watcher = collecting(postgresql, { url })
  const sizes = async () =>
    (await watcher.run()).filter((line) => line.startsWith('pg_database_size_bytes')).join('\n')
  const before = await sizes()
  expect(before).toContain('datname="postgres"')
  expect(before).not.toContain('datname="closed"')
  // What it may not read is one part that fails; the others are there.
  expect(watcher.failedParts).toEqual([
    { labels: { request: 'pg_ls_waldir' }, cause: expect.any(Error), families: expect.any(Array) },
  ])
  expect(String(watcher.failedParts[0]?.cause)).toContain('permission denied')
  const lines = await watcher.run()
  expect(lines.filter((line) => line.startsWith('pg_wal_'))).toEqual([])
  expect(lines.filter((line) => line.startsWith('cdc_connections_used'))).toEqual([])

  await ask('GRANT pg_monitor TO watcher')
  expect(await sizes()).toContain('datname="closed"')
  expect(watcher.failedParts).toEqual([])
  await watcher.stop()
})

const value = (lines: readonly string[], series: string) => {
  const line = lines.find((line) => line.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

test('how long a run took is told, from which dashboards of others take the names of servers', async () => {
  const series = 'pg_exporter_last_scrape_duration_seconds{target="test"}'
  expect(value(await collector.run(), series)).toBeGreaterThan(0)
})

describe('replication slots', () => {
  const LOGICAL = 'target="test",slot_name="moves",slot_type="logical"'

  test('without any, the WAL has a position', async () => {
    const lines = await collector.run()
    expect(value(lines, 'cdc_wal_position_bytes{target="test"}')).toBeGreaterThan(0)
    expect(lines.filter((line) => line.includes('slot_name='))).toEqual([])
  })

  test('a logical and a physical slot have what is known of each, and nothing else', async () => {
    await ask("SELECT pg_create_logical_replication_slot('moves', 'pgoutput')")
    await ask("SELECT pg_create_physical_replication_slot('copies')")
    const lines = (await collector.run()).filter((line) => line.includes('slot_name='))
    expect(lines.map((line) => line.split(' ')[0])).toEqual([
      'cdc_slot_recreated_total{target="test",slot_name="copies"}',
      'cdc_slot_recreated_total{target="test",slot_name="moves"}',
      `pg_replication_slot_slot_confirmed_flush_lsn{${LOGICAL}}`,
      'pg_replication_slot_slot_current_wal_lsn{target="test",slot_name="copies",slot_type="physical"}',
      `pg_replication_slot_slot_current_wal_lsn{${LOGICAL}}`,
      'pg_replication_slot_slot_is_active{target="test",slot_name="copies",slot_type="physical"}',
      `pg_replication_slot_slot_is_active{${LOGICAL}}`,
      `pg_replication_slot_wal_status{${LOGICAL},wal_status="reserved"}`,
      'pg_replication_slots_active{target="test",slot_name="copies",database=""}',
      'pg_replication_slots_active{target="test",slot_name="moves",database="postgres"}',
      'pg_replication_slots_pg_wal_lsn_diff{target="test",slot_name="moves",database="postgres"}',
      // The names since postgres_exporter 0.20.
      `pg_replication_slots_slot_confirmed_flush_lsn{${LOGICAL}}`,
      'pg_replication_slots_slot_current_wal_lsn{target="test",slot_name="copies",slot_type="physical"}',
      `pg_replication_slots_slot_current_wal_lsn{${LOGICAL}}`,
      'pg_replication_slots_slot_is_active{target="test",slot_name="copies",slot_type="physical"}',
      `pg_replication_slots_slot_is_active{${LOGICAL}}`,
      `pg_replication_slots_wal_status{${LOGICAL},wal_status="reserved"}`,
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

  test('a slot that has a bound says how much and how long is left, and one that is lost says so', async () => {
    const left = 'cdc_slot_seconds_to_loss{target="test",slot_name="moves"}'
    const status = (text: string) => `pg_replication_slot_wal_status{${LOGICAL},wal_status="${text}"} 1`
    await ask("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    await ask('SELECT pg_reload_conf()')
    await waitFor(
      'a bound',
      async () =>
        value(await collector.run(), `pg_replication_slot_safe_wal_size_bytes{${LOGICAL}}`) !== undefined,
    )
    await ask("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000))")
    await ask('SELECT pg_switch_wal()')
    expect(value(await collector.run(), left)).toBeGreaterThanOrEqual(0)
    for (let segment = 0; segment < 3; segment++) {
      await ask("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000))")
      await ask('SELECT pg_switch_wal()')
    }
    await ask('CHECKPOINT')
    const lines = await collector.run()
    expect(lines).toContain(status('lost'))
    expect(value(lines, left)).toBe(0)
    expect(collector.health()).toMatchObject({
      details: {
        slots: expect.arrayContaining([expect.objectContaining({ slot_name: 'moves', wal_status: 'lost' })]),
      },
      problems: ['the WAL of replication slot moves is lost'],
    })
    expect(value(lines, `pg_replication_slot_safe_wal_size_bytes{${LOGICAL}}`)).toBeUndefined()
    expect(lines.filter((line) => line.startsWith('pg_replication_slots_pg_wal_lsn_diff'))).toEqual([])
  })

  test('a slot that is dropped is gone', async () => {
    for (const slot of ['moves', 'copies']) await ask(`SELECT pg_drop_replication_slot('${slot}')`)
    await ask('ALTER SYSTEM RESET max_slot_wal_keep_size')
    await ask('SELECT pg_reload_conf()')
    expect((await collector.run()).filter((line) => line.includes('slot_name='))).toEqual([])
  })
})

/** Sessions of applications in the database erp, each with its own name, that go when the test ends. */
async function sessionsOf(...names: string[]): Promise<pg.Client[]> {
  const clients = names.map(
    (application_name) => new pg.Client({ connectionString: server.url('erp'), application_name }),
  )
  await Promise.all(clients.map((client) => client.connect()))
  onTestFinished(async () => {
    await Promise.all(clients.map((client) => client.end()))
  })
  return clients
}

describe('sessions', () => {
  const count = (labels: string) => `pg_stat_activity_count{target="test",datname="erp",state=${labels}}`
  const of = (lines: readonly string[]) =>
    lines.filter((line) => line.startsWith('pg_stat_activity_count{target="test",datname="erp"'))
  const IDLE =
    '"idle",usename="postgres",application_name="shop",backend_type="client backend",wait_event_type="Client",wait_event="ClientRead"'

  test('are counted by all that is known of them; a state without any is 0', async () => {
    expect(of(await collector.run())).toHaveLength(6)
    await sessionsOf('shop', 'shop', 'etl')
    let lines: string[] = []
    // A session is idle before it says what it waits for, and those of the test before may still be ending.
    await waitFor('both to wait, beside the third and our own', async () => {
      lines = await collector.run()
      return value(lines, count(IDLE)) === 2 && value(lines, 'cdc_connections_used{target="test"}') === 4
    })
    expect(
      value(
        lines,
        count('"active",usename="",application_name="",backend_type="",wait_event_type="",wait_event=""'),
      ),
    ).toBe(0)
  })

  test('lose the labels that are left out', async () => {
    await sessionsOf('shop', 'shop', 'etl')
    const fewer = collecting(postgresql, { url: server.url(), activity_labels: ['application_name'] })
    const left = (name: string) =>
      count(`"idle",usename="",application_name="${name}",backend_type="",wait_event_type="",wait_event=""`)
    const lines = await fewer.run()
    await fewer.stop()
    expect(value(lines, left('shop'))).toBe(2)
    expect(value(lines, left('etl'))).toBe(1)
  })

  test('beyond the bound are one series, and the sum holds', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `job-${i}`)
    await sessionsOf('shop', 'shop', ...names)
    const bounded = collecting(postgresql, {
      url: server.url(),
      activity_labels: ['application_name'],
      activity_groups: 3,
    })
    const lines = of(await bounded.run())
    await bounded.stop()
    const idle = lines.filter((line) => line.includes('state="idle",'))
    // Our own session is not counted. The other two groups are of applications with one session.
    expect(idle).toHaveLength(4)
    const total = idle.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    expect(total).toBe(14)
    expect(idle.filter((line) => line.includes('application_name="shop"'))).toHaveLength(1)
    expect(idle.filter((line) => line.includes('application_name=""'))).toHaveLength(1)
  })

  test('with an open transaction say how old it is, and which locks it holds', async () => {
    const locks = 'pg_locks_count{target="test",datname="erp",mode="accessexclusivelock"}'
    const [client] = await sessionsOf('shop')
    await client?.query('CREATE TABLE IF NOT EXISTS votes (id int)')
    const before = await collector.run()
    expect(value(before, 'pg_long_running_transactions{target="test"}')).toBe(0)
    expect(value(before, 'pg_long_running_transactions_oldest_timestamp_seconds{target="test"}')).toBe(0)
    expect(value(before, locks)).toBe(0)
    await client?.query('BEGIN')
    await client?.query('LOCK TABLE votes')
    const lines = await collector.run()
    expect(value(lines, 'pg_long_running_transactions{target="test"}')).toBe(1)
    expect(
      value(lines, 'pg_long_running_transactions_oldest_timestamp_seconds{target="test"}'),
    ).toBeGreaterThan(0)
    expect(value(lines, locks)).toBe(1)
    const durations = lines.filter((line) =>
      line.startsWith(
        'pg_stat_activity_max_tx_duration{target="test",datname="erp",state="idle in transaction",',
      ),
    )
    expect(Number(durations[0]?.split(' ').at(-1))).toBeGreaterThan(0)
  })
})

describe('tables and statements', () => {
  const TABLE = 'target="test",datname="erp",schemaname="public",relname='

  beforeAll(async () => {
    await ask('CREATE TABLE large AS SELECT generate_series(1, 10000) AS id', 'erp')
    await ask('CREATE TABLE small (id int)', 'erp')
    // Later than the end of the session that wrote it, which adds to what this finds.
    await ask('VACUUM ANALYZE large', 'erp')
  })

  test('the largest tables are there, as many as wanted', async () => {
    const none = collecting(postgresql, { url: server.url('erp') })
    expect((await none.run()).filter((line) => line.startsWith('pg_stat_user_tables'))).toEqual([])
    await none.stop()
    const one = collecting(postgresql, { url: server.url('erp'), user_tables: 1 })
    let lines: string[] = []
    await waitFor('the statistics of the table', async () => {
      lines = (await one.run()).filter((line) => line.startsWith('pg_stat_user_tables'))
      return value(lines, `pg_stat_user_tables_n_live_tup{${TABLE}"large"}`) === 10_000
    })
    await one.stop()
    expect(lines.filter((line) => line.includes('small'))).toEqual([])
    expect(value(lines, `pg_stat_user_tables_vacuum_count{${TABLE}"large"}`)).toBe(1)
    expect(value(lines, `pg_stat_user_tables_table_size_bytes{${TABLE}"large"}`)).toBeGreaterThan(300_000)
    expect(value(lines, `pg_stat_user_tables_last_vacuum{${TABLE}"large"}`)).toBeGreaterThan(1e9)
    expect(value(lines, `pg_stat_user_tables_last_autovacuum{${TABLE}"large"}`)).toBeUndefined()
  })

  test('a table that is locked fails its part when the server gives it up; the others are there', async () => {
    const [client] = await sessionsOf('shop')
    await client?.query('BEGIN')
    await client?.query('LOCK TABLE large')
    const kind = { ...postgresql, defaults: { ...postgresql.defaults, timeout: 6_000 } }
    const one = collecting(kind, { url: server.url('erp'), user_tables: 1 })
    const lines = await one.run(60_000)
    await one.stop()
    const locked = one.failedParts.find(({ labels }) => labels.request === 'pg_stat_user_tables')
    expect(String(locked?.cause)).toContain('statement timeout')
    expect(lines.join('\n')).toContain('pg_stat_database_xact_commit')
  })

  test('what runs is counted as transactions, and as statements once someone counts them', async () => {
    const series = (source: string) => `cdc_queries_total{target="test",datname="erp",source="${source}"}`
    const before = await collector.run()
    expect(value(before, series('transactions'))).toBeGreaterThan(0)
    expect(value(before, series('pg_stat_statements'))).toBeUndefined()
    await ask('CREATE SCHEMA "the metrics"')
    await ask('CREATE EXTENSION pg_stat_statements SCHEMA "the metrics"')
    const [client] = await sessionsOf('shop')
    await client?.query('SELECT 1')
    const first = value(await collector.run(), series('pg_stat_statements')) ?? Number.NaN
    for (let i = 0; i < 5; i++) await client?.query(`SELECT ${i}`)
    const after = await collector.run()
    expect(value(after, series('pg_stat_statements'))).toBe(first + 5)
    expect(value(after, series('transactions'))).toBeUndefined()
    // What is forgotten was run all the same.
    await ask('SELECT "the metrics".pg_stat_statements_reset()')
    expect(value(await collector.run(), series('pg_stat_statements'))).toBe(first + 5)
    for (let i = 0; i < 3; i++) await client?.query(`SELECT ${i}`)
    expect(value(await collector.run(), series('pg_stat_statements'))).toBe(first + 8)
  })

  test('the longest statements are there, as many as wanted', async () => {
    const calls = async (statements: number) => {
      const some = collecting(postgresql, { url: server.url(), statements })
      const lines = await some.run()
      await some.stop()
      return lines.filter((line) => line.startsWith('pg_stat_statements_calls_total'))
    }
    expect(await calls(0)).toEqual([])
    const [client] = await sessionsOf('shop')
    await client?.query('SELECT pg_sleep(0.1)')
    expect(await calls(2)).toHaveLength(2)
    const lines = await calls(1_000)
    const [row] = await ask(
      `SELECT queryid FROM "the metrics".pg_stat_statements WHERE query = 'SELECT pg_sleep($1)'`,
    )
    expect(lines).toContain(
      `pg_stat_statements_calls_total{target="test",user="postgres",datname="erp",queryid="${row?.queryid}"} 1`,
    )
  })
})

test('settings have their units, and the WAL its level', async () => {
  const lines = await collector.run()
  expect(value(lines, 'pg_settings_max_connections{target="test"}')).toBe(60)
  expect(value(lines, 'pg_settings_shared_buffers_bytes{target="test"}')).toBe(32 * 2 ** 20)
  expect(value(lines, 'pg_settings_wal_sender_timeout_seconds{target="test"}')).toBe(60)
  expect(value(lines, 'pg_settings_max_slot_wal_keep_size_bytes{target="test"}')).toBe(-1)
  // The server's, not that of our own transaction.
  expect(value(lines, 'pg_settings_statement_timeout_seconds{target="test"}')).toBe(0)
  expect(value(lines, 'cdc_wal_level_info{target="test",wal_level="logical"}')).toBe(1)
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
    await expect(collector.run(300)).rejects.toThrow(/^postgresql at .*: BEGIN: .*timeout/)
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
    await waitFor('the connection to be gone', async () => (await ask(OUR_CONNECTIONS)).length === 0)
  })
})

const OUR_OPEN_TRANSACTIONS = `
  SELECT pid FROM pg_stat_activity
  WHERE application_name = 'cdc-exporter' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`

const OUR_CONNECTIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'cdc-exporter'"

describe('the client', () => {
  let reader: PostgresqlReader
  const signal = () => AbortSignal.timeout(PATIENCE_MS)

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

  test('cannot write, whatever the URL, the role and the statements ask for', async () => {
    await ask("CREATE ROLE writer LOGIN SUPERUSER PASSWORD 'write'")
    await ask('ALTER ROLE writer SET default_transaction_read_only = off')
    const options = '-c default_transaction_read_only=off -c transaction_read_only=off -c work_mem=2MB'
    const address = server.url().replace(`postgres:${server.password}`, 'writer:write')
    const url = `${address}?options=${encodeURIComponent(options)}&statement_timeout=3600000`
    reader = connectPostgresql(() => ({ url, statementTimeout: 5_000 }))
    const refused = (sql: string) => expect(reader.query(sql, [], signal())).rejects
    const readOnly = 'in a read-only transaction'
    await refused('CREATE TABLE forbidden (id int)').toThrow(`cannot execute CREATE TABLE ${readOnly}`)
    // A setting of the session is not one of the next transaction.
    await reader.query("SELECT set_config('default_transaction_read_only', 'off', false)", [], signal())
    await refused('CREATE TABLE forbidden (id int)').toThrow(readOnly)
    await refused("SELECT set_config('transaction_read_only', 'off', false)").toThrow('before any query')
    await refused("SELECT nextval('numbers')").toThrow()
    await refused('COMMIT; CREATE TABLE forbidden (id int)').toThrow('multiple commands')
    // Ends our transaction: the next statement has its own.
    await reader.query('COMMIT', [], signal())
    await refused('CREATE TABLE forbidden (id int)').toThrow(readOnly)
    expect(await ask("SELECT FROM pg_class WHERE relname = 'forbidden'")).toEqual([])
    expect(await reader.query('SHOW statement_timeout', [], signal())).toEqual([{ statement_timeout: '5s' }])
    expect(await reader.query('SHOW work_mem', [], signal())).toEqual([{ work_mem: '2MB' }])
  })

  test('tells a statement that the server refuses from a connection that is lost', async () => {
    reader = connectPostgresql(() => ({ url: server.url(), statementTimeout: PATIENCE_MS }))
    await expect(reader.query('SELECT * FROM nowhere', [], signal())).rejects.toBeInstanceOf(StatementError)
    const [row] = await reader.query('SELECT pg_backend_pid() AS pid', [], signal())
    const long = reader.query('SELECT pg_sleep(120)', [], signal())
    const lost = expect(long).rejects.not.toBeInstanceOf(StatementError)
    await ask(`SELECT pg_terminate_backend(${row?.pid}, 5000)`)
    await lost
  })

  test('runs several statements in one transaction, which a refused one does not end', async () => {
    reader = connectPostgresql(() => ({ url: server.url(), statementTimeout: 5_000 }))
    const AT = 'SELECT now()::text AS at, pg_backend_pid() AS pid'
    await reader.together(signal(), async (together) => {
      const [first] = await together.query(AT, [], signal())
      expect(await together.query(AT, [], signal())).toEqual([first])
      await expect(together.query('SELECT * FROM nowhere', [], signal())).rejects.toBeInstanceOf(
        StatementError,
      )
      const [later] = await together.query(AT, [], signal())
      expect(later?.pid).toBe(first?.pid)
      expect(later?.at).not.toBe(first?.at)
      await expect(together.query('CREATE TABLE forbidden (id int)', [], signal())).rejects.toThrow(
        'in a read-only transaction',
      )
    })
    expect(await ask(OUR_OPEN_TRANSACTIONS)).toEqual([])
  })

  test('leaves no transaction open, and begins none on a connection that it did not begin on', async () => {
    reader = connectPostgresql(() => ({ url: server.url(), statementTimeout: 5_000 }))
    const broken = reader.together(signal(), async (together) => {
      await together.query('SELECT 1', [], signal())
      throw new Error('no more of it')
    })
    await expect(broken).rejects.toThrow('no more of it')
    await waitFor('it to end', async () => (await ask(OUR_OPEN_TRANSACTIONS)).length === 0)

    const lost = reader.together(signal(), async (together) => {
      const [row] = await together.query('SELECT pg_backend_pid() AS pid', [], signal())
      await ask(`SELECT pg_terminate_backend(${row?.pid}, 5000)`)
      // At first it may still find the connection that is being lost.
      await waitFor('a new connection', async () =>
        String(await together.query('SELECT 1', [], signal()).catch((error) => error)).includes(
          'the connection was lost',
        ),
      )
    })
    await expect(lost).rejects.toThrow('the connection was lost')
    await waitFor('it to end', async () => (await ask(OUR_OPEN_TRANSACTIONS)).length === 0)
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
    )
  })
})
