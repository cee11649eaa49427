import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  version: z.string().optional(),
  role: z.string().optional(),
  clients: z.object({ connected: z.number().optional(), max: z.number().optional() }),
  memory: z.object({
    used_bytes: z.number().optional(),
    max_bytes: z.number().optional().describe('0 for no limit.'),
  }),
  queues: z.array(z.object({ queue: z.string(), length: z.number() })).describe('The 100 longest.'),
})

const FIELDS = new Map([...metrics.infoFields, ...metrics.clusterFields].map((each) => [each.field, each]))

export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const numberOf = (field: string) => {
    const known = FIELDS.get(field)
    return known && last.value(known.family)
  }
  const [server] = last.having(metrics.instanceInfo, 1)
  const queues = [...last.samples(metrics.queueLength)].map(({ labels: { queue }, value }) => ({
    queue,
    length: value,
  }))
  const unlinked = [...last.having(metrics.masterLinkUp, 0)]
  return {
    details: {
      version: server?.redis_version,
      role: server?.role,
      clients: { connected: numberOf('connected_clients'), max: last.value(metrics.configMaxClients) },
      memory: { used_bytes: numberOf('used_memory'), max_bytes: numberOf('maxmemory') },
      queues: queues.toSorted((a, b) => b.length - a.length).slice(0, MOST_LISTED),
    },
    problems: [
      ...(numberOf('loading') === 1 ? ['it is loading its data'] : []),
      ...(numberOf('cluster_state') === 0 ? ['the cluster cannot serve all queries'] : []),
      ...unlinked.map(
        ({ master_host, master_port }) => `it is not connected to its master ${master_host}:${master_port}`,
      ),
    ],
  }
}
