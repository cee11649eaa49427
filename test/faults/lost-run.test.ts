import { afterEach, expect, test } from 'vitest'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { installJars } from '../testbed/java.ts'
import { commitOffsets } from '../testbed/offsets.ts'
import { startKafka } from '../testbed/parts/kafka.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { waitFor } from '../testbed/process.ts'
import { createTopics } from '../testbed/topics.ts'

const started: { remove(): Promise<void> }[] = []
afterEach(async () => {
  for (const part of started.splice(0).reverse()) await part.remove()
})

test('one lost run is seen in kafka_up, and leaves no gap in the lag that Prometheus has', async () => {
  await installJars()
  const kafka = keep(await startKafka())
  await createTopics(kafka.bootstrap, [{ topic: 'orders', numPartitions: 3 }])
  await commitOffsets(kafka.bootstrap, 'readers', { orders: { 0: 0, 1: 0, 2: 0 } })
  const config = {
    web: { enable_lifecycle: true },
    collectors: [
      // It runs when it is asked to: nothing but the frozen broker loses a run, and no run comes before a scrape.
      { kind: 'kafka', target: 'erp', interval: '1h', timeout: '1m', brokers: kafka.bootstrap },
    ],
  }
  const daemon = keep(await startDaemon({ config }))
  await collectUntil(daemon, async () => (await valuesOf(daemon, 'kafka_consumergroup_lag')).length === 3)
  const prometheus = keep(await startPrometheus({ config: scrapeConfig(daemon) }))
  await scraped(prometheus, 'kafka_up == 1')
  const lostBefore = await lostRuns(daemon)

  kafka.freeze()
  try {
    await collect(daemon)
  } finally {
    kafka.thaw()
  }
  expect((await lostRuns(daemon)) - lostBefore).toBe(1)
  await scraped(prometheus, 'kafka_up == 0')
  await collectUntil(daemon, async () => (await valuesOf(daemon, 'kafka_up'))[0] === 1)
  await scraped(prometheus, 'kafka_up == 1')

  expect(await prometheus.query('min_over_time(kafka_up[5m])')).toMatchObject([{ value: 0 }])
  // Every scrape that went well since the first has each of the three partitions.
  const scrapesWithout = await prometheus.query(
    'sum_over_time(up[5m]) - on() group_right count_over_time(kafka_consumergroup_lag[5m])',
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

/** One run, to its end. */
async function collect({ url }: DaemonPart): Promise<void> {
  const response = await fetch(`${url}/-/collect`, { method: 'POST' })
  expect(response.status).toBe(200)
}

function collectUntil(daemon: DaemonPart, condition: () => Promise<boolean>): Promise<void> {
  return waitFor('a good run', async () => {
    await collect(daemon)
    return await condition()
  })
}

function scrapeConfig({ url }: DaemonPart) {
  return {
    scrape_configs: [
      {
        job_name: 'cdc-exporter',
        honor_labels: true,
        scrape_interval: '2s',
        scrape_timeout: '2s',
        static_configs: [{ targets: [new URL(url).host] }],
      },
    ],
  }
}

async function scraped(prometheus: PrometheusPart, expression: string): Promise<void> {
  await waitFor(`a scrape with ${expression}`, async () => (await prometheus.query(expression)).length > 0)
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
