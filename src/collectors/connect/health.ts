import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

const states = z.record(z.string(), z.number())

export const details = z.object({
  version: z.string().optional().describe('Of the worker that answered.'),
  connectors: states.describe('How many are in each state.'),
  tasks: states.describe('How many are in each state.'),
  failed: z
    .array(
      z.object({
        connector: z.string(),
        task: z.string().describe('Empty for the connector itself.'),
        exception_class: z.string().optional(),
      }),
    )
    .describe('Connectors and tasks that have failed, 100 at the most.'),
})

export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const [worker] = last.having(metrics.workerInfo, 1)
  const failed = [
    ...[...last.having(metrics.connectorState, 1)].map((labels) => ({ ...labels, task: '' })),
    ...last.having(metrics.taskState, 1),
  ].filter(({ state }) => state === 'failed')
  const classes = new Map(
    [...last.having(metrics.taskFailureInfo, 1)].map(({ connector, task, exception_class }) => [
      JSON.stringify([connector, task]),
      exception_class,
    ]),
  )
  const failures = failed.map(({ connector, task }) => ({
    connector,
    task,
    exception_class: classes.get(JSON.stringify([connector, task])),
  }))
  return {
    details: {
      version: worker?.version,
      connectors: last.states(metrics.connectorState),
      tasks: last.states(metrics.taskState),
      failed: failures.slice(0, MOST_LISTED),
    },
    problems: failures.map(({ connector, task, exception_class }) => {
      const what = task === '' ? `connector ${connector}` : `task ${task} of connector ${connector}`
      return `${what} has failed${exception_class === undefined ? '' : ` (${exception_class})`}`
    }),
  }
}
