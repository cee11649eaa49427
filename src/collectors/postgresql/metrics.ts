import { counter, gauge } from '../../metrics/family.ts'

// pg_…: names and labels of postgres_exporter 0.20, counters without _total among them. pgbouncer_…: of
// pgbouncer_exporter 0.12.

export const up = gauge('pg_up', 'Whether PostgreSQL answered the last background run.')

export const readDuration = gauge(
  'pg_exporter_last_scrape_duration_seconds',
  'How long reading the server took the last background run, without PgBouncer, by the clock of the daemon.',
)

export const serverInfo = gauge(
  'pg_static',
  'Version of the server, from version(), collected in the background; always 1.',
  ['version', 'short_version'],
)

export const startTime = gauge(
  'pg_postmaster_start_time_seconds',
  'When the server started, in seconds since the epoch, by pg_postmaster_start_time, collected in the background.',
)

export const walLevel = gauge(
  'cdc_wal_level_info',
  'How much the server writes to its WAL, from its setting wal_level, collected in the background; always 1. Logical decoding needs logical.',
  ['wal_level'],
)

export const databaseSize = gauge(
  'pg_database_size_bytes',
  'Disk space of a database, by pg_database_size, collected in the background; of those that the user may connect to.',
  ['datname'],
)

export const databaseConnectionLimit = gauge(
  'pg_database_connection_limit',
  'Connections that a database allows, from pg_database, collected in the background; -1 for no limit.',
  ['datname'],
)

const SESSION = [
  'datname',
  'state',
  'usename',
  'application_name',
  'backend_type',
  'wait_event_type',
  'wait_event',
] as const

export const activityCount = gauge(
  'pg_stat_activity_count',
  'Sessions in a state, from pg_stat_activity without our own, collected in the background. Labels after state are empty where activity_labels leaves them out, and for what lies beyond activity_groups.',
  SESSION,
)

export const activityDuration = gauge(
  'pg_stat_activity_max_tx_duration',
  'Age in seconds of the oldest transaction among these sessions, from pg_stat_activity, collected in the background.',
  SESSION,
)

export const connectionsUsed = gauge(
  'cdc_connections_used',
  'Client connections that count against pg_settings_max_connections, ours included, from pg_stat_activity, collected in the background; absent where the user may not see all of them.',
)

export const longTransactions = gauge(
  'pg_long_running_transactions',
  'Transactions that are open, however long, but for autovacuum and our own, from pg_stat_activity, collected in the background.',
)

export const oldestTransaction = gauge(
  'pg_long_running_transactions_oldest_timestamp_seconds',
  'Age in seconds of the oldest open transaction, from pg_stat_activity, collected in the background; 0 without any.',
)

export const locks = gauge(
  'pg_locks_count',
  'Locks held or awaited in a database, by mode, from pg_locks, collected in the background.',
  ['datname', 'mode'],
)

// Columns of pg_stat_database.

const DATABASE = ['datid', 'datname'] as const
const ofDatabase = (what: string) =>
  `${what} in a database, from pg_stat_database, collected in the background.`
export const databaseBackends = gauge('pg_stat_database_numbackends', ofDatabase('Sessions'), DATABASE)
export const databaseCommits = counter(
  'pg_stat_database_xact_commit',
  ofDatabase('Transactions committed'),
  DATABASE,
)
export const databaseRollbacks = counter(
  'pg_stat_database_xact_rollback',
  ofDatabase('Transactions rolled back'),
  DATABASE,
)
export const databaseBlocksRead = counter(
  'pg_stat_database_blks_read',
  ofDatabase('Blocks read from disk'),
  DATABASE,
)
export const databaseBlocksHit = counter(
  'pg_stat_database_blks_hit',
  ofDatabase('Blocks found in the buffer cache'),
  DATABASE,
)
export const databaseRowsReturned = counter(
  'pg_stat_database_tup_returned',
  ofDatabase('Rows read by scans'),
  DATABASE,
)
export const databaseRowsFetched = counter(
  'pg_stat_database_tup_fetched',
  ofDatabase('Rows fetched by index scans'),
  DATABASE,
)
export const databaseRowsInserted = counter(
  'pg_stat_database_tup_inserted',
  ofDatabase('Rows inserted'),
  DATABASE,
)
export const databaseRowsUpdated = counter(
  'pg_stat_database_tup_updated',
  ofDatabase('Rows updated'),
  DATABASE,
)
export const databaseRowsDeleted = counter(
  'pg_stat_database_tup_deleted',
  ofDatabase('Rows deleted'),
  DATABASE,
)
export const databaseConflicts = counter(
  'pg_stat_database_conflicts',
  ofDatabase('Queries cancelled by a conflict with recovery, which only a standby knows,'),
  DATABASE,
)
export const databaseTemporaryFiles = counter(
  'pg_stat_database_temp_files',
  ofDatabase('Temporary files made by queries'),
  DATABASE,
)
export const databaseTemporaryBytes = counter(
  'pg_stat_database_temp_bytes',
  ofDatabase('Bytes written to temporary files by queries'),
  DATABASE,
)
export const databaseDeadlocks = counter('pg_stat_database_deadlocks', ofDatabase('Deadlocks'), DATABASE)
export const databaseReadTime = counter(
  'pg_stat_database_blk_read_time',
  ofDatabase('Milliseconds spent reading blocks'),
  DATABASE,
)
export const databaseWriteTime = counter(
  'pg_stat_database_blk_write_time',
  ofDatabase('Milliseconds spent writing blocks'),
  DATABASE,
)
export const databaseStatsReset = gauge(
  'pg_stat_database_stats_reset',
  ofDatabase('Seconds since the epoch of the last reset of the statistics'),
  DATABASE,
)
export const databaseActiveTime = counter(
  'pg_stat_database_active_time_seconds_total',
  ofDatabase('Seconds spent executing statements'),
  DATABASE,
)

export const queries = counter(
  'cdc_queries_total',
  'Statements of clients by database where the extension pg_stat_statements is loaded and created in the database we connect to (source pg_stat_statements; from what it held when we first looked; what it forgets between two runs is not counted), else transactions ended (source transactions, from pg_stat_database). Collected in the background.',
  ['datname', 'source'],
)

const STATEMENT = ['user', 'datname', 'queryid'] as const
const ofStatement = (what: string) =>
  `${what}; of the statements that took the longest, as many as the setting statements says, from pg_stat_statements, collected in the background.`
export const statementCalls = counter(
  'pg_stat_statements_calls_total',
  ofStatement('How often a statement was executed'),
  STATEMENT,
)
export const statementSeconds = counter(
  'pg_stat_statements_seconds_total',
  ofStatement('Seconds spent in a statement'),
  STATEMENT,
)
export const statementRows = counter(
  'pg_stat_statements_rows_total',
  ofStatement('Rows that a statement gave or changed'),
  STATEMENT,
)
export const statementReadSeconds = counter(
  'pg_stat_statements_block_read_seconds_total',
  ofStatement('Seconds that a statement spent reading blocks'),
  STATEMENT,
)
export const statementWriteSeconds = counter(
  'pg_stat_statements_block_write_seconds_total',
  ofStatement('Seconds that a statement spent writing blocks'),
  STATEMENT,
)

// Replication: a standby's own side, and the standbys and logical readers that a server feeds.

export const replicationLag = gauge(
  'pg_replication_lag_seconds',
  'Seconds since the commit that a standby replayed last, 0 when it has replayed all it received, and on a primary; collected in the background.',
)

export const isReplica = gauge(
  'pg_replication_is_replica',
  'Whether the server is a standby, by pg_is_in_recovery, collected in the background.',
)

export const lastReplay = gauge(
  'pg_replication_last_replay_seconds',
  'Seconds since the commit that a standby replayed last, by pg_last_xact_replay_timestamp, collected in the background; absent on a primary.',
)

const RECEIVER = ['application_name', 'client_addr', 'state', 'slot_name'] as const

export const receiverPosition = gauge(
  'pg_stat_replication_pg_current_wal_lsn_bytes',
  'Where the server writes its WAL, as bytes from 0/0, for each receiver of pg_stat_replication, collected in the background.',
  RECEIVER,
)

export const receiverLag = gauge(
  'pg_stat_replication_pg_wal_lsn_diff',
  'Bytes of WAL that a receiver has not replayed, from pg_stat_replication, collected in the background; the most where several share their labels.',
  RECEIVER,
)

export const walPosition = gauge(
  'cdc_wal_position_bytes',
  'Where the server writes its WAL, or where a standby has received it, as bytes from 0/0, collected in the background. It grows whether there is a slot or not.',
)

export const walSegments = gauge(
  'pg_wal_segments',
  'WAL segments on disk, by pg_ls_waldir, collected in the background.',
)

export const walSize = gauge(
  'pg_wal_size_bytes',
  'Bytes of the WAL segments on disk, by pg_ls_waldir, collected in the background.',
)

// Slots. Both names of what postgres_exporter 0.20 renamed: rules and dashboards select either.

const SLOT = ['slot_name', 'database'] as const
const TYPED_SLOT = ['slot_name', 'slot_type'] as const

export const slotsActive = gauge(
  'pg_replication_slots_active',
  'Whether someone reads the replication slot, from pg_replication_slots, collected in the background. The database of a physical slot is empty.',
  SLOT,
)

export const slotsRetained = gauge(
  'pg_replication_slots_pg_wal_lsn_diff',
  'Bytes of WAL that the server retains for the replication slot, from restart_lsn of pg_replication_slots, collected in the background.',
  SLOT,
)
export const slotCurrentPosition = gauge(
  'pg_replication_slots_slot_current_wal_lsn',
  'Where the server writes its WAL, as bytes from 0/0, for each replication slot, collected in the background.',
  TYPED_SLOT,
)
export const slotCurrentPositionUntil019 = gauge(
  'pg_replication_slot_slot_current_wal_lsn',
  'Where the server writes its WAL, as bytes from 0/0, for each replication slot, collected in the background. The name until postgres_exporter 0.19.',
  TYPED_SLOT,
)
export const slotConfirmed = gauge(
  'pg_replication_slots_slot_confirmed_flush_lsn',
  'Up to where the reader of a logical slot has confirmed the WAL, as bytes from 0/0, collected in the background; also while nobody reads it.',
  TYPED_SLOT,
)
export const slotConfirmedUntil019 = gauge(
  'pg_replication_slot_slot_confirmed_flush_lsn',
  'Up to where the reader of a logical slot has confirmed the WAL, as bytes from 0/0, collected in the background; also while nobody reads it. The name until postgres_exporter 0.19.',
  TYPED_SLOT,
)
export const slotIsActive = gauge(
  'pg_replication_slots_slot_is_active',
  'Whether someone reads the replication slot, from pg_replication_slots, collected in the background.',
  TYPED_SLOT,
)
export const slotIsActiveUntil019 = gauge(
  'pg_replication_slot_slot_is_active',
  'Whether someone reads the replication slot, from pg_replication_slots, collected in the background. The name until postgres_exporter 0.19.',
  TYPED_SLOT,
)
export const slotSafe = gauge(
  'pg_replication_slots_safe_wal_size_bytes',
  'Bytes of WAL that can be written before the replication slot is in danger of being lost, collected in the background; absent where max_slot_wal_keep_size sets no bound.',
  TYPED_SLOT,
)
export const slotSafeUntil019 = gauge(
  'pg_replication_slot_safe_wal_size_bytes',
  'Bytes of WAL that can be written before the replication slot is in danger of being lost, collected in the background; absent where max_slot_wal_keep_size sets no bound. The name until postgres_exporter 0.19.',
  TYPED_SLOT,
)
export const slotWalStatus = gauge(
  'pg_replication_slots_wal_status',
  'Whether the server still has the WAL that the replication slot claims: reserved, extended, unreserved or lost, collected in the background; always 1.',
  [...TYPED_SLOT, 'wal_status'],
)
export const slotWalStatusUntil019 = gauge(
  'pg_replication_slot_wal_status',
  'Whether the server still has the WAL that the replication slot claims: reserved, extended, unreserved or lost, collected in the background; always 1. The name until postgres_exporter 0.19.',
  [...TYPED_SLOT, 'wal_status'],
)

export const slotRecreated = counter(
  'cdc_slot_recreated_total',
  'How often another replication slot was found under the name since we watch it, collected in the background: it was gone in between, has another plugin, type or database, is on another timeline, or has decoded less than before (PostgreSQL 14 and later). What was written between the two is lost to its reader.',
  ['slot_name'],
)

export const slotSecondsToLoss = gauge(
  'cdc_slot_seconds_to_loss',
  'When the replication slot will be in danger of being lost if the WAL goes on as in the last ten minutes and nothing is confirmed: its safe WAL by that rate, in seconds, collected in the background. 0 when it is lost; absent where max_slot_wal_keep_size sets no bound, and while no WAL is written.',
  ['slot_name'],
)

export const publicationTables = gauge(
  'cdc_publication_tables',
  'Tables that a publication of the configuration covers, from pg_publication_tables, collected in the background; 0 where there is no such publication.',
  ['publication'],
)

export const publicationTableMissing = gauge(
  'cdc_publication_table_missing',
  'A table that the configuration expects in a publication and that is not in it, always 1, collected in the background; the first 1,000 by name.',
  ['publication', 'table'],
)

// The server's own processes. Until version 17 the background writer's view has the checkpointer's columns.

const inBackground = (what: string, view: string) => `${what}, from ${view}, collected in the background.`
export const bgwriterCheckpointsTimed = counter(
  'pg_stat_bgwriter_checkpoints_timed_total',
  inBackground('Scheduled checkpoints before version 17', 'pg_stat_bgwriter'),
)
export const bgwriterCheckpointsRequested = counter(
  'pg_stat_bgwriter_checkpoints_req_total',
  inBackground('Requested checkpoints before version 17', 'pg_stat_bgwriter'),
)
export const bgwriterWriteTime = counter(
  'pg_stat_bgwriter_checkpoint_write_time_total',
  inBackground('Milliseconds spent writing files in checkpoints before version 17', 'pg_stat_bgwriter'),
)
export const bgwriterSyncTime = counter(
  'pg_stat_bgwriter_checkpoint_sync_time_total',
  inBackground('Milliseconds spent synchronising files in checkpoints before version 17', 'pg_stat_bgwriter'),
)
export const bgwriterBuffersCheckpoint = counter(
  'pg_stat_bgwriter_buffers_checkpoint_total',
  inBackground('Buffers written in checkpoints before version 17', 'pg_stat_bgwriter'),
)
export const bgwriterBuffersClean = counter(
  'pg_stat_bgwriter_buffers_clean_total',
  inBackground('Buffers written by the background writer', 'pg_stat_bgwriter'),
)
export const bgwriterMaxWritten = counter(
  'pg_stat_bgwriter_maxwritten_clean_total',
  inBackground(
    'Scans that the background writer stopped since it had written too many buffers',
    'pg_stat_bgwriter',
  ),
)
export const bgwriterBuffersBackend = counter(
  'pg_stat_bgwriter_buffers_backend_total',
  inBackground('Buffers written by a session itself before version 17', 'pg_stat_bgwriter'),
)
export const bgwriterBackendFsync = counter(
  'pg_stat_bgwriter_buffers_backend_fsync_total',
  inBackground('Times that a session had to synchronise a file itself before version 17', 'pg_stat_bgwriter'),
)
export const bgwriterBuffersAllocated = counter(
  'pg_stat_bgwriter_buffers_alloc_total',
  inBackground('Buffers allocated', 'pg_stat_bgwriter'),
)
export const bgwriterStatsReset = counter(
  'pg_stat_bgwriter_stats_reset_total',
  inBackground('Seconds since the epoch of the last reset of these statistics', 'pg_stat_bgwriter'),
)
export const checkpointsTimed = counter(
  'pg_stat_checkpointer_num_timed_total',
  inBackground('Scheduled checkpoints', 'pg_stat_checkpointer of version 17 and later'),
)
export const checkpointsRequested = counter(
  'pg_stat_checkpointer_num_requested_total',
  inBackground('Requested checkpoints', 'pg_stat_checkpointer of version 17 and later'),
)
export const restartpointsTimed = counter(
  'pg_stat_checkpointer_restartpoints_timed_total',
  inBackground('Scheduled restartpoints', 'pg_stat_checkpointer of version 17 and later'),
)
export const restartpointsRequested = counter(
  'pg_stat_checkpointer_restartpoints_req_total',
  inBackground('Requested restartpoints', 'pg_stat_checkpointer of version 17 and later'),
)
export const restartpointsDone = counter(
  'pg_stat_checkpointer_restartpoints_done_total',
  inBackground('Restartpoints performed', 'pg_stat_checkpointer of version 17 and later'),
)
export const checkpointWriteTime = counter(
  'pg_stat_checkpointer_write_time_total',
  inBackground('Milliseconds spent writing files', 'pg_stat_checkpointer of version 17 and later'),
)
export const checkpointSyncTime = counter(
  'pg_stat_checkpointer_sync_time_total',
  inBackground('Milliseconds spent synchronising files', 'pg_stat_checkpointer of version 17 and later'),
)
export const checkpointBuffersWritten = counter(
  'pg_stat_checkpointer_buffers_written_total',
  inBackground('Buffers written', 'pg_stat_checkpointer of version 17 and later'),
)
export const checkpointStatsReset = counter(
  'pg_stat_checkpointer_stats_reset_total',
  inBackground(
    'Seconds since the epoch of the last reset of these statistics',
    'pg_stat_checkpointer of version 17 and later',
  ),
)
export const archived = counter(
  'pg_stat_archiver_archived_count',
  inBackground('WAL files archived', 'pg_stat_archiver'),
)
export const archiveFailures = counter(
  'pg_stat_archiver_failed_count',
  inBackground('Failed attempts to archive a WAL file', 'pg_stat_archiver'),
)
export const archiveAge = gauge(
  'pg_stat_archiver_last_archive_age',
  inBackground('Seconds since a WAL file was last archived', 'pg_stat_archiver'),
)

const TABLE = ['datname', 'schemaname', 'relname'] as const
const ofTable = (what: string) =>
  `${what}; of the largest tables of the database we connect to, as many as the setting user_tables says, from pg_stat_user_tables, collected in the background.`
export const tableSequentialScans = counter(
  'pg_stat_user_tables_seq_scan',
  ofTable('Sequential scans of a table'),
  TABLE,
)
export const tableSequentialRows = counter(
  'pg_stat_user_tables_seq_tup_read',
  ofTable('Rows read by sequential scans'),
  TABLE,
)
export const tableIndexScans = counter(
  'pg_stat_user_tables_idx_scan',
  ofTable('Index scans of a table'),
  TABLE,
)
export const tableIndexRows = counter(
  'pg_stat_user_tables_idx_tup_fetch',
  ofTable('Rows fetched by index scans'),
  TABLE,
)
export const tableInserted = counter('pg_stat_user_tables_n_tup_ins', ofTable('Rows inserted'), TABLE)
export const tableUpdated = counter('pg_stat_user_tables_n_tup_upd', ofTable('Rows updated'), TABLE)
export const tableDeleted = counter('pg_stat_user_tables_n_tup_del', ofTable('Rows deleted'), TABLE)
export const tableHotUpdated = counter(
  'pg_stat_user_tables_n_tup_hot_upd',
  ofTable('Rows updated without a new index entry'),
  TABLE,
)
export const tableLive = gauge('pg_stat_user_tables_n_live_tup', ofTable('Live rows, estimated'), TABLE)
export const tableDead = gauge('pg_stat_user_tables_n_dead_tup', ofTable('Dead rows, estimated'), TABLE)
export const tableModified = gauge(
  'pg_stat_user_tables_n_mod_since_analyze',
  ofTable('Rows changed since the last analyze, estimated'),
  TABLE,
)
export const tableVacuumed = gauge(
  'pg_stat_user_tables_last_vacuum',
  ofTable('When the table was last vacuumed by hand, in seconds since the epoch'),
  TABLE,
)
export const tableAutovacuumed = gauge(
  'pg_stat_user_tables_last_autovacuum',
  ofTable('When the table was last vacuumed by autovacuum, in seconds since the epoch'),
  TABLE,
)
export const tableAnalyzed = gauge(
  'pg_stat_user_tables_last_analyze',
  ofTable('When the table was last analyzed by hand, in seconds since the epoch'),
  TABLE,
)
export const tableAutoanalyzed = gauge(
  'pg_stat_user_tables_last_autoanalyze',
  ofTable('When the table was last analyzed by autovacuum, in seconds since the epoch'),
  TABLE,
)
export const tableVacuums = counter('pg_stat_user_tables_vacuum_count', ofTable('Vacuums by hand'), TABLE)
export const tableAutovacuums = counter(
  'pg_stat_user_tables_autovacuum_count',
  ofTable('Vacuums by autovacuum'),
  TABLE,
)
export const tableAnalyzes = counter('pg_stat_user_tables_analyze_count', ofTable('Analyzes by hand'), TABLE)
export const tableAutoanalyzes = counter(
  'pg_stat_user_tables_autoanalyze_count',
  ofTable('Analyzes by autovacuum'),
  TABLE,
)
export const tableIndexSize = gauge(
  'pg_stat_user_tables_index_size_bytes',
  ofTable('Disk space of the indexes of a table'),
  TABLE,
)
export const tableSize = gauge(
  'pg_stat_user_tables_table_size_bytes',
  ofTable('Disk space of a table without its indexes'),
  TABLE,
)

// Settings by the name that postgres_exporter makes of theirs: a dot or a dash becomes _, and a unit its base.

const setting = <const N extends string>(name: N) =>
  gauge(
    name,
    'A setting of the server as a new session of our user gets it, from pg_settings, collected in the background; in seconds or bytes where it has a unit.',
  )
export const settings = [
  setting('pg_settings_autovacuum'),
  setting('pg_settings_autovacuum_freeze_max_age'),
  setting('pg_settings_autovacuum_max_workers'),
  setting('pg_settings_checkpoint_timeout_seconds'),
  setting('pg_settings_effective_cache_size_bytes'),
  setting('pg_settings_fsync'),
  setting('pg_settings_full_page_writes'),
  setting('pg_settings_hot_standby'),
  setting('pg_settings_hot_standby_feedback'),
  setting('pg_settings_idle_in_transaction_session_timeout_seconds'),
  setting('pg_settings_idle_replication_slot_timeout_seconds'),
  setting('pg_settings_lock_timeout_seconds'),
  setting('pg_settings_logical_decoding_work_mem_bytes'),
  setting('pg_settings_maintenance_work_mem_bytes'),
  setting('pg_settings_max_connections'),
  setting('pg_settings_max_locks_per_transaction'),
  setting('pg_settings_max_logical_replication_workers'),
  setting('pg_settings_max_parallel_workers'),
  setting('pg_settings_max_prepared_transactions'),
  setting('pg_settings_max_replication_slots'),
  setting('pg_settings_max_slot_wal_keep_size_bytes'),
  setting('pg_settings_max_standby_archive_delay_seconds'),
  setting('pg_settings_max_standby_streaming_delay_seconds'),
  setting('pg_settings_max_wal_senders'),
  setting('pg_settings_max_wal_size_bytes'),
  setting('pg_settings_max_worker_processes'),
  setting('pg_settings_min_wal_size_bytes'),
  setting('pg_settings_random_page_cost'),
  setting('pg_settings_reserved_connections'),
  setting('pg_settings_seq_page_cost'),
  setting('pg_settings_shared_buffers_bytes'),
  setting('pg_settings_statement_timeout_seconds'),
  setting('pg_settings_superuser_reserved_connections'),
  setting('pg_settings_track_commit_timestamp'),
  setting('pg_settings_track_io_timing'),
  setting('pg_settings_wal_keep_size_bytes'),
  setting('pg_settings_wal_receiver_timeout_seconds'),
  setting('pg_settings_wal_segment_size_bytes'),
  setting('pg_settings_wal_sender_timeout_seconds'),
  setting('pg_settings_work_mem_bytes'),
]

// PgBouncer's console.

const ofConsole = (what: string, show: string) =>
  `${what}, from SHOW ${show} of PgBouncer’s console, collected in the background.`

export const pgbouncerUp = gauge(
  'pgbouncer_up',
  'Whether PgBouncer’s console answered the last background run.',
)

export const pgbouncerVersion = gauge(
  'pgbouncer_version_info',
  ofConsole('Version of PgBouncer, always 1', 'VERSION'),
  ['version'],
)

const POOL = ['database', 'user'] as const
export const poolClientsActive = gauge(
  'pgbouncer_pools_client_active_connections',
  ofConsole('Clients linked to a server connection', 'POOLS'),
  POOL,
)
export const poolClientsCancelling = gauge(
  'pgbouncer_pools_client_active_cancel_connections',
  ofConsole('Clients whose cancel request was forwarded and not answered', 'POOLS'),
  POOL,
)
export const poolClientsWaiting = gauge(
  'pgbouncer_pools_client_waiting_connections',
  ofConsole('Clients that wait for a server connection', 'POOLS'),
  POOL,
)
export const poolClientsWaitingToCancel = gauge(
  'pgbouncer_pools_client_waiting_cancel_connections',
  ofConsole('Clients whose cancel request was not forwarded yet', 'POOLS'),
  POOL,
)
export const poolServersActive = gauge(
  'pgbouncer_pools_server_active_connections',
  ofConsole('Server connections linked to a client', 'POOLS'),
  POOL,
)
export const poolServersCancelling = gauge(
  'pgbouncer_pools_server_active_cancel_connections',
  ofConsole('Server connections that forward a cancel request', 'POOLS'),
  POOL,
)
export const poolServersCancelled = gauge(
  'pgbouncer_pools_server_being_canceled_connections',
  ofConsole('Server connections that wait for cancel requests to end', 'POOLS'),
  POOL,
)
export const poolServersIdle = gauge(
  'pgbouncer_pools_server_idle_connections',
  ofConsole('Server connections ready for a client', 'POOLS'),
  POOL,
)
export const poolServersUsed = gauge(
  'pgbouncer_pools_server_used_connections',
  ofConsole('Server connections idle for so long that they must be checked', 'POOLS'),
  POOL,
)
export const poolServersTesting = gauge(
  'pgbouncer_pools_server_testing_connections',
  ofConsole('Server connections that are being reset or checked', 'POOLS'),
  POOL,
)
export const poolServersLogin = gauge(
  'pgbouncer_pools_server_login_connections',
  ofConsole('Server connections that log in', 'POOLS'),
  POOL,
)
export const poolMaxWait = gauge(
  'pgbouncer_pools_client_maxwait_seconds',
  ofConsole('Seconds that the first client in the queue has waited, in whole ones', 'POOLS'),
  POOL,
)

const BOUNCED = ['name', 'host', 'port', 'database', 'force_user', 'pool_mode'] as const
export const bouncedPoolSize = gauge(
  'pgbouncer_databases_pool_size',
  ofConsole('Server connections that a pool may have', 'DATABASES'),
  BOUNCED,
)
export const bouncedReserve = gauge(
  'pgbouncer_databases_reserve_pool',
  ofConsole('Server connections that a pool may have besides', 'DATABASES'),
  BOUNCED,
)
export const bouncedMaxConnections = gauge(
  'pgbouncer_databases_max_connections',
  ofConsole('Connections that a database may have', 'DATABASES'),
  BOUNCED,
)
export const bouncedConnections = gauge(
  'pgbouncer_databases_current_connections',
  ofConsole('Connections of a database', 'DATABASES'),
  BOUNCED,
)
export const bouncedPaused = gauge(
  'pgbouncer_databases_paused',
  ofConsole('Whether the database is paused', 'DATABASES'),
  BOUNCED,
)
export const bouncedDisabled = gauge(
  'pgbouncer_databases_disabled',
  ofConsole('Whether the database is disabled', 'DATABASES'),
  BOUNCED,
)

const BOUNCED_TOTAL = ['database'] as const
export const bouncedQueries = counter(
  'pgbouncer_stats_totals_queries_pooled_total',
  ofConsole('Queries', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedQuerySeconds = counter(
  'pgbouncer_stats_totals_queries_duration_seconds_total',
  ofConsole('Seconds spent on queries', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedReceived = counter(
  'pgbouncer_stats_totals_received_bytes_total',
  ofConsole('Bytes received', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedSent = counter(
  'pgbouncer_stats_totals_sent_bytes_total',
  ofConsole('Bytes sent', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedWaitSeconds = counter(
  'pgbouncer_stats_totals_client_wait_seconds_total',
  ofConsole('Seconds that clients waited for a server connection', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedTransactions = counter(
  'pgbouncer_stats_totals_sql_transactions_pooled_total',
  ofConsole('Transactions', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedTransactionSeconds = counter(
  'pgbouncer_stats_totals_server_in_transaction_seconds_total',
  ofConsole('Seconds that servers spent in transactions', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedClientParses = counter(
  'pgbouncer_stats_totals_client_parses_total',
  ofConsole('Prepared statements made by clients', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedServerParses = counter(
  'pgbouncer_stats_totals_server_parses_total',
  ofConsole('Prepared statements made on servers', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedBinds = counter(
  'pgbouncer_stats_totals_binds_total',
  ofConsole('Prepared statements bound', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)
export const bouncedAssignments = counter(
  'pgbouncer_stats_totals_server_assignments_total',
  ofConsole('Server connections given to a client', 'STATS_TOTALS'),
  BOUNCED_TOTAL,
)

// By the list's name in SHOW LISTS, and by the setting's in SHOW CONFIG.

export const pgbouncerLists = {
  databases: gauge('pgbouncer_databases', ofConsole('Databases', 'LISTS')),
  users: gauge('pgbouncer_users', ofConsole('Users', 'LISTS')),
  pools: gauge('pgbouncer_pools', ofConsole('Pools', 'LISTS')),
  free_clients: gauge('pgbouncer_free_clients', ofConsole('Places for clients that are free', 'LISTS')),
  used_clients: gauge('pgbouncer_used_clients', ofConsole('Clients', 'LISTS')),
  login_clients: gauge('pgbouncer_login_clients', ofConsole('Clients that log in', 'LISTS')),
  free_servers: gauge(
    'pgbouncer_free_servers',
    ofConsole('Places for server connections that are free', 'LISTS'),
  ),
  used_servers: gauge('pgbouncer_used_servers', ofConsole('Server connections', 'LISTS')),
  dns_names: gauge('pgbouncer_cached_dns_names', ofConsole('Names kept from DNS', 'LISTS')),
  dns_zones: gauge('pgbouncer_cached_dns_zones', ofConsole('Zones kept from DNS', 'LISTS')),
  dns_queries: gauge('pgbouncer_in_flight_dns_queries', ofConsole('Queries to DNS under way', 'LISTS')),
}

export const pgbouncerConfig = {
  max_client_conn: gauge(
    'pgbouncer_config_max_client_connections',
    ofConsole('Client connections allowed', 'CONFIG'),
  ),
  max_user_connections: gauge(
    'pgbouncer_config_max_user_connections',
    ofConsole('Server connections allowed to a user; 0 for any number', 'CONFIG'),
  ),
}
