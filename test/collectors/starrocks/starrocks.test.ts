import { setImmediate } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Clock } from '../../../src/clock.ts'
import { starrocks } from '../../../src/collectors/starrocks/index.ts'
import { Others } from '../../../src/collectors/sync/others.ts'
import { Exposition } from '../../../src/metrics/exposition.ts'
import { ManualClock } from '../../collection/manual-clock.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { type StarrocksPart, startStarrocks } from '../../testbed/parts/starrocks.ts'
import { PATIENCE_MS, waitFor } from '../../testbed/process.ts'
import {
  accessDenied,
  backend,
  cluster,
  frontend,
  routineLoad,
  rowsOf,
} from '../../testbed/starrocks-cluster.ts'
import { type Collecting, collecting } from '../collect.ts'

// StarRocks cannot be had here. A stand-in says what its documentation has SHOW say; MariaDB, which has the same
// protocol and the same information_schema, answers the queries about tables and databases.

const ROUTINE_LOADS = 'SHOW ALL ROUTINE LOAD FROM `erp`'

let mariadb: MariadbPart
let part: StarrocksPart
const open: Collecting[] = []

beforeAll(async () => {
  mariadb = await startMariadb()
  const warehouse = await mysql.createConnection({ uri: mariadb.url('mysql'), multipleStatements: true })
  await warehouse.query(`
    CREATE DATABASE erp; USE erp;
    CREATE TABLE orders (id int) ENGINE = MyISAM; INSERT INTO orders VALUES (1), (2), (3);
    CREATE TABLE \`lines\` (id int, note varchar(99)) ENGINE = MyISAM;
    INSERT INTO \`lines\` SELECT seq, 'a note of some length' FROM seq_1_to_1000;
    CREATE TABLE audit (id int) ENGINE = MyISAM;
    CREATE VIEW seen AS SELECT * FROM orders`)
  await warehouse.end()
  part = await startStarrocks({ tables: mariadb.url('erp') })
})
afterAll(async () => {
  await part?.remove()
  await mariadb?.remove()
})
beforeEach(async () => {
  await part.answer(cluster(part.ports))
})
afterEach(async () => {
  for (const collector of open.splice(0)) await collector.stop()
})

function collectorOf(given: object = {}, clock?: Clock, exposition?: Exposition): Collecting {
  const settings = { hosts: part.host, username: part.username, password: part.password, ...given }
  const collector = collecting(starrocks, settings, exposition, clock)
  open.push(collector)
  return collector
}

/** Without the label of the instance, and only those whose name begins so. */
const series = (lines: readonly string[], name = ''): string[] =>
  lines
    .filter((line) => line.startsWith(name))
    .map((line) => line.replace(/target="test",?/, '').replace('{}', ''))
    .toSorted()

const failed = (collector: Collecting) =>
  collector.failedParts.map(({ labels, cause }) => [labels, cause instanceof Error ? cause.message : ''])

test('a cluster that is well', async () => {
  const collector = collectorOf({ allow_tables: ['^erp\\.'], deny_tables: ['audit$'] })
  const lines = await collector.run()
  expect(failed(collector)).toEqual([])
  expect(series(lines).filter((line) => !/starrocks_(loads|table_bytes)/.test(line))).toEqual(
    [
      'starrocks_backend_alive{backend="127.0.0.1:9050"} 1',
      'starrocks_backend_cpu_used_ratio{backend="127.0.0.1:9050"} 0.063',
      `starrocks_backend_disk_available_bytes{backend="127.0.0.1:9050"} ${1.5 * 2 ** 40}`,
      `starrocks_backend_disk_bytes{backend="127.0.0.1:9050"} ${2 * 2 ** 40}`,
      'starrocks_backend_disk_used_ratio{backend="127.0.0.1:9050"} 0.3125',
      'starrocks_backend_memory_used_ratio{backend="127.0.0.1:9050"} 0.125',
      'starrocks_backend_tablets{backend="127.0.0.1:9050"} 1024',
      'starrocks_connections 2',
      'starrocks_connections_max 4096',
      'starrocks_frontend_alive{frontend="127.0.0.1:9010",role="leader"} 1',
      'starrocks_frontend_replayed_journal_id{frontend="127.0.0.1:9010"} 4711',
      'starrocks_info{version="3.3.5-6d81f75"} 1',
      'starrocks_routine_load_error_rows_total{database="erp",job="orders"} 2',
      // 16 - (5 + 1) and 7 - 0.
      'starrocks_routine_load_lag{database="erp",job="orders"} 17',
      'starrocks_routine_load_rows_total{database="erp",job="orders"} 64',
      ...['cancelled', 'need_schedule', 'paused', 'running', 'stopped', 'unstable'].map(
        (state) =>
          `starrocks_routine_load_state{database="erp",job="orders",state="${state}"} ${Number(state === 'running')}`,
      ),
      'starrocks_table_rows{database="erp",table="lines"} 1000',
      'starrocks_table_rows{database="erp",table="orders"} 3',
      'starrocks_tablets_error_state{database="erp"} 0',
      'starrocks_tablets_inconsistent{database="erp"} 0',
      'starrocks_tablets_unhealthy{database="erp"} 3',
    ].toSorted(),
  )
  expect(series(lines, 'starrocks_loads')).toHaveLength(10)
  expect(series(lines, 'starrocks_loads')).toEqual(
    expect.arrayContaining([
      'starrocks_loads{type="insert",state="cancelled"} 1',
      'starrocks_loads{type="insert",state="finished"} 12',
      'starrocks_loads{type="insert",state="loading"} 0',
    ]),
  )
  expect(series(lines, 'starrocks_table_bytes')).toHaveLength(2)
  const [largest] = series(
    await collectorOf({ allow_tables: ['^erp\\.'], max_tables: 1 }).run(),
    'starrocks_table_rows',
  )
  expect(largest).toBe('starrocks_table_rows{database="erp",table="lines"} 1000')
  expect(collector.findings().map(({ alarm }) => alarm)).toEqual([undefined])
  expect(collector.health()).toEqual({
    details: {
      version: '3.3.5-6d81f75',
      frontends: { alive: 1, dead: [] },
      backends: { alive: 1, dead: [] },
      connections: { used: 2, max: 4096 },
      tablets_unhealthy: 3,
      routine_loads: { running: 1 },
    },
    problems: [],
  })
})

test('a run costs eight requests, and one more for each database', async () => {
  const collector = collectorOf({ databases: ['erp', 'e`rp'] })
  await part.answer({ asked: [] })
  await collector.run()
  await collector.run()
  const { asked } = await part.answer({})
  const everyRun = [
    'SELECT @@version_comment AS version_comment',
    'SHOW FRONTENDS',
    'SHOW BACKENDS',
    'SHOW COMPUTE NODES',
    ROUTINE_LOADS,
    'SHOW ALL ROUTINE LOAD FROM `e``rp`',
    expect.stringMatching(/^SELECT .* FROM information_schema.loads/),
    expect.stringMatching(/^SELECT .* FROM information_schema.tables/),
    'SHOW PROCESSLIST',
    "ADMIN SHOW FRONTEND CONFIG LIKE 'qe_max_connection'",
  ]
  expect(asked).toEqual([...everyRun, "SHOW PROC '/statistic'", ...everyRun])
})

test('a dead backend, and compute nodes', async () => {
  const dead = backend({ IP: '10.0.0.2', Alive: 'false', ErrMsg: 'connection refused' })
  const node = {
    ComputeNodeId: '7',
    IP: 'fd00::7',
    HeartbeatPort: '9050',
    Alive: 'true',
    MemUsedPct: '50.00 %',
  }
  await part.answer({
    answers: {
      'SHOW BACKENDS': rowsOf(backend(), dead),
      'SHOW COMPUTE NODES': rowsOf({ ...node, CpuUsedPct: '0.0 %', TabletNum: '11' }),
    },
  })
  const collector = collectorOf()
  const lines = series(await collector.run(), 'starrocks_backend_')
  expect(lines.filter((line) => line.includes('10.0.0.2'))).toEqual([
    'starrocks_backend_alive{backend="10.0.0.2:9050"} 0',
    'starrocks_backend_tablets{backend="10.0.0.2:9050"} 1024',
  ])
  expect(lines.filter((line) => line.includes('fd00'))).toEqual([
    'starrocks_backend_alive{backend="[fd00::7]:9050"} 1',
    'starrocks_backend_cpu_used_ratio{backend="[fd00::7]:9050"} 0',
    'starrocks_backend_memory_used_ratio{backend="[fd00::7]:9050"} 0.5',
    'starrocks_backend_tablets{backend="[fd00::7]:9050"} 11',
  ])
  expect(collector.health()).toMatchObject({
    details: { backends: { alive: 2, dead: ['10.0.0.2:9050'] } },
    problems: ['backend 10.0.0.2:9050 is dead'],
  })
})

test('a routine load that was paused: its state, why, and the text beyond the series', async () => {
  const text = "ErrorReason{errCode = 102, msg='current error rows is more than max error num'}"
  await part.answer({
    answers: {
      [ROUTINE_LOADS]: rowsOf(
        // Of this name there was one before.
        routineLoad({ Id: '10300', State: 'PAUSED', ReasonOfStateChanged: text }),
        routineLoad({ Id: '9999', State: 'CANCELLED' }),
        routineLoad({
          Name: 'old',
          State: 'STOPPED',
          ReasonOfStateChanged: "ErrorReason{errCode = 101, msg='User'}",
        }),
        routineLoad({ Name: 'odd', State: 'CANCELLED', ReasonOfStateChanged: 'something new' }),
      ),
    },
  })
  const collector = collectorOf({ databases: ['erp'] })
  const lines = series(await collector.run(), 'starrocks_routine_load_')
  expect(lines.filter((line) => line.includes('_state{') && line.endsWith(' 1'))).toEqual([
    'starrocks_routine_load_state{database="erp",job="odd",state="cancelled"} 1',
    'starrocks_routine_load_state{database="erp",job="old",state="stopped"} 1',
    'starrocks_routine_load_state{database="erp",job="orders",state="paused"} 1',
  ])
  expect(lines.filter((line) => line.includes('_reason_'))).toEqual([
    'starrocks_routine_load_reason_info{database="erp",job="odd",reason="other"} 1',
    'starrocks_routine_load_reason_info{database="erp",job="old",reason="stopped_by_hand"} 1',
    'starrocks_routine_load_reason_info{database="erp",job="orders",reason="too_many_error_rows"} 1',
  ])
  // What StarRocks tells of it is of the time when it ran.
  expect(lines.filter((line) => line.includes('_lag'))).toEqual([])
  expect(lines).toContain('starrocks_routine_load_rows_total{database="erp",job="orders"} 64')
  const alarms = collector.findings().map(({ labels, alarm }) => [labels.job, alarm?.problem])
  expect(alarms).toEqual([
    ['orders', `routine load erp.orders is paused: ${text}`],
    ['old', undefined],
    ['odd', 'routine load erp.odd is cancelled: something new'],
  ])
  expect(lines.join()).not.toContain('current error rows')
  // A run that cannot see the jobs says nothing new of them.
  await part.answer({ answers: { [ROUTINE_LOADS]: { error: { code: 1064, message: 'no' } } } })
  await collector.run()
  expect(failed(collector)).toEqual([[{ database: 'erp' }, expect.stringContaining('no')]])
  expect(collector.findings().map(({ labels, alarm }) => [labels.job, alarm?.problem])).toEqual(alarms)
})

test.each([
  [
    'nothing was ever read, of anything',
    { Progress: '{"0":"OFFSET_ZERO"}', LatestSourcePosition: '{"0":"0"}' },
    0,
  ],
  ['all was read', { Progress: '{"0":"5"}', LatestSourcePosition: '{"0":"6"}' }, 0],
  [
    'the position was told before the last read',
    { Progress: '{"0":"9"}', LatestSourcePosition: '{"0":"6"}' },
    0,
  ],
  ['a partition is not begun', { Progress: '{"0":"5","1":"OFFSET_BEGINNING"}' }, undefined],
  ['a partition has no position', { LatestSourcePosition: '{"0":"6"}' }, undefined],
  ['the leader has changed', { LatestSourcePosition: '{}' }, undefined],
  ['nothing is known', { Progress: '{}', LatestSourcePosition: 'null' }, undefined],
  ['no JSON', { Progress: '{"0', LatestSourcePosition: '' }, undefined],
])('lag where %s', async (_, columns, lag) => {
  await part.answer({ answers: { [ROUTINE_LOADS]: rowsOf(routineLoad(columns)) } })
  expect(series(await collectorOf({ databases: ['erp'] }).run(), 'starrocks_routine_load_lag')).toEqual(
    lag === undefined ? [] : [`starrocks_routine_load_lag{database="erp",job="orders"} ${lag}`],
  )
})

test('what is missing, NULL or of another form is absent', async () => {
  const { Alive: _, HttpPort: _port, ...silent } = backend({ IP: '10.0.0.3' })
  const odd = {
    TabletNum: '-1',
    MaxDiskUsedPct: 'N/A',
    MemUsedPct: null,
    CpuUsedPct: '%',
    TotalCapacity: '1 XB',
  }
  await part.answer({
    answers: {
      'SHOW FRONTENDS': rowsOf(frontend({ Alive: 'perhaps', ReplayedJournalId: 'NULL' })),
      'SHOW BACKENDS': rowsOf(backend({ ...odd, AvailCapacity: '0.000 ', HttpPort: null })),
      'SHOW COMPUTE NODES': rowsOf(silent),
      "SHOW PROC '/statistic'": rowsOf({ DbId: '1', DbName: 'erp', UnhealthyTabletNum: '' }),
      [ROUTINE_LOADS]: rowsOf(routineLoad({ Statistic: '{"totalRows":"many"}', State: null })),
      "ADMIN SHOW FRONTEND CONFIG LIKE 'qe_max_connection'": { columns: ['Key'], rows: [] },
      loads: rowsOf({ load_type: 'stream', load_state: 'new_state', load_count: '4' }),
    },
  })
  const collector = collectorOf({ databases: ['erp'], http_metrics: true })
  const lines = series(await collector.run()).filter(
    (line) => !/starrocks_(table_|be_|loads.* 0$)/.test(line),
  )
  expect(failed(collector)).toEqual([])
  expect(lines).toEqual([
    'starrocks_backend_alive{backend="127.0.0.1:9050"} 1',
    'starrocks_backend_disk_available_bytes{backend="127.0.0.1:9050"} 0',
    'starrocks_backend_tablets{backend="10.0.0.3:9050"} 1024',
    'starrocks_connections 2',
    'starrocks_info{version="3.3.5-6d81f75"} 1',
    'starrocks_loads{type="stream",state="new_state"} 4',
  ])
  // A row that cannot be named is an error.
  await part.answer({ answers: { 'SHOW BACKENDS': rowsOf({ Alive: 'true' }) } })
  await collector.run()
  expect(failed(collector)).toEqual([[{ request: 'backends' }, 'starrocks: a node without IP']])
})

test('a user who may not see the nodes has the rest', async () => {
  const denied = accessDenied('OPERATE')
  const statements = ['SHOW FRONTENDS', 'SHOW BACKENDS', 'SHOW COMPUTE NODES', "SHOW PROC '/statistic'"]
  await part.answer({ answers: Object.fromEntries(statements.map((sql) => [sql, denied])) })
  const collector = collectorOf({ databases: ['erp'] })
  const lines = series(await collector.run())
  expect(failed(collector)).toEqual(
    ['frontends', 'backends', 'computeNodes', 'tablets'].map((request) => [
      { request },
      expect.stringMatching(/^starrocks at 127\.0\.0\.1:\d+: SHOW .*: Access denied; you need .* OPERATE/),
    ]),
  )
  expect(lines).toContain('starrocks_routine_load_rows_total{database="erp",job="orders"} 64')
  expect(lines).toContain('starrocks_table_rows{database="erp",table="orders"} 3')
  // It would count its own sessions alone.
  expect(lines.filter((line) => line.startsWith('starrocks_connections '))).toEqual([])
})

test('version 2.5 has fewer columns, and no table of loads', async () => {
  const { MemUsedPct: _, CpuUsedPct: _cpu, NumRunningQueries: _queries, ...older } = backend()
  const { LatestSourcePosition: _position, OffsetLag: _lag, ...job } = routineLoad()
  await part.answer({
    answers: {
      'SELECT @@version_comment AS version_comment': rowsOf({ version_comment: 'StarRocks version 2.5.13' }),
      'SHOW BACKENDS': rowsOf(older),
      [ROUTINE_LOADS]: rowsOf(job),
      loads: { error: { code: 1064, message: "Unknown table 'information_schema.loads'" } },
    },
  })
  const collector = collectorOf({ databases: ['erp'] })
  const lines = series(await collector.run())
  expect(failed(collector)).toEqual([])
  expect(lines).toContain('starrocks_info{version="2.5.13"} 1')
  expect(lines.filter((line) => /_(cpu|memory)_used|_lag|_loads/.test(line))).toEqual([])
  expect(lines).toContain('starrocks_backend_disk_used_ratio{backend="127.0.0.1:9050"} 0.3125')
})

test('databases are found, and no more of them are read than max_databases', async () => {
  const collector = collectorOf({ max_databases: 1 })
  expect(series(await collector.run(), 'starrocks_routine_load_rows')).toHaveLength(1)
  expect(failed(collector)).toEqual([
    [{ request: 'routine loads' }, expect.stringMatching(/^starrocks: max_databases \(1\) of \d+ are read$/)],
  ])
})

test('tablets are looked at every tablets_interval, and the runs in between tell the last look', async () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const collector = collectorOf({ databases: ['erp'], tablets_interval: '5m' }, clock)
  const unhealthy = async () => series(await collector.run(), 'starrocks_tablets_unhealthy')
  const told = (count: number) =>
    part.answer({
      answers: {
        "SHOW PROC '/statistic'": rowsOf({ DbId: '1', DbName: 'erp', UnhealthyTabletNum: String(count) }),
      },
    })
  expect(await unhealthy()).toEqual(['starrocks_tablets_unhealthy{database="erp"} 3'])
  await told(4)
  await clock.advance(299_000, setImmediate)
  expect(await unhealthy()).toEqual(['starrocks_tablets_unhealthy{database="erp"} 3'])
  await clock.advance(1_000, setImmediate)
  expect(await unhealthy()).toEqual(['starrocks_tablets_unhealthy{database="erp"} 4'])
})

test('a statement that hangs is a failed part, and a front end that hangs a failed run', async () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  const collector = collectorOf({ databases: ['erp'] }, clock)
  await part.answer({ asked: [], answers: { 'SHOW BACKENDS': 'hang' } })
  const hung = async (sql: string) => {
    await waitFor('it to be asked', async () => (await part.answer({})).asked.includes(sql))
    await clock.advance(starrocks.defaults.timeout / 2, setImmediate)
  }
  const running = collector.run()
  await hung('SHOW BACKENDS')
  const lines = series(await running)
  expect(failed(collector)).toEqual([
    [
      { request: 'backends' },
      expect.stringMatching(/^starrocks at .*: SHOW BACKENDS: no answer within 10000 ms$/),
    ],
  ])
  expect(lines).toContain('starrocks_connections 2')

  const version = 'SELECT @@version_comment AS version_comment'
  await part.answer({ asked: [], answers: { [version]: 'hang' } })
  const failing = expect(collector.run()).rejects.toThrow(
    /^starrocks at .*: SELECT @@version.*no answer within/,
  )
  await hung(version)
  await failing
})

test('the next front end is asked where one is down, hangs or ends in the middle', async () => {
  const other = await startStarrocks({ tables: mariadb.url('erp'), password: part.password })
  try {
    const collector = collectorOf({ hosts: ['127.0.0.1:1', other.host] })
    expect(series(await collector.run(), 'starrocks_info')).toHaveLength(1)
    expect(failed(collector)).toEqual([])

    // One that ends while it is asked is a failed part, and the parts after it ask the next.
    await other.answer({ answers: { 'SHOW BACKENDS': 'hang' }, asked: [] })
    const running = collector.run()
    await waitFor('it to be asked', async () => (await other.answer({})).asked.includes('SHOW BACKENDS'))
    await other.kill()
    await other.start()
    await running
    expect(failed(collector).map(([labels]) => labels)).toEqual(
      expect.arrayContaining([{ request: 'backends' }]),
    )
    expect(series(await collector.run(), 'starrocks_info')).toHaveLength(1)
    expect(failed(collector)).toEqual([])

    const down = collectorOf({ hosts: ['127.0.0.1:1', '127.0.0.1:2'] })
    await expect(down.run()).rejects.toThrow(
      /^starrocks at 127\.0\.0\.1:\d: connect: .*ECONNREFUSED.*; starrocks at 127\.0\.0\.1:\d: connect: .*ECONNREFUSED/,
    )
  } finally {
    await other.remove()
  }
})

test('a connected front end that hangs is passed over', async () => {
  const other = await startStarrocks({ tables: mariadb.url('erp'), password: part.password })
  const clock = new ManualClock(Date.UTC(2026, 0, 1))
  try {
    const collector = collectorOf({ hosts: [part.host, other.host], password: part.password }, clock)
    await collector.run()
    await part.answer({ asked: [], answers: { 'SELECT @@version_comment AS version_comment': 'hang' } })
    const running = collector.run()
    await waitFor('it to be asked', async () => (await part.answer({})).asked.length > 0)
    await clock.advance(Math.ceil(starrocks.defaults.timeout / 3), setImmediate)
    expect(series(await running, 'starrocks_info')).toHaveLength(1)
    expect((await other.answer({})).asked.length).toBeGreaterThan(0)
  } finally {
    await other.remove()
  }
})

test('a wrong password is told, and is not in what is told', async () => {
  const collector = collectorOf({ password: 'wr@ng/secret' })
  const failure = await collector.run().catch((error: unknown) => error)
  expect(String(failure)).toMatch(
    /^Error: starrocks at 127\.0\.0\.1:\d+: connect: Access denied for user 'monitor'/,
  )
  expect(JSON.stringify([failure, String((failure as Error).stack)])).not.toMatch(/secret|wr(@|%40)ng/)
  await expect(collectorOf({ password: undefined }).run()).rejects.toThrow('Access denied')
})

test('/metrics of the live front ends and backends', async () => {
  const gone = backend({ IP: '127.0.0.1', HeartbeatPort: '9051', HttpPort: '1' })
  const dead = backend({ IP: '127.0.0.1', HeartbeatPort: '9052', HttpPort: '2', Alive: 'false' })
  const { feHttpPort, beHttpPort } = part.ports
  await part.answer({
    answers: {
      'SHOW FRONTENDS': rowsOf(
        frontend({ HttpPort: String(feHttpPort) }),
        frontend({ EditLogPort: '9011', HttpPort: String(feHttpPort), Role: 'FOLLOWER' }),
      ),
      'SHOW BACKENDS': rowsOf(backend({ HttpPort: String(beHttpPort) }), gone, dead),
    },
  })
  const collector = collectorOf({ databases: ['erp'], http_metrics: true })
  const lines = await collector.run(PATIENCE_MS)
  expect(series(lines, 'starrocks_fe_')).toEqual([
    'starrocks_fe_connections{frontend="127.0.0.1:9010"} 17',
    'starrocks_fe_connections{frontend="127.0.0.1:9011"} 17',
    'starrocks_fe_jvm_heap_max_bytes{frontend="127.0.0.1:9010"} 8302362624',
    'starrocks_fe_jvm_heap_max_bytes{frontend="127.0.0.1:9011"} 8302362624',
    'starrocks_fe_jvm_heap_used_bytes{frontend="127.0.0.1:9010"} 123456789',
    'starrocks_fe_jvm_heap_used_bytes{frontend="127.0.0.1:9011"} 123456789',
    'starrocks_fe_meta_log_entries{frontend="127.0.0.1:9010"} 1234',
    'starrocks_fe_queries_total{frontend="127.0.0.1:9010"} 120',
    'starrocks_fe_queries_total{frontend="127.0.0.1:9011"} 120',
    'starrocks_fe_query_errors_total{frontend="127.0.0.1:9010"} 4',
    'starrocks_fe_query_errors_total{frontend="127.0.0.1:9011"} 4',
    'starrocks_fe_query_latency_p99_seconds{frontend="127.0.0.1:9010"} 0.25',
    'starrocks_fe_query_latency_p99_seconds{frontend="127.0.0.1:9011"} 0.25',
    'starrocks_fe_tablet_compaction_score_max{frontend="127.0.0.1:9010"} 42',
    'starrocks_fe_transactions_failed_total{frontend="127.0.0.1:9010"} 2',
  ])
  expect(series(lines, 'starrocks_be_')).toEqual([
    'starrocks_be_compactions_failed_total{backend="127.0.0.1:9050",type="base_compaction"} 1',
    'starrocks_be_compactions_failed_total{backend="127.0.0.1:9050",type="cumulative_compaction"} 2',
    'starrocks_be_disk_available_bytes{backend="127.0.0.1:9050",path="/data/a"} 1500',
    'starrocks_be_disk_bytes{backend="127.0.0.1:9050",path="/data/a"} 2000',
    'starrocks_be_disk_bytes{backend="127.0.0.1:9050",path="/data/b"} 4000',
    'starrocks_be_tablet_rowsets_max{backend="127.0.0.1:9050"} 77',
  ])
  expect(failed(collector)).toEqual([
    [{ backend: '127.0.0.1:9051' }, expect.stringMatching(/^starrocks at 127\.0\.0\.1:1: GET \/metrics: /)],
  ])
})

test('an address whose certificate could not be verified is refused', () => {
  const tls = { ca: 'PEM' }
  const parse = (given: object) => starrocks.settings.safeParse({ username: 'monitor', ...given })
  for (const hosts of [['fe-1:9030', '10.0.0.1:9030'], ['[fd00::1]:9030']]) {
    expect(parse({ hosts, tls }).error?.issues.map(({ path }) => path)).toEqual([['tls', 'server_name']])
    expect(parse({ hosts, tls: { ...tls, server_name: '10.0.0.1' } }).success).toBe(false)
    expect(parse({ hosts, tls: { ...tls, server_name: 'fe-1' } }).success).toBe(true)
    expect(parse({ hosts, tls: { insecure_skip_verify: true } }).success).toBe(true)
  }
  expect(parse({ hosts: ['fe-1:9030'], tls }).success).toBe(true)
})

test('routine loads are jobs of the kind sync', async () => {
  const states = ['RUNNING', 'NEED_SCHEDULE', 'PAUSED', 'UNSTABLE', 'CANCELLED', 'STOPPED']
  const [first = {}, ...others] = states.map((State) => routineLoad({ Name: State, State }))
  await part.answer({ answers: { [ROUTINE_LOADS]: rowsOf(first, ...others) } })
  const exposition = new Exposition()
  await collectorOf({ databases: ['erp'] }, undefined, exposition).run()
  const up = [{ labels: { target: 'test' }, value: 1 }]
  const sync = new Others(
    { jobs: [], topics: [], targets: undefined },
    { target: 'test', samples: (name) => (name === 'starrocks_up' ? up : exposition.samples(name)) },
  )
  const known = sync.jobs()?.all.map(({ job, state, isActive, isWrong }) => [job, state, isActive, isWrong])
  expect(known?.toSorted()).toEqual([
    ['erp.CANCELLED', 'cancelled', false, true],
    ['erp.NEED_SCHEDULE', 'need_schedule', true, false],
    ['erp.PAUSED', 'paused', false, true],
    ['erp.RUNNING', 'running', true, false],
    ['erp.STOPPED', 'stopped', false, false],
    ['erp.UNSTABLE', 'unstable', false, true],
  ])
})
