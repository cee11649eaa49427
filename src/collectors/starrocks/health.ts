import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

const counted = z.object({ alive: z.number(), dead: z.array(z.string()).describe('100 at the most.') })

export const details = z.object({
  version: z.string().optional().describe('Of the front end that answered.'),
  frontends: counted,
  backends: counted.describe('Compute nodes are among them.'),
  connections: z
    .object({ used: z.number().optional(), max: z.number().optional() })
    .describe('Of the front end that answered.'),
  tablets_unhealthy: z.number().optional(),
  routine_loads: z.record(z.string(), z.number()).describe('How many are in each state.'),
})

/** Routine loads that do not run are findings, which say why. */
export function healthOf(last: LastRun): Health<z.output<typeof details>> {
  const [server] = last.having(metrics.info, 1)
  const frontends = [...last.having(metrics.frontendAlive, 0)].map(({ frontend }) => frontend)
  const backends = [...last.having(metrics.backendAlive, 0)].map(({ backend }) => backend)
  const counts = (
    dead: readonly string[],
    family: typeof metrics.frontendAlive | typeof metrics.backendAlive,
  ) => ({
    alive: last.count(family) - dead.length,
    dead: dead.slice(0, MOST_LISTED),
  })
  return {
    details: {
      version: server?.version,
      frontends: counts(frontends, metrics.frontendAlive),
      backends: counts(backends, metrics.backendAlive),
      connections: { used: last.value(metrics.connections), max: last.value(metrics.connectionsMax) },
      tablets_unhealthy: last.sum(metrics.tabletsUnhealthy),
      routine_loads: last.states(metrics.routineLoadState),
    },
    problems: [
      ...frontends.map((name) => `front end ${name} is dead`),
      ...backends.map((name) => `backend ${name} is dead`),
    ],
  }
}
