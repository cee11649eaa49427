import { counter, gauge } from '../../metrics/family.ts'

// `table` is the name of the source's table without its schema; `tenant` is empty where there are none.
const labels = ['table', 'tenant'] as const

export const sourceRows = gauge(
  'cdc_source_rows',
  'Rows of the source that are older than the watermark, by count(*) in the background.',
  labels,
)

export const sinkRows = gauge(
  'cdc_sink_rows',
  'Rows of the sink that are older than the watermark and not deleted, by countIf with FINAL in the background.',
  labels,
)

export const rowDifference = gauge(
  'cdc_row_difference',
  'cdc_source_rows less cdc_sink_rows, where that lasted: above 0 rows are missing in the sink, below 0 it has rows that the source has not.',
  labels,
)

export const watermark = gauge(
  'cdc_reconcile_watermark_timestamp_seconds',
  'Rows made before this time were compared: the run less the lag allowed, or the start of the oldest transaction that was writing.',
  labels,
)

export const lastSuccess = gauge(
  'cdc_reconcile_last_success_timestamp_seconds',
  'When the table was last compared, by our own clock.',
  labels,
)

export const skipped = counter(
  'cdc_reconcile_skipped_total',
  'Comparisons left out since the daemon started; lag: the replication slot did not pass in time what was counted at the source.',
  [...labels, 'reason'],
)
