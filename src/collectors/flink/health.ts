import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

/** In which a job does not do its work, and nobody has asked for that. */
const WRONG = ['failing', 'failed', 'restarting']

export const details = z.object({
  version: z.string().optional().describe('Of the JobManager that answered.'),
  task_managers: z.number().optional(),
  slots: z.number().optional(),
  slots_available: z.number().optional(),
  states: z.record(z.string(), z.number()).describe('How many jobs are in each state.'),
  jobs: z
    .array(z.object({ job: z.string(), state: z.string() }))
    .describe(
      'Of several of one name the one that was started last; 100 at the most, those with a problem first.',
    ),
})

export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const [manager] = last.having(metrics.info, 1)
  const jobs = [...last.having(metrics.jobState, 1)]
  const wrong = jobs.filter(({ state }) => WRONG.includes(state))
  const taskManagers = last.value(metrics.taskManagers)
  return {
    details: {
      version: manager?.version,
      task_managers: taskManagers,
      slots: last.value(metrics.slots),
      slots_available: last.value(metrics.slotsAvailable),
      states: last.states(metrics.jobState),
      jobs: [...new Set([...wrong, ...jobs])].slice(0, MOST_LISTED),
    },
    problems: [
      ...(taskManagers === 0 ? ['no task manager is registered'] : []),
      ...wrong.map(({ job, state }) => `job ${job} is ${state}`),
    ],
  }
}
