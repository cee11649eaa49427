import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { type Receivers, startReceivers, telegramToken } from '../alertmanager/receivers.ts'
import { loopbackConfig } from '../alertmanager/shipped.ts'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type AlertmanagerPart, startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { waitFor } from '../testbed/process.ts'

const folder = temporaryFolder('watchdog')
const roles = ['watchdog', 'viewer', 'team-lead', 'admin'] as const
const tokens = Object.fromEntries(roles.map((role) => [role, newToken()]))

let receivers: Receivers
let daemon: DaemonPart
let alertmanager: AlertmanagerPart

beforeAll(async () => {
  receivers = await startReceivers()
  const users = roles.map((role) => ({
    name: role,
    role,
    ...(role === 'team-lead' ? { teams: ['Finance'] } : {}),
    hash: createHash('sha256')
      .update(tokens[role]?.token ?? '')
      .digest('hex'),
  }))
  writeFileSync(join(folder.path, 'tokens.yaml'), stringify({ users }))
  writeFileSync(join(folder.path, 'slack-url'), `${receivers.url}/slack/secret-path`)
  writeFileSync(join(folder.path, 'telegram-token'), telegramToken)
  writeFileSync(join(folder.path, 'webhook-url'), `${receivers.url}/webhook`)
  daemon = await startDaemon({
    folder: folder.path,
    config: {
      state_dir: 'state',
      api: { tokens_file: 'tokens.yaml' },
      watchdog: {
        // Far more than the pause between two of them, on a slow machine too.
        timeout: '10s',
        notify: {
          slack: { url_file: 'slack-url' },
          telegram: { bot_token_file: 'telegram-token', chat_id: -100, api_url: `${receivers.url}/telegram` },
          webhook: { url_file: 'webhook-url' },
        },
      },
      collectors: [],
    },
  })
})
afterAll(async () => {
  await Promise.all([alertmanager?.remove(), daemon?.remove()])
  await receivers?.close()
  folder.remove()
})

const firing = { status: 'firing', labels: { alertname: 'Watchdog' } }

async function post(body: unknown, token?: string) {
  const response = await fetch(`${daemon.url}/api/v1/watchdog`, {
    method: 'POST',
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as { readonly error?: string } }
}

const seriesOf = async (name: string) => (await daemon.scrape()).filter((sample) => sample.name === name)
const told = () => [receivers.slack.length, receivers.telegram.length, receivers.webhook.length]

describe('POST /api/v1/watchdog', () => {
  test.each([
    ['nobody', undefined, 401],
    ['a wrong token', 'cdc_wrong', 401],
    ['who may only look', tokens.viewer?.token, 403],
    ['who leads a team', tokens['team-lead']?.token, 403],
  ])('is refused to %s', async (_, token, status) => {
    expect((await post({ status: 'firing', alerts: [firing] }, token)).status).toBe(status)
    expect(await seriesOf('cdc_watchdog_last_received_timestamp_seconds')).toEqual([])
  })

  test.each([
    ['nothing', undefined, "expected the JSON of Alertmanager's webhook"],
    ['no webhook', { hello: 'there' }, "expected the JSON of Alertmanager's webhook"],
    [
      'another alert',
      { status: 'firing', alerts: [{ status: 'firing', labels: { alertname: 'KafkaDown' } }] },
      'expected alerts named Watchdog alone, got "KafkaDown"',
    ],
    [
      'another alert beside it',
      { status: 'firing', alerts: [firing, { status: 'firing', labels: { alertname: 'KafkaDown' } }] },
      'expected alerts named Watchdog alone, got "KafkaDown"',
    ],
    [
      'one that ends',
      { status: 'resolved', alerts: [{ ...firing, status: 'resolved' }] },
      'expected the status firing: a Watchdog that ends is none',
    ],
    [
      'none at all',
      { status: 'firing', alerts: [] },
      'expected the status firing: a Watchdog that ends is none',
    ],
  ])('does not take %s', async (_, body, error) => {
    expect(await post(body, tokens.watchdog?.token)).toEqual({ status: 400, body: { error } })
    expect(await seriesOf('cdc_watchdog_last_received_timestamp_seconds')).toEqual([])
  })

  test('its token opens nothing else', async () => {
    const response = await fetch(`${daemon.url}/api/v1/collectors`, {
      headers: { authorization: `Bearer ${tokens.watchdog?.token}` },
    })
    expect(response.status).toBe(403)
  })
})

const tellAlertmanager = async () => {
  const alerts = [{ labels: { alertname: 'Watchdog', severity: 'none' }, endsAt: '2100-01-01T00:00:00Z' }]
  const answer = await fetch(`${alertmanager.url}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(alerts),
  })
  expect(answer.status).toBe(200)
}

/** Waits for a sample of this value. */
async function shows(name: string, labels: object, value: number): Promise<void> {
  await waitFor(`${name} to be ${value}`, async () => {
    const samples = await seriesOf(name)
    return samples.some((sample) => {
      const fits = Object.entries(labels).every(([label, wanted]) => sample.labels[label] === wanted)
      return fits && sample.value === value
    })
  })
}

test('a real Alertmanager keeps it quiet, and when that is killed everybody is told, once, and of its return', async () => {
  alertmanager = await startAlertmanager({
    config: loopbackConfig({
      receivers,
      folder: join(folder.path, 'secrets'),
      watchdog: { url: `${daemon.url}/api/v1/watchdog`, token: tokens.watchdog?.token ?? '' },
      change: (text) => text.replace('group_interval: 1m', 'group_interval: 1s').replace('50s', '800ms'),
    }),
  })
  await tellAlertmanager()
  await waitFor('a Watchdog to come', async () => {
    return (await seriesOf('cdc_watchdog_last_received_timestamp_seconds')).length === 1
  })
  await shows('cdc_watchdog_ok', {}, 1)
  const [first] = await seriesOf('cdc_watchdog_last_received_timestamp_seconds')
  await waitFor('another to come', async () => {
    const [last] = await seriesOf('cdc_watchdog_last_received_timestamp_seconds')
    return (last?.value ?? 0) > (first?.value ?? 0)
  })

  // Where this took longer than the timeout, its absence and its return have been told already.
  await waitFor('all to have been told of its return, or nothing', () => {
    const last = [receivers.slack.at(-1), receivers.telegram.at(-1), receivers.webhook.at(-1)]
    return last.every((message) => message === undefined || JSON.stringify(message).includes('is back'))
  })
  // The first of the two is not told to whom it did not reach before the second.
  const before = told()
  const areTold = (more: number) =>
    told().every((count, receiver) => count === (before[receiver] ?? 0) + more)
  const sent = { receiver: 'telegram', result: 'sent' }
  const sentBefore = (await seriesOf('cdc_watchdog_notifications_total')).find(
    ({ labels }) => labels.receiver === sent.receiver && labels.result === sent.result,
  )
  await alertmanager.kill()
  await waitFor('all receivers to be told', () => areTold(1))
  expect(receivers.slack.at(-1)?.text).toContain('The Watchdog stays away: alerts do not arrive')
  await shows('cdc_watchdog_ok', {}, 0)
  await shows('cdc_watchdog_notifications_total', sent, (sentBefore?.value ?? Number.NaN) + 1)

  await alertmanager.start()
  await tellAlertmanager()
  await waitFor('all receivers to be told', () => areTold(2))
  expect(receivers.telegram.at(-1)?.text).toContain('✅ The Watchdog is back: alerts can arrive again')
  await shows('cdc_watchdog_ok', {}, 1)
  expect(receivers.refused).toEqual([])
})
