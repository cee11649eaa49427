import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  probes: z
    .array(
      z.object({
        url: z.string(),
        success: z.boolean(),
        status_code: z.number().optional().describe('0 without an answer.'),
        duration_seconds: z.number().optional(),
      }),
    )
    .describe('Of 100 URLs at the most.'),
  components_up: z.number().describe('Of all health JSON.'),
  components_down: z.array(z.object({ url: z.string(), component: z.string() })).describe('100 at the most.'),
})

/** A probe that fails is a finding: what is told here besides is a component. */
export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const byUrl = (family: typeof metrics.duration) =>
    new Map([...last.samples(family)].map(({ labels, value }) => [labels.url, value]))
  const [status, duration] = [byUrl(metrics.statusCode), byUrl(metrics.duration)]
  const components = [...last.samples(metrics.componentUp)]
  const down = components.filter(({ value }) => value === 0).map(({ labels }) => labels)
  return {
    details: {
      probes: [...last.samples(metrics.success)].slice(0, MOST_LISTED).map(({ labels: { url }, value }) => ({
        url,
        success: value === 1,
        status_code: status.get(url),
        duration_seconds: duration.get(url),
      })),
      components_up: components.length - down.length,
      components_down: down.slice(0, MOST_LISTED),
    },
    problems: down.map(({ url, component }) => `component ${component} of ${url} is down`),
  }
}
