import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../../src/collectors/connect/index.ts'
import { ManualClock } from '../../collection/manual-clock.ts'
import { type Collecting, collecting } from '../collect.ts'
import { connectorNamed, type StandIn, startStandIn } from './stand-in.ts'

let fleet: StandIn
let collector: Collecting

beforeEach(async () => {
  fleet = await startStandIn()
  // Its time stands still: no answer is too late.
  collector = collecting(connect, { urls: fleet.url }, undefined, new ManualClock(Date.UTC(2026, 0, 1)))
})
afterEach(async () => {
  await collector.stop()
  await fleet.close()
})

const of = (lines: readonly string[], family: string) =>
  lines.filter((line) => line.startsWith(`kafka_connect_${family}{`))

describe('500 connectors (a stand-in)', () => {
  const names = Array.from({ length: 500 }, (_, i) => `c${i}`)

  beforeEach(() => {
    fleet.connectors = Object.fromEntries(names.map((name) => [name, connectorNamed(name)]))
  })

  test('a pass takes 2 requests for all, at most 50 for the details in turn, and seldom one for the plugins', async () => {
    const passes: string[][] = []
    let lines: string[] = []
    for (let pass = 0; pass < 21; pass++) {
      fleet.requests.length = 0
      lines = await collector.run()
      passes.push([...fleet.requests])
    }
    expect(passes[0]?.length).toBe(53)
    expect(passes.map((pass) => pass.length).slice(1)).toEqual(passes.slice(1).map(() => 52))
    // Topics and position of each: 1,000 questions in 20 passes, none asked twice before all were asked once.
    const details = passes
      .slice(0, 20)
      .flatMap((pass) => pass.filter((path) => path.endsWith('s') && path.includes('/c')))
    expect(new Set(details.filter((path) => /\/(topics|offsets)$/.test(path))).size).toBe(1000)
    expect(of(lines, 'connector_state').length).toBe(500 * 7)
    expect(of(lines, 'source_position_bytes').length).toBe(500)
    expect(of(lines, 'connector_topic_info').length).toBe(500)
    expect(collector.failedParts).toEqual([])
  })

  test('states are complete in the first pass', async () => {
    const lines = await collector.run()
    expect(of(lines, 'connector_state').filter((line) => line.endsWith('state="running"} 1')).length).toBe(
      500,
    )
    expect(of(lines, 'task_state').filter((line) => line.endsWith('state="running"} 1')).length).toBe(500)
  })
})

test('one connector that makes no sense is a failed part, and the others are whole', async () => {
  fleet.connectors = { good: connectorNamed('good'), odd: { info: {}, status: null } }
  const lines = await collector.run()
  expect(of(lines, 'connector_state').length).toBe(7)
  expect(collector.failedParts.map(({ labels }) => labels)).toEqual([{ connector: 'odd' }])
  expect(String(collector.failedParts[0]?.cause)).toContain('unexpected answer for connector odd')
})

test('a rebalance keeps all that was known: no state is made up, and no failure is opened or closed', async () => {
  const failed = connectorNamed('c')
  const task = {
    id: 0,
    state: 'FAILED',
    worker_id: 'w',
    trace: 'java.lang.RuntimeException: no\n\tat X.y(X.java:1)',
  }
  fleet.connectors = { c: { ...failed, status: { ...failed.status, tasks: [task] } } }
  expect(of(await collector.run(), 'failures_total')).toEqual([
    'kafka_connect_failures_total{target="test",connector="c"} 1',
  ])

  fleet.answer = (path) =>
    path.startsWith('/connectors')
      ? {
          status: 409,
          body: {
            error_code: 409,
            message:
              'Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)',
          },
        }
      : undefined
  const lines = await collector.run()
  expect(lines).toContain('kafka_connect_rebalancing{target="test"} 1')
  expect(of(lines, 'connector_state')).toEqual([])
  // Every series that was not written.
  expect(collector.failedParts.map(({ labels }) => labels)).toEqual([{}])

  fleet.answer = () => undefined
  for (const state of ['UNASSIGNED', 'RESTARTING']) {
    fleet.connectors = { c: { ...failed, status: { ...failed.status, tasks: [{ ...task, state }] } } }
    const between = await collector.run()
    expect(between).toContain(`kafka_connect_rebalancing{target="test"} ${state === 'UNASSIGNED' ? 1 : 0}`)
    expect(of(between, 'recoveries_total')).toEqual([
      'kafka_connect_recoveries_total{target="test",connector="c"} 0',
    ])
  }
  fleet.connectors = { c: failed }
  const well = await collector.run()
  expect(well).toContain('kafka_connect_rebalancing{target="test"} 0')
  expect(of(well, 'failures_total')).toEqual(['kafka_connect_failures_total{target="test",connector="c"} 1'])
  expect(of(well, 'recoveries_total')).toEqual([
    'kafka_connect_recoveries_total{target="test",connector="c"} 1',
  ])
})

test('a trace without the state of a failure is none', async () => {
  const { info, status } = connectorNamed('c')
  const connector = { ...status.connector, state: 'RESTARTING', trace: 'java.lang.RuntimeException: no' }
  fleet.connectors = { c: { info, status: { ...status, connector } } }
  const lines = await collector.run()
  expect(of(lines, 'task_failure_info')).toEqual([])
  expect(of(lines, 'failures_total')).toEqual(['kafka_connect_failures_total{target="test",connector="c"} 0'])
})

test('details that cannot be read fail for themselves, and take no state with them', async () => {
  fleet.connectors = { c: connectorNamed('c') }
  const known = await collector.run()
  fleet.answer = (path) =>
    path.endsWith('/offsets') ? { status: 500, body: { message: 'timed out' } } : undefined
  const lines = await collector.run()
  expect(of(lines, 'connector_state').length).toBe(7)
  // For a while.
  expect(of(lines, 'source_position_bytes')).toEqual(of(known, 'source_position_bytes'))
  expect(collector.failedParts.map(({ labels }) => labels)).toEqual([{ connector: 'c', request: 'offsets' }])
  // Before Kafka 3.6 there is no such request.
  fleet.answer = (path) => (path.endsWith('/offsets') ? { status: 404, body: {} } : undefined)
  expect(of(await collector.run(), 'source_position_bytes')).toEqual([])
  expect(collector.failedParts).toEqual([])
})

test('the topics of a new connector are asked for until they stay the same, and seldom from then on', async () => {
  fleet.connectors = { c: connectorNamed('c') }
  const told = async (...topics: string[]) => {
    fleet.answer = (path) => (path.endsWith('/topics') ? { status: 200, body: { c: { topics } } } : undefined)
    return of(await collector.run(), 'connector_topic_info').length
  }
  expect(await told()).toBe(0)
  expect(await told('a')).toBe(1)
  expect(await told('a', 'b')).toBe(2)
  expect(await told('a', 'b')).toBe(2)
  fleet.requests.length = 0
  await told('a', 'b')
  expect(fleet.requests).not.toContain('/connectors/c/topics')
})

test('topics that were asked for in a rebalance are asked for again in the next pass', async () => {
  fleet.connectors = { c: connectorNamed('c') }
  fleet.answer = (path) => (path.endsWith('/topics') ? { status: 409, body: {} } : undefined)
  expect(of(await collector.run(), 'connector_topic_info')).toEqual([])
  expect(collector.failedParts).toEqual([])
  fleet.answer = () => undefined
  expect(of(await collector.run(), 'connector_topic_info')).toHaveLength(1)
})

test('a sink that reads by a pattern has the topics that it is active on', async () => {
  const sink = connectorNamed('c', {
    'topics.regex': 'erp\\..*',
    'errors.deadletterqueue.topic.name': 'dead',
  })
  fleet.connectors = { c: { ...sink, info: { ...sink.info, type: 'sink' } } }
  expect(of(await collector.run(), 'connector_topic_info')).toEqual([
    'kafka_connect_connector_topic_info{target="test",connector="c",topic="c.rows",role="consumes"} 1',
    'kafka_connect_connector_topic_info{target="test",connector="c",topic="dead",role="dead_letter"} 1',
  ])
})

test('the position is the LSN of PostgreSQL or the one in the binlog, of several the least; else there is none', async () => {
  fleet.connectors = { c: connectorNamed('c') }
  const positionOf = async (...offsets: unknown[]) => {
    fleet.answer = (path) =>
      path.endsWith('/offsets')
        ? { status: 200, body: { offsets: offsets.map((offset) => ({ partition: {}, offset })) } }
        : undefined
    return of(await collector.run(), 'source_position_bytes').map((line) => line.split(' ')[1])
  }
  expect(await positionOf({ lsn: 26_843_545, ts_usec: 1, snapshot: true })).toEqual(['26843545'])
  expect(await positionOf({ file: 'mysql-bin.000003', pos: 197, row: 1 })).toEqual(['197'])
  expect(await positionOf({ lsn: 20 }, { lsn: 10 })).toEqual(['10'])
  expect(await positionOf({ commit_lsn: '00000027:00000ac0:0002' })).toEqual([])
  expect(await positionOf(null)).toEqual([])
  expect(await positionOf()).toEqual([])
})

test('a password in the configuration of a connector is nowhere: series, parts that failed, failures', async () => {
  const password = 'Tr0ub4dor&3'
  const settings = {
    'connection.url': `jdbc:postgresql://db/erp?user=u&password=${password}`,
    'database.password': password,
    'database.url': `mongodb://u:${encodeURIComponent(password)}@db/erp`,
  }
  const { info, status } = connectorNamed('c', settings)
  const tasks = [{ id: 0, state: 'FAILED', worker_id: 'w', trace: `java.lang.RuntimeException: ${password}` }]
  fleet.connectors = { c: { info, status: { ...status, tasks } }, odd: { info, status: { connector: 3 } } }
  const lines = await collector.run()
  const shown = [...lines, ...collector.failedParts.map(({ cause }) => String(cause))].join('\n')
  expect(shown).toContain('task_failure_info')
  expect(shown).toContain('connector odd')
  expect(shown).not.toContain('Tr0ub4dor')
})
