import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Receivers, startReceivers } from '../alertmanager/receivers.ts'
import { loopbackConfig } from '../alertmanager/shipped.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type AlertmanagerPart, startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { waitFor } from '../testbed/process.ts'
import { runCommand } from './daemon.ts'

const secrets = temporaryFolder('secrets')
let receivers: Receivers
let alertmanager: AlertmanagerPart

beforeAll(async () => {
  receivers = await startReceivers()
  alertmanager = await startAlertmanager({
    config: loopbackConfig({
      receivers,
      folder: secrets.path,
      change: (text) => text.replaceAll(/(group_wait|group_interval): [1-9]\w*/g, '$1: 100ms'),
    }),
  })
})
afterAll(async () => {
  await alertmanager?.remove()
  await receivers?.close()
  secrets.remove()
})
beforeEach(() => {
  receivers.failWith = undefined
  for (const messages of [receivers.slack, receivers.telegram, receivers.pagerDuty, receivers.mail]) {
    messages.length = 0
  }
})

const alertsTest = (...args: string[]) =>
  runCommand('alerts', 'test', '--alertmanager', alertmanager.url, ...args)

async function post(path: string, body: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${alertmanager.url}${path}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  expect(answer.status).toBe(200)
}

test('a sample goes the way of its alert, says that it is one, and ends', async () => {
  // A real one of the same name, team and environment: it stays alone.
  const labels = { alertname: 'RedisQueueBacklog', severity: 'critical', team: 'Finance', queue: 'votes' }
  await post('/api/v2/alerts', [{ labels, endsAt: '2100-01-01T00:00:00Z' }])
  await waitFor('the real one to be told', () => receivers.slack.length === 1)

  const { exitCode, stdout, stderr } = await alertsTest('RedisQueueBacklog', '--label', 'team=Finance')
  expect([exitCode, stderr]).toEqual([0, ''])
  expect(stdout).toContain('alertname="RedisQueueBacklog" severity="critical"')
  expect(stdout).toContain('team="Finance" test="true"')
  expect(stdout).toMatch(/^telegram +telegram +[1-9]\d* +0$/m)
  expect(stdout).toMatch(/^finance-critical +pagerduty +[1-9]\d* +0$/m)
  expect(stdout).toMatch(/^finance-critical +slack +[1-9]\d* +0$/m)
  expect(stdout).toContain('✓ sent by all of them')

  const title = 'TEST [CRITICAL] RedisQueueBacklog (team Finance)'
  await waitFor('its end', () => {
    return (
      receivers.slack.some(({ attachments }) => attachments?.[0]?.title.startsWith('TEST [RESOLVED]')) &&
      receivers.pagerDuty.some(({ event_action }) => event_action === 'resolve')
    )
  })
  const sample = receivers.slack.find(({ attachments }) => attachments?.[0]?.title === title)
  expect(sample?.attachments?.[0]?.text).toContain(
    '*A test of the route, nothing is wrong: A Redis queue has held more than 500 items for 5 minutes.*',
  )
  expect(sample?.attachments?.[0]?.text).toContain('First step: Nothing is to be done.')
  const titles = receivers.slack.map(({ attachments }) => attachments?.[0]?.title)
  expect(titles).toEqual([
    '[CRITICAL] RedisQueueBacklog (team Finance)',
    title,
    title.replace('CRITICAL', 'RESOLVED'),
  ])
  expect(receivers.pagerDuty.map(({ dedup_key }) => dedup_key)).toHaveLength(3)
  expect(new Set(receivers.pagerDuty.map(({ dedup_key }) => dedup_key)).size).toBe(2)
})

test('without a name it is a warning of no rule; JSON has the same', async () => {
  const { exitCode, stdout } = await alertsTest('--json', '--label', 'environment=staging')
  expect(exitCode).toBe(0)
  expect(JSON.parse(stdout)).toEqual({
    alert: 'CdcAlertsTest',
    labels: {
      alertname: 'CdcAlertsTest',
      severity: 'warning',
      target: 'alerts-test',
      environment: 'staging',
      test: 'true',
    },
    receivers: [{ name: 'slack-development', integrations: ['slack'] }],
    integrations: [{ integration: 'slack', requests: expect.any(Number), failed: 0 }],
    ok: true,
    problem: null,
  })
  expect(receivers.slack[0]).toMatchObject({ channel: '#alerts-development' })
})

test('a receiver that does not take it ends with 1', async () => {
  receivers.failWith = 400
  const { exitCode, stdout } = await alertsTest('--label', 'environment=development')
  expect(exitCode).toBe(1)
  expect(stdout).toMatch(/^slack-development +slack +[1-9]\d* +[1-9]\d*$/m)
  expect(stdout).toContain("✗ not taken from slack: Alertmanager's log says why")
})

test('one that is silenced ends with 1, and says by what', async () => {
  const matcher = { name: 'team', value: 'Quiet', isRegex: false, isEqual: true }
  const times = { startsAt: new Date().toISOString(), endsAt: '2100-01-01T00:00:00Z' }
  await post('/api/v2/silences', { matchers: [matcher], ...times, createdBy: 'test', comment: 'quiet' })
  const { exitCode, stdout } = await alertsTest('--label', 'team=Quiet')
  expect(exitCode).toBe(1)
  expect(stdout).toMatch(/✗ it is silenced by [0-9a-f-]{36}/)
})

test('what is slower than it is waited for ends with 1', async () => {
  const slow = await startAlertmanager({
    config: {
      route: { receiver: 'slow', group_wait: '1h' },
      receivers: [{ name: 'slow', webhook_configs: [{ url: `${receivers.url}/webhook` }] }],
    },
  })
  try {
    const args = ['alerts', 'test', '--alertmanager', slow.url, '--within', '100ms']
    const { exitCode, stdout } = await runCommand(...args)
    expect(exitCode).toBe(1)
    expect(stdout).toContain('✗ nothing was sent by webhook: a longer group_wait than --within')
  } finally {
    await slow.remove()
  }
})

test.each([
  ['an alert of no rule', ['RedisQueueBaklog'], 'did you mean RedisQueueBacklog?'],
  ['Watchdog', ['Watchdog'], "would keep the dead-man's switch quiet"],
  ['a label that is none', ['--label', 'team'], 'expected name=value'],
])('%s ends with 2', async (_, args, message) => {
  const { exitCode, stderr } = await alertsTest(...args)
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining(message)])
})

test('an Alertmanager that does not answer ends with 1', async () => {
  const { exitCode, stderr } = await runCommand('alerts', 'test', '--alertmanager', 'http://127.0.0.1:1')
  expect([exitCode, stderr]).toEqual([
    1,
    expect.stringContaining('Alertmanager at http://127.0.0.1:1 does not answer'),
  ])
})
