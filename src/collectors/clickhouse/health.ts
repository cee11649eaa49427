import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  connections: z.number().optional(),
  merges: z.number().optional(),
  mutations_pending: z.number().optional(),
  disks: z
    .array(z.object({ disk: z.string(), size_bytes: z.number(), free_bytes: z.number().optional() }))
    .describe('But for those without a bound; 100 at the most.'),
  replicas: z.number(),
  read_only_replicas: z
    .array(z.object({ database: z.string(), table: z.string() }))
    .describe('100 at the most.'),
})

export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const free = new Map(
    [...last.samples(metrics.diskFreeBytes)].map(({ labels, value }) => [labels.disk, value]),
  )
  const readOnly = [...last.having(metrics.replicaReadOnly, 1)]
  return {
    details: {
      connections: last.value(metrics.connections),
      merges: last.value(metrics.merges),
      mutations_pending: last.sum(metrics.mutationsPending),
      disks: [...last.samples(metrics.diskBytes)]
        .slice(0, MOST_LISTED)
        .map(({ labels: { disk }, value }) => ({ disk, size_bytes: value, free_bytes: free.get(disk) })),
      replicas: last.count(metrics.replicaReadOnly),
      read_only_replicas: readOnly.slice(0, MOST_LISTED),
    },
    problems: readOnly.map(({ database, table }) => `the replica of ${database}.${table} is read-only`),
  }
}
