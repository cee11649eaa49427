import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { sql } from '../../../src/collectors/sql/index.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { type Collecting, collecting } from '../collect.ts'

// What the tables look like is assumed, as the packs assume it; the last test gives every column another name.

let postgres: PostgresPart
let source: pg.Pool
const open: Collecting[] = []

beforeAll(async () => {
  postgres = await startPostgres()
  source = new pg.Pool({ connectionString: postgres.url(), max: 1 })
  source.on('error', () => {})
  await source.query(`
    CREATE SCHEMA logs;
    CREATE SCHEMA pusat;
    CREATE TABLE logs.login (id serial, created_at timestamptz, success boolean);
    CREATE TABLE logs.audit (id serial, created_at timestamp);
    CREATE TABLE pusat.cdc_job_operasional (job text, status text, last_run_at timestamptz);
    CREATE TABLE pusat.cdc_job_operasional_log (job text, status text, created_at timestamptz);
    CREATE TABLE pusat.cdc_status_sink_tenant (tenant text, status text, updated_at timestamptz);
    CREATE TABLE votes (id varchar(255) NOT NULL UNIQUE, vote varchar(255) NOT NULL)`)
})
afterAll(async () => {
  await source?.end()
  await postgres?.remove()
})
afterEach(async () => {
  for (const collector of open.splice(0)) await collector.stop()
  await source.query(`TRUNCATE logs.login, logs.audit, pusat.cdc_job_operasional, pusat.cdc_job_operasional_log,
    pusat.cdc_status_sink_tenant, votes`)
})

async function series(packs: readonly Record<string, unknown>[], more: Record<string, unknown> = {}) {
  const collector = collecting(sql, { connection: { postgresql: { url: postgres.url() } }, packs, ...more })
  open.push(collector)
  const lines = await collector.run()
  expect(collector.failedParts).toEqual([])
  return lines.flatMap((line) =>
    line.startsWith('cdc_sql_query_') ? [] : [line.replace('target="test",', '')],
  )
}

/** Seconds since the epoch of what `of` says, as the server has it. */
async function epoch(of: string): Promise<number> {
  const { rows } = await source.query(`SELECT extract(epoch FROM ${of})::text AS at`)
  return Number(rows[0].at)
}

const HOUR = { window: '1h' }

describe('login', () => {
  test('tells of an empty log, and has no newest row of it', async () => {
    expect(await series([{ pack: 'login' }])).toEqual([
      'cdc_login_events_per_minute{tenant=""} 0',
      'cdc_login_failures_per_minute{tenant=""} 0',
    ])
  })

  test('counts what is in the window, by the minute, and tells of the newest row', async () => {
    await source.query(`INSERT INTO logs.login (created_at, success)
      SELECT now() - interval '10 minutes', n > 6 FROM generate_series(1, 30) AS n`)
    await source.query(
      "INSERT INTO logs.login (created_at, success) VALUES (now() - interval '2 hours', false)",
    )
    const newest = await epoch('(SELECT max(created_at) FROM logs.login)')
    expect(await series([{ pack: 'login', ...HOUR }])).toEqual([
      'cdc_login_events_per_minute{tenant=""} 0.5',
      'cdc_login_failures_per_minute{tenant=""} 0.1',
      `cdc_login_newest_timestamp_seconds{tenant=""} ${newest}`,
    ])
  })

  test('takes a number and a text for the result, and NULL for none', async () => {
    await source.query('CREATE TABLE logs.sessions (at timestamptz, code int, outcome text)')
    await source.query(`INSERT INTO logs.sessions VALUES (now(), 0, 'GAGAL'), (now(), 1, 'ok'), (now(), NULL, NULL),
      (now(), 2, 'locked'), (now(), 3, 'Failed'), (now(), 0, 'x')`)
    const failures = async (result: string, more: Record<string, unknown> = {}) =>
      (
        await series([{ pack: 'login', table: 'logs.sessions', time: 'at', result, ...HOUR, ...more }])
      ).filter((line) => line.includes('failures'))
    const perMinute = (count: number) => [`cdc_login_failures_per_minute{tenant=""} ${count / 60}`]
    expect(await failures('code')).toEqual(perMinute(2))
    expect(await failures('outcome')).toEqual(perMinute(2))
    expect(await failures('outcome', { failed: ['locked', 'x', 'gagal'] })).toEqual(perMinute(3))
  })

  test('may be by tenant', async () => {
    await source.query(`
      CREATE SCHEMA alpha; CREATE TABLE alpha.login AS SELECT now() AS created_at, true AS success;
      CREATE SCHEMA bravo; CREATE TABLE bravo.login (LIKE alpha.login)`)
    const lines = await series([{ pack: 'login', table: '{tenant}.login', ...HOUR }], {
      tenants: ['alpha', 'bravo'],
    })
    expect(lines.filter((line) => line.includes('events'))).toEqual([
      `cdc_login_events_per_minute{tenant="alpha"} ${1 / 60}`,
      'cdc_login_events_per_minute{tenant="bravo"} 0',
    ])
  })
})

test('audit counts events and takes a time without zone as UTC', async () => {
  await source.query(
    "INSERT INTO logs.audit (created_at) SELECT now() AT TIME ZONE 'UTC' FROM generate_series(1, 3)",
  )
  const newest = await epoch("(SELECT max(created_at) AT TIME ZONE 'UTC' FROM logs.audit)")
  expect(await series([{ pack: 'audit', ...HOUR }])).toEqual([
    'cdc_audit_events_per_minute{tenant=""} 0.05',
    `cdc_audit_newest_timestamp_seconds{tenant=""} ${newest}`,
  ])
})

test('jobs are counted by state, and have their last run', async () => {
  await source.query(`INSERT INTO pusat.cdc_job_operasional VALUES
    ('bootstrap', 'done', '2026-01-01 00:00:00.5+00'), ('etl', 'running', '2026-01-02 00:00:00+00'),
    ('validate', 'failed', NULL), ('etl-2', 'running', NULL)`)
  expect(await series([{ pack: 'jobs' }])).toEqual([
    'cdc_job_last_run_timestamp_seconds{tenant="",job="bootstrap"} 1767225600.5',
    'cdc_job_last_run_timestamp_seconds{tenant="",job="etl"} 1767312000',
    'cdc_jobs{tenant="",state="done"} 1',
    'cdc_jobs{tenant="",state="failed"} 1',
    'cdc_jobs{tenant="",state="running"} 2',
  ])
})

test('job_log counts runs and failures in its window', async () => {
  await source.query(`INSERT INTO pusat.cdc_job_operasional_log VALUES
    ('etl', 'ok', now()), ('etl', 'failed', now()), ('etl', 'GAGAL', now()), ('bootstrap', 'ok', now()),
    ('bootstrap', 'failed', now() - interval '2 hours'), ('old', 'failed', now() - interval '3 hours')`)
  const newest = await epoch('(SELECT max(created_at) FROM pusat.cdc_job_operasional_log)')
  expect(await series([{ pack: 'job_log' }])).toEqual([
    'cdc_job_failures{tenant="",job="bootstrap"} 0',
    'cdc_job_failures{tenant="",job="etl"} 2',
    `cdc_job_log_newest_timestamp_seconds{tenant=""} ${newest}`,
    'cdc_job_runs{tenant="",job="bootstrap"} 1',
    'cdc_job_runs{tenant="",job="etl"} 3',
  ])
})

test('sink_status has the sinks of each tenant by state', async () => {
  await source.query(`INSERT INTO pusat.cdc_status_sink_tenant VALUES
    ('alpha', 'ok', '2026-01-01 00:00:00+00'), ('alpha', 'ok', '2026-01-02 00:00:00+00'),
    ('alpha', 'stalled', '2026-01-01 00:00:00+00'), ('bravo', 'ok', NULL)`)
  expect(await series([{ pack: 'sink_status' }])).toEqual([
    'cdc_sink_tenant_newest_timestamp_seconds{tenant="alpha"} 1767312000',
    'cdc_sink_tenant_states{tenant="alpha",state="ok"} 2',
    'cdc_sink_tenant_states{tenant="alpha",state="stalled"} 1',
    'cdc_sink_tenant_states{tenant="bravo",state="ok"} 1',
  ])
})

test('votes are counted in total and by option', async () => {
  expect(await series([{ pack: 'votes' }])).toEqual(['voting_votes_total{target="test"} 0'])
  await source.query(
    "INSERT INTO votes SELECT n::text, CASE WHEN n < 3 THEN 'a' ELSE 'b' END FROM generate_series(1, 5) AS n",
  )
  expect(await series([{ pack: 'votes' }])).toEqual([
    'voting_option_votes{option="a"} 2',
    'voting_option_votes{option="b"} 3',
    'voting_votes_total{target="test"} 5',
  ])
})

test('every name of a table and a column is a setting, and is quoted', async () => {
  await source.query(`
    CREATE SCHEMA "My Logs";
    CREATE TABLE "My Logs"."t""1" ("state" text, "select" text, "When at" timestamptz);
    INSERT INTO "My Logs"."t""1" VALUES ('x', 'a', '2026-01-01 00:00:00+00')`)
  const table = 'My Logs.t"1'
  const time = 'When at'
  const lines = await series([
    { pack: 'login', table, time, result: 'select' },
    { pack: 'audit', table, time },
    { pack: 'jobs', table, job: 'select', state: 'state', last_run: time },
    { pack: 'job_log', table, job: 'select', result: 'state', time },
    { pack: 'sink_status', table, tenant: 'select', state: 'state', time },
    { pack: 'votes', table, option: 'select' },
  ])
  expect(lines).toContain('cdc_jobs{tenant="",state="x"} 1')
  expect(lines).toContain('cdc_sink_tenant_states{tenant="a",state="x"} 1')
  expect(lines).toContain('voting_option_votes{option="a"} 1')
})
