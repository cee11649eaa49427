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

export const freshness = gauge(
  'cdc_freshness_seconds',
  'Age of the newest row by the column that freshness names, by the clock of the database that holds it, from max() in the background; absent while there is no row.',
  [...labels, 'side'],
)

// `value` is the name of a comparison of two queries; `tenant` is empty where there are none.
const ofValue = ['value', 'tenant'] as const
const ofGroup = [...ofValue, 'group'] as const

export const valueSource = gauge(
  'cdc_value_source',
  'What the source’s query last gave for the group, in the background, rounded to a float; absent where it gave no such row.',
  ofGroup,
)

export const valueSink = gauge(
  'cdc_value_sink',
  'What the sink’s query last gave for the group, in the background, rounded to a float; absent where it gave no such row.',
  ofGroup,
)

export const valueDifference = gauge(
  'cdc_value_difference',
  'Source less sink of a group, subtracted as exact decimals, a side without it being 0; absent while the values move, so that they cannot be judged.',
  ofGroup,
)

export const valueGroups = gauge(
  'cdc_value_groups',
  'Groups that either query gave when they were last compared in the background.',
  ofValue,
)

export const valueDiffering = gauge(
  'cdc_value_differing_groups',
  'Groups confirmed to differ by more than the tolerance, or that one side has not, from queries in the background, until a run sees them equal.',
  ofValue,
)

export const valueLastSuccess = gauge(
  'cdc_value_last_success_timestamp_seconds',
  'When the queries were last compared, by our own clock.',
  ofValue,
)

export const valueSkipped = counter(
  'cdc_value_skipped_total',
  'Comparisons of queries left out since the daemon started; lag: slot or consumer group did not show in time what was read at the source; time: the bound of a run; quiet: quiet hours; changing: groups that moved meanwhile.',
  [...ofValue, 'reason'],
)

export const valueSeconds = counter(
  'cdc_value_statement_seconds_total',
  'Time that the queries of the comparison took since the daemon started, by our own clock.',
  [...ofValue, 'side'],
)

// `assertion` is the name of a query that should give no row, `side` where it runs.
const ofAssertion = ['assertion', 'tenant', 'side'] as const

export const violations = gauge(
  'cdc_assertion_violations',
  'Rows that the query of the assertion gave at each of some readings, in the background; a sample of them may be in /api/v1/drift.',
  ofAssertion,
)

export const assertionLastSuccess = gauge(
  'cdc_assertion_last_success_timestamp_seconds',
  'When the assertion was last judged, by our own clock.',
  ofAssertion,
)

export const assertionSkipped = counter(
  'cdc_assertion_skipped_total',
  'Runs of an assertion left out since the daemon started; lag: slot or consumer group did not show in time what the source had; time: the bound of a run; quiet: quiet hours; changing: rows that moved meanwhile.',
  [...ofAssertion, 'reason'],
)

export const assertionSeconds = counter(
  'cdc_assertion_statement_seconds_total',
  'Time that the query of the assertion took since the daemon started, by our own clock.',
  ofAssertion,
)
