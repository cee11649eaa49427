import { z } from 'zod'
import { settings as keys, shown } from './fields.ts'

const UNITS = 'seconds, bytes, ratio or another base unit'

/** A family that the configuration names: a value that the backend gives becomes its series. */
export const declaredMetric = keys({
  metric: z
    .string()
    .regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/, {
      error: ({ input }) =>
        `expected a name of letters, digits and underscores that starts with no digit, got ${shown(input)}`,
    })
    .describe('Name of the series.'),
  type: z
    .enum(['gauge', 'counter'])
    .default('gauge')
    .describe('counter: it only grows, but for a reset; its name ends in _total.'),
  help: z.string().min(1).describe('Says what the number is, as HELP of the series.'),
  unit: z
    .string()
    .regex(/^[a-z]+$/, { error: ({ input }) => `expected ${UNITS}, got ${shown(input)}` })
    .optional()
    .describe('Base unit, which the name then ends in, before _total: seconds, bytes, ratio.'),
}).superRefine(({ metric, type, unit }, context) => {
  const complain = (message: string) => context.addIssue({ code: 'custom', path: ['metric'], message })
  const isTotal = metric.endsWith('_total')
  if (type === 'counter' && !isTotal) complain(`the name of a counter ends in _total, got ${shown(metric)}`)
  if (type === 'gauge' && isTotal)
    complain(`the name of a gauge does not end in _total, got ${shown(metric)}`)
  if (/_(sum|count|bucket)$/.test(metric))
    complain(`_sum, _count and _bucket are of histograms, got ${shown(metric)}`)
  if (unit !== undefined && !metric.replace(/_total$/, '').endsWith(`_${unit}`)) {
    complain(
      `with the unit ${unit} the name ends in _${unit}${isTotal ? '_total' : ''}, got ${shown(metric)}`,
    )
  }
})
