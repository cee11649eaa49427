import type { StarrocksRow } from '../../clients/starrocks.ts'
import type { Finding, SampleBatch } from '../../collection/collector.ts'
import * as metrics from './metrics.ts'
import { jsonObject, wholeNumber } from './texts.ts'

export const routineLoadFamilies = [
  metrics.routineLoadState,
  metrics.routineLoadReason,
  metrics.routineLoadLag,
  metrics.routineLoadRows,
  metrics.routineLoadErrorRows,
]

/** https://docs.starrocks.io/docs/sql-reference/sql-statements/loading_unloading/routine_load/SHOW_ROUTINE_LOAD/ */
const STATES = ['need_schedule', 'running', 'paused', 'unstable', 'stopped', 'cancelled'] as const

/** Of one that does not read, StarRocks tells the positions of the time when it did. */
const READING: readonly string[] = ['need_schedule', 'running', 'unstable']

/** One that somebody has stopped is not among them. */
const ALARMING: readonly string[] = ['paused', 'unstable', 'cancelled']

/** By errCode: fe/fe-core/src/main/java/com/starrocks/common/InternalErrorCode.java */
const REASONS: ReadonlyMap<string, string> = new Map([
  ['3', 'replicas_missing'],
  ['4', 'partitions_unknown'],
  ['5', 'database_unknown'],
  ['6', 'table_unknown'],
  ['7', 'metadata_unknown'],
  ['9', 'node_dead'],
  ['100', 'paused_by_hand'],
  ['101', 'stopped_by_hand'],
  ['102', 'too_many_error_rows'],
  ['103', 'tasks_not_created'],
  ['104', 'tasks_aborted'],
  ['105', 'slow'],
  ['106', 'not_resumable'],
])

/** Writes the jobs of one database, and gives what is known of them beyond series. */
export function addRoutineLoads(
  database: string,
  rows: readonly StarrocksRow[],
  batch: SampleBatch,
): readonly Finding[] {
  return newestOfEachName(rows).map((row) => {
    const job = row.Name ?? ''
    const labels = { database, job }
    const now = row.State?.toLowerCase()
    if (now !== undefined) {
      for (const state of new Set([...STATES, now])) {
        batch.add(metrics.routineLoadState, { ...labels, state }, Number(state === now))
      }
    }
    const text = row.ReasonOfStateChanged?.trim() ?? ''
    const reason = reasonOf(text)
    if (reason !== undefined) batch.add(metrics.routineLoadReason, { ...labels, reason }, 1)
    const lag = now !== undefined && READING.includes(now) ? lagOf(row) : undefined
    if (lag !== undefined) batch.add(metrics.routineLoadLag, labels, lag)
    const statistic = jsonObject(row.Statistic)
    const read = countOf(statistic?.totalRows)
    if (read !== undefined) batch.add(metrics.routineLoadRows, labels, read)
    const wrong = countOf(statistic?.errorRows)
    if (wrong !== undefined) batch.add(metrics.routineLoadErrorRows, labels, wrong)
    return findingOf(labels, { state: now ?? 'unknown', table: row.TableName ?? '', text })
  })
}

/** Those that have ended are told for days, beside one of the same name that was made anew. */
function newestOfEachName(rows: readonly StarrocksRow[]): readonly StarrocksRow[] {
  const newest = new Map<string, StarrocksRow>()
  for (const row of rows) {
    if (!row.Name) throw new Error('starrocks: SHOW ALL ROUTINE LOAD: a job without Name')
    const before = newest.get(row.Name)
    if (!before || (wholeNumber(row.Id) ?? 0) > (wholeNumber(before.Id) ?? 0)) newest.set(row.Name, row)
  }
  return [...newest.values()]
}

/** `ErrorReason{errCode = 102, msg='…'}` → `too_many_error_rows`. */
function reasonOf(text: string): string | undefined {
  if (text === '' || text === 'NULL') return undefined
  return REASONS.get(/errCode ?= ?(\d+)/.exec(text)?.[1] ?? '') ?? 'other'
}

/**
 * Messages, over all partitions. Not OffsetLag, which takes Progress for the next offset: it is the last one that
 * was read, so that of each partition OffsetLag is one too many.
 */
function lagOf(row: StarrocksRow): number | undefined {
  const progress = jsonObject(row.Progress)
  const latest = jsonObject(row.LatestSourcePosition)
  if (!progress || !latest) return undefined
  let sum: number | undefined
  for (const [partition, position] of Object.entries(progress)) {
    const next = position === 'OFFSET_ZERO' ? 0 : 1 + (countOf(position) ?? Number.NaN)
    const waiting = (countOf(latest[partition]) ?? Number.NaN) - next
    // No sum over a part that is missing.
    if (Number.isNaN(waiting)) return undefined
    sum = (sum ?? 0) + Math.max(0, waiting)
  }
  return sum
}

/** A number, or its digits. */
const countOf = (value: unknown): number | undefined =>
  typeof value === 'string' || typeof value === 'number' ? wholeNumber(String(value)) : undefined

const LONGEST_REASON = 1_000

const WORDS = { begins: 'a routine load does not run', ends: 'the routine load runs again' }

function findingOf(
  labels: { readonly database: string; readonly job: string },
  { state, table, text }: { readonly state: string; readonly table: string; readonly text: string },
): Finding {
  const about = { table, state, reason: text.slice(0, LONGEST_REASON) }
  const why = text === '' ? '' : `: ${about.reason.replace(/\s+/g, ' ')}`
  const problem = `routine load ${labels.database}.${labels.job} is ${state}${why}`
  return {
    labels,
    details: about,
    alarm: ALARMING.includes(state) ? { problem, words: WORDS, about } : undefined,
  }
}
