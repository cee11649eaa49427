import * as metrics from './metrics.ts'
import { statement } from './part.ts'

export const backgroundWriter = statement(
  'pg_stat_bgwriter',
  'SELECT *, floor(extract(epoch FROM stats_reset)) AS reset_seconds FROM pg_stat_bgwriter',
  {
    checkpoints_timed: metrics.bgwriterCheckpointsTimed,
    checkpoints_req: metrics.bgwriterCheckpointsRequested,
    checkpoint_write_time: metrics.bgwriterWriteTime,
    checkpoint_sync_time: metrics.bgwriterSyncTime,
    buffers_checkpoint: metrics.bgwriterBuffersCheckpoint,
    buffers_clean: metrics.bgwriterBuffersClean,
    maxwritten_clean: metrics.bgwriterMaxWritten,
    buffers_backend: metrics.bgwriterBuffersBackend,
    buffers_backend_fsync: metrics.bgwriterBackendFsync,
    buffers_alloc: metrics.bgwriterBuffersAllocated,
    reset_seconds: metrics.bgwriterStatsReset,
  },
)

export const checkpointer = statement(
  'pg_stat_checkpointer',
  (version) =>
    version >= 170_000
      ? 'SELECT *, floor(extract(epoch FROM stats_reset)) AS reset_seconds FROM pg_stat_checkpointer'
      : undefined,
  {
    num_timed: metrics.checkpointsTimed,
    num_requested: metrics.checkpointsRequested,
    restartpoints_timed: metrics.restartpointsTimed,
    restartpoints_req: metrics.restartpointsRequested,
    restartpoints_done: metrics.restartpointsDone,
    write_time: metrics.checkpointWriteTime,
    sync_time: metrics.checkpointSyncTime,
    buffers_written: metrics.checkpointBuffersWritten,
    reset_seconds: metrics.checkpointStatsReset,
  },
)

export const archiver = statement(
  'pg_stat_archiver',
  `SELECT archived_count, failed_count, extract(epoch FROM now() - last_archived_time) AS age
  FROM pg_stat_archiver`,
  { archived_count: metrics.archived, failed_count: metrics.archiveFailures, age: metrics.archiveAge },
)

// The function is there for pg_monitor alone.
export const walFiles = statement(
  'pg_ls_waldir',
  "SELECT count(*) AS segments, sum(size) AS bytes FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'",
  { segments: metrics.walSegments, bytes: metrics.walSize },
)
