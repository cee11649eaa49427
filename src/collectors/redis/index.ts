import { connectRedis } from '../../clients/redis.ts'
import { defineCollector, type SampleBatch, seconds } from '../../collection/collector.ts'
import { addressOf } from './address.ts'
import { metaKey, readBullmq } from './bullmq.ts'
import { readCelery } from './celery.ts'
import { checks } from './checks.ts'
import { type Settings, settings } from './config.ts'
import { details, healthOf } from './health.ts'
import { addKeys, queueTypes } from './keys.ts'
import * as metrics from './metrics.ts'
import { QueueSamples, type Reading } from './queues.ts'
import { KeySearch, literally } from './scan.ts'
import { addServer, readServer, type ServerReading } from './server.ts'
import { readSidekiq } from './sidekiq.ts'

/** Queues of one Redis server or cluster, and the server itself. Reads only, and never asks for all keys at once. */
export const redis = defineCollector<Settings>({
  kind: 'redis',
  health: { key: 'redis_connection', title: 'Redis', details },
  settings,
  families: metrics.families,
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(5) },
  checks,
  longestWait: ({ scan, patterns, bullmq }) =>
    patterns.length + (bullmq?.patterns.length ?? 0) > 0 ? scan.max_time : 0,
  create({ queues, patterns, scan, bullmq, celery, sidekiq, cluster, ...connection }, { clock }) {
    const server = connectRedis(() => addressOf(connection), cluster)
    const searches = patterns.map((pattern) => ({
      pattern,
      search: new KeySearch(pattern, queueTypes, scan, clock),
    }))
    const prefix = bullmq?.prefix ?? ''
    const bullmqSearches = (bullmq?.patterns ?? []).map((pattern) => ({
      pattern: metaKey(literally(prefix), pattern),
      search: new KeySearch(metaKey(literally(prefix), pattern), ['hash'], scan, clock),
    }))

    async function keysOf(
      batch: SampleBatch,
      { redis, signal }: Reading,
      all: typeof searches,
    ): Promise<readonly string[]> {
      const found = await Promise.all(
        all.map(async ({ pattern, search }) => {
          const { keys, complete, cut } = await search.keys(redis, signal)
          batch.add(metrics.scanComplete, { pattern }, Number(complete))
          if (cut) batch.partFailed({ pattern }, cut, [])
          return keys
        }),
      )
      return [...new Set(found.flat())].sort()
    }

    async function bullmqQueues(batch: SampleBatch, reading: Reading): Promise<readonly string[]> {
      const metaKeys = await keysOf(batch, reading, bullmqSearches)
      const found = metaKeys.map((key) => key.slice(`${prefix}:`.length, -':meta'.length))
      return [...new Set([...(bullmq?.queues ?? []), ...found])]
    }

    async function readMaster(signal: AbortSignal): Promise<ServerReading> {
      const first = await readServer(server, signal)
      if (!connection.sentinel || roleOf(first) === 'master') return first
      // It was the master when the connection was opened; the sentinels know the one that is now.
      server.close()
      const second = await readServer(server, signal)
      if (roleOf(second) === 'master') return second
      const { master } = connection.sentinel
      throw new Error(`redis: what the sentinels name as ${master} is a ${roleOf(second)}`)
    }

    return {
      async collect(batch, signal) {
        addServer(batch, await readMaster(signal))
        const reading: Reading = { redis: server, now: clock.now(), signal }
        const samples = new QueueSamples(batch, reading.now)
        const [found, ofBullmq, ofCelery, ofSidekiq] = await Promise.all([
          keysOf(batch, reading, searches),
          bullmqQueues(batch, reading).then((names) => readBullmq(reading, prefix, names)),
          celery ? readCelery(reading, celery) : [],
          sidekiq ? readSidekiq(reading, sidekiq) : [],
        ])
        await addKeys(batch, samples, reading, queues, found)
        for (const each of [...ofBullmq, ...ofCelery, ...ofSidekiq]) samples.add(each)
      },
      health: healthOf,
      async stop() {
        server.close()
      },
    }
  },
})

const roleOf = ({ info }: ServerReading) => info.get('role')
