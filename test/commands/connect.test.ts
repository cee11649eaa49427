import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { createErpSource, erpPublication } from '../testbed/erp/schema.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type ConnectPart, startConnect } from '../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../testbed/parts/kafka.ts'
import { type PostgresPart, startPostgres } from '../testbed/parts/postgres.ts'
import { waitFor } from '../testbed/process.ts'
import { type CommandResult, runCommand } from './daemon.ts'

const PLANTED = 'hunter2-planted'
const folder = temporaryFolder('connect-command')
const admin = newToken()

let postgres: PostgresPart
let kafka: KafkaPart
let worker: ConnectPart
let daemon: DaemonPart
/** All that the command has written. */
let written = ''

beforeAll(async () => {
  const source = startPostgres()
  kafka = await startKafka()
  worker = await startConnect({ bootstrap: kafka.bootstrap })
  postgres = await source
  await createErpSource(postgres.url, ['alpha'])
  const file = join(worker.folder, 'lines.txt')
  writeFileSync(file, 'a line\n')
  await worker.putConnector('hr-lines', {
    'connector.class': 'org.apache.kafka.connect.file.FileStreamSourceConnector',
    topic: 'lines',
    file,
    'api.token': PLANTED,
  })
  await worker.putConnector('fin-moves', debezium())
  for (const name of ['hr-lines', 'fin-moves']) {
    // A connector runs before it has a task.
    await waitFor(`${name} and its task to run`, async () => (await states(name)) === 'RUNNING RUNNING')
  }

  writeFileSync(
    join(folder.path, 'tokens.yaml'),
    stringify({ users: [{ name: 'ann', role: 'admin', hash: admin.hash }] }),
  )
  daemon = await startDaemon({
    folder: folder.path,
    config: {
      state_dir: 'state',
      api: { tokens_file: 'tokens.yaml' },
      environments: { development: { enabled: false } },
      defaults: { interval: '1s', timeout: '1s' },
      collectors: [
        {
          kind: 'connect',
          target: 'erp',
          environment: 'production',
          urls: worker.url,
          teams: [{ match: '^fin-', team: 'Finance' }],
        },
        { kind: 'connect', target: 'away', environment: 'development', urls: 'http://127.0.0.1:1' },
      ],
    },
  })
})
afterAll(async () => {
  await daemon?.remove()
  await worker?.remove()
  await kafka?.remove()
  await postgres?.remove()
  folder.remove()
})

function debezium(): Record<string, string> {
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    'topic.prefix': 'moves',
    'plugin.name': 'pgoutput',
    'publication.name': erpPublication,
    'publication.autocreate.mode': 'disabled',
    'slot.name': 'moves',
    'schema.include.list': 'alpha',
    'database.hostname': postgres.host,
    'database.port': String(postgres.port),
    'database.user': postgres.user,
    'database.password': postgres.password,
    'database.dbname': 'erp',
    'heartbeat.interval.ms': '500',
    'poll.interval.ms': '100',
    'topic.creation.default.replication.factor': '1',
    'topic.creation.default.partitions': '1',
  }
}

async function sql(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.url('erp') })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

/** Rows are written meanwhile, so that a source that reads has something to read. */
async function whileWriting<T>(work: () => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: postgres.url('erp') })
  await client.connect()
  let isOver = false
  const working = work().finally(() => {
    isOver = true
  })
  try {
    await waitFor('the work to end', async () => {
      await client.query("INSERT INTO alpha.cash_accounts (name, balance) VALUES ('Safe', 1)")
      return isOver
    })
    return await working
  } finally {
    await client.end()
  }
}

/** Connector and tasks: `RUNNING RUNNING`. */
async function states(name: string): Promise<string> {
  const now = await worker.status(name)
  return now ? [now.connector, ...now.tasks].map(({ state }) => state).join(' ') : 'absent'
}

async function connect(...args: readonly string[]): Promise<CommandResult> {
  const result = await runCommand('connect', ...args, '--config', daemon.configFile)
  written += result.stdout + result.stderr
  return result
}

interface Result {
  readonly connector: string
  readonly result: string
  readonly state: string
  readonly detail: string
}

/** The results of an operation, by `--json`, with its exit code. */
async function operate(...args: readonly string[]): Promise<{ exitCode: number | null; results: Result[] }> {
  const { exitCode, stdout } = await connect(...args, '--json', '--yes')
  return { exitCode, results: JSON.parse(stdout) as Result[] }
}

/** Of one that fails, and ends as soon as it does: the time is only a bound. */
const PATIENT = ['--settle', '50s', '--within', '100s']
/** Of one that reads, which is seen when its offsets are flushed. */
const BRISK = ['--settle', '1s', '--within', '100s']

describe('list and show', () => {
  test('a table of the connectors; a cluster that is switched off is asked only by its name', async () => {
    const { exitCode, stdout, stderr } = await connect('list')
    expect([exitCode, stderr]).toEqual([0, ''])
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.trim().split(/\s{2,}/))
    expect(rows).toEqual([
      ['CONNECTOR', 'STATE', 'TASKS', 'TEAM', 'DBMS', 'ENVIRONMENT', 'CLUSTER', 'CAUSE'],
      ['fin-moves', 'running', '1/1', 'Finance', 'postgresql', 'production', 'erp'],
      ['hr-lines', 'running', '1/1', 'Lainnya', 'file', 'production', 'erp'],
    ])
    const away = await connect('list', '--cluster', 'away')
    expect(away).toMatchObject({ exitCode: 1, stdout: '' })
    expect(away.stderr).toMatch(/^cdc-exporter: away: kafka connect at 127\.0\.0\.1:1: .*ECONNREFUSED/)
  })

  test('selectors narrow it', async () => {
    const names = async (...args: readonly string[]) => {
      const { stdout } = await connect('list', '--json', ...args)
      return (JSON.parse(stdout) as Result[]).map(({ connector }) => connector)
    }
    expect(await names('--team', 'Finance')).toEqual(['fin-moves'])
    expect(await names('--environment', 'production', '--connector', '^hr')).toEqual(['hr-lines'])
    expect(await names('--state', 'RUNNING', 'hr-lines')).toEqual(['hr-lines'])
    expect((await connect('list', '--state', 'failed')).stdout).toBe('no such connector\n')
  })

  test('one with its configuration, secrets masked', async () => {
    const { exitCode, stdout } = await connect('show', 'fin-moves')
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^config database\.password +<secret>/m)
    expect(stdout).toMatch(/^config slot\.name +moves/m)
    expect(stdout).toMatch(/^task 0 +running/m)
    const { config } = JSON.parse((await connect('show', 'hr-lines', '--json')).stdout)
    expect(config).toMatchObject({ 'api.token': '<secret>', topic: 'lines' })
    expect(await connect('show', 'nobody')).toMatchObject({
      exitCode: 1,
      stderr: 'cdc-exporter: there is no connector nobody\n',
    })
  })
})

describe('without the word of a user nothing is done', () => {
  test.each([
    [['restart'], 2, 'say which connectors'],
    [['stop', '--all', 'fin-moves', '--yes'], 2, 'not both'],
    [['stop', 'fin-moves'], 2, 'stop of 1 connector wants to be confirmed: give --yes'],
    [['pause', '--all'], 2, 'pause of 2 connectors wants to be confirmed: give --yes'],
    [['delete', '--team', 'Finance'], 2, 'give --yes'],
    [['pause', 'nobody', '--yes'], 1, 'there is no connector nobody'],
    [['stop', '--team', 'Nobodys', '--yes'], 1, 'no connector fits the selection'],
    [['pause', 'fin-moves', '--within', 'long'], 2, 'expected a duration'],
    [['explode', 'fin-moves'], 2, 'unknown command'],
  ])('%j ends with %i', async (args, exitCode, message) => {
    const result = await connect(...args)
    expect(result).toMatchObject({ exitCode, stdout: '' })
    expect(result.stderr).toContain(message)
    for (const name of ['fin-moves', 'hr-lines']) expect(await states(name)).toBe('RUNNING RUNNING')
  })

  test('a dry run only says which they are', async () => {
    const { exitCode, stdout } = await connect('delete', '--all', '--dry-run')
    expect(exitCode).toBe(0)
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.trim().split(/\s{2,}/))
    expect(rows.slice(1)).toEqual([
      ['fin-moves', 'erp', 'planned', 'running'],
      ['hr-lines', 'erp', 'planned', 'running'],
    ])
    for (const name of ['fin-moves', 'hr-lines']) expect(await states(name)).toBe('RUNNING RUNNING')
  })

  test('on a terminal it asks, and does it only for a yes', async () => {
    const no = await typed('', 'stop', 'hr-lines')
    expect(no.output).toContain('erp/hr-lines (running)')
    expect(no.output).toContain('stop 1 connector? [y/N]')
    expect(no.exitCode).toBe(1)
    expect((await typed('n', 'stop', 'hr-lines')).exitCode).toBe(1)
    expect(await states('hr-lines')).toBe('RUNNING RUNNING')
    const yes = await typed('y', 'stop', 'hr-lines')
    expect(yes.exitCode).toBe(0)
    expect(yes.output).toMatch(/hr-lines +erp +done +stopped/)
    expect(await states('hr-lines')).toBe('STOPPED')
  })
})

/** The command on a terminal of its own, where this is typed at its question. */
async function typed(answer: string, ...args: readonly string[]) {
  const command = [process.execPath, 'src/main.ts', 'connect', ...args, '--config', daemon.configFile]
  const child = spawn('script', ['--quiet', '--return', '--command', command.join(' '), '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  let isAsked = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    if (isAsked || !output.includes('[y/N]')) return
    isAsked = true
    child.stdin.write(`${answer}\r`)
  })
  const [exitCode] = await once(child, 'close')
  written += output
  return { exitCode: exitCode as number, output }
}

describe('results are what came of it', () => {
  test('paused when its tasks are; what is paused or well is not restarted; resumed when it reads again', async () => {
    const { exitCode, stdout, stderr } = await connect('pause', 'fin-moves')
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^fin-moves +erp +done +paused/m)
    expect(stderr.trimEnd().split('\n')).toEqual([
      'pause: 1 connector; what comes of it is watched for up to 60 s each',
      '1/1 erp/fin-moves: done, paused',
    ])
    expect(await states('fin-moves')).toBe('PAUSED PAUSED')
    expect(await operate('restart', 'fin-moves')).toMatchObject({
      exitCode: 0,
      results: [{ result: 'skipped', detail: 'it is paused: resume it' }],
    })
    expect(await whileWriting(() => operate('resume', 'fin-moves', ...BRISK))).toMatchObject({
      exitCode: 0,
      results: [{ connector: 'fin-moves', result: 'done', state: 'running', detail: '' }],
    })
    expect(await operate('restart', 'fin-moves')).toMatchObject({
      exitCode: 0,
      results: [{ result: 'skipped', detail: 'nothing of it has failed' }],
    })
  })

  test('a source that says that it runs while it cannot reach its database is not called running', async () => {
    await postgres.kill()
    const { exitCode, results } = await operate(
      ...['restart', 'fin-moves', '--all-tasks', '--settle', '2s', '--within', '10s'],
    )
    // Where the connection is refused at once, it fails; where it is tried again, it says that it runs.
    expect(results).toMatchObject([{ result: expect.stringMatching(/^(failed|unconfirmed)$/) }])
    expect(exitCode).toBe(results[0]?.result === 'failed' ? 1 : 0)
    await postgres.start()
    expect(await whileWriting(() => operate('restart', 'fin-moves', '--all-tasks', ...BRISK))).toMatchObject({
      exitCode: 0,
      results: [{ result: 'done', state: 'running' }],
    })
  })

  test('one that has nothing to read is unconfirmed, which is no failure', async () => {
    expect(await operate('resume', 'hr-lines', '--settle', '1s', '--within', '25s')).toMatchObject({
      exitCode: 0,
      results: [
        {
          result: 'unconfirmed',
          state: 'running',
          detail: expect.stringContaining('has read nothing since'),
        },
      ],
    })
  })

  test('a restart after a lost publication fails again, with the cause, until it is there', async () => {
    await sql(`DROP PUBLICATION ${erpPublication}`)
    const first = await operate('restart', 'fin-moves', '--all-tasks', ...PATIENT)
    expect(first).toMatchObject({ exitCode: 1, results: [{ result: 'failed', state: 'failed' }] })
    expect(await operate('restart', '--state', 'failed', ...PATIENT)).toMatchObject({
      exitCode: 1,
      results: [
        {
          connector: 'fin-moves',
          result: 'failed',
          state: 'failed',
          detail: expect.stringMatching(/^task 0 failed: .*publication/i),
        },
      ],
    })
    await sql(`CREATE PUBLICATION ${erpPublication} FOR ALL TABLES`)
    expect(await whileWriting(() => operate('restart', '--state', 'failed', ...BRISK))).toMatchObject({
      exitCode: 0,
      results: [{ connector: 'fin-moves', result: 'done', state: 'running' }],
    })
  })

  test('a restart after a lost slot fails again', async () => {
    expect((await operate('stop', 'fin-moves')).results).toMatchObject([{ result: 'done', state: 'stopped' }])
    await waitFor('the slot to go', async () => {
      await sql("SELECT pg_drop_replication_slot('moves')")
      return true
    })
    await sql("INSERT INTO alpha.cash_accounts (name, balance) VALUES ('Safe', 1)")
    expect(await operate('resume', 'fin-moves', ...PATIENT)).toMatchObject({
      exitCode: 1,
      results: [{ result: 'failed', detail: expect.stringContaining('is no longer available') }],
    })
    const { exitCode, stdout, stderr } = await connect('restart', 'fin-moves', ...PATIENT)
    expect(exitCode).toBe(1)
    expect(stdout).toMatch(/^fin-moves +erp +failed +failed +task 0 failed: /m)
    expect(stderr).toMatch(/^1\/1 erp\/fin-moves: failed, failed: task 0 failed: /m)
    expect((await connect('list', '--state', 'failed')).stdout).toMatch(
      /^fin-moves +failed +0\/1 .* io\.debezium\.DebeziumException: The connector is trying to read/m,
    )
  })
})

interface Failures {
  readonly total: number
}
const failures = async (): Promise<Failures> => {
  const args = ['failures', 'list', '--state', 'all', '--json', '--config', daemon.configFile]
  return JSON.parse((await runCommand(...args)).stdout) as Failures
}

test('forget drops what the failure log keeps, and nothing else', async () => {
  expect((await operate('delete', 'fin-moves')).results).toMatchObject([
    { connector: 'fin-moves', result: 'done', state: 'deleted' },
  ])
  // Connect forgets the state a moment after the connector.
  await waitFor('it to go', async () => (await states('fin-moves')) === 'absent')
  await waitFor('its failures to be over', async () => {
    const open = await runCommand('failures', 'list', '--config', daemon.configFile)
    return open.stdout === 'no failure is open\n'
  })
  const { total } = await failures()
  expect(total).toBeGreaterThanOrEqual(2)
  expect(await operate('forget', '--team', 'Finance', '--dry-run')).toMatchObject({
    exitCode: 0,
    results: [{ connector: 'fin-moves', result: 'planned', detail: `${total} failures` }],
  })
  expect(await connect('forget', 'fin-moves')).toMatchObject({ exitCode: 2 })
  expect(await connect('forget', 'hr-lines', '--yes')).toMatchObject({ exitCode: 1 })
  expect((await failures()).total).toBe(total)
  expect(await operate('forget', 'fin-moves')).toMatchObject({
    exitCode: 0,
    results: [{ connector: 'fin-moves', result: 'done', state: 'forgotten', detail: `${total} failures` }],
  })
  expect((await failures()).total).toBe(0)
  expect(await states('hr-lines')).toBe('RUNNING RUNNING')
})

test('the daemon counts what the command did, and has it in its audit', async () => {
  const value = async (operation: string, result: string) =>
    (await daemon.scrape()).find(
      ({ name, labels }) =>
        name === 'kafka_connect_operations_total' &&
        labels.operation === operation &&
        labels.result === result,
    )?.value
  await waitFor('the forgetting to be counted', async () => (await value('forget', 'done')) === 1)
  expect(await value('delete', 'done')).toBe(1)
  expect(await value('stop', 'done')).toBe(2)
  expect(await value('pause', 'done')).toBe(1)
  const audit = await fetch(`${daemon.url}/api/v1/audit?limit=100`, {
    headers: { authorization: `Bearer ${admin.token}` },
  })
  const text = await audit.text()
  written += text
  const { items } = JSON.parse(text) as { items: Record<string, string>[] }
  expect(items.every(({ who, from }) => who === userInfo().username && from === 'command line')).toBe(true)
  expect(items.slice(0, 2).map(({ operation, object, result }) => [operation, object, result])).toEqual([
    ['connect forget', 'erp/fin-moves', 'done'],
    ['connect delete', 'erp/fin-moves', 'done'],
  ])
})

test('no password is anywhere: output, log, audit, database, series', async () => {
  const kept = readdirSync(join(folder.path, 'state')).map((file) => join(folder.path, 'state', file))
  const texts = [...kept, daemon.logFile].map((file) => readFileSync(file, 'latin1'))
  texts.push(written, JSON.stringify(await daemon.scrape()))
  expect(written).toContain('<secret>')
  for (const text of texts) {
    expect(text).not.toContain(PLANTED)
    expect(text).not.toContain(postgres.password)
  }
})
