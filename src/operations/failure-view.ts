import type { Failure, FailureLog, FailureStatistics, Marked } from './failure-log.ts'
import { hintOf } from './runbook-hints.ts'

// Failures as the API and the command line show them: snake_case, times in ISO 8601, null for what is not there.

/** How many earlier failures of the same connector or task are shown with one. */
const HISTORY = 20

export function failureView(failure: Failure) {
  return {
    id: failure.id,
    target: failure.target,
    environment: failure.environment,
    platform: failure.platform,
    connector: failure.connector,
    task: failure.task === '' ? null : Number(failure.task),
    team: failure.team,
    labels: failure.labels,
    worker: failure.worker,
    state: failure.resolvedAt === undefined ? 'open' : 'resolved',
    exception_class: failure.exceptionClass,
    root_class: failure.rootClass,
    root_cause: failure.rootCause,
    opened_at: time(failure.openedAt),
    ended_at: time(failure.endedAt),
    resolved_at: time(failure.resolvedAt),
    resolution: failure.resolution ?? null,
    resolved_by: failure.resolvedBy ?? null,
  }
}

/** One failure with all that helps: its trace, first steps and what failed there before; undefined for none. */
export function failureDetail(log: FailureLog, id: number) {
  const failure = log.get(id)
  if (!failure) return undefined
  return {
    ...failureView(failure),
    trace: failure.trace,
    hint: hintOf(failure.trace) ?? null,
    history: log.history(failure, HISTORY).map(failureView),
  }
}

/** What is said where a failure could not be marked. */
export const NOT_MARKED: Readonly<Record<Exclude<Marked, 'done'>, string>> = {
  already: 'it is so already',
  over: 'it is over: only a failure that persists can be opened again',
  absent: 'no such failure',
}

export function statisticsView({ exceptionClasses, ...statistics }: FailureStatistics) {
  return { ...statistics, exception_classes: exceptionClasses }
}

/** `erp-connect/orders/0`; without a task for the connector itself. */
export function partName({ target, connector, task }: Failure): string {
  return [target, connector, ...(task === '' ? [] : [task])].join('/')
}

function time(ms: number): string
function time(ms: number | undefined): string | null
function time(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}
