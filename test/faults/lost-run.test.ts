import { Kafka, logLevel } from 'kafkajs'
import { afterEach, expect, test } from 'vitest'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { installJars } from '../testbed/java.ts'
import { type KafkaPart, startKafka } from '../testbed/parts/kafka.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { waitFor } from '../testbed/process.ts'

const started: { remove(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of started.splice(0).reverse()) await part.remove()
})

test('one lost run is seen in kafka_up, and leaves no gap in the lag that Prometheus has', {
  timeout: 120_000,
}, async () => {
  await installJars()
  const kafka = keep(await startKafka())
  await commitFor(kafka, 'readers', 'orders')
  const config = {
    collectors: [
      {
        kind: 'kafka',
        target: 'erp',
        // Longer than several scrapes: one of them surely sees the lost run.
        interval: '4s',
        timeout: '2s',
        brokers: kafka.bootstrap,
        broker_timeout: '500ms',
      },
    ],
  }
  const daemon = keep(await startDaemon({ config }))
  await waitFor(
    'the lag',
    async () => (await valuesOf(daemon, 'kafka_consumergroup_lag')).length === 3,
    30_000,
  )
  const prometheus = keep(await startPrometheus({ config: scrapeConfig(daemon) }))
  await scraped(prometheus, 'kafka_up == 1')
  const lostBefore = await lostRuns(daemon)

  kafka.freeze()
  try {
    await waitFor('a lost run', async () => (await valuesOf(daemon, 'kafka_up'))[0] === 0, 30_000)
  } finally {
    kafka.thaw()
  }
  await scraped(prometheus, 'kafka_up == 0')
  await scraped(prometheus, 'kafka_up == 1')

  expect((await lostRuns(daemon)) - lostBefore).toBe(1)
  expect(await prometheus.query('min_over_time(kafka_up[5m])')).toMatchObject([{ value: 0 }])
  // Every scrape since the first has each of the three partitions.
  const scrapesWithout = await prometheus.query(
    'count_over_time(up[5m]) - on() group_right count_over_time(kafka_consumergroup_lag[5m])',
  )
  expect(scrapesWithout.map(({ labels, value }) => [labels.partition, value]).sort()).toEqual([
    ['0', 0],
    ['1', 0],
    ['2', 0],
  ])
})

function keep<P extends { remove(): Promise<void> }>(part: P): P {
  started.push(part)
  return part
}

function scrapeConfig({ url }: DaemonPart) {
  return {
    scrape_configs: [
      {
        job_name: 'cdc-exporter',
        honor_labels: true,
        scrape_interval: '1s',
        scrape_timeout: '1s',
        static_configs: [{ targets: [new URL(url).host] }],
      },
    ],
  }
}

async function scraped(prometheus: PrometheusPart, expression: string): Promise<void> {
  await waitFor(
    `a scrape with ${expression}`,
    async () => (await prometheus.query(expression)).length > 0,
    30_000,
  )
}

async function valuesOf(daemon: DaemonPart, name: string): Promise<number[]> {
  return (await daemon.scrape()).filter((sample) => sample.name === name).map(({ value }) => value)
}

async function lostRuns(daemon: DaemonPart): Promise<number> {
  const failures = (await daemon.scrape()).filter(
    ({ name, labels }) => name === 'cdc_collector_failures_total' && labels.reason !== 'partial',
  )
  return failures.reduce((sum, { value }) => sum + value, 0)
}

/** A topic of three partitions, of which the group has committed the beginning. */
async function commitFor({ bootstrap }: KafkaPart, groupId: string, topic: string): Promise<void> {
  const client = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING })
  const admin = client.admin()
  await admin.connect()
  try {
    await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: true })
    const partitions = [0, 1, 2].map((partition) => ({ partition, offset: '0' }))
    await admin.setOffsets({ groupId, topic, partitions })
  } finally {
    await admin.disconnect()
  }
}
