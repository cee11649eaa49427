import { createClient } from '@clickhouse/client'
import type { Consumer } from 'kafkajs'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { faults } from '../demo/faults.ts'
import { erpPublication, erpSlot } from '../testbed/erp/schema.ts'
import { patientClient } from '../testbed/kafka-client.ts'
import { etlApp, type Pipeline } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'
import {
  critical,
  criticalOfFinance,
  LONG,
  OF_THE_MACHINE,
  production,
  resolved,
  resolvedOfFinance,
  type Stage,
  startStage,
} from './stage.ts'

// alpha writes all the time, bravo never: what tells a table that stands still from an idle one is shown by both.

const topic = '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$'
/** Besides the ETL: a consumer that lives and can be kept from reading on. */
const reports = { group: 'reports', isStuck: false }
const { promise: isOver, resolve: end } = Promise.withResolvers<void>()

let stage: Stage
let consumer: Consumer

beforeAll(async () => {
  stage = await startStage({
    tenants: ['alpha', 'bravo'],
    busy: ['alpha'],
    votes: true,
    interval: '10s',
    collectors,
  })
  consumer = patientClient(stage.pipeline.kafka.bootstrap).consumer({ groupId: reports.group })
  await consumer.connect()
  await consumer.subscribe({
    topics: ['erp.alpha.journals', 'erp.bravo.journals'],
    fromBeginning: true,
  })
  await consumer.run({
    async eachBatch({ heartbeat }) {
      // As one whose sink does not take what it has: it stays a member of its group.
      if (!reports.isStuck) return
      await waitFor('the sink to take it', async () => {
        await heartbeat()
        return !reports.isStuck || (await Promise.race([isOver.then(() => true), false]))
      })
    },
  })
})
afterAll(async () => {
  end()
  await consumer?.disconnect()
  await stage?.remove()
})

function collectors({ kafka, connect, postgres, clickhouse, redis, pm2, tenants }: Pipeline) {
  const postgresql = { url: postgres.url('erp') }
  // What is late is not drift: a comparison waits until the ETL has written all that was read.
  const drift = {
    kind: 'drift',
    ...production,
    source: { postgresql },
    sink: { clickhouse: { url: clickhouse.url, database: 'erp' } },
    tenants,
    lag: '1s',
    slot: erpSlot,
    slot_timeout: '8s',
    kafka: { brokers: kafka.bootstrap, group: etlApp, topic: 'erp.{tenant}.{table}', timeout: '5s' },
  }
  const table = (name: string) => ({
    source: `{tenant}.${name}`,
    sink: name,
    sink_tenant_column: 'tenant',
    watermark: 'created_at',
    deleted: '_deleted',
  })
  return [
    { kind: 'kafka', ...production, brokers: kafka.bootstrap, topics: [{ match: topic, team: 'Finance' }] },
    { kind: 'connect', ...production, urls: connect.url, teams: [{ match: '^erp-', team: 'Finance' }] },
    {
      kind: 'postgresql',
      ...production,
      ...postgresql,
      publications: [{ name: erpPublication, tables: tenants.map((tenant) => `${tenant}.*`) }],
    },
    { kind: 'clickhouse', ...production, url: clickhouse.url, database: 'erp' },
    { kind: 'redis', ...production, url: redis.url, queues: ['votes'] },
    { kind: 'pm2', ...production, home: pm2.home, expect: { [etlApp]: 1 } },
    { kind: 'http', ...production, urls: [`${connect.url}/connectors`], probe_timeout: '8s' },
    {
      kind: 'sync',
      ...production,
      brokers: kafka.bootstrap,
      groups: [`^${etlApp}$`],
      topics: [{ match: topic }],
      // Counted, and not read: how long a change takes is a matter of this machine.
      read: { records: 0 },
    },
    { ...drift, interval: '15s', timeout: '15s', tables: [table('cash_accounts'), table('journal_lines')] },
    {
      ...drift,
      target: 'erp-rows',
      interval: '28s',
      timeout: '28s',
      tables: [table('journals')],
      checksums: {},
    },
    {
      ...drift,
      target: 'erp-values',
      interval: '27s',
      timeout: '27s',
      values: [
        {
          name: 'debits',
          value: 'debits',
          source: {
            sql: 'SELECT coalesce(sum(debit), 0) AS debits FROM {tenant}.journal_lines WHERE created_at < to_timestamp({watermark})',
          },
          sink: {
            sql: `SELECT sumIf(debit, _deleted = 0 AND created_at < fromUnixTimestamp({watermark})) AS debits
              FROM journal_lines FINAL WHERE tenant = {tenant:String}`,
            parameters: { tenant: '{tenant}' },
          },
        },
      ],
    },
  ]
}

/** What has passed of a test, as a range: none that reaches behind its begin, where the parts were still starting. */
const since = (began: number) => `[${Math.floor(performance.now() - began)}ms]`

test(
  'an hour of the healthy pipeline under load: the Watchdog comes, nothing else, and nothing even fires',
  LONG,
  async () => {
    const { hour, prometheus, nothingElse, evaluations } = stage
    const parts = 10
    const began = performance.now()
    for (let part = 0; part < parts; part++) {
      await evaluations(hour / parts)
      nothingElse()
    }
    const quiet = ['Watchdog', ...OF_THE_MACHINE].join('|')
    const fired = await prometheus.query(
      `count_over_time(ALERTS{alertstate="firing",alertname!~"${quiet}"}${since(began)})`,
    )
    expect(fired).toEqual([])
    expect(await prometheus.query(`min_over_time(cdc_watchdog_ok${since(began)}) == 1`)).toHaveLength(1)
    // Not because nothing was looked at, nor because nothing happened.
    const collected = await prometheus.query(
      'count by (collector) (cdc_collector_last_success_timestamp_seconds)',
    )
    const kinds = ['kafka', 'connect', 'postgresql', 'clickhouse', 'redis', 'pm2', 'http', 'sync', 'drift']
    expect(collected.map(({ labels }) => labels.collector).toSorted()).toEqual(kinds.toSorted())
    const processed = 'sum by (tenant) (increase(sync_records_processed_total[2m]))'
    expect((await prometheus.query(`${processed} > 0`)).map(({ labels }) => labels.tenant)).toEqual(['alpha'])
    expect((await prometheus.query(`${processed} == 0`)).map(({ labels }) => labels.tenant)).toEqual([
      'bravo',
    ])
  },
)

const inSink = async (query: string) => {
  const client = createClient({ url: stage.pipeline.clickhouse.url, database: 'erp' })
  try {
    await client.command({ query, clickhouse_settings: { mutations_sync: '2' } })
  } finally {
    await client.close()
  }
}

async function inSource(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: stage.pipeline.postgres.url('erp') })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

/** Waits until a comparison is over: the next begins later than what is changed now arrives. */
async function compared(target: string): Promise<void> {
  const last = async () =>
    (await stage.daemon.scrape()).find(
      ({ name, labels }) =>
        name === 'cdc_collector_last_success_timestamp_seconds' &&
        labels.collector === 'drift' &&
        labels.target === target,
    )?.value
  const before = await last()
  await waitFor(`a comparison of ${target}`, async () => (await last()) !== before)
}

test(
  'rows go and change in ClickHouse behind the back of the pipeline: one message each, and one of the end',
  LONG,
  async () => {
    const { demo, receives, receivers, holds } = stage
    await faults.drift?.break(demo)
    await inSink(`ALTER TABLE cash_accounts DELETE WHERE tenant = 'alpha' AND id = 3`)
    await inSink(`ALTER TABLE journal_lines UPDATE debit = debit + 1 WHERE tenant = 'alpha' AND id = 1`)
    await receives({
      ...critical('DriftConfirmed: production kafka'),
      ...critical('ValueDrift: production kafka'),
      'slack #alerts [WARNING] RowDrift: production kafka': 1,
    })
    const confirmed = receivers.telegram.find(({ text }) => text.includes('DriftConfirmed'))?.text
    expect(confirmed).toContain('Where: table journals, tenant alpha, target erp-rows, production, kafka')
    // That rows are missing is no second message where it is known which.
    await holds('ALERTS{alertname="RowDrift",alertstate="firing",target="erp-rows",table="journals"}')
    // One after the other: the end of the muted one is told along with that of the other where they meet.
    await inSource('UPDATE alpha.cash_accounts SET updated_at = now() WHERE id = 3')
    await inSource('UPDATE alpha.journal_lines SET account = account WHERE id = 1')
    await receives({
      ...resolved('ValueDrift: production kafka'),
      'slack #alerts [RESOLVED] RowDrift: production kafka': 1,
    })
    await compared('erp-rows')
    await faults.drift?.repair(demo)
    await receives(resolved('DriftConfirmed: production kafka'))
  },
)

test(
  'the consumer is stopped and another stands still: one message each, none of the idle tables, and their end',
  LONG,
  async () => {
    const { demo, prometheus, receives, nothingElse, holds, evaluations } = stage
    const began = performance.now()
    const empty = 'KafkaGroupEmpty: production kafka (team Finance), 3 of them'
    const stalled = 'KafkaConsumerStalled: production kafka (team Finance)'
    const missing = 'Pm2ProcessMissing: production kafka'
    // Of a group that never committed nothing is known.
    await holds(
      `kafka_consumergroup_current_offset_sum{consumergroup="${reports.group}",topic="erp.alpha.journals"} > 0`,
    )
    reports.isStuck = true
    await faults.etl?.break(demo)
    await receives({ ...critical(missing), ...criticalOfFinance(empty), ...criticalOfFinance(stalled) })
    // What follows from the first is known, and muted.
    await holds(
      `count(ALERTS{alertname="KafkaConsumerStalled",alertstate="firing",consumergroup="${etlApp}"}) == 3`,
    )
    await holds('count(ALERTS{alertname="SyncNoData",alertstate="firing"}) == 3')
    await evaluations(5)
    nothingElse()
    expect(await prometheus.query(`count_over_time(ALERTS{tenant="bravo"}${since(began)})`)).toEqual([])
    // One after the other: a message of the end also names what was muted and ends in the same moment.
    reports.isStuck = false
    await receives(resolvedOfFinance(stalled))
    await faults.etl?.repair(demo)
    await receives({ ...resolved(missing), ...resolvedOfFinance(empty) })
    await evaluations(5)
    nothingElse()
  },
)
