import { z } from 'zod'
import type { Health, LastRun } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  table: z.string().optional(),
  tenant: z.string().optional().describe('Empty where the settings name none.'),
  fresh: z.boolean().optional().describe('Whether all that was committed in time is at the sink.'),
  newest_seen: z.iso
    .datetime()
    .optional()
    .describe('When the newest canary that was seen had been committed.'),
  in_flight: z.number().optional(),
  late: z.number().optional().describe('Since the daemon started.'),
  lost: z.number().optional().describe('Since the daemon started.'),
})

export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const [sent] = last.samples(metrics.sent)
  const { table, tenant } = sent?.labels ?? {}
  const fresh = last.value(metrics.freshness)
  const newest = last.value(metrics.newestSeen)
  return {
    details: {
      table,
      tenant,
      fresh: fresh === undefined ? undefined : fresh === 1,
      newest_seen: newest === undefined ? undefined : new Date(newest * 1000).toISOString(),
      in_flight: last.value(metrics.inFlight),
      late: last.value(metrics.late),
      lost: last.value(metrics.lost),
    },
    problems: fresh === 0 ? ['what the source has committed is late at the sink'] : [],
  }
}
