import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '../../../src/collectors/connect/index.ts'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { createErpSource, erpPublication } from '../../testbed/erp/schema.ts'
import { type ConnectPart, startConnect } from '../../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { freezeTree, waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

let postgres: PostgresPart
let kafka: KafkaPart
let production: ConnectPart
let staging: ConnectPart
/** Of the first fleet, under one collector from beginning to end: it remembers. */
let collector: Collecting
/** Everything that was ever exposed. */
const seen: string[] = []

const teams = [
  { name: 'erp-odd', team: 'Audit' },
  { match: '^erp-', team: 'Finance', business_cluster: 'ERP' },
]

beforeAll(async () => {
  const source = startPostgres()
  const broker = startKafka()
  postgres = await source
  kafka = await broker
  await createErpSource(postgres.url, ['alpha'])
  production = await startConnect({ bootstrap: kafka.bootstrap, cluster: 'production' })
  staging = await startConnect({ bootstrap: kafka.bootstrap, cluster: 'staging' })
  collector = collecting(connect, { urls: production.url, teams })
  await Promise.all([
    production.putConnector('erp-moves', debezium('moves')),
    staging.putConnector('erp-moves', debezium('rehearses')),
  ])
})
afterAll(async () => {
  await collector?.stop()
  for (const part of [staging, production, kafka, postgres]) await part?.remove()
})

/** A connector with a slot and a topic prefix of this name. */
function debezium(slot: string): Record<string, string> {
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    'topic.prefix': slot,
    'plugin.name': 'pgoutput',
    'publication.name': erpPublication,
    'publication.autocreate.mode': 'disabled',
    'slot.name': slot,
    'schema.include.list': 'alpha',
    'database.hostname': postgres.host,
    'database.port': String(postgres.port),
    'database.user': postgres.user,
    'database.password': postgres.password,
    'database.dbname': 'erp',
    'heartbeat.interval.ms': '500',
    'poll.interval.ms': '100',
    // After its connection was lost; the default is 10 s.
    'retriable.restart.connector.wait.ms': '500',
    'topic.creation.default.replication.factor': '1',
    'topic.creation.default.partitions': '1',
  }
}

async function ask(sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: postgres.url('erp') })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

const write = () => ask("INSERT INTO alpha.cash_accounts (name, balance) VALUES ('Safe', 1)")

/** Runs the collector until a run gives all of these lines and none that begins like one of `unwanted`; its lines. */
async function eventually(wanted: readonly string[], unwanted: readonly string[] = []): Promise<string[]> {
  let lines: string[] = []
  let missing = wanted
  const arrived = waitFor('the lines', async () => {
    lines = await collector.run()
    seen.push(...lines)
    missing = wanted.filter((line) => !lines.includes(line))
    return missing.length === 0 && !lines.some((line) => unwanted.some((start) => line.startsWith(start)))
  })
  await arrived.catch((error: unknown) => {
    const states = lines.filter((line) => line.endsWith(' 1')).join('\n')
    throw new Error(`${error}: ${missing.join('\n')}\namong\n${states}`)
  })
  return lines
}

const of = (family: string, labels: string, value: number) =>
  `kafka_connect_${family}{target="test",connector="erp-moves"${labels}} ${value}`
const connectorIs = (state: string) => of('connector_state', `,state="${state}"`, 1)
const taskIs = (state: string) => of('task_state', `,task="0",state="${state}"`, 1)

function numberOf(lines: readonly string[], series: string): number {
  const line = lines.find((line) => line.startsWith(series))
  if (line === undefined) throw new Error(`there is no ${series}`)
  return Number(line.slice(line.lastIndexOf(' ') + 1))
}

const position = (lines: readonly string[]) => numberOf(lines, 'kafka_connect_source_position_bytes{')

const operate = (path: string, method: 'PUT' | 'POST' = 'PUT') =>
  production.operate('erp-moves', method, path)

/** The connector says that it is stopped a moment before its task is gone. */
const stopped = () => eventually([connectorIs('stopped'), of('tasks_expected', '', 0)], [TASK_STATE])

const TASK_STATE = 'kafka_connect_task_state'

test('a connector says what it is, what it writes and which slot it reads', async () => {
  const lines = await eventually([
    taskIs('running'),
    of('connector_topic_info', ',topic="moves.alpha.cash_accounts",role="produces"', 1),
  ])
  expect(lines).toContain(
    of(
      'connector_info',
      ',class="io.debezium.connector.postgresql.PostgresConnector",kind="source",dbms="postgresql",team="Finance",business_cluster="ERP"',
      1,
    ),
  )
  expect(lines).toContain(of('connector_slot_info', ',slot_name="moves",database="erp"', 1))
  expect(lines).toContain(of('tasks_running', '', 1))
  expect(lines).toContain(of('failures_total', '', 0))
  expect(lines.find((line) => line.startsWith('kafka_connect_plugin_info'))).toMatch(
    /class="io\.debezium\.connector\.postgresql\.PostgresConnector",type="source",version="3\.\d+\.\d+/,
  )
})

test('its position is one of the WAL, and moves when a row is written', async () => {
  // The offsets are flushed by and by.
  let before = 0
  await waitFor('a position', async () => {
    before = position(await collector.run())
    return true
  })
  const [wal] = await ask("SELECT pg_current_wal_lsn() - '0/0' AS now")
  await write()
  const moved = async () => position(await collector.run()) > Math.max(before, Number(wal?.now))
  await waitFor('it to move beyond where the row was written', moved)
})

test('two fleets with a connector of one name are each other’s business in nothing', async () => {
  const other = collecting(connect, { urls: staging.url, teams: [] })
  await staging.operate('erp-moves', 'PUT', '/pause')
  let lines: string[] = []
  await waitFor('the other to be paused', async () => {
    lines = await other.run()
    return lines.includes(connectorIs('paused')) && lines.includes(taskIs('paused'))
  })
  expect(lines).toContain(of('connector_slot_info', ',slot_name="rehearses",database="erp"', 1))
  expect(lines.join('\n')).toContain('team="Lainnya",business_cluster="Lainnya"')
  await eventually([connectorIs('running'), taskIs('running')])
  await other.stop()
})

test('paused: the task is still expected, and neither runs nor fails', async () => {
  await operate('/pause')
  const lines = await eventually([connectorIs('paused'), taskIs('paused')])
  expect(lines).toContain(of('tasks_expected', '', 1))
  expect(lines).toContain(of('tasks_running', '', 0))
  expect(numberOf(lines, 'kafka_connect_state_change_timestamp_seconds{')).toBeGreaterThan(1.7e9)
  await operate('/resume')
  await eventually([connectorIs('running'), taskIs('running')])
})

test('stopped: no task is there and none is expected', async () => {
  await operate('/stop')
  const lines = await stopped()
  expect(lines).toContain(of('failures_total', '', 0))
  await operate('/resume')
  await eventually([connectorIs('running'), taskIs('running')])
})

test('running but not moving: the WAL advances, what the slot confirms does not', async () => {
  const database = collecting(postgresql, { url: postgres.url('erp') })
  const slot = 'target="test",slot_name="moves",slot_type="logical"'
  const confirmed = (lines: readonly string[]) =>
    numberOf(lines, `pg_replication_slot_slot_confirmed_flush_lsn{${slot}}`)
  const wal = (lines: readonly string[]) => numberOf(lines, 'cdc_wal_position_bytes{')
  let pid = 0
  await waitFor('a process of the server that sends', async () => {
    const [slot] = await ask("SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'moves'")
    pid = Number(slot?.active_pid)
    return pid > 0
  })
  freezeTree(pid)
  try {
    const before = await database.run()
    await write()
    const after = await database.run()
    expect(wal(after)).toBeGreaterThan(wal(before))
    expect(confirmed(after)).toBe(confirmed(before))
    expect(after).toContain(`pg_replication_slot_slot_is_active{${slot}} 1`)
    await eventually([connectorIs('running'), taskIs('running')])
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  const stuck = confirmed(await database.run())
  await write()
  await waitFor('it to move', async () => confirmed(await database.run()) > stuck)
  await database.stop()
})

test('the publication is dropped and the task restarted: it fails while its connector runs, and recovers', async () => {
  await ask(`DROP PUBLICATION ${erpPublication}`)
  // A server from version 18 on only warns of it while it streams.
  await write()
  await operate('/restart?includeTasks=true', 'POST')
  const lines = await eventually([connectorIs('running'), taskIs('failed'), of('failures_total', '', 1)])
  const info = lines.find((line) => line.startsWith('kafka_connect_task_failure_info'))
  expect(info).toMatch(/connector="erp-moves",task="0",exception_class="[\w.]+Exception"} 1$/)
  expect(numberOf(lines, 'kafka_connect_failure_open_timestamp_seconds{')).toBeGreaterThan(1.7e9)
  expect(lines).toContain(of('tasks_running', '', 0))

  await ask(`CREATE PUBLICATION ${erpPublication} FOR ALL TABLES`)
  await operate('/restart?includeTasks=true&onlyFailed=true', 'POST')
  const well = await eventually([taskIs('running'), of('recoveries_total', '', 1)])
  expect(well.filter((line) => /task_failure_info|failure_open/.test(line))).toEqual([])
})

test('the slot is dropped: the task fails, and recovers with a new slot', async () => {
  // While the task is away, so that a row is surely lost with the slot: without one it would just go on.
  await operate('/stop')
  await stopped()
  await dropSlot()
  await write()
  await operate('/resume')
  await eventually([connectorIs('running'), taskIs('failed'), of('failures_total', '', 2)])
  await renew()
  await eventually([taskIs('running'), of('recoveries_total', '', 2)])
})

/** What an operator does after a lost slot: the offsets go, and a new snapshot is taken. */
async function renew(): Promise<void> {
  await operate('/stop')
  await stopped()
  const offsets = `${production.url}/connectors/erp-moves/offsets`
  await waitFor('the offsets to go', async () => (await fetch(offsets, { method: 'DELETE' })).ok)
  await dropSlot()
  await operate('/resume')
}

/** Of a connector that is stopped; the server may take a while to see it. */
async function dropSlot(): Promise<void> {
  await waitFor('the slot to go', async () => {
    await ask(
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'moves'",
    )
    return true
  })
}

test('a killed worker fails the run; with it back all is as it was, and no failure was opened', async () => {
  await production.kill()
  await expect(collector.run()).rejects.toThrow(/^kafka connect at /)
  await production.start()
  const lines = await eventually([connectorIs('running'), taskIs('running')])
  expect(lines).toContain(of('failures_total', '', 2))
})

test('a connector that is deleted leaves nothing behind', async () => {
  await production.deleteConnector('erp-moves')
  await waitFor('it to go', async () => {
    const lines = await collector.run()
    return !lines.some((line) => line.includes('erp-moves'))
  })
})

test('the password of the source was in nothing that was exposed', () => {
  expect(seen.length).toBeGreaterThan(100)
  expect(seen.filter((line) => line.includes(postgres.password))).toEqual([])
})
