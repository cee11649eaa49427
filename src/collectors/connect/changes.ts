import type { Connector } from '../../clients/connect.ts'

interface Known {
  readonly state: string
  /** Wall milliseconds; undefined for a state that was there before the first look. */
  readonly since: number | undefined
}

/** Since when connectors and tasks are in their states. Connect does not tell: it is what was seen. */
export class StateChanges {
  /** By connector, then by task; the connector's own is under the empty text. */
  #known = new Map<string, ReadonlyMap<string, Known>>()
  #hasLooked = false

  /** `unreadable`: connectors that are still there, of which nothing is known now. */
  observe(connectors: readonly Connector[], unreadable: Iterable<string>, now: number): void {
    const next = new Map<string, ReadonlyMap<string, Known>>()
    for (const { name, state, tasks } of connectors) {
      const before = this.#known.get(name)
      const parts = [['', state] as const, ...tasks.map((task) => [String(task.id), task.state] as const)]
      next.set(
        name,
        new Map(
          parts.map(([part, state]) => {
            const known = before?.get(part)
            const since = this.#hasLooked ? now : undefined
            return [part, known?.state === state ? known : { state, since }]
          }),
        ),
      )
    }
    for (const name of unreadable) next.set(name, this.#known.get(name) ?? new Map())
    this.#known = next
    this.#hasLooked = true
  }

  /** Task and time of every change of the connector that was seen. */
  *of(connector: string): Generator<readonly [task: string, since: number]> {
    for (const [task, { since }] of this.#known.get(connector) ?? []) {
      if (since !== undefined) yield [task, since]
    }
  }
}
