import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from 'redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { connectorNamed, type StandIn, startStandIn } from '../collectors/connect/stand-in.ts'
import { faults } from '../demo/faults.ts'
import type { RunningDemo } from '../demo/running.ts'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { startTraffic, type Traffic } from '../testbed/erp/traffic.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type AlertmanagerPart, startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { erpConnector, etlApp, type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'
import { scaled } from './durations.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { loopbackConfig, withAllSwitchedOn } from './shipped.ts'

// The real pipeline, the daemon, Prometheus with the shipped rules, Alertmanager with the shipped routes, and receivers.
// Faults act on the real parts alone; a fleet of 300 connectors is a stand-in. Each duration of
// rules and routes is a twentieth; collections are not, so that a busy machine is no fault.
const FACTOR = 1 / 20
/** What a connector that stays failed repeats on Telegram after. */
const TELEGRAM_REPEAT_MS = 55 * 60_000 * FACTOR

const folder = temporaryFolder('alerts')
let pipeline: Pipeline
let traffic: Traffic
let fleet: StandIn
let receivers: Receivers
let daemon: DaemonPart
let prometheus: PrometheusPart
let alertmanager: AlertmanagerPart
/** As the demo's faults know the parts. */
let demo: RunningDemo

beforeAll(async () => {
  ;[pipeline, fleet, receivers] = await Promise.all([
    startPipeline({ tenants: ['alpha'] }),
    startStandIn(),
    startReceivers(),
  ])
  const { kafka, connect, postgres, clickhouse, redis, pm2, tenants } = pipeline
  demo = {
    pid: process.pid,
    postgresUrl: postgres.url('erp'),
    clickhouseUrl: clickhouse.url,
    connectUrl: connect.url,
    redisPid: redis.process.pid,
    pm2Home: pm2.home,
  }
  traffic = startTraffic({ url: postgres.url('erp'), tenants, ratePerSecond: 5 })
  fleet.connectors = connectors('RUNNING')

  const { token } = newToken()
  const secrets = {
    'slack-url': `${receivers.url}/slack/watchdog`,
    'webhook-url': `${receivers.url}/webhook`,
  }
  for (const [name, secret] of Object.entries(secrets)) writeFileSync(join(folder.path, name), secret)
  const hash = createHash('sha256').update(token).digest('hex')
  const users = [{ name: 'alertmanager', role: 'watchdog', hash }]
  writeFileSync(join(folder.path, 'tokens.yaml'), stringify({ users }))
  const production = { target: 'erp', environment: 'production', platform: 'kafka' }
  daemon = await startDaemon({
    folder: folder.path,
    config: {
      state_dir: 'state',
      api: { tokens_file: 'tokens.yaml' },
      watchdog: { notify: { slack: { url_file: 'slack-url' } } },
      defaults: { interval: '5s', timeout: '5s' },
      collectors: [
        {
          kind: 'kafka',
          ...production,
          brokers: kafka.bootstrap,
          topics: [{ match: '^erp', team: 'Finance' }],
        },
        { kind: 'connect', ...production, urls: connect.url, teams: [{ match: '^erp-', team: 'Finance' }] },
        { kind: 'connect', ...production, target: 'fleet', platform: 'raft', urls: fleet.url },
        { kind: 'redis', ...production, url: redis.url, queues: ['votes'] },
        { kind: 'pm2', ...production, home: pm2.home, expect: { [etlApp]: 1 } },
      ],
    },
  })
  await waitFor('every collector to have run well', async () => {
    const runs = (await daemon.scrape()).filter(({ name }) => name === 'cdc_collector_success')
    return runs.length === 5 && runs.every(({ value }) => value === 1)
  })
  alertmanager = await startAlertmanager({
    config: loopbackConfig({
      receivers,
      folder: join(folder.path, 'secrets'),
      watchdog: { url: `${daemon.url}/api/v1/watchdog`, token },
      change: (text) =>
        scaled(withAllSwitchedOn(text).replaceAll(/^ *(active|mute)_time_intervals:.*$/gm, ''), FACTOR),
    }),
  })
  const rules = join(folder.path, 'rules')
  mkdirSync(rules)
  for (const file of readdirSync('prometheus/rules')) {
    writeFileSync(join(rules, file), scaled(readFileSync(`prometheus/rules/${file}`, 'utf8'), FACTOR))
  }
  const job = (name: string, url: string) => ({
    job_name: name,
    honor_labels: true,
    static_configs: [{ targets: [new URL(url).host] }],
  })
  prometheus = await startPrometheus({
    config: {
      global: {
        scrape_interval: '1s',
        evaluation_interval: '1s',
        external_labels: { prometheus: 'cdc' },
      },
      rule_files: [join(rules, '*.yml')],
      alerting: { alertmanagers: [{ static_configs: [{ targets: [new URL(alertmanager.url).host] }] }] },
      scrape_configs: [job('cdc-exporter', daemon.url)],
    },
  })
})
afterAll(async () => {
  await traffic?.stop()
  await Promise.all([prometheus?.remove(), alertmanager?.remove(), daemon?.remove(), pipeline?.stop()])
  await Promise.all([receivers?.close(), fleet?.close()])
  folder.remove()
})

/** The connectors of the stand-in, all in this state. */
function connectors(state: string) {
  const named = Array.from({ length: 300 }, (_, index) => {
    const connector = connectorNamed(`c${index}`)
    return {
      ...connector,
      status: { ...connector.status, connector: { ...connector.status.connector, state } },
    }
  })
  return Object.fromEntries(named.map((connector) => [connector.info.name, connector]))
}

/** When Telegram was first told that the connector has failed. */
let failedAt: number | undefined

/** Messages received since the start, by receiver and what they say, but for the summary of the day: this may be its minute. */
function tally(): Record<string, number> {
  const counts: Record<string, number> = {}
  const count = (key: string) => {
    if (!key.includes('summary of the day')) counts[key] = (counts[key] ?? 0) + 1
  }
  for (const { channel, attachments, text } of receivers.slack) {
    count(`slack ${channel ?? ''} ${attachments?.[0]?.title ?? text?.split('\n')[0]}`)
  }
  for (const { text } of receivers.telegram) {
    count(`telegram ${text.split('\n')[0]?.replaceAll(/<\/?b>/g, '')}`)
  }
  for (const { routing_key, event_action, payload } of receivers.pagerDuty) {
    count(`pagerduty ${routing_key} ${event_action} ${payload.summary.replace(/^\[\w+\] /, '')}`)
  }
  for (const { headers } of receivers.mail) count(`mail ${headers.Subject}`)
  for (const { alerts, status } of receivers.sms) count(`sms ${status} ${alerts[0]?.labels.alertname}`)
  // At most one an hour while it stays failed: a slow machine gets to the next hour.
  const told = counts[telegramFailed] ?? 0
  if (told > 0) failedAt ??= performance.now()
  const hours = (performance.now() - (failedAt ?? 0)) / TELEGRAM_REPEAT_MS
  if (told > 1 && told <= 1 + hours) counts[telegramFailed] = 1
  return counts
}

const telegramFailed = 'telegram 🔴 [CRITICAL] ConnectFailed: production kafka (team Finance)'

const expected: Record<string, number> = {}

/** Waits for these messages; there are no others but those of the steps before. */
async function receives(more: Readonly<Record<string, number>>): Promise<void> {
  for (const [key, count] of Object.entries(more)) expected[key] = (expected[key] ?? 0) + count
  await waitFor(`the messages ${JSON.stringify(more)}`, () => {
    const now = tally()
    const missing = Object.keys(more).filter((key) => (now[key] ?? 0) < (expected[key] ?? 0))
    if (missing.length > 0) throw new Error(`missing: ${missing.join('; ')}; there: ${JSON.stringify(now)}`)
    return true
  })
  nothingElse()
}

function nothingElse(): void {
  expect(tally()).toEqual(expected)
  expect(receivers.refused).toEqual([])
}

/** Waits until an expression gives a value. */
async function holds(expression: string): Promise<void> {
  await waitFor(`${expression} to hold`, async () => (await prometheus.query(expression)).length > 0)
}

/** Waits until the rules have been evaluated so often again. */
async function evaluations(count: number): Promise<void> {
  const seen = 'count_over_time(ALERTS{alertname="Watchdog"}[1h])'
  const [before] = await prometheus.query(seen)
  await holds(`${seen} >= ${(before?.value ?? 0) + count}`)
}

/** A critical alert, or its end, at those who hear of it where no team has channels of its own. */
function critical(title: string): Record<string, number> {
  return {
    [`slack #alerts [CRITICAL] ${title}`]: 1,
    [`telegram 🔴 [CRITICAL] ${title}`]: 1,
    [`pagerduty loopback-key trigger ${title}`]: 1,
    [`sms firing ${title.split(':')[0]}`]: 1,
  }
}
function resolved(title: string): Record<string, number> {
  return {
    [`slack #alerts [RESOLVED] ${title}`]: 1,
    [`telegram ✅ [RESOLVED] ${title}`]: 1,
    [`pagerduty loopback-key resolve ${title}`]: 1,
    [`sms resolved ${title.split(':')[0]}`]: 1,
  }
}

test('a healthy pipeline: the Watchdog comes, and nothing else', async () => {
  await waitFor('the Watchdog to come', async () => {
    return (await daemon.scrape()).some(({ name }) => name === 'cdc_watchdog_last_received_timestamp_seconds')
  })
  await evaluations(20)
  nothingElse()
})

test('300 connectors fail at once: one message for each receiver, and one of the end', async () => {
  fleet.connectors = connectors('FAILED')
  await receives({
    ...critical('ConnectManyFailed: production raft'),
    'mail [CRITICAL] ConnectManyFailed: production raft': 1,
  })
  await holds('count(ALERTS{alertname="ConnectFailed",alertstate="firing"}) == 300')
  // Longer than it takes to tell of them.
  await evaluations(5)
  nothingElse()
  fleet.connectors = connectors('RUNNING')
  await receives(resolved('ConnectManyFailed: production raft'))
})

test('a queue of 501, then of 1001, then of none', async () => {
  const client = await createClient({ url: pipeline.redis.url }).connect()
  const votes = (count: number) => Array.from({ length: count }, (_, index) => `vote-${index}`)
  await client.lPush('votes', votes(501))
  await receives(critical('RedisQueueBacklog: production kafka'))
  await client.lPush('votes', votes(500))
  await receives(critical('CriticalVoteQueueBacklog: production kafka'))
  await client.del('votes')
  await receives({
    ...resolved('RedisQueueBacklog: production kafka'),
    ...resolved('CriticalVoteQueueBacklog: production kafka'),
  })
  await client.close()
})

const title = 'ConnectFailed: production kafka (team Finance)'

test('a connector fails: Telegram, Slack and the pager of its team, mail, SMS: one each, with its exception', async () => {
  await faults.connector?.break(demo)
  await receives({
    [telegramFailed]: 1,
    [`slack #finance-alerts [CRITICAL] ${title}`]: 1,
    [`pagerduty loopback-key-finance trigger ${title}`]: 1,
    [`mail [CRITICAL] ${title}`]: 1,
    'sms firing ConnectFailed': 1,
  })
  const text = receivers.telegram.at(-1)?.text
  expect(text).toContain(`Where: connector ${erpConnector}, target erp, production, kafka`)
  expect(text).toMatch(/Error: <code>[\w.]+Exception<\/code>/)
  expect(text).toContain(`First step: cdc-exporter failures list --connector ${erpConnector}`)
})

test('the daemon is killed while it is failed: nobody is told that it is well', async () => {
  await daemon.kill()
  await receives(critical('CdcExporterDown'))
  // For as long as the rules hold a state they know nothing of, and then for as long as Alertmanager may wait.
  await holds('absent(ALERTS{alertname="ConnectFailed",alertstate="firing"})')
  await evaluations(10)
  nothingElse()
  await daemon.start()
  await receives(resolved('CdcExporterDown'))
  await holds('ALERTS{alertname="ConnectFailed",alertstate="firing"}')
  await evaluations(5)
  nothingElse()
})

test('the connector runs again: its end at those that were told, one recovery on Telegram', async () => {
  await faults.connector?.repair(demo)
  await receives({
    'telegram ✅ [INFO] ConnectRecovered: production kafka (team Finance)': 1,
    [`slack #finance-alerts [RESOLVED] ${title}`]: 1,
    [`pagerduty loopback-key-finance resolve ${title}`]: 1,
    'sms resolved ConnectFailed': 1,
  })
})

test('Redis is killed, and comes back', async () => {
  await pipeline.redis.kill()
  await receives(critical('RedisDown: production kafka'))
  await pipeline.redis.start()
  await receives(resolved('RedisDown: production kafka'))
})
