/** An engine of the MergeTree family. */
export interface MergeTree {
  /** What it does when it merges, `Replacing` or `Collapsing`; empty for one that keeps all rows. */
  readonly merges: string
  /** The columns in its brackets: the version and the deleted one, the sign. */
  readonly columns: readonly string[]
}

/** Of `engine_full`, such as `ReplicatedReplacingMergeTree('/path', '{replica}', _version, _deleted) ORDER BY …`. */
export function mergeTreeOf(engine: string): MergeTree | undefined {
  const [, merges, rest = ''] = /^(?:Replicated|Shared)?(\w*?)MergeTree\b(?:\((.*))?/s.exec(engine) ?? []
  if (merges === undefined) return undefined
  const columns = rest
    .replaceAll(/'(?:[^'\\]|\\.)*'/g, '')
    .split(')')[0]
    ?.split(',')
    .map((argument) => argument.trim().replace(/^`(.*)`$/, '$1'))
    .filter((argument) => argument !== '')
  return { merges, columns: columns ?? [] }
}
