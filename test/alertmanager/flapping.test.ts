import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../testbed/part.ts'
import { type AlertmanagerPart, startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { scaled } from './durations.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { loopbackConfig } from './shipped.ts'

/** An hour is ten seconds. */
const FACTOR = 1 / 360
/** Telegram's route repeats a little before the hour is over. */
const HOUR_MS = 55 * 60_000 * FACTOR

const secrets = temporaryFolder('secrets')
let receivers: Receivers
let alertmanager: AlertmanagerPart

beforeAll(async () => {
  receivers = await startReceivers()
  alertmanager = await startAlertmanager({
    config: loopbackConfig({
      receivers,
      folder: secrets.path,
      change: (text) => scaled(text, FACTOR),
    }),
  })
})
afterAll(async () => {
  await alertmanager?.remove()
  await receivers?.close()
  secrets.remove()
})

async function tell(connector: string, isFailed: boolean): Promise<void> {
  const labels = {
    alertname: 'ConnectFailed',
    severity: 'critical',
    environment: 'production',
    platform: 'kafka',
    target: 'erp',
    connector,
  }
  const endsAt = isFailed ? '2100-01-01T00:00:00Z' : new Date().toISOString()
  const answer = await fetch(`${alertmanager.url}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ labels, endsAt }]),
  })
  expect(answer.status).toBe(200)
}

test('of connectors that fail and run again all the time Telegram tells each at most once an hour', async () => {
  const connectors = ['orders', 'stock']
  const toldOf = (connector: string) =>
    receivers.telegram.filter(({ text }) => text.includes(`connector ${connector},`)).length
  const start = performance.now()
  // Until each has been told of three times: two hours at least, however slow this machine is.
  while (connectors.some((connector) => toldOf(connector) < 3)) {
    for (const connector of connectors) await tell(connector, true)
    await delay(200)
    for (const connector of connectors) await tell(connector, false)
    await delay(100)
    // What is counted has been sent before the time is taken.
    const told = connectors.map(toldOf)
    const most = 1 + Math.floor((performance.now() - start) / HOUR_MS)
    for (const count of told) expect(count).toBeLessThanOrEqual(most)
  }
  // Slack has each at once, and its end.
  expect(receivers.slack.length).toBeGreaterThan(receivers.telegram.length)
  expect(receivers.refused).toEqual([])
})
