import type { Connector } from '../../clients/connect.ts'
import type { ObservedFailure } from '../../collection/collector.ts'
import type { Meaning } from './meaning.ts'

/** In between: what failed before has neither recovered nor failed again. */
const UNDECIDED = ['restarting', 'unassigned']

/** What fails now, from pass to pass. Only a state says so: the trace of a failure outlives it. */
export class Failures {
  #open = new Map<string, ObservedFailure>()

  /** `unreadable`: connectors that are still there, of which nothing is known now. */
  observe(
    connectors: readonly Connector[],
    unreadable: ReadonlyMap<string, unknown>,
    meaningOf: (connector: Connector) => Meaning,
  ): readonly ObservedFailure[] {
    const next = new Map<string, ObservedFailure>()
    for (const connector of connectors) {
      const labels = { ...meaningOf(connector), class: connector.class, kind: connector.kind }
      const parts = [
        { ...connector, task: '' },
        ...connector.tasks.map((task) => ({ ...task, task: String(task.id) })),
      ]
      for (const { task, state, worker, trace } of parts) {
        const key = JSON.stringify([connector.name, task])
        const before = this.#open.get(key)
        if (state === 'failed') {
          const { name, secrets } = connector
          next.set(key, { connector: name, task, worker, trace, labels, secrets })
        } else if (before && UNDECIDED.includes(state)) next.set(key, before)
      }
    }
    for (const [key, failure] of this.#open) if (unreadable.has(failure.connector)) next.set(key, failure)
    this.#open = next
    return [...next.values()]
  }
}
