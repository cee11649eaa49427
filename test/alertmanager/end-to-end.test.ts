import { createClient } from 'redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectorNamed, type StandIn, startStandIn } from '../collectors/connect/stand-in.ts'
import { faults } from '../demo/faults.ts'
import { erpConnector, etlApp } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'
import { critical, LONG, production, resolved, type Stage, startStage } from './stage.ts'

// Faults act on the real parts alone; a fleet of 300 connectors is a stand-in. What is no fault, and faults of the consumer
// and of the data, are in quiet.test.ts.

let fleet: StandIn
let stage: Stage

beforeAll(async () => {
  fleet = await startStandIn()
  fleet.connectors = connectors('RUNNING')
  stage = await startStage({
    tenants: ['alpha'],
    busy: ['alpha'],
    interval: '5s',
    collectors: ({ kafka, connect, redis, pm2 }) => [
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
  })
})
afterAll(async () => {
  await stage?.remove()
  await fleet?.close()
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

/** Of the daemon, past Prometheus. */
async function daemonShows(name: string, value: number): Promise<void> {
  await waitFor(`${name} to be ${value}`, async () => {
    return (await stage.daemon.scrape()).some((sample) => sample.name === name && sample.value === value)
  })
}

test(
  'Prometheus and Alertmanager are killed: the daemon itself tells it, once, and their return',
  LONG,
  async () => {
    const { prometheus, alertmanager, daemon, receives, nothingElse, evaluations } = stage
    await evaluations(3)
    nothingElse()
    await Promise.all([prometheus.kill(), alertmanager.kill()])
    const away = 'slack of the daemon :rotating_light: *The Watchdog stays away: alerts do not arrive*'
    await receives({ [away]: 1 })
    await daemonShows('cdc_watchdog_ok', 0)
    const samples = await daemon.scrape()
    const received = samples.find(({ name }) => name === 'cdc_watchdog_last_received_timestamp_seconds')
    expect(received?.value).toBeGreaterThan(0)

    // One of them is not enough.
    await alertmanager.start()
    await daemonShows('cdc_watchdog_ok', 0)
    nothingElse()
    await prometheus.start()
    await receives({
      'slack of the daemon :white_check_mark: *The Watchdog is back: alerts can arrive again*': 1,
    })
    await daemonShows('cdc_watchdog_ok', 1)
    await evaluations(5)
    nothingElse()
  },
)

test(
  '300 connectors fail at once, and a queue has 501, then 1001, then none: one message each, and one of the end',
  LONG,
  async () => {
    const { receives, nothingElse, holds, evaluations } = stage
    const client = await createClient({ url: stage.pipeline.redis.url }).connect()
    const votes = (count: number) => Array.from({ length: count }, (_, index) => `vote-${index}`)
    await client.lPush('votes', votes(501))
    fleet.connectors = connectors('FAILED')
    await receives({
      ...critical('ConnectManyFailed: production raft'),
      'mail [CRITICAL] ConnectManyFailed: production raft': 1,
      ...critical('RedisQueueBacklog: production kafka'),
    })
    const [storm] = stage.receivers.telegram.filter(({ text }) => text.includes('ConnectManyFailed'))
    expect(storm?.text).toContain('Where: all targets, production, raft\n')
    await holds('count(ALERTS{alertname="ConnectFailed",alertstate="firing"}) == 300')
    // Longer than it takes to tell of them.
    await evaluations(5)
    nothingElse()
    await client.lPush('votes', votes(500))
    fleet.connectors = connectors('RUNNING')
    await receives({
      ...resolved('ConnectManyFailed: production raft'),
      ...critical('CriticalVoteQueueBacklog: production kafka'),
    })
    // One after the other: the end of what was muted is told to nobody where it comes first.
    await client.lTrim('votes', 0, 500)
    await receives(resolved('CriticalVoteQueueBacklog: production kafka'))
    await client.del('votes')
    await receives(resolved('RedisQueueBacklog: production kafka'))
    await client.close()
  },
)

const title = 'ConnectFailed: production kafka (team Finance)'
const failedOnTelegram = `telegram 🔴 [CRITICAL] ${title}`

test(
  'a connector fails and Redis is killed: Telegram, Slack and the pager of each team, mail, SMS: one each',
  LONG,
  async () => {
    const { pipeline, demo, receivers, receives } = stage
    await Promise.all([faults.connector?.break(demo), pipeline.redis.kill()])
    await receives({
      [failedOnTelegram]: 1,
      [`slack #finance-alerts [CRITICAL] ${title}`]: 1,
      [`pagerduty loopback-key-finance trigger ${title}`]: 1,
      [`mail [CRITICAL] ${title}`]: 1,
      'sms firing ConnectFailed': 1,
      ...critical('RedisDown: production kafka'),
    })
    const text = receivers.telegram.find(({ text }) => text.includes('ConnectFailed'))?.text
    expect(text).toContain(`Where: connector ${erpConnector}, target erp, production, kafka`)
    expect(text).toMatch(/Error: <code>[\w.]+Exception<\/code>/)
    expect(text).toContain(`First step: cdc-exporter failures list --connector ${erpConnector}`)
    await pipeline.redis.start()
    await receives(resolved('RedisDown: production kafka'))
  },
)

test(
  'Prometheus loses the daemon while the connector is failed: nobody is told that it is well',
  LONG,
  async () => {
    stage.setTarget(false)
    await toldOf('CdcExporterAbsent', () => stage.setTarget(true))
  },
)

test('the daemon is killed while the connector is failed: nobody is told that it is well', LONG, async () => {
  await stage.daemon.kill()
  await toldOf('CdcExporterDown', () => stage.daemon.start())
})

/** Nothing is known of the connector, which is told, and then all is as it was. */
async function toldOf(alert: string, repair: () => Promise<void> | void): Promise<void> {
  const { receives, nothingElse, holds, evaluations } = stage
  await receives(critical(alert))
  // For as long as the rules hold a state they know nothing of, and then for as long as Alertmanager may wait.
  await holds('absent(ALERTS{alertname="ConnectFailed",alertstate="firing"})')
  await evaluations(6)
  nothingElse()
  await repair()
  await receives(resolved(alert))
  await holds('ALERTS{alertname="ConnectFailed",alertstate="firing"}')
  await evaluations(5)
  nothingElse()
}

test(
  'the connector runs again: its end at those that were told, one recovery on Telegram',
  LONG,
  async () => {
    await faults.connector?.repair(stage.demo)
    await stage.receives({
      'telegram ✅ [INFO] ConnectRecovered: production kafka (team Finance)': 1,
      [`slack #finance-alerts [RESOLVED] ${title}`]: 1,
      [`pagerduty loopback-key-finance resolve ${title}`]: 1,
      'sms resolved ConnectFailed': 1,
    })
  },
)
