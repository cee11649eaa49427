import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../testbed/part.ts'
import { type AlertmanagerPart, startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { waitFor } from '../testbed/process.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { loopbackConfig, withAllSwitchedOn } from './shipped.ts'

const secrets = temporaryFolder('secrets')
let receivers: Receivers
let alertmanager: AlertmanagerPart

beforeAll(async () => {
  receivers = await startReceivers()
  alertmanager = await startAlertmanager({
    config: loopbackConfig({
      receivers,
      folder: secrets.path,
      // Sent sooner, and repeated as seldom as ever: however slow this machine is, nothing comes twice.
      change: (text) =>
        withAllSwitchedOn(text)
          .replaceAll(/^ *(active|mute)_time_intervals:.*$/gm, '')
          .replaceAll(/(group_wait|group_interval): [1-9]\w*/g, '$1: 100ms'),
    }),
  })
})
afterAll(async () => {
  await alertmanager?.remove()
  await receivers?.close()
  secrets.remove()
})

interface Alert {
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

async function tell(alerts: readonly Alert[], endsAt: string): Promise<void> {
  const body = JSON.stringify(alerts.map((alert) => ({ ...alert, startsAt: '2026-01-02T03:04:05Z', endsAt })))
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${alertmanager.url}/api/v2/alerts`, { method: 'POST', headers, body })
  expect(answer.status).toBe(200)
}

const failed = (connector: string): Alert => ({
  labels: {
    alertname: 'ConnectFailed',
    severity: 'critical',
    environment: 'production',
    platform: 'kafka',
    team: 'Finance',
    target: 'erp',
    connector,
  },
  annotations: {
    summary: 'A connector, or a task of it, has <failed> & stands.',
    description: `${connector} of erp does not work.`,
    error_class: 'org.apache.kafka.connect.errors.ConnectException',
    first_step: `cdc-exporter failures list --connector ${connector}, then failures show <id>.`,
    runbook_url: 'docs/alerts/ConnectFailed.md',
    dashboard_url: '/d/cdc-connect?var-environment=production&var-target=erp',
  },
})

const dashboard = 'http://localhost:3000/d/cdc-connect?var-environment=production&var-target=erp'
const runbook = 'https://github.com/example/cdc-exporter/blob/main/docs/alerts/ConnectFailed.md'
const title = '[CRITICAL] ConnectFailed: production kafka (team Finance)'

test('a failure: what, where, since when, how bad, what to do first, for each receiver in its own form', async () => {
  await tell([failed('orders')], '2100-01-01T00:00:00Z')
  await waitFor('all receivers to have it', () => {
    const { slack, telegram, pagerDuty, mail, webhook, sms } = receivers
    return [slack, telegram, pagerDuty, mail, webhook, sms].every(({ length }) => length > 0)
  })
  expect(receivers.refused).toEqual([])
  expect(receivers.slack).toMatchObject([
    {
      channel: '#finance-alerts',
      attachments: [
        {
          title,
          title_link: dashboard,
          color: 'danger',
          text: [
            '*A connector, or a task of it, has &lt;failed&gt; &amp; stands.*',
            'Where: connector orders, target erp, production, kafka',
            'Since: 2026-01-02 03:04:05 UTC',
            'How bad: critical. orders of erp does not work.',
            'Error: `org.apache.kafka.connect.errors.ConnectException`',
            'First step: cdc-exporter failures list --connector orders, then failures show &lt;id&gt;.',
            '',
            `<${dashboard}|Dashboard>  <${runbook}|Runbook>`,
          ].join('\n'),
        },
      ],
    },
  ])
  expect(receivers.telegram).toMatchObject([
    {
      chat_id: '-1001234567890',
      parse_mode: 'HTML',
      text: [
        `🔴 <b>${title}</b>`,
        '',
        '<b>A connector, or a task of it, has &lt;failed&gt; &amp; stands.</b>',
        'Where: connector orders, target erp, production, kafka',
        'Since: 2026-01-02 03:04:05 UTC',
        'How bad: orders of erp does not work.',
        'Error: <code>org.apache.kafka.connect.errors.ConnectException</code>',
        'First step: cdc-exporter failures list --connector orders, then failures show &lt;id&gt;.',
        `<a href="${dashboard.replaceAll('&', '&amp;')}">Dashboard</a>  <a href="${runbook}">Runbook</a>`,
      ].join('\n'),
    },
  ])
  const plain = [
    'A connector, or a task of it, has <failed> & stands.',
    'Where: connector orders, target erp, production, kafka',
    'Since: 2026-01-02 03:04:05 UTC',
    'How bad: critical. orders of erp does not work.',
    'Error: org.apache.kafka.connect.errors.ConnectException',
    'First step: cdc-exporter failures list --connector orders, then failures show <id>.',
    '',
    `Dashboard: ${dashboard}`,
    `Runbook: ${runbook}`,
  ].join('\n')
  expect(receivers.pagerDuty).toMatchObject([
    {
      routing_key: 'loopback-key-finance',
      event_action: 'trigger',
      client_url: dashboard,
      payload: {
        summary: title,
        severity: 'critical',
        component: 'erp',
        group: 'production',
        class: 'ConnectFailed',
        custom_details: { what: expect.stringContaining(plain) },
      },
      links: [{ href: runbook, text: 'Runbook' }],
    },
  ])
  expect(receivers.mail).toMatchObject([{ to: ['cdc-team@example.org'], headers: { Subject: title } }])
  expect(receivers.mail[0]?.parts['text/plain']).toContain(plain)
  const html = receivers.mail[0]?.parts['text/html'] ?? ''
  expect(html).toContain('has &lt;failed&gt; &amp; stands.')
  expect(html).toContain(`<a href="${dashboard.replaceAll('&', '&amp;')}">Dashboard</a>`)
  expect(html).toContain('Error: <code>org.apache.kafka.connect.errors.ConnectException</code>')
  for (const message of [...receivers.webhook, ...receivers.sms]) {
    expect(message).toMatchObject({
      status: 'firing',
      commonAnnotations: { summary: expect.stringContaining('connector') },
    })
  }
})

test('its end reaches those that ask for it; Telegram of connectors waits for ConnectRecovered', async () => {
  await tell([failed('orders')], '2026-01-02T04:00:00Z')
  await tell(
    [
      {
        labels: { ...failed('orders').labels, alertname: 'ConnectRecovered', severity: 'info' },
        annotations: { summary: 'A connector that had failed runs again.' },
      },
    ],
    '2100-01-01T00:00:00Z',
  )
  await waitFor('all that ask for it to have it', () => {
    const { slack, telegram, pagerDuty, webhook, sms } = receivers
    return [slack, telegram, pagerDuty, webhook, sms].every(({ length }) => length > 1)
  })
  expect(receivers.slack[1]).toMatchObject({
    channel: '#finance-alerts',
    attachments: [
      {
        color: 'good',
        title: '[RESOLVED] ConnectFailed: production kafka (team Finance)',
        text: expect.stringContaining('Since: 2026-01-02 03:04:05 UTC to 04:00:00 UTC'),
      },
    ],
  })
  expect(receivers.pagerDuty.map(({ event_action }) => event_action)).toEqual(['trigger', 'resolve'])
  expect(new Set(receivers.pagerDuty.map(({ dedup_key }) => dedup_key)).size).toBe(1)
  expect(receivers.telegram[1]?.text).toBe(
    [
      '✅ <b>[INFO] ConnectRecovered: production kafka (team Finance)</b>',
      '',
      '<b>A connector that had failed runs again.</b>',
      'Where: connector orders, target erp, production, kafka',
      'Since: 2026-01-02 03:04:05 UTC',
      '',
    ].join('\n'),
  )
  expect([receivers.telegram.length, receivers.mail.length]).toEqual([2, 1])
})

test('300 of them in one message stay within its limits, and say how many they are', async () => {
  const before = receivers.slack.length
  await tell(
    Array.from({ length: 300 }, (_, index) => ({
      labels: { ...failed(`c${index}`).labels, alertname: 'ConnectRestartLoop' },
      annotations: failed(`c${index}`).annotations,
    })),
    '2100-01-01T00:00:00Z',
  )
  await waitFor('Slack to have all of them', () => {
    return receivers.slack.slice(before).some(({ attachments }) => attachments?.[0]?.title.includes('300'))
  })
  const message = receivers.slack.at(-1)?.attachments?.[0]
  expect(message?.title).toBe('[CRITICAL] ConnectRestartLoop: production kafka (team Finance), 300 of them')
  expect(message?.text.match(/Where: /g)).toHaveLength(10)
  expect(message?.text).toContain('… and more: 300 in all.')
  expect(receivers.refused).toEqual([])
})

test('many connectors that failed at once are told of with where they are, and not where the daemon is', async () => {
  const labels = {
    alertname: 'ConnectManyFailed',
    severity: 'critical',
    environment: 'production',
    platform: 'raft',
  }
  await tell([{ labels: { ...labels, instance: 'cdc:9979' }, annotations: {} }], '2100-01-01T00:00:00Z')
  const told = () => receivers.telegram.filter(({ text }) => text.includes('ConnectManyFailed'))
  await waitFor('Telegram to have it', () => told().length > 0)
  expect(told()[0]?.text).toContain('Where: all targets, production, raft\n')
})

test('the summary of the day says what its annotations say, and nothing to do', async () => {
  await tell(
    [
      {
        labels: { alertname: 'DailySummary', severity: 'info' },
        annotations: {
          summary: 'The day of the pipeline.',
          description: 'Connectors running 12, failed 0.',
          worst_lag: '12s of etl in erp.alpha.journals',
          per_environment: 'production: 10 connectors; staging: 2 connectors;',
          first_step: 'Nothing is to be done.',
          dashboard_url: '/d/cdc-overview',
        },
      },
    ],
    '2100-01-01T00:00:00Z',
  )
  const summaries = () => receivers.mail.filter(({ headers }) => headers.Subject?.includes('summary'))
  await waitFor('the mail to come', () => summaries().length > 0)
  expect(summaries()[0]?.headers.Subject).toBe('CDC pipeline: summary of the day 2026-01-02')
  expect(summaries()[0]?.parts['text/plain']?.trim()).toBe(
    [
      'The day of the pipeline.',
      'Connectors running 12, failed 0.',
      'per environment: production: 10 connectors; staging: 2 connectors;',
      'worst lag: 12s of etl in erp.alpha.journals',
      'Dashboard: http://localhost:3000/d/cdc-overview',
    ].join('\n'),
  )
  expect(summaries()[0]?.parts['text/html']).toContain('12s of etl in erp.alpha.journals')
})
