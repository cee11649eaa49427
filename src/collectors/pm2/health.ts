import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

export const details = z.object({
  states: z.record(z.string(), z.number()).describe('How many processes are in each state.'),
  expected: z
    .array(z.object({ name: z.string(), expected: z.number(), online: z.number() }))
    .describe('Instances of the processes that the configuration expects, of 100 processes at the most.'),
})

export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const online = new Map([...last.samples(metrics.online)].map(({ labels, value }) => [labels.name, value]))
  const expected = [...last.samples(metrics.expected)].map(({ labels: { name }, value }) => ({
    name,
    expected: value,
    online: online.get(name) ?? 0,
  }))
  const errored = [...last.having(metrics.state, 1)].filter(({ state }) => state === 'errored')
  return {
    details: { states: last.states(metrics.state), expected: expected.slice(0, MOST_LISTED) },
    problems: [
      ...expected
        .filter((each) => each.online < each.expected)
        .map(({ name, ...count }) => `${name}: ${count.online} of ${count.expected} instances are online`),
      ...errored.map(({ name, pm_id }) => `process ${name} (${pm_id}) is errored`),
    ],
  }
}
