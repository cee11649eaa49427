import { gauge } from '../../metrics/family.ts'

export const up = gauge('redis_up', 'Whether Redis answered the last background run.')

export const queueLength = gauge(
  'redis_queue_length',
  'Items in the key of a configured queue, by LLEN, ZCARD, SCARD or XLEN, collected in the background; 0 when the key does not exist.',
  ['queue'],
)

export const uptime = gauge(
  'redis_uptime_in_seconds',
  'Seconds since Redis started, uptime_in_seconds of INFO, collected in the background.',
)

export const memoryUsed = gauge(
  'redis_memory_used_bytes',
  'Bytes that Redis has allocated, used_memory of INFO, collected in the background.',
)

export const memoryMax = gauge(
  'redis_memory_max_bytes',
  'Bytes that Redis may allocate, maxmemory of INFO, collected in the background; 0 means no limit.',
)

export const connectedClients = gauge(
  'redis_connected_clients',
  'Client connections, connected_clients of INFO, collected in the background.',
)
