import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { type PostgresPart, startPostgres } from '../testbed/parts/postgres.ts'
import { waitFor } from '../testbed/process.ts'
import { runCommand, startDaemon } from './daemon.ts'

let postgres: PostgresPart
let frozen: PostgresPart
let config: string

const SECRET = 'pass-with-secret-4711'

beforeAll(async () => {
  ;[postgres, frozen] = await Promise.all([startPostgres(), startPostgres()])
  await run(`
    CREATE TABLE journals (id bigint PRIMARY KEY);
    CREATE TABLE lines (id bigint PRIMARY KEY);
    CREATE PUBLICATION erp FOR TABLE journals;
    CREATE PUBLICATION whole FOR TABLE journals, lines`)
  config = join(postgres.folder, 'config.yaml')
  const publications = (name: string) => [{ name, tables: ['public.journals', 'public.lines'] }]
  configure([
    { kind: 'postgresql', target: 'good', url: postgres.url(), publications: publications('whole') },
    { kind: 'postgresql', target: 'bad', url: postgres.url(), publications: publications('erp') },
    { kind: 'postgresql', target: 'away', url: `postgresql://u:${SECRET}@127.0.0.1:1/db` },
    { kind: 'postgresql', target: 'off', enabled: false, url: postgres.url() },
  ])
})
afterAll(async () => {
  frozen?.thaw()
  await Promise.all([postgres?.remove(), frozen?.remove()])
})

const configure = (collectors: unknown) => writeFileSync(config, stringify({ collectors }))

async function run(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.url() })
  await client.connect()
  await client.query(sql).finally(() => client.end())
}

const check = (...args: string[]) => runCommand('check', ...args, '--config', config)

test('a pipeline as it should be ends with 0, though not all that is advised is there', async () => {
  const { exitCode, stdout, stderr } = await check('good')
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^✓ +configuration .*: 4 collectors, 1 of them off$/m)
  expect(stdout).toMatch(/^✓ +postgresql\/good +wal_level +wal_level is logical$/m)
  expect(stdout).toMatch(/^! +postgresql\/good +max_slot_wal_keep_size .*\n +→ ALTER SYSTEM SET/m)
  expect(stdout).toMatch(/✗ 0 failed/)
  expect(exitCode).toBe(0)
  // One that is named is looked at though it is off.
  expect((await check('postgresql/off', 'good')).stdout).toContain('postgresql/off')
})

test('what fails ends with 1, with what to do; JSON has the same, and none has a secret', async () => {
  const text = await check()
  expect(text.exitCode).toBe(1)
  expect(text.stdout).toMatch(
    /^✗ +postgresql\/bad +publication_covers_tables +erp +missing: public.lines\n +→ ALTER PUBLICATION "erp" ADD TABLE "public"."lines";$/m,
  )
  expect(text.stdout).toMatch(/^✗ +postgresql\/away +reachable .*ECONNREFUSED/m)
  expect(text.stdout).not.toContain('postgresql/off')

  const json = await check('--json')
  expect(json.exitCode).toBe(1)
  const answer = JSON.parse(json.stdout)
  expect(answer).toMatchObject({ ok: false, configuration: { file: config, faults: [] } })
  const failing = answer.items.filter(
    (item: { ok: unknown; level: string }) => item.ok === false && item.level === 'required',
  )
  expect(failing).toEqual([
    {
      collector: 'postgresql',
      target: 'bad',
      environment: null,
      check: 'publication_covers_tables',
      subject: 'erp',
      level: 'required',
      ok: false,
      message: 'missing: public.lines',
      remedy: 'ALTER PUBLICATION "erp" ADD TABLE "public"."lines";',
    },
    expect.objectContaining({ target: 'away', check: 'reachable', subject: null }),
  ])
  for (const secret of [SECRET, postgres.password]) {
    expect(text.stdout + text.stderr + json.stdout).not.toContain(secret)
  }
})

test('bad usage and a bad configuration end with 2, all faults at once', async () => {
  expect(await check('nothing')).toMatchObject({
    exitCode: 2,
    stdout: '',
    stderr: expect.stringContaining('has no collector "nothing"; it has postgresql/good'),
  })
  const bad = join(postgres.folder, 'bad.yaml')
  writeFileSync(bad, stringify({ collectors: [{ kind: 'postgresql' }, { kind: 'nothing', target: 'a' }] }))
  const text = await runCommand('check', '--config', bad)
  expect(text).toMatchObject({ exitCode: 2, stdout: '' })
  expect(text.stderr).toMatch(/target: missing[\s\S]*url: missing[\s\S]*kind: expected one of/)
  const json = await runCommand('check', '--json', '--config', bad)
  expect(json.exitCode).toBe(2)
  expect(JSON.parse(json.stdout)).toMatchObject({
    ok: false,
    items: [],
    configuration: { faults: expect.any(Array) },
  })
})

test('the daemon tells the same in series and API, and a backend that hangs holds up nothing', async () => {
  const settings = { kind: 'postgresql', interval: '1s', timeout: '1s', check_interval: '1s' }
  const daemon = await startDaemon([
    {
      ...settings,
      target: 'erp',
      environment: 'test',
      url: postgres.url(),
      interval: '1m',
      timeout: '1m',
      publications: [{ name: 'erp', tables: ['public.journals', 'public.lines'] }],
    },
    { ...settings, target: 'frozen', url: frozen.url() },
  ])
  const ok = (target: string, check: string, subject = '') =>
    daemon.sample(
      `cdc_check_ok{target="${target}",${target === 'erp' ? 'environment="test",' : ''}collector="postgresql",check="${check}",subject="${subject}",level="required"}`,
    )
  const asked = async (path: string) => JSON.parse(await daemon.get(path))
  try {
    await waitFor('the series', async () => (await ok('erp', 'publication_covers_tables', 'erp')) === 0)
    expect(await ok('erp', 'wal_level')).toBe(1)
    expect(await asked('/api/v1/checks?target=erp&ok=false&level=required')).toMatchObject({
      total: 1,
      items: [
        {
          collector: 'postgresql',
          environment: 'test',
          check: 'publication_covers_tables',
          subject: 'erp',
          message: 'missing: public.lines',
          checked_at: expect.stringMatching(/Z$/),
        },
      ],
    })
    expect(await asked('/api/v1/checks?limit=1&offset=1&target=erp')).toMatchObject({
      items: [{ check: 'authenticated' }],
      limit: 1,
    })
    expect(await asked('/api/v1/checks?ok=maybe')).toEqual({ error: 'ok: expected true, false or null' })

    await waitFor('the other one', async () => (await ok('frozen', 'reachable')) === 1)
    frozen.freeze()
    await waitFor('the time-out', async () => (await ok('frozen', 'completed')) === 0)
    expect(await asked('/api/v1/checks?target=frozen&check=completed')).toMatchObject({
      items: [{ ok: false, message: expect.stringContaining('no answer within 1000 ms') }],
    })
    // A check that fails is none of the collection.
    const success = 'cdc_collector_success{target="erp",environment="test",collector="postgresql"}'
    await waitFor('a collection', async () => (await daemon.sample(success)) !== undefined)
    expect(await daemon.sample(success)).toBe(1)
    frozen.thaw()
    await waitFor('it to be good again', async () => (await ok('frozen', 'completed')) === 1)

    await run('ALTER PUBLICATION erp ADD TABLE lines')
    await waitFor('the repair', async () => (await ok('erp', 'publication_covers_tables', 'erp')) === 1)
    const lines = daemon
      .log()
      .filter(({ check, target }) => check === 'publication_covers_tables' && target === 'erp')
    expect(lines).toMatchObject([
      { level: 'WARNING', message: 'a check fails', subject: 'erp', found: 'missing: public.lines' },
      { level: 'INFO', message: 'a check is good again' },
    ])
    for (const secret of [postgres.password, frozen.password]) {
      expect(daemon.output() + (await daemon.get('/api/v1/checks?limit=500'))).not.toContain(secret)
    }
  } finally {
    await daemon.stop()
  }
})
