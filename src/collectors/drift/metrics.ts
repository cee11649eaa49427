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
  'Rows of the sink that are older than the watermark and not deleted, counted in the background with FINAL or by sign where its engine needs that.',
  labels,
)

export const rowDifference = gauge(
  'cdc_row_difference',
  'cdc_source_rows less cdc_sink_rows, where that lasted: above 0 rows are missing in the sink, below 0 it has rows that the source has not.',
  labels,
)

export const sourceSum = gauge(
  'cdc_sum_source',
  'Sum of a column of the source over the rows of cdc_source_rows, rounded to a float.',
  [...labels, 'column'],
)

export const sinkSum = gauge(
  'cdc_sum_sink',
  'Sum of the same column of the sink over the rows of cdc_sink_rows, rounded to a float.',
  [...labels, 'column'],
)

export const sumDifference = gauge(
  'cdc_sum_difference',
  'Source less sink of a column’s sums, subtracted as exact decimals, where that lasted; absent while the source changes the column.',
  [...labels, 'column'],
)

export const sourceEstimate = gauge(
  'cdc_source_estimated_rows',
  'Rows of the whole table by reltuples of the source’s last ANALYZE: a trend.',
  labels,
)

export const sinkEstimate = gauge(
  'cdc_sink_estimated_rows',
  'Rows of the whole table by the catalog of the sink, each version and deleted row counted: a trend.',
  labels,
)

export const confirmedRanges = gauge(
  'cdc_reconcile_confirmed_ranges',
  'Ranges of keys that hold rows confirmed to differ, from checksums in the background; which they are is in /api/v1/drift and the log.',
  labels,
)

export const differingRows = gauge(
  'cdc_reconcile_differing_rows',
  'Rows confirmed to be missing, extra, duplicate or different in the sink, from checksums in the background, until a run sees them equal.',
  labels,
)

export const roundEnd = gauge(
  'cdc_reconcile_round_timestamp_seconds',
  'When the rolling checksums last came to the end of the table, by our own clock.',
  labels,
)

export const rowsRead = counter(
  'cdc_reconcile_rows_read_total',
  'Rows that checksums and keys were read of since the daemon started; counts are not among them.',
  [...labels, 'side'],
)

export const statementSeconds = counter(
  'cdc_reconcile_statement_seconds_total',
  'Time that statements for the table took since the daemon started, by our own clock.',
  [...labels, 'side'],
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
  'Comparisons left out since the daemon started; lag: slot, consumer group or row did not show in time what was read at the source; rows, time: the bounds of a run; quiet: quiet hours; changing: sums or rows that the source changed meanwhile.',
  [...labels, 'reason'],
)
