import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import type { FailureReporter } from '../../src/collection/collector.ts'
import { type FailureBounds, FailureLog } from '../../src/operations/failure-log.ts'
import { openStore, storeFile } from '../../src/operations/store.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { javaTrace, observed, slotLost } from './observed.ts'

const DAY = 86_400_000
const ALL = { limit: 100, offset: 0 }

let folder: ReturnType<typeof temporaryFolder>
let now = 0
const clock = { ...systemClock, now: () => now }
let bounds: FailureBounds
let store: DatabaseSync
let log: FailureLog
let reporter: FailureReporter
let errors: unknown[]

/** As a daemon does when it starts. */
function open() {
  store = openStore(folder.path)
  log = new FailureLog(store, { clock, bounds: () => bounds, secrets: () => ['hunter2'] })
  reporter = log.reporter(
    { target: 'erp', labels: { target: 'erp', environment: 'production', platform: 'kafka' } },
    (error) => errors.push(error),
  )
}

beforeEach(() => {
  folder = temporaryFolder('failures')
  now = Date.UTC(2026, 0, 1)
  bounds = { maxAge: 90 * DAY, maxFailures: 1000 }
  errors = []
  open()
})
afterEach(() => {
  expect(errors).toEqual([])
  if (store.isOpen) store.close()
  folder.remove()
})

const states = () => log.list({}, ALL).items.map(({ resolution }) => resolution ?? 'open')

describe('a failure', () => {
  test('is opened once, with what its trace says, and closed by recovery', () => {
    const openedAt = now
    const first = reporter.report([observed()])
    expect(first.open).toEqual([
      {
        connector: 'orders',
        task: '0',
        exceptionClass: 'org.apache.kafka.connect.errors.ConnectException',
        rootClass: 'org.postgresql.util.PSQLException',
        openedAt,
        resolvedByHand: false,
      },
    ])
    expect(first.totals).toEqual(new Map([['orders', { failures: 1, recoveries: 0 }]]))
    now += 15_000
    expect(reporter.report([observed({ worker: '10.0.0.2:8083' })])).toEqual(first)

    now += 15_000
    const last = reporter.report([])
    expect(last.open).toEqual([])
    expect(last.totals).toEqual(new Map([['orders', { failures: 1, recoveries: 1 }]]))
    const { items, total } = log.list({}, ALL)
    expect(total).toBe(1)
    expect(items[0]).toMatchObject({
      target: 'erp',
      environment: 'production',
      platform: 'kafka',
      connector: 'orders',
      task: '0',
      team: 'Finance',
      labels: {
        target: 'erp',
        environment: 'production',
        platform: 'kafka',
        team: 'Finance',
        dbms: 'PostgreSQL',
      },
      worker: '10.0.0.1:8083',
      rootClass: 'org.postgresql.util.PSQLException',
      rootCause: 'org.postgresql.util.PSQLException: ERROR: replication slot "erp" does not exist',
      openedAt,
      endedAt: openedAt + 30_000,
      resolvedAt: openedAt + 30_000,
      resolution: 'recovery',
      resolvedBy: undefined,
    })
    expect(log.get(items[0]?.id ?? 0)?.trace).toBe(slotLost)
  })

  test('of each task and of the connector itself is one of its own', () => {
    reporter.report([observed(), observed({ task: '1' }), observed({ task: '' })])
    expect(reporter.report([observed({ task: '1' })]).open).toHaveLength(1)
    expect(states().toSorted()).toEqual(['open', 'recovery', 'recovery'])
  })

  test('that comes back is a new one, and the old one is its history', () => {
    reporter.report([observed()])
    reporter.report([])
    now += 1000
    reporter.report([observed()])
    const [newest] = log.list({}, ALL).items
    expect(newest && log.history(newest, 10)).toHaveLength(1)
    expect(states()).toEqual(['open', 'recovery'])
  })

  test('with another exception replaces the one before, which did not recover', () => {
    reporter.report([observed()])
    const other = javaTrace('org.apache.kafka.connect.errors.DataException: Unknown magic byte!')
    const { open, totals } = reporter.report([observed({ trace: other })])
    expect(open).toHaveLength(1)
    expect(totals.get('orders')).toEqual({ failures: 2, recoveries: 0 })
    expect(states()).toEqual(['open', 'replaced'])
  })

  test('with the same exception and other numbers in its message is the same', () => {
    reporter.report([observed()])
    reporter.report([observed({ trace: slotLost.replace('"erp"', '"erp_2"') })])
    expect(states()).toEqual(['open'])
  })

  test('follows the rules for teams as they change', () => {
    reporter.report([observed()])
    reporter.report([observed({ labels: { team: 'Sales' } })])
    expect(log.list({ team: 'Sales' }, ALL).items[0]?.labels.dbms).toBeUndefined()
    expect(log.list({ team: 'Finance' }, ALL).total).toBe(0)
  })

  test('of one target is none of another', () => {
    const other = log.reporter({ target: 'crm', labels: { target: 'crm' } }, (error) => errors.push(error))
    reporter.report([observed()])
    expect(other.report([])).toEqual({ open: [], totals: new Map() })
    expect(states()).toEqual(['open'])
  })
})

describe('by hand', () => {
  test('resolved, it is not opened again while it persists, and a new one after recovery is', () => {
    reporter.report([observed()])
    const id = log.list({}, ALL).items[0]?.id ?? 0
    expect(log.resolve(id, 'alice')).toBe('done')
    expect(log.resolve(id, 'bob')).toBe('already')
    expect(reporter.report([observed()]).open).toMatchObject([{ resolvedByHand: true }])
    expect(log.get(id)).toMatchObject({ resolution: 'hand', resolvedBy: 'alice', endedAt: undefined })
    expect(reporter.report([]).totals.get('orders')).toEqual({ failures: 1, recoveries: 1 })
    expect(log.get(id)).toMatchObject({ resolution: 'hand', resolvedBy: 'alice', endedAt: now })
    reporter.report([observed()])
    expect(states()).toEqual(['open', 'hand'])
  })

  test('opened again, it is open until it recovers; what is over stays so', () => {
    reporter.report([observed()])
    const id = log.list({}, ALL).items[0]?.id ?? 0
    expect(log.unresolve(id)).toBe('already')
    log.resolve(id, 'alice')
    expect(log.unresolve(id)).toBe('done')
    expect(reporter.report([observed()]).open).toMatchObject([{ resolvedByHand: false }])
    reporter.report([])
    expect(log.unresolve(id)).toBe('over')
    expect(log.unresolve(id + 1)).toBe('absent')
    expect(log.resolve(id + 1, 'alice')).toBe('absent')
  })
})

test('failures and counters survive a restart', () => {
  reporter.report([observed(), observed({ connector: 'customers' })])
  reporter.report([observed()])
  const before = reporter.report([observed()])
  store.close()
  open()
  expect(reporter.report([observed()])).toEqual(before)
  expect(reporter.report([]).totals).toEqual(
    new Map([
      ['customers', { failures: 1, recoveries: 1 }],
      ['orders', { failures: 1, recoveries: 1 }],
    ]),
  )
})

test('lists are filtered and paged; statistics count by each property', () => {
  const staging = log.reporter(
    { target: 'crm', labels: { target: 'crm', environment: 'staging', platform: 'raft' } },
    (error) => errors.push(error),
  )
  staging.report([observed({ labels: {} })])
  now += 1
  reporter.report([observed(), observed({ connector: 'customers' })])
  reporter.report([observed()])

  expect(log.list({ platform: 'raft' }, ALL).total).toBe(1)
  expect(log.list({ state: 'open', environment: 'production' }, ALL).items.map((f) => f.connector)).toEqual([
    'orders',
  ])
  expect(log.list({ exceptionClass: 'x' }, ALL)).toEqual({ items: [], total: 0 })
  const page = log.list({}, { limit: 2, offset: 1 })
  expect([page.items.length, page.total]).toEqual([2, 3])
  expect(log.statistics({})).toEqual({
    open: 2,
    resolved: 1,
    environments: [
      { name: 'production', open: 1, resolved: 1 },
      { name: 'staging', open: 1, resolved: 0 },
    ],
    platforms: [
      { name: 'kafka', open: 1, resolved: 1 },
      { name: 'raft', open: 1, resolved: 0 },
    ],
    teams: [
      { name: 'Finance', open: 1, resolved: 1 },
      { name: '', open: 1, resolved: 0 },
    ],
    exceptionClasses: [{ name: 'org.apache.kafka.connect.errors.ConnectException', open: 2, resolved: 1 }],
  })
  expect(log.statistics({ platform: 'raft' })).toMatchObject({ open: 1, resolved: 0 })
  expect(log.statistics({ platform: 'none' })).toMatchObject({ open: 0, resolved: 0, teams: [] })
})

describe('bounds', () => {
  test('what is over for long goes, with the counters of its connector; what persists stays', () => {
    reporter.report([observed(), observed({ connector: 'customers' })])
    reporter.report([observed()])
    now += 90 * DAY + 1
    const { open, totals } = reporter.report([observed(), observed({ connector: 'new' })])
    expect(open.map(({ connector }) => connector)).toEqual(['orders', 'new'])
    expect([...totals.keys()]).toEqual(['new', 'orders'])
    expect(log.list({}, ALL).total).toBe(2)
  })

  test('beyond the number the oldest go, those that are over first', () => {
    bounds = { ...bounds, maxFailures: 3 }
    reporter.report([observed({ connector: 'persists' })])
    for (let i = 0; i < 5; i++) {
      now += 1
      reporter.report([observed({ connector: 'persists' }), observed({ connector: `c${i}` })])
    }
    expect(log.list({}, ALL).items.map(({ connector }) => connector)).toEqual(['c4', 'c3', 'persists'])
    expect(store.prepare('SELECT count(*) AS traces FROM traces').get()).toEqual({ traces: 3 })
  })

  test('a trace beyond measure loses its middle, and both of its ends stay', () => {
    const huge = slotLost.replace('\tat ', `${'\tat x.Y.z(Y.java:1)\n'.repeat(50_000)}\tat `)
    reporter.report([observed({ trace: huge })])
    const trace = log.get(log.list({}, ALL).items[0]?.id ?? 0)?.trace ?? ''
    expect(trace.length).toBeLessThan(300_000)
    expect(trace.startsWith('org.apache.kafka.connect.errors.ConnectException')).toBe(true)
    expect(trace).toContain('Caused by: org.postgresql')
  })
})

test('no secret is kept: of the configuration, of the connector, in a URL or by its name', () => {
  const texts = [
    'jdbc:postgresql://db/erp?user=cdc&password=planted-1&ssl=true',
    'postgres://cdc:planted-2@db/erp',
    'sasl.jaas.config="Login required password=planted-3;"',
    '{"database.password": "planted-4", "x": 1}',
    'the word planted-5 of the connector',
    'hunter2',
  ]
  reporter.report([
    observed({
      trace: javaTrace('a.FirstException: first', `a.SecondException: ${texts.join(' ')}`),
      secrets: ['planted-5'],
    }),
  ])
  store.close()
  const raw = new DatabaseSync(storeFile(folder.path), { readOnly: true })
  const kept = JSON.stringify(raw.prepare('SELECT * FROM failures JOIN traces ON failure = id').all())
  raw.close()
  expect(kept).toContain('a.SecondException')
  expect(kept).toContain('ssl=true')
  expect(kept).not.toMatch(/planted|hunter2/)
})

test('forget drops a connector with its counters', () => {
  reporter.report([observed(), observed({ connector: 'customers' })])
  expect(log.forget('erp', 'orders')).toBe(1)
  expect(log.forget('erp', 'orders')).toBe(0)
  expect([...reporter.report([observed({ connector: 'customers' })]).totals.keys()]).toEqual(['customers'])
})

test('where the file cannot be written the collection goes on with what was known, and it is told once', () => {
  const before = reporter.report([observed()])
  store.close()
  expect(reporter.report([])).toEqual(before)
  expect(reporter.report([])).toEqual(before)
  expect(errors.splice(0)).toHaveLength(1)
})

describe('the file', () => {
  test('that is none of ours is refused by its name', () => {
    const path = join(folder.path, 'not-a-folder')
    expect(() => openStore(path)).not.toThrow()
    const file = new DatabaseSync(storeFile(path))
    file.exec('PRAGMA user_version = 99')
    file.close()
    expect(() => openStore(path)).toThrow(`cannot open ${storeFile(path)}`)
  })

  test('of the first version gets what it lacks, and keeps what it has', () => {
    reporter.report([observed()])
    const later = ['operation_totals', 'healing', 'collector_state']
    store.exec(`${later.map((name) => `DROP TABLE ${name};`).join('')} PRAGMA user_version = 1`)
    const upgraded = openStore(folder.path)
    expect(upgraded.prepare('SELECT count(*) AS n FROM failures').get()).toEqual({ n: 1 })
    for (const name of later)
      expect(upgraded.prepare(`SELECT count(*) AS n FROM ${name}`).get()).toEqual({ n: 0 })
    upgraded.close()
  })

  test('is open to others meanwhile', () => {
    reporter.report([observed()])
    const other = openStore(folder.path)
    const theirs = new FailureLog(other, { clock, bounds: () => bounds, secrets: () => [] })
    expect(theirs.resolve(theirs.list({}, ALL).items[0]?.id ?? 0, 'alice')).toBe('done')
    other.close()
    expect(reporter.report([observed()]).open).toMatchObject([{ resolvedByHand: true }])
  })
})
