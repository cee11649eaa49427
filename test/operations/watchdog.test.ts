import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stateInMemory } from '../../src/collection/kept-state.ts'
import { watchdog as settingsOf, type WatchdogSettings } from '../../src/config/watchdog.ts'
import { Watchdog } from '../../src/operations/watchdog.ts'
import { type Receivers, startReceivers, telegramToken } from '../alertmanager/receivers.ts'
import { ManualClock } from '../collection/manual-clock.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { waitFor } from '../testbed/process.ts'

const MINUTE = 60_000
const start = Date.parse('2026-01-02T03:00:00Z')

let clock: ManualClock
let receivers: Receivers
let folder: ReturnType<typeof temporaryFolder>
let happened: string[]
let running: Watchdog[]

beforeEach(async () => {
  clock = new ManualClock(start)
  receivers = await startReceivers()
  folder = temporaryFolder('watchdog')
  happened = []
  running = []
})
afterEach(async () => {
  await Promise.all(running.map((each) => each.stop()))
  await receivers.close()
  folder.remove()
})

function settings(more: object = {}): WatchdogSettings {
  mkdirSync(folder.path, { recursive: true })
  const file = (name: string, text: string) => {
    writeFileSync(join(folder.path, name), text)
    return join(folder.path, name)
  }
  return settingsOf.parse({
    notify: {
      slack: { url_file: file('slack', `${receivers.url}/slack/secret-path`) },
      telegram: {
        bot_token_file: file('telegram', telegramToken),
        chat_id: -100,
        api_url: `${receivers.url}/telegram`,
      },
      webhook: { url_file: file('webhook', `${receivers.url}/webhook`) },
    },
    ...more,
  })
}

/** A daemon's switch. One with the state of another is that daemon, started again. */
async function begin(given = settings(), state = stateInMemory()): Promise<Watchdog> {
  const watchdog = new Watchdog({
    clock,
    state,
    events: {
      away: (prometheus, since) => happened.push(`away ${prometheus} ${new Date(since).toISOString()}`),
      back: (prometheus) => happened.push(`back ${prometheus}`),
      notTold: (receiver, error, last) => happened.push(`not told ${receiver} ${last}: ${error}`),
      broken: (error) => happened.push(`broken ${error}`),
    },
  })
  running.push(watchdog)
  await watchdog.apply(given)
  return watchdog
}

/** What is being sent has arrived, or was refused: nobody waits for the ten seconds of an answer. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  await waitFor('what is sent to end', () => !clock.waits.includes(10_000))
  await new Promise((resolve) => setImmediate(resolve))
}
const pass = (ms: number) => clock.advance(ms, settle)

const counts = () => [receivers.slack.length, receivers.telegram.length, receivers.webhook.length]

test('while the Watchdog comes nobody is told anything', async () => {
  const watchdog = await begin()
  for (let minute = 0; minute < 20; minute++) {
    watchdog.received({ alertname: 'Watchdog' })
    await pass(MINUTE)
  }
  expect([happened, counts()]).toEqual([[], [0, 0, 0]])
  expect(watchdog.series().switches).toEqual([{ prometheus: '', ok: true, receivedAt: start + 19 * MINUTE }])
})

test('one that stays away is told once, and its return once', async () => {
  const watchdog = await begin()
  await pass(2 * MINUTE)
  watchdog.received({ alertname: 'Watchdog' })
  await pass(5 * MINUTE - 1)
  expect(counts()).toEqual([0, 0, 0])
  await pass(1)
  expect(counts()).toEqual([1, 1, 1])
  expect(watchdog.series().switches).toMatchObject([{ ok: false }])
  await pass(24 * 60 * MINUTE)
  expect(counts()).toEqual([1, 1, 1])
  expect(receivers.slack[0]?.text).toContain(
    ':rotating_light: *The Watchdog stays away: alerts do not arrive*',
  )
  expect(receivers.slack[0]?.text).toContain('The last one came at 2026-01-02 03:02:00 UTC.')
  expect(receivers.slack[0]?.text).toContain('First step: is Prometheus up, is Alertmanager up')
  expect(receivers.telegram[0]).toMatchObject({
    chat_id: '-100',
    text: expect.stringContaining('🔴 The Watchdog stays away: alerts do not arrive\n'),
  })
  expect(receivers.webhook[0]).toMatchObject({
    status: 'firing',
    commonLabels: { alertname: 'WatchdogMissing', severity: 'critical' },
    commonAnnotations: { summary: 'The Watchdog stays away: alerts do not arrive' },
    alerts: [{ status: 'firing', startsAt: '2026-01-02T03:02:00.000Z' }],
  })

  watchdog.received({ alertname: 'Watchdog' })
  watchdog.received({ alertname: 'Watchdog' })
  await pass(MINUTE)
  expect(counts()).toEqual([2, 2, 2])
  expect(receivers.slack[1]?.text).toContain(':white_check_mark: *The Watchdog is back')
  expect(receivers.slack[1]?.text).toContain(
    'It was away from 2026-01-02 03:02:00 UTC to 2026-01-03 03:07:00 UTC.',
  )
  expect(receivers.webhook[1]).toMatchObject({
    status: 'resolved',
    alerts: [{ status: 'resolved', endsAt: '2026-01-03T03:07:00.000Z' }],
  })
  expect(watchdog.series()).toMatchObject({
    switches: [{ ok: true }],
    notifications: [
      { receiver: 'slack', result: 'sent', count: 2 },
      { receiver: 'slack', result: 'failed', count: 0 },
      { receiver: 'telegram', result: 'sent', count: 2 },
      { receiver: 'telegram', result: 'failed', count: 0 },
      { receiver: 'webhook', result: 'sent', count: 2 },
      { receiver: 'webhook', result: 'failed', count: 0 },
    ],
  })
  expect(happened).toEqual(['away  2026-01-02T03:02:00.000Z', 'back '])
  expect(receivers.refused).toEqual([])

  // And again.
  await pass(6 * MINUTE)
  expect(counts()).toEqual([3, 3, 3])
})

test('one that never came is told from the start on', async () => {
  await begin()
  await pass(5 * MINUTE)
  expect(receivers.slack.map(({ text }) => text)).toEqual([
    expect.stringContaining('None has come since the start at 2026-01-02 03:00:00 UTC.'),
  ])
})

test('a receiver that does not answer well is tried again, some times, and no error says where it is', async () => {
  receivers.failWith = 503
  const watchdog = await begin()
  await pass(5 * MINUTE)
  expect(receivers.failed).toBe(3)
  await pass(5_000)
  expect(receivers.failed).toBe(6)
  await pass(60 * MINUTE)
  expect(receivers.failed).toBe(30)
  expect(happened.filter((each) => each.startsWith('not told slack true'))).toEqual([
    expect.stringMatching(/^not told slack true: Error: slack at 127\.0\.0\.1:\d+: POST: status 503: /),
  ])
  expect(happened.join()).not.toMatch(/secret-path|loopback-telegram-token/)
  receivers.failWith = undefined
  await pass(24 * 60 * MINUTE)
  expect(counts()).toEqual([0, 0, 0])
  expect(watchdog.series().notifications[1]).toEqual({ receiver: 'slack', result: 'failed', count: 10 })
  // Its return is another message.
  watchdog.received({ alertname: 'Watchdog' })
  await pass(1)
  expect(counts()).toEqual([1, 1, 1])
})

test('a receiver that comes back in time is told once; one that was told is left alone', async () => {
  receivers.failWith = 500
  await begin()
  await pass(5 * MINUTE)
  receivers.failWith = undefined
  await pass(60 * MINUTE)
  expect(counts()).toEqual([1, 1, 1])
})

test('what could not be told before the return is not told after it', async () => {
  receivers.failWith = 500
  const watchdog = await begin()
  await pass(5 * MINUTE)
  watchdog.received({ alertname: 'Watchdog' })
  await settle()
  receivers.failWith = undefined
  await pass(MINUTE)
  expect(receivers.slack.map(({ text }) => text)).toEqual([expect.stringContaining('is back')])
})

test('a receiver that is not there: the error says why, and not where its secret path leads', async () => {
  const given = settings()
  await receivers.close()
  await begin(given)
  await pass(5 * MINUTE)
  expect(happened.filter((each) => each.startsWith('not told'))).toHaveLength(3)
  expect(happened.join()).toContain('ECONNREFUSED')
  expect(happened.join()).not.toMatch(/secret-path|loopback-telegram-token/)
})

test('a restart tells nothing twice, and tells what was left', async () => {
  const state = stateInMemory()
  const first = await begin(settings(), state)
  await pass(5 * MINUTE)
  await first.stop()
  expect(counts()).toEqual([1, 1, 1])

  const second = await begin(settings(), state)
  await pass(60 * MINUTE)
  expect(counts()).toEqual([1, 1, 1])
  expect(second.series().switches).toMatchObject([{ ok: false }])
  receivers.failWith = 500
  second.received({ alertname: 'Watchdog' })
  await settle()
  await second.stop()

  receivers.failWith = undefined
  await pass(2 * MINUTE)
  const third = await begin(settings(), state)
  await settle()
  expect(counts()).toEqual([2, 2, 2])
  expect(receivers.slack[1]?.text).toContain('is back')
  expect(third.series().switches).toEqual([{ prometheus: '', ok: true, receivedAt: start + 65 * MINUTE }])
  // It waits from its own start on, however long it was not there.
  await pass(5 * MINUTE - 1)
  expect(counts()).toEqual([2, 2, 2])
  await pass(1)
  expect(counts()).toEqual([3, 3, 3])
})

test('each Prometheus has its own switch, and feeds no other', async () => {
  const watchdog = await begin(settings({ expect: ['jakarta', 'surabaya <&>'], external_label: 'site' }))
  for (let minute = 0; minute < 6; minute++) {
    watchdog.received({ alertname: 'Watchdog', site: 'jakarta' })
    await pass(MINUTE)
  }
  expect(happened).toEqual(['away surabaya <&> 2026-01-02T03:00:00.000Z'])
  expect(receivers.slack.map(({ text }) => text)).toEqual([
    // Slack reads <…> as a link.
    expect.stringContaining('The Watchdog of Prometheus surabaya &lt;&amp;&gt; stays away'),
  ])
  expect(receivers.webhook[0]?.alerts[0]?.labels).toMatchObject({ site: 'surabaya <&>' })
  expect(() => watchdog.received({ alertname: 'Watchdog', site: 'medan' })).toThrow('got "medan"')
  expect(() => watchdog.received({ alertname: 'Watchdog' })).toThrow(
    'expected the external label site of jakarta, surabaya <&>, got ""',
  )
})

test('a machine that slept heard nobody: it waits anew', async () => {
  const watchdog = await begin()
  watchdog.received({ alertname: 'Watchdog' })
  await clock.leap(60 * MINUTE, settle)
  expect(counts()).toEqual([0, 0, 0])
  await pass(5 * MINUTE - 1)
  expect(counts()).toEqual([0, 0, 0])
  await pass(1)
  expect(counts()).toEqual([1, 1, 1])
})

test('new settings: the switch goes on as it is, with the new timeout and receivers', async () => {
  const watchdog = await begin()
  await pass(4 * MINUTE)
  await watchdog.apply(settings({ timeout: '10m' }))
  await pass(6 * MINUTE - 1)
  expect(counts()).toEqual([0, 0, 0])
  await pass(1)
  expect(counts()).toEqual([1, 1, 1])
  await watchdog.apply(settings())
  await pass(60 * MINUTE)
  expect(counts()).toEqual([1, 1, 1])
  await watchdog.apply(undefined)
  expect(watchdog.series()).toEqual({ switches: [], notifications: [] })
  expect(() => watchdog.received({ alertname: 'Watchdog' })).toThrow('no watchdog is configured')
})
