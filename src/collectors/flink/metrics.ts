import { counter, gauge } from '../../metrics/family.ts'

export const up = gauge('flink_up', 'Whether a JobManager of the cluster answered the last background run.')

export const info = gauge(
  'flink_info',
  'The version of the JobManager, from GET /overview of Flink REST, collected in the background; always 1.',
  ['version'],
)

export const taskManagers = gauge(
  'flink_taskmanagers',
  'Task managers that are registered, from GET /overview of Flink REST, collected in the background.',
)

export const slots = gauge(
  'flink_slots',
  'Slots of all task managers, from GET /overview of Flink REST, collected in the background.',
)

export const slotsAvailable = gauge(
  'flink_slots_available',
  'Slots that no job uses, from GET /overview of Flink REST, collected in the background.',
)

export const jobState = gauge(
  'flink_job_state',
  '1 for the state a job is in, from GET /jobs/overview of Flink REST, collected in the background. Of several jobs of one name it is the one that was started last.',
  ['job', 'state'],
)

export const startTime = gauge(
  'flink_job_start_time_seconds',
  'When a job was submitted, from GET /jobs/overview of Flink REST, collected in the background. A restart by Flink does not change it.',
  ['job'],
)

export const uptime = gauge(
  'flink_job_uptime_seconds',
  'How long a job has run without interruption: uptime of GET /jobs/{id}/metrics of Flink REST, collected in the background; absent when it does not run.',
  ['job'],
)

export const restarts = counter(
  'flink_job_restarts_total',
  'Restarts by Flink since its JobManager took the job over: numRestarts of GET /jobs/{id}/metrics of Flink REST, collected in the background; absent for a job that has ended.',
  ['job'],
)

export const checkpointsCompleted = counter(
  'flink_job_checkpoints_completed_total',
  'Checkpoints and savepoints that completed since the JobManager took the job over, from GET /jobs/{id}/checkpoints of Flink REST, collected in the background.',
  ['job'],
)

export const checkpointsFailed = counter(
  'flink_job_checkpoints_failed_total',
  'Checkpoints and savepoints that failed or were given up since the JobManager took the job over, from GET /jobs/{id}/checkpoints of Flink REST, collected in the background.',
  ['job'],
)

export const checkpointsInProgress = gauge(
  'flink_job_checkpoints_in_progress',
  'Checkpoints and savepoints that are under way, from GET /jobs/{id}/checkpoints of Flink REST, collected in the background.',
  ['job'],
)

export const checkpointInterval = gauge(
  'flink_job_checkpoint_interval_seconds',
  'How often a checkpoint is to be made, from GET /jobs/{id}/checkpoints/config of Flink REST, asked once a job; absent where none are made by themselves.',
  ['job'],
)

export const lastCheckpoint = gauge(
  'flink_job_last_checkpoint_timestamp_seconds',
  'When the last checkpoint completed, from GET /jobs/{id}/checkpoints of Flink REST, collected in the background; absent while there was none.',
  ['job'],
)

export const lastCheckpointDuration = gauge(
  'flink_job_last_checkpoint_duration_seconds',
  'How long the last completed checkpoint took from end to end, from GET /jobs/{id}/checkpoints of Flink REST, collected in the background.',
  ['job'],
)

export const lastCheckpointSize = gauge(
  'flink_job_last_checkpoint_size_bytes',
  'What the last completed checkpoint wrote, from GET /jobs/{id}/checkpoints of Flink REST, collected in the background; an incremental one writes less than the state.',
  ['job'],
)

export const recordsIn = counter(
  'flink_job_records_in_total',
  'Records that the sources of a job passed on since its last restart, from the vertices of GET /jobs/{id} of Flink REST, collected in the background; see docs/flink.md.',
  ['job'],
)

export const recordsOut = counter(
  'flink_job_records_out_total',
  'Records that arrived at the last vertices of a job, its sinks, since its last restart, from the vertices of GET /jobs/{id} of Flink REST, collected in the background; see docs/flink.md.',
  ['job'],
)

export const bytesIn = counter(
  'flink_job_bytes_in_total',
  'Bytes that the sources of a job passed on over the network since its last restart, from the vertices of GET /jobs/{id} of Flink REST, collected in the background; see docs/flink.md.',
  ['job'],
)

export const bytesOut = counter(
  'flink_job_bytes_out_total',
  'Bytes that arrived at the last vertices of a job over the network since its last restart, from the vertices of GET /jobs/{id} of Flink REST, collected in the background; see docs/flink.md.',
  ['job'],
)

export const backpressure = gauge(
  'flink_job_backpressure_ratio',
  'Share of the last second that the most backpressured task of a job waited for those after it: backPressuredTimeMsPerSecond of its vertices in Flink REST, collected in the background; absent for a job that does not run.',
  ['job'],
)

export const exceptions = counter(
  'flink_job_exceptions_total',
  'Failures of a job by the class of their last cause, counted from the history in GET /jobs/{id}/exceptions of Flink REST in the background; at least so many, see docs/flink.md.',
  ['job', 'exception_class'],
)
