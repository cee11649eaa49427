// What an exporter over kafkajs's admin and prom-client does at each scrape, one request after another.
import { Kafka, logLevel } from 'kafkajs'
import { Gauge, Registry } from 'prom-client'

export interface NaivePass {
  readonly milliseconds: number
  readonly cpuSeconds: number
  readonly series: number
}

const [brokers = '', count = '1'] = process.argv.slice(2)
const admin = new Kafka({
  clientId: 'naive',
  brokers: brokers.split(','),
  logLevel: logLevel.NOTHING,
}).admin()
const registry = new Registry()
const topicGauge = (name: string) =>
  new Gauge({ name, help: name, labelNames: ['topic', 'partition'], registers: [registry] })
const groupGauge = (name: string) =>
  new Gauge({ name, help: name, labelNames: ['consumergroup', 'topic', 'partition'], registers: [registry] })
const end = topicGauge('kafka_topic_partition_current_offset')
const start = topicGauge('kafka_topic_partition_oldest_offset')
const committed = groupGauge('kafka_consumergroup_current_offset')
const lag = groupGauge('kafka_consumergroup_lag')
const members = new Gauge({
  name: 'kafka_consumergroup_members',
  help: 'Members.',
  labelNames: ['consumergroup'],
  registers: [registry],
})

await admin.connect()
const passes: NaivePass[] = []
for (let i = 0; i < Number(count); i++) {
  const from = performance.now()
  const cpu = process.cpuUsage()
  const text = await pass()
  const { user, system } = process.cpuUsage(cpu)
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
  passes.push({ milliseconds: performance.now() - from, cpuSeconds: (user + system) / 1e6, series })
}
await admin.disconnect()
process.stdout.write(JSON.stringify(passes))

async function pass(): Promise<string> {
  const ends = new Map<string, number>()
  for (const topic of await admin.listTopics()) {
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      end.set({ topic, partition }, Number(high))
      start.set({ topic, partition }, Number(low))
      ends.set(`${topic} ${partition}`, Number(high))
    }
  }
  const ids = (await admin.listGroups()).groups.map(({ groupId }) => groupId)
  for (const group of (await admin.describeGroups(ids)).groups) {
    members.set({ consumergroup: group.groupId }, group.members.length)
  }
  for (const consumergroup of ids) {
    for (const { topic, partitions } of await admin.fetchOffsets({ groupId: consumergroup })) {
      for (const { partition, offset } of partitions) {
        if (offset === '-1') continue
        committed.set({ consumergroup, topic, partition }, Number(offset))
        const last = ends.get(`${topic} ${partition}`) ?? Number.NaN
        lag.set({ consumergroup, topic, partition }, Math.max(0, last - Number(offset)))
      }
    }
  }
  return await registry.metrics()
}
