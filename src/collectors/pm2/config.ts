import { homedir } from 'node:os'
import { z } from 'zod'
import { declaredMetric } from '../../config/declared.ts'
import { integer, settings as object, shown } from '../../config/fields.ts'
import type { Family } from '../../metrics/family.ts'

/** A metric that processes report to PM2, and the series that it becomes. */
export interface CustomMetric {
  /** As PM2 shows it. */
  readonly source: string
  readonly family: Family<'name' | 'pm_id'>
  /** Base unit of the family; undefined: the numbers are taken as they are. */
  readonly unit: string | undefined
}

const customMetrics = z
  .record(z.string().min(1), declaredMetric)
  .superRefine((metrics, context) => {
    const sources = Object.keys(metrics)
    for (const source of sources) {
      const first = sources.find((other) => metrics[other]?.metric === metrics[source]?.metric)
      if (first === source) continue
      const message = `${shown(first)} has this name already`
      context.addIssue({ code: 'custom', path: [source, 'metric'], message })
    }
  })
  .transform((metrics) =>
    Object.entries(metrics).map(
      ([source, { metric, type, help, unit }]): CustomMetric => ({
        source,
        family: { name: metric, type, help, labelNames: ['name', 'pm_id'] },
        unit,
      }),
    ),
  )

export const settings = object({
  /** PM2_HOME of the daemon. */
  home: z
    .string()
    .min(1)
    .default('~/.pm2')
    .transform((path) => path.replace(/^~(?=\/|$)/, homedir())),
  /** How many instances of a process should be online, by the process's name. */
  expect: z.record(z.string(), integer(0)).default({}),
  custom_metrics: customMetrics
    .prefault({})
    .describe(
      'Metrics that processes report to PM2 and that become series, by the name that PM2 shows; others do not.',
    ),
})

export type Settings = z.output<typeof settings>
