import { connectRedis } from '../../clients/redis.ts'
import { defineCollector, seconds } from '../../collection/collector.ts'
import { settings } from './config.ts'
import * as metrics from './metrics.ts'

const INFO_GAUGES = {
  uptime_in_seconds: metrics.uptime,
  used_memory: metrics.memoryUsed,
  maxmemory: metrics.memoryMax,
  connected_clients: metrics.connectedClients,
}

/** Length of queues, memory and uptime of one Redis server. */
export const redis = defineCollector({
  kind: 'redis',
  health: { key: 'redis_connection', title: 'Redis' },
  settings,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(5) },
  create({ url, username, password, queues }) {
    const server = connectRedis(() => ({ url: url.reveal(), username, password: password?.reveal() }))
    return {
      async collect(batch, signal) {
        const info = await server.info(signal)
        for (const [field, family] of Object.entries(INFO_GAUGES)) {
          const value = info.get(field)
          if (value !== undefined) batch.add(family, {}, Number(value))
        }
        const lengths = await server.lengths(queues, signal)
        for (const [i, queue] of queues.entries()) {
          const length = lengths[i]
          if (typeof length === 'number') batch.add(metrics.queueLength, { queue }, length)
          else batch.partFailed({ queue }, length)
        }
      },
      async stop() {
        server.close()
      },
    }
  },
})
