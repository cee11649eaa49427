import { defineCollector, minutes } from '../../collection/collector.ts'
import { checks } from './checks.ts'
import { longestWait, settings } from './config.ts'
import { details, healthOf } from './health.ts'
import * as metrics from './metrics.ts'
import { Reconciliation } from './reconciliation.ts'

/** Rows that the source has and the sink has not, or the other way round, but for those on their way. */
export const drift = defineCollector({
  kind: 'drift',
  health: { key: 'drift', title: 'Drift', details },
  settings,
  checks,
  longestWait,
  families: Object.values(metrics),
  defaults: { interval: minutes(5), timeout: minutes(4) },
  create(settings, { clock }) {
    const reconciliation = new Reconciliation(settings, clock)
    return {
      collect: (batch, signal) => reconciliation.run(batch, signal),
      findings: () => [
        ...reconciliation.states.map((state) => ({
          labels: state.pair.labels,
          details: state.view(),
          alarm: state.alarm(),
        })),
        ...reconciliation.queries.findings,
      ],
      health: healthOf,
      stop: async () => reconciliation.close(),
    }
  },
})
