/**
 * PostgreSQL gives a replication slot no identity but its name. That another slot has the name now shows in
 * what cannot happen to the same one.
 */
export interface SlotIdentity {
  /** Its type, plugin and database: a slot never changes them. */
  readonly definition: string
  /**
   * Of the primary. Another one means another server, whose slot of that name is its own; undefined on a
   * standby, and for a slot that goes over to the new primary.
   */
  readonly timeline: string | undefined
  readonly statistics: {
    /** What it has decoded so far: counters that begin at 0 with the slot. All 0 where the version has none. */
    readonly decoded: readonly bigint[]
    /** When somebody set these counters to 0. */
    readonly resetAt: string | undefined
    /** Since when the server has statistics: a crash loses all of them. */
    readonly since: string | undefined
  }
}

/** Whether these are two slots. False where it cannot be told. */
export function isAnother(before: SlotIdentity, now: SlotIdentity): boolean {
  if (before.definition !== now.definition) return true
  if (before.timeline !== undefined && now.timeline !== undefined && before.timeline !== now.timeline) {
    return true
  }
  const [old, current] = [before.statistics, now.statistics]
  const wasReset = current.resetAt !== undefined && current.resetAt !== old.resetAt
  if (wasReset || current.since !== old.since) return false
  return current.decoded.some((count, i) => count < (old.decoded[i] ?? 0n))
}

interface Remembered {
  readonly identity: SlotIdentity | undefined
  readonly recreated: number
}

/** Names that are remembered after their slots have gone. */
const GONE_AT_MOST = 1_000

/**
 * Takes the slots of each pass by name, and gives for each how often it was found to be another one. A slot
 * that a pass did not see and the next one does is another one.
 */
export function slotHistory() {
  const known = new Map<string, Remembered>()
  let wasReplica: boolean | undefined
  return (
    slots: ReadonlyMap<string, SlotIdentity>,
    isReplica: boolean,
  ): readonly (readonly [string, number])[] => {
    // A standby has slots of its own: those of the primary have not gone.
    if (isReplica !== wasReplica) known.clear()
    wasReplica = isReplica
    for (const [name, { recreated }] of known) {
      if (!slots.has(name)) known.set(name, { identity: undefined, recreated })
    }
    const counts = [...slots].map(([name, identity]) => {
      const before = known.get(name)
      const isNew = before && (!before.identity || isAnother(before.identity, identity))
      const recreated = (before?.recreated ?? 0) + Number(isNew ?? false)
      // Names in the order in which they were seen last.
      known.delete(name)
      known.set(name, { identity, recreated })
      return [name, recreated] as const
    })
    for (const name of known.keys()) {
      if (known.size - slots.size <= GONE_AT_MOST) break
      known.delete(name)
    }
    return counts
  }
}
