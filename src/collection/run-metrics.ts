import { counter, gauge } from '../metrics/family.ts'

export const success = gauge(
  'cdc_collector_success',
  'Whether the last run of the collector read its backend, from the scheduler.',
  ['collector'],
)
export const enabled = gauge(
  'cdc_collector_enabled',
  'Whether the collector is switched on, from the configuration.',
  ['collector'],
)
export const duration = gauge(
  'cdc_collector_duration_seconds',
  'How long the last run took, from the scheduler.',
  ['collector'],
)
export const interval = gauge(
  'cdc_collector_interval_seconds',
  'Time between two runs, from the configuration; for a schedule, between the last time due and the next.',
  ['collector'],
)
export const staleAfter = gauge(
  'cdc_collector_stale_after_seconds',
  'How long series outlive the first failed run: the smaller of three intervals and 15 minutes.',
  ['collector'],
)
export const lastRun = gauge(
  'cdc_collector_last_run_timestamp_seconds',
  'When the last finished run began, from the scheduler.',
  ['collector'],
)
export const lastSuccess = gauge(
  'cdc_collector_last_success_timestamp_seconds',
  'When the last successful run began, from the scheduler.',
  ['collector'],
)
export const nextRun = gauge(
  'cdc_collector_next_run_timestamp_seconds',
  'When the next run is due, from the scheduler.',
  ['collector'],
)
export const series = gauge('cdc_collector_series', 'Series that the collector exposes now.', ['collector'])
export const runs = counter('cdc_collector_runs_total', 'Runs that ended, well or badly.', ['collector'])
export const failures = counter(
  'cdc_collector_failures_total',
  'Runs that failed, by reason: error, timeout, overrun (not started: the last still ran), partial (a part of the backend was not read).',
  ['collector', 'reason'],
)
export const dropped = counter(
  'cdc_series_dropped_total',
  'Samples that were not taken, by reason: limit (beyond max_series), duplicate (written twice in one run), invalid (not a number).',
  ['collector', 'reason'],
)

/** What the engine says of each instance. */
export const runFamilies = [
  success,
  enabled,
  duration,
  interval,
  staleAfter,
  lastRun,
  lastSuccess,
  nextRun,
  series,
  runs,
  failures,
  dropped,
] as const

export const checkOk = gauge(
  'cdc_check_ok',
  'Whether an item of `cdc-exporter check` is as expected, looked at in the background every `check_interval`; level is required or advised, subject the object that it is about. Absent while it is not known.',
  ['collector', 'check', 'subject', 'level'],
)
export const checkTime = gauge(
  'cdc_check_last_run_timestamp_seconds',
  'When the last background look at what `cdc-exporter check` looks at began.',
  ['collector'],
)

/** What the engine says of the checks of each instance whose kind has any. */
export const checkFamilies = [checkOk, checkTime] as const
