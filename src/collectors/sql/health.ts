import { z } from 'zod'
import type { Health, LastRun } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  queries: z.number().describe('That have run, by tenant where they are by tenant.'),
  failed: z.number().describe('When they last ran; they are failed parts.'),
  truncated: z.number().describe('Had more rows than max_rows.'),
})

export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  return {
    details: {
      queries: last.count(metrics.querySuccess),
      failed: [...last.having(metrics.querySuccess, 0)].length,
      truncated: [...last.having(metrics.queryTruncated, 1)].length,
    },
    problems: [],
  }
}
