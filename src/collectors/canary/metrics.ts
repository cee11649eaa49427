import { counter, gauge, histogram } from '../../metrics/family.ts'

// `table` is the name of the source's table without its schema; `tenant` is empty where the settings name none.
const labels = ['table', 'tenant'] as const

/** Seconds. What is below the first is finer than the sink is looked at. */
const LATENCIES = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]

export const latency = histogram(
  'cdc_canary_latency_seconds',
  'From the commit of a canary at the source until it was first seen at the sink, by our own clock; those seen only after a time in which nobody could look are left out.',
  LATENCIES,
  labels,
)

export const freshness = gauge(
  'cdc_freshness_ok',
  'Whether all that the source committed more than late_after ago is at the sink, going by canaries: 0 when the background run looked, and a canary older than that, and each one after it, was not there.',
  labels,
)

export const newestSeen = gauge(
  'cdc_canary_newest_seen_timestamp_seconds',
  'When the newest canary that was seen at the sink had been committed, by our own clock.',
  labels,
)

export const inFlight = gauge(
  'cdc_canary_in_flight',
  'Canaries written since the daemon started that are neither seen at the sink nor given up, as of the last background run.',
  labels,
)

export const sent = counter(
  'cdc_canary_sent_total',
  'Canaries that the source has committed since the daemon started.',
  labels,
)

export const late = counter(
  'cdc_canary_late_total',
  'Canaries sent since the daemon started that were not at the sink late_after after their commit; those lost are among them.',
  labels,
)

export const lost = counter(
  'cdc_canary_lost_total',
  'Canaries sent since the daemon started that were not at the sink lost_after after their commit, and are looked for no more.',
  labels,
)
