import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type AlertmanagerPart, startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { waitFor } from '../testbed/process.ts'
import { shippedFile } from './shipped.ts'

type Labels = Readonly<Record<string, string>>

let alertmanager: AlertmanagerPart

beforeAll(async () => {
  const { inhibit_rules } = parse(readFileSync(shippedFile, 'utf8'), { merge: true })
  alertmanager = await startAlertmanager({
    config: { route: { receiver: 'nobody' }, receivers: [{ name: 'nobody' }], inhibit_rules },
  })
})
afterAll(() => alertmanager?.remove())

interface Present {
  readonly labels: Labels
  readonly status: { readonly inhibitedBy: readonly string[] }
}

async function post(alerts: readonly Labels[], endsAt: string): Promise<void> {
  const answer = await fetch(`${alertmanager.url}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(alerts.map((labels) => ({ labels, endsAt }))),
  })
  expect(answer.status).toBe(200)
}

const present = async () =>
  (await (await fetch(`${alertmanager.url}/api/v2/alerts`)).json()) as readonly Present[]

let asked = 0

/** Tells Alertmanager of these alerts, as Prometheus would, and asks which of them are muted by another. */
async function muted(alerts: readonly Labels[]): Promise<readonly boolean[]> {
  // It takes them in their order, some time after its answer: these, the last, show that it has taken all.
  const target = `marker-${asked++}`
  const marker = { alertname: 'ConnectFailed', connector: 'marker', target }
  const all = [...alerts, { alertname: 'ConnectDown', target }, marker]
  await post(all, '2100-01-01T00:00:00Z')
  const isMuted = (alerts: readonly Present[], labels: Labels) => {
    const found = alerts.find((each) => isSame(each.labels, labels))
    if (!found) throw new Error(`Alertmanager does not have ${JSON.stringify(labels)}`)
    return found.status.inhibitedBy.length > 0
  }
  await waitFor('the last of them to be taken', async () => isMuted(await present(), marker))
  const now = await present()
  // None of this test is there for the next.
  await post(all, new Date().toISOString())
  return alerts.map((labels) => isMuted(now, labels))
}

const isSame = (one: Labels, other: Labels): boolean =>
  JSON.stringify(Object.entries(one).toSorted()) === JSON.stringify(Object.entries(other).toSorted())

const at = { environment: 'production', platform: 'kafka', target: 'erp' }
const job = { job: 'cdc-exporter', instance: 'cdc:9979' }
const failed = { alertname: 'ConnectFailed', severity: 'critical', ...at, ...job, connector: 'orders' }
const lag = { alertname: 'KafkaLagSecondsHigh', severity: 'warning', alert_group: 'kafka-lag-seconds', ...at }
const ofTable = { ...at, tenant: 'a', table: 'journals' }
const ofTopic = { ...ofTable, consumergroup: 'etl', topic: 'erp.a.journals' }

test.each<{ what: string; source: Labels; mutes: readonly Labels[]; leaves: readonly Labels[] }>([
  {
    what: 'a storm mutes each of its failures',
    source: { alertname: 'ConnectManyFailed', environment: 'production', platform: 'kafka' },
    mutes: [failed, { ...failed, target: 'crm' }],
    leaves: [
      { ...failed, environment: 'staging' },
      { ...failed, platform: 'raft' },
      { ...failed, alertname: 'ConnectRestartLoop' },
      { alertname: 'ConnectFailed', connector: 'of-no-environment' },
    ],
  },
  {
    what: 'a storm that knows no environment mutes its failures too',
    source: { alertname: 'ConnectManyFailed' },
    mutes: [{ alertname: 'ConnectFailed', connector: 'of-no-environment' }],
    leaves: [failed],
  },
  {
    what: 'a critical one mutes its warning',
    source: {
      ...lag,
      alertname: 'KafkaLagSecondsCritical',
      severity: 'critical',
      consumergroup: 'etl',
      topic: 'a',
    },
    mutes: [{ ...lag, consumergroup: 'etl', topic: 'a' }],
    leaves: [
      { ...lag, consumergroup: 'etl', topic: 'b' },
      { ...lag, consumergroup: 'other', topic: 'a' },
      { ...lag, consumergroup: 'etl', topic: 'a', environment: 'staging' },
      { ...lag, consumergroup: 'etl', topic: 'a', alert_group: 'another' },
      // Without a group: nothing ties them together.
      { alertname: 'KafkaLagHigh', severity: 'warning', ...at, consumergroup: 'etl', topic: 'a' },
    ],
  },
  {
    what: 'what has no group mutes no warning',
    source: { alertname: 'KafkaDown', severity: 'critical', ...at },
    mutes: [],
    leaves: [{ alertname: 'KafkaLagHigh', severity: 'warning', ...at }],
  },
  {
    what: 'a daemon that is down mutes what it said',
    source: { alertname: 'CdcExporterDown', severity: 'critical', ...job },
    mutes: [failed, { ...lag, ...job }],
    leaves: [
      { ...failed, instance: 'other:9979' },
      { alertname: 'Watchdog', ...job },
      { alertname: 'HostDiskFull', job: 'node', instance: 'cdc:9100' },
      // Nothing ties it to the daemon.
      { alertname: 'KafkaLagHigh', severity: 'warning', ...at },
    ],
  },
  {
    what: 'a daemon that Prometheus has lost mutes what it said',
    source: { alertname: 'CdcExporterAbsent', severity: 'critical', job: 'cdc-exporter' },
    mutes: [failed, { ...lag, ...job }],
    leaves: [
      { ...failed, job: 'other' },
      { alertname: 'Watchdog', ...job },
      { alertname: 'KafkaLagHigh', severity: 'warning', ...at },
    ],
  },
  {
    what: 'a Connect cluster that is down mutes its connectors',
    source: { alertname: 'ConnectDown', severity: 'critical', ...at },
    mutes: [failed, { ...failed, alertname: 'ConnectTaskMissing', severity: 'warning' }],
    leaves: [
      { ...failed, target: 'crm' },
      { ...failed, environment: 'staging' },
      { alertname: 'KafkaLagHigh', severity: 'warning', ...at, connector: 'orders' },
    ],
  },
  ...[
    { alertname: 'KafkaDown', collectors: ['kafka', 'sync'] },
    { alertname: 'ConnectDown', collectors: ['connect'] },
    { alertname: 'PgDown', collectors: ['postgresql', 'drift', 'canary'] },
    { alertname: 'ClickHouseDown', collectors: ['clickhouse', 'drift', 'canary'] },
    { alertname: 'RedisDown', collectors: ['redis'] },
    { alertname: 'Pm2Down', collectors: ['pm2'] },
    { alertname: 'FlinkDown', collectors: ['flink'] },
    { alertname: 'StarRocksDown', collectors: ['starrocks', 'drift', 'canary'] },
  ].map(({ alertname, collectors }) => {
    const [collector = ''] = collectors
    const failing = { alertname: 'CdcCollectorFailing', severity: 'warning', ...at, collector }
    return {
      what: `${alertname} mutes that the collectors which read it fail`,
      source: { alertname, severity: 'critical', ...at },
      mutes: collectors.flatMap((collector) => [
        { ...failing, collector },
        { ...failing, alertname: 'CdcCollectorStale', collector },
      ]),
      leaves: [
        { ...failing, collector: 'http' },
        { ...failing, target: 'crm' },
        { ...failing, environment: 'staging' },
        { ...failing, platform: 'raft' },
        { alertname: 'CdcSeriesDropped', severity: 'warning', ...at, collector },
      ],
    }
  }),
  {
    what: 'a slot that nobody reads mutes that its connector does not move',
    source: { alertname: 'PgSlotInactive', ...at, slot_name: 'erp', database: 'erp' },
    mutes: [
      {
        alertname: 'ConnectNotMoving',
        ...at,
        target: 'connect',
        connector: 'orders',
        slot_name: 'erp',
        database: 'erp',
      },
    ],
    leaves: [
      { alertname: 'ConnectNotMoving', ...at, connector: 'orders', slot_name: 'crm', database: 'erp' },
      { alertname: 'ConnectNotMoving', ...at, connector: 'orders', slot_name: 'erp', database: 'crm' },
      {
        alertname: 'ConnectNotMoving',
        ...at,
        environment: 'staging',
        connector: 'orders',
        slot_name: 'erp',
        database: 'erp',
      },
      { alertname: 'ConnectNotMoving', connector: 'orders' },
    ],
  },
  {
    what: 'without slots on both sides nothing is muted',
    source: { alertname: 'PgSlotInactive', severity: 'critical' },
    mutes: [],
    leaves: [{ alertname: 'ConnectNotMoving', connector: 'orders' }],
  },
  {
    what: 'a group that nobody reads for mutes that it stands still',
    source: { alertname: 'KafkaGroupEmpty', severity: 'critical', ...ofTopic },
    mutes: [{ alertname: 'KafkaConsumerStalled', severity: 'critical', ...ofTopic }],
    leaves: [
      { alertname: 'KafkaConsumerStalled', severity: 'critical', ...ofTopic, topic: 'erp.b.journals' },
      { alertname: 'KafkaConsumerStalled', severity: 'critical', ...ofTopic, consumergroup: 'other' },
      { alertname: 'KafkaConsumerStalled', severity: 'critical', ...ofTopic, environment: 'staging' },
      { alertname: 'KafkaConsumerStalled', severity: 'critical' },
    ],
  },
  {
    what: 'it mutes that it is late too, and that its table gets nothing',
    source: { alertname: 'KafkaGroupEmpty', severity: 'critical', ...ofTopic },
    mutes: [
      { alertname: 'KafkaLagHigh', severity: 'warning', ...ofTopic },
      { alertname: 'KafkaLagGrowing', severity: 'warning', ...ofTopic },
      { alertname: 'KafkaLagSecondsHigh', severity: 'warning', ...ofTopic },
      { alertname: 'KafkaLagSecondsCritical', severity: 'critical', ...ofTopic },
      { alertname: 'SyncNoData', severity: 'critical', ...ofTable },
      { alertname: 'SyncThroughputLow', severity: 'warning', ...ofTable },
    ],
    leaves: [
      { alertname: 'KafkaLagHigh', severity: 'warning', ...ofTopic, target: 'crm' },
      { alertname: 'KafkaLagHigh', severity: 'warning', ...ofTopic, consumergroup: 'other' },
      // What may be lost is worse than what is late.
      { alertname: 'KafkaNearRetention', severity: 'critical', ...ofTopic },
      { alertname: 'SyncNoData', severity: 'critical', ...ofTable, table: 'cash_accounts' },
      { alertname: 'SyncNoData', severity: 'critical', ...ofTable, tenant: 'b' },
      { alertname: 'SyncErrorRateHigh', severity: 'critical', ...ofTable },
    ],
  },
  {
    what: 'one that stands still mutes that it is late',
    source: { alertname: 'KafkaConsumerStalled', severity: 'critical', ...ofTopic },
    mutes: [
      { alertname: 'KafkaLagSecondsCritical', severity: 'critical', ...ofTopic },
      { alertname: 'SyncNoData', severity: 'critical', ...ofTable },
    ],
    leaves: [{ alertname: 'KafkaLagHigh', severity: 'warning', ...ofTopic, topic: 'erp.b.journals' }],
  },
  {
    what: 'where no topic has a table nothing of tables is muted',
    source: { alertname: 'KafkaGroupEmpty', severity: 'critical', ...at, consumergroup: 'etl', topic: 'a' },
    mutes: [],
    leaves: [
      { alertname: 'SyncNoData', severity: 'critical', ...at },
      { alertname: 'KafkaLagHigh', severity: 'warning', ...at },
    ],
  },
  {
    what: 'the longer queue mutes the shorter of itself',
    source: { alertname: 'CriticalVoteQueueBacklog', severity: 'critical', target: 'votes', queue: 'votes' },
    mutes: [{ alertname: 'RedisQueueBacklog', severity: 'critical', target: 'votes', queue: 'votes' }],
    leaves: [
      { alertname: 'RedisQueueBacklog', severity: 'critical', target: 'votes', queue: 'mails' },
      { alertname: 'RedisQueueBacklog', severity: 'critical', target: 'other', queue: 'votes' },
      { alertname: 'RedisQueueOldestJob', severity: 'critical', target: 'votes', queue: 'votes' },
    ],
  },
])('$what', async ({ source, mutes, leaves }) => {
  const [ofSource, ...ofOthers] = await muted([source, ...mutes, ...leaves])
  expect(ofSource).toBe(false)
  expect(ofOthers).toEqual([...mutes.map(() => true), ...leaves.map(() => false)])
  // A sample of the same mutes nothing.
  if (mutes.length > 0) {
    const bySample = await muted([{ ...source, test: 'true' }, ...mutes])
    expect(bySample).toEqual([false, ...mutes.map(() => false)])
  }
})
