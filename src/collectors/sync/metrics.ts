import { counter, gauge, histogram } from '../../metrics/family.ts'

const tableLabels = ['table', 'tenant'] as const
const operationLabels = ['table', 'tenant', 'operation'] as const

export const processed = counter(
  'sync_records_processed_total',
  'Changes that the sink’s consumer groups have committed past, by the operation in their Debezium envelope: insert, update, delete, snapshot, truncate; from OffsetFetch and a bounded Fetch in the background. unknown: counted and not read, or no envelope. Tombstones and marks of transactions that were read count as nothing.',
  operationLabels,
)

export const failed = counter(
  'sync_records_failed_total',
  'Records of the table that were written to dead-letter topics, by the kind of the exception in their headers, from a bounded Fetch in the background; see docs/sync.md for the kinds. unknown: counted and not read, or without such a header.',
  ['table', 'tenant', 'error_type'],
)

export const latency = histogram(
  'sync_processing_latency_seconds',
  'From the commit of a change in the source, by source.ts_ms of its envelope, to the commit of the sink’s group past it, by the time that __consumer_offsets gives; of the changes that were read, without snapshots.',
  [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
  operationLabels,
)

export const batchSize = histogram(
  'sync_batch_size',
  'Offsets that the sink’s group went forward in a partition with one commit, from __consumer_offsets, read in the background.',
  [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000],
  tableLabels,
)

export const checkpointsCompleted = counter(
  'sync_checkpoints_completed_total',
  'Checkpoints that the Flink jobs of the table completed, from flink_job_checkpoints_completed_total of the flink collector, added up over restarts of the jobs.',
  tableLabels,
)

export const checkpointsFailed = counter(
  'sync_checkpoints_failed_total',
  'Checkpoints of the Flink jobs of the table that failed, from flink_job_checkpoints_failed_total of the flink collector, added up over restarts of the jobs.',
  tableLabels,
)

export const activeJobs = gauge(
  'sync_active_jobs',
  'Connectors, Flink jobs and routine loads that run, connectors with all their tasks, from the series of their collectors; absent while one of these collectors fails.',
)

export const errorJobs = gauge(
  'sync_error_jobs',
  'Connectors, Flink jobs and routine loads that have failed, or a task of theirs, or restart, from the series of their collectors; absent while one of these collectors fails.',
)

export const throughput = gauge(
  'sync_throughput_records_per_second',
  'What sync_records_processed_total of the table grew by since the run before, over the time between the two.',
  tableLabels,
)

export const lag = gauge(
  'sync_lag_seconds',
  'Age of the oldest record that a group of the sink has not committed, the worst of the table’s topics, from kafka_consumergroup_lag_seconds_max of the kafka collector; 0 when caught up.',
  tableLabels,
)
