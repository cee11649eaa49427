const WINDOW_MS = 10 * 60_000

/**
 * Takes the WAL's position in bytes of each pass, with monotonic milliseconds, and gives the bytes a second
 * over the last ten minutes, or over the last two passes where they lie further apart; undefined at the first.
 */
export function walRate() {
  let passes: { readonly at: number; readonly position: number }[] = []
  let wasReplica: boolean | undefined
  return (at: number, position: number, isReplica: boolean): number | undefined => {
    const last = passes.at(-1)
    // Another server, or one that was restored.
    if (isReplica !== wasReplica || (last && position < last.position)) passes = []
    wasReplica = isReplica
    const recent = passes.filter((pass) => at - pass.at <= WINDOW_MS)
    passes = [...(recent.length > 0 ? recent : passes.slice(-1)), { at, position }]
    const [first] = passes
    if (!first || at <= first.at) return undefined
    return ((position - first.position) / (at - first.at)) * 1000
  }
}
