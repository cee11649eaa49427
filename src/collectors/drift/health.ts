import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  tables: z.object({
    compared: z.number().describe('Tables, by tenant.'),
    confirmed_ranges: z.number().optional(),
    differing_rows: z.number().optional(),
    differing: z
      .array(
        z.object({
          table: z.string(),
          tenant: z.string(),
          confirmed_ranges: z.number(),
          differing_rows: z.number().optional(),
        }),
      )
      .describe('Those with confirmed ranges, 100 at the most.'),
  }),
  values: z.object({ compared: z.number(), differing_groups: z.number().optional() }),
  assertions: z.object({ judged: z.number(), violations: z.number().optional() }),
})

/** What differs is a finding; here is how much. Which keys: `/api/v1/drift`. */
export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const rows = new Map(
    [...last.samples(metrics.differingRows)].map(({ labels, value }) => [JSON.stringify(labels), value]),
  )
  const differing = [...last.samples(metrics.confirmedRanges)].filter(({ value }) => value > 0)
  return {
    details: {
      tables: {
        compared: last.count(metrics.lastSuccess),
        confirmed_ranges: last.sum(metrics.confirmedRanges),
        differing_rows: last.sum(metrics.differingRows),
        differing: differing.slice(0, MOST_LISTED).map(({ labels, value }) => ({
          ...labels,
          confirmed_ranges: value,
          differing_rows: rows.get(JSON.stringify(labels)),
        })),
      },
      values: {
        compared: last.count(metrics.valueLastSuccess),
        differing_groups: last.sum(metrics.valueDiffering),
      },
      assertions: {
        judged: last.count(metrics.assertionLastSuccess),
        violations: last.sum(metrics.violations),
      },
    },
    problems: [],
  }
}
