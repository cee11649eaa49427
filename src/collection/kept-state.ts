import type { KeptState } from './collector.ts'

/** Kept as long as the process runs. */
export function stateInMemory(): KeptState {
  const kept = new Map<string, unknown>()
  return {
    load: () => new Map(kept),
    save(changes) {
      for (const [key, value] of changes) {
        if (value === undefined) kept.delete(key)
        else kept.set(key, structuredClone(value))
      }
    },
  }
}
