import type { LogRecord } from './records.ts'
import { Reader } from './wire.ts'

/** The topic in which coordinators keep what groups commit; it says when they did, which OffsetFetch does not. */
export const COMMIT_LOG = '__consumer_offsets'

export interface LoggedCommit {
  readonly group: string
  readonly topic: string
  readonly partition: number
  /** Of the record that is next. */
  readonly offset: number
  /** By the coordinator's clock, in milliseconds since the epoch. */
  readonly at: number
}

/** The partition of the commit log that has the group's commits, as the broker finds it: by Java's hash code. */
export function commitLogPartition(group: string, partitions: number): number {
  let hash = 0
  for (let i = 0; i < group.length; i++) hash = (Math.imul(hash, 31) + group.charCodeAt(i)) | 0
  return hash === -(2 ** 31) ? 0 : Math.abs(hash) % partitions
}

/** A key of another version is of something else, such as a group's members. */
const COMMIT_KEY_VERSIONS = [0, 1]

/** Undefined for a record that is no commit, or says that one is forgotten. */
export function readCommit({ key, value, timestamp }: LogRecord): LoggedCommit | undefined {
  if (!key || !value) return undefined
  try {
    const keyReader = new Reader(key, false)
    if (!COMMIT_KEY_VERSIONS.includes(keyReader.int16())) return undefined
    const commit = { group: keyReader.string(), topic: keyReader.string(), partition: keyReader.int32() }
    // In every version the offset is the first field; the record's own time is that of the commit.
    const valueReader = new Reader(value, false)
    valueReader.int16()
    return { ...commit, offset: valueReader.int64(), at: timestamp }
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
