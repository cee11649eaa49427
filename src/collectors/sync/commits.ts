import { COMMIT_LOG, commitLogPartition, readCommit } from '../../clients/kafka/commit-log.ts'
import type { KafkaPass, Offsets } from '../../clients/kafka/reader.ts'
import { type Bounds, readLogs, type Stretch } from './logs.ts'

/** What a group committed in a partition, and was not yet asked for. */
interface Line {
  readonly group: string
  readonly topic: string
  /** Undefined until a commit was seen. */
  last: number | undefined
  /** Ascending; `from` is the offset of the commit before. */
  commits: { readonly from: number; readonly offset: number; readonly at: number }[]
}

/** Should nobody ask: beyond this the older half goes. */
const MOST_COMMITS = 10_000

/** https://kafka.apache.org/protocol#protocol_error_codes */
const TOPIC_AUTHORIZATION_FAILED = 29

/**
 * When groups committed what, from the topic in which their coordinators keep it. Without READ on that topic nothing
 * is known.
 */
export class Commits {
  readonly #lines = new Map<string, Line>()

  /** The stretches of the commit log that have not been read. `next`: where to read on, by partition; it is set. */
  stretches(
    pass: KafkaPass,
    groups: readonly string[],
    ends: Offsets,
    next: (partitions: number, id: string) => readonly (number | null)[],
    move: (partition: number, offset: number) => void,
  ): Stretch[] {
    const log = pass.metadata.topics.find(({ name, error }) => name === COMMIT_LOG && error === 0)
    if (!log) return []
    const positions = next(log.partitions.length, log.id ?? '')
    const wanted = new Set(groups.map((group) => commitLogPartition(group, log.partitions.length)))
    return log.partitions.flatMap(({ partition, leader }) => {
      const to = ends.get(COMMIT_LOG)?.[partition] ?? Number.NaN
      if (!wanted.has(partition) || Number.isNaN(to)) return []
      const from = positions[partition] ?? to
      if (from >= to) move(partition, to)
      return from < to ? [{ topic: COMMIT_LOG, partition, leader, from, to }] : []
    })
  }

  /**
   * Reads them. `stepped` hears by how many offsets a commit of a wanted group went on in a partition; `moved`, how
   * far the log was read. `failed`: of stretches that could not be read.
   */
  async read(
    pass: KafkaPass,
    starts: Offsets,
    stretches: readonly Stretch[],
    bounds: Bounds,
    heed: {
      wants(group: string, topic: string): boolean
      stepped(topic: string, offsets: number): void
      moved(partition: number, offset: number): void
      failed(stretch: Stretch, cause: unknown): void
    },
  ): Promise<void> {
    const failed = (stretch: Stretch, cause: unknown, error: number | undefined) => {
      if (error !== TOPIC_AUTHORIZATION_FAILED) heed.failed(stretch, cause)
    }
    for await (const { partition, to, records } of readLogs(
      pass,
      starts,
      stretches,
      NO_HEADERS,
      bounds,
      failed,
    )) {
      // The commit before the next one that is read is not known then.
      if (!records) for (const line of this.#lines.values()) line.last = undefined
      for (const record of records ?? []) {
        const commit = readCommit(record)
        if (!commit || !heed.wants(commit.group, commit.topic)) continue
        const step = this.#add(commit)
        if (step > 0) heed.stepped(commit.topic, step)
      }
      heed.moved(partition, to)
    }
  }

  /** Offsets since the commit before; 0 where that is unknown. */
  #add({ group, topic, partition, offset, at }: NonNullable<ReturnType<typeof readCommit>>): number {
    const key = keyOf(group, topic, partition)
    const line = this.#lines.get(key) ?? { group, topic, last: undefined, commits: [] }
    this.#lines.set(key, line)
    const { last } = line
    line.last = offset
    if (last === undefined || offset <= last) {
      // It was set back, or its past is unknown.
      if (offset !== last) line.commits = []
      return 0
    }
    if (line.commits.length >= MOST_COMMITS) line.commits.splice(0, MOST_COMMITS / 2)
    line.commits.push({ from: last, offset, at })
    return offset - last
  }

  /** When the group committed past the record; undefined where that was not seen. Wall milliseconds. */
  timeOf(group: string, topic: string, partition: number, offset: number): number | undefined {
    const { commits } = this.#lines.get(keyOf(group, topic, partition)) ?? { commits: [] }
    let [low, high] = [0, commits.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((commits[middle]?.offset ?? 0) > offset) high = middle
      else low = middle + 1
    }
    const commit = commits[low]
    // Another one may have gone past it before, and was not seen.
    return commit && commit.from <= offset ? commit.at : undefined
  }

  /** Commits of the partition up to this offset are not asked for any more. */
  drop(group: string, topic: string, partition: number, offset: number): void {
    const line = this.#lines.get(keyOf(group, topic, partition))
    const first = line?.commits.findIndex((commit) => commit.offset > offset)
    if (line && first !== undefined) line.commits.splice(0, first === -1 ? line.commits.length : first)
  }

  /** What is not wanted any more. */
  forget(wants: (group: string, topic: string) => boolean): void {
    for (const [key, { group, topic }] of this.#lines) if (!wants(group, topic)) this.#lines.delete(key)
  }
}

const NO_HEADERS: ReadonlySet<string> = new Set()

const keyOf = (group: string, topic: string, partition: number): string => `${partition} ${topic} ${group}`
