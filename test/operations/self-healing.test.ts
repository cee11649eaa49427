import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connectFleets } from '../../src/collectors/connect/fleets.ts'
import { connect } from '../../src/collectors/connect/index.ts'
import { Audit } from '../../src/operations/audit.ts'
import { OperationLog } from '../../src/operations/operation-log.ts'
import { SelfHealing } from '../../src/operations/self-healing.ts'
import { openStore } from '../../src/operations/store.ts'
import { ManualClock } from '../collection/manual-clock.ts'
import { temporaryFolder } from '../testbed/part.ts'

// Time, in a dry run: it keeps the same account of what it would do. What it does to a real cluster is shown in
// real-healing.test.ts.

const MINUTE = 60_000
/** A Saturday. */
const BEGIN = Date.parse('2026-11-21T12:00:00Z')

let folder: ReturnType<typeof temporaryFolder>
let store: ReturnType<typeof openStore>
let audit: Audit
let clock: ManualClock
let enabled: boolean
let policy: object
let healing: SelfHealing

const begin = () => {
  audit = new Audit(store, { clock, maxEntries: () => 1000 })
  healing = new SelfHealing(store, {
    clock,
    operations: new OperationLog(store, audit),
    fleetOf: (target) =>
      connectFleets([
        {
          kind: { kind: 'connect' },
          target,
          enabled,
          labels: { environment: 'production' },
          settings: connect.settings.parse({ urls: 'http://127.0.0.1:1', self_healing: policy }),
        },
      ])[0],
    secrets: () => [],
    onError: (error) => {
      throw error
    },
  })
}

beforeEach(() => {
  folder = temporaryFolder('self-healing')
  store = openStore(folder.path)
  clock = new ManualClock(BEGIN)
  enabled = true
  policy = { dry_run: true, connectors: ['^erp-'], backoff: '2m', max_backoff: '5m', max_per_hour: 3 }
  begin()
})
afterEach(() => {
  store.close()
  folder.remove()
})

const failing = (change: object = {}) => ({
  connector: 'erp-orders',
  task: '0',
  exceptionClass: 'org.apache.kafka.connect.errors.ConnectException',
  rootClass: 'java.net.SocketTimeoutException',
  openedAt: BEGIN,
  resolvedByHand: false,
  ...change,
})

/** The state of `erp-orders`, and how many restarts were planned so far. */
function look(...open: readonly ReturnType<typeof failing>[]): string {
  const known = healing.heal('erp', open.length > 0 ? open : [failing()])?.get('erp-orders')
  return known ? `${known.state} ${known.restarts.planned}` : 'unknown'
}

const pass = (minutes: number) => clock.advance(minutes * MINUTE, async () => {})

/** Minutes after the beginning of each restart that was planned, by its audit. */
const plannedAt = () =>
  audit
    .list({ who: 'self-healing' }, { limit: 100, offset: 0 })
    .items.map(({ at }) => (at - BEGIN) / MINUTE)
    .toReversed()

test('it waits longer before each restart, and never does more than so many an hour', async () => {
  const seen: string[] = []
  for (let minute = 0; minute <= 130; minute++) {
    seen.push(look())
    await pass(1)
  }
  // 2 minutes after the failure, 4 after that, 5 instead of 8; then again as the first of them grows old.
  expect(plannedAt()).toEqual([2, 6, 11, 62, 67, 72, 122, 127])
  expect(seen.slice(0, 3)).toEqual(['waiting 0', 'waiting 0', 'waiting 1'])
  expect(seen.slice(11, 62)).toEqual(
    Array.from({ length: 51 }, (_, i) => (i === 0 ? 'waiting 3' : 'exhausted 3')),
  )
})

test('the bound holds over a restart of the daemon', async () => {
  for (let minute = 0; minute <= 20; minute++) {
    look()
    await pass(1)
  }
  expect(plannedAt()).toHaveLength(3)
  store.close()
  store = openStore(folder.path)
  begin()
  expect(look()).toBe('exhausted 0')
  expect(plannedAt()).toHaveLength(3)
})

test('what was begun and not watched to its end is audited at the next start', () => {
  store
    .prepare('INSERT INTO healing (target, connector, at, dry_run, ended) VALUES (?, ?, ?, 0, 0)')
    .run('erp', 'erp-orders', BEGIN)
  begin()
  begin()
  expect(audit.list({}, { limit: 10, offset: 0 }).items).toMatchObject([
    {
      who: 'self-healing',
      operation: 'connect restart',
      object: 'erp/erp-orders',
      result: 'failed',
      detail: 'the daemon ended before it was watched to its end',
    },
  ])
})

test('each is audited as what it is', async () => {
  look()
  await pass(2)
  expect(look()).toBe('waiting 1')
  expect(audit.list({}, { limit: 10, offset: 0 }).items).toEqual([
    {
      id: 1,
      at: BEGIN + 2 * MINUTE,
      who: 'self-healing',
      from: 'daemon',
      operation: 'connect restart',
      object: 'erp/erp-orders',
      result: 'done',
      detail: 'planned',
    },
  ])
})

describe('left alone is', () => {
  test.each([
    ['a connector that the policy does not name', { connector: 'hr-orders' }, 'unknown'],
    ['a connector that has failed itself', { task: '' }, 'excluded 0'],
    ['what somebody has marked as resolved', { resolvedByHand: true }, 'excluded 0'],
    ['an exception that is not listed', { rootClass: 'org.postgresql.util.PSQLException' }, 'excluded 0'],
  ])('%s', async (_, change, expected) => {
    policy = { ...policy, exception_classes: ['SocketTimeoutException$'] }
    await pass(30)
    expect(look(failing(change))).toBe(expected)
    // Beside another task that may be restarted: a restart takes all that has failed.
    if (expected === 'excluded 0') expect(look(failing({ task: '1' }), failing(change))).toBe('excluded 0')
    expect(plannedAt()).toEqual([])
    expect(look(failing({ task: '1' }))).toBe('waiting 1')
  })

  test('a cluster that is switched off', async () => {
    await pass(30)
    enabled = false
    expect(look()).toBe('unknown')
    expect(plannedAt()).toEqual([])
  })

  test('a cluster without a policy', async () => {
    await pass(30)
    policy = undefined as unknown as object
    expect(look()).toBe('unknown')
  })
})

test('in a maintenance window nothing is restarted; after it what is due is', async () => {
  const window = { schedule: '30 19 * * 6', timezone: 'Asia/Jakarta', duration: '1h' }
  policy = { ...policy, maintenance_windows: [window] }
  await pass(29)
  // It is 19:29 in Jakarta.
  expect(look(failing({ openedAt: BEGIN + 28 * MINUTE }))).toBe('waiting 0')
  await pass(1)
  expect(look()).toBe('suspended 0')
  await pass(59)
  expect(look()).toBe('suspended 0')
  await pass(1)
  expect(look()).toBe('waiting 1')
})

test('what fails no more is idle, and its count stays', async () => {
  await pass(2)
  look()
  expect(healing.heal('erp', [])?.get('erp-orders')).toMatchObject({
    state: 'idle',
    restarts: { planned: 1 },
  })
})

test.each([
  [{ connectors: [] }, 'connectors'],
  [{ connectors: ['('] }, 'not a regular expression'],
  [{ connectors: ['x'], max_per_hour: 0 }, 'a whole number from 1 to 60'],
  [{ connectors: ['x'], backoff: '0s' }, 'a duration above 0'],
  [{ connectors: ['x'], maintenance_windows: [{ schedule: 'nightly', duration: '1h' }] }, 'five fields'],
  [
    { connectors: ['x'], maintenance_windows: [{ schedule: '0 6 * * *', timezone: 'Mars', duration: '1h' }] },
    'a time zone',
  ],
])('%j is no policy', (self_healing, message) => {
  const { error } = connect.settings.safeParse({ urls: 'http://127.0.0.1:1', self_healing })
  expect(JSON.stringify(error?.issues)).toContain(message)
})
