import { counter, gauge } from '../../metrics/family.ts'

export const up = gauge('starrocks_up', 'Whether a front end of StarRocks answered the last background run.')

export const info = gauge(
  'starrocks_info',
  'The version of the front end that answered, from @@version_comment, collected in the background; always 1.',
  ['version'],
)

export const frontendAlive = gauge(
  'starrocks_frontend_alive',
  'Whether the leader has heartbeats of a front end, from SHOW FRONTENDS, collected in the background; frontend is its address with edit log port.',
  ['frontend', 'role'],
)

export const frontendJournal = gauge(
  'starrocks_frontend_replayed_journal_id',
  'The last entry of the edit log that a front end has replayed, as of its last heartbeat, from SHOW FRONTENDS, collected in the background; what a follower is behind the leader has not reached it.',
  ['frontend'],
)

export const backendAlive = gauge(
  'starrocks_backend_alive',
  'Whether the front ends have heartbeats of a backend or compute node, from SHOW BACKENDS and SHOW COMPUTE NODES, collected in the background; backend is its address with heartbeat port.',
  ['backend'],
)

export const backendTablets = gauge(
  'starrocks_backend_tablets',
  'Tablets that are on a backend or compute node, dead or alive, from SHOW BACKENDS and SHOW COMPUTE NODES, collected in the background.',
  ['backend'],
)

export const backendDiskUsed = gauge(
  'starrocks_backend_disk_used_ratio',
  'Part in use of the fullest disk of a backend: MaxDiskUsedPct of SHOW BACKENDS, collected in the background; absent for a dead one.',
  ['backend'],
)

export const backendDiskBytes = gauge(
  'starrocks_backend_disk_bytes',
  'Size of all disks of a backend: TotalCapacity of SHOW BACKENDS, of three decimals of its unit, collected in the background; absent for a dead one.',
  ['backend'],
)

export const backendDiskAvailable = gauge(
  'starrocks_backend_disk_available_bytes',
  'What is free on all disks of a backend: AvailCapacity of SHOW BACKENDS, of three decimals of its unit, collected in the background; absent for a dead one.',
  ['backend'],
)

export const backendMemoryUsed = gauge(
  'starrocks_backend_memory_used_ratio',
  'Part of its memory limit that a backend or compute node uses: MemUsedPct of SHOW BACKENDS and SHOW COMPUTE NODES, collected in the background; absent for a dead one.',
  ['backend'],
)

export const backendCpuUsed = gauge(
  'starrocks_backend_cpu_used_ratio',
  'Part of its processors that a backend or compute node uses: CpuUsedPct of SHOW BACKENDS and SHOW COMPUTE NODES, collected in the background; absent for a dead one.',
  ['backend'],
)

const job = ['database', 'job'] as const

export const routineLoadState = gauge(
  'starrocks_routine_load_state',
  '1 for the state a routine load is in, from SHOW ALL ROUTINE LOAD, collected in the background. Of several jobs of one name it is the newest.',
  [...job, 'state'],
)

export const routineLoadReason = gauge(
  'starrocks_routine_load_reason_info',
  'Why a routine load is in its state, by the error code in ReasonOfStateChanged of SHOW ALL ROUTINE LOAD, collected in the background; always 1, absent without a reason. The text is in the log.',
  [...job, 'reason'],
)

export const routineLoadLag = gauge(
  'starrocks_routine_load_lag',
  'Messages that a routine load has yet to read: LatestSourcePosition less Progress of SHOW ALL ROUTINE LOAD, over all partitions, collected in the background; absent for one that is paused or has ended, and where a partition is unknown.',
  job,
)

export const routineLoadRows = counter(
  'starrocks_routine_load_rows_total',
  'Rows that a routine load has read, those among them that were filtered or not selected: totalRows in Statistic of SHOW ALL ROUTINE LOAD, collected in the background.',
  job,
)

export const routineLoadErrorRows = counter(
  'starrocks_routine_load_error_rows_total',
  'Rows that a routine load could not load: errorRows in Statistic of SHOW ALL ROUTINE LOAD, collected in the background.',
  job,
)

export const loads = gauge(
  'starrocks_loads',
  'Load jobs that were created within loads_window, from information_schema.loads, collected in the background; since StarRocks 3.1.',
  ['type', 'state'],
)

const table = ['database', 'table'] as const

export const tableRows = gauge(
  'starrocks_table_rows',
  'Rows of a table as the front end counts them, some minutes late, from information_schema.tables, collected in the background; of the max_tables largest tables.',
  table,
)

export const tableBytes = gauge(
  'starrocks_table_bytes',
  'Bytes of a table as the front end counts them, some minutes late, from information_schema.tables, collected in the background; of the max_tables largest tables.',
  table,
)

export const tabletsUnhealthy = gauge(
  'starrocks_tablets_unhealthy',
  "Tablets of a database that lack a good replica: UnhealthyTabletNum of SHOW PROC '/statistic', read in the background every tablets_interval.",
  ['database'],
)

export const tabletsInconsistent = gauge(
  'starrocks_tablets_inconsistent',
  "Tablets of a database whose replicas differ: InconsistentTabletNum of SHOW PROC '/statistic', read in the background every tablets_interval.",
  ['database'],
)

export const tabletsError = gauge(
  'starrocks_tablets_error_state',
  "Tablets of a database with a replica in error state: ErrorStateTabletNum of SHOW PROC '/statistic', read in the background every tablets_interval.",
  ['database'],
)

export const connections = gauge(
  'starrocks_connections',
  'Sessions at the front end that answered, from SHOW PROCESSLIST, collected in the background; absent without the right to see those of others.',
)

export const connectionsMax = gauge(
  'starrocks_connections_max',
  'Sessions that a front end allows: qe_max_connection of ADMIN SHOW FRONTEND CONFIG, collected in the background.',
)

export const feQueries = counter(
  'starrocks_fe_queries_total',
  'Queries since the front end started: starrocks_fe_query_total of its /metrics, read in the background.',
  ['frontend'],
)

export const feQueryErrors = counter(
  'starrocks_fe_query_errors_total',
  'Queries that failed since the front end started: starrocks_fe_query_err of its /metrics, read in the background.',
  ['frontend'],
)

export const feQueryLatency = gauge(
  'starrocks_fe_query_latency_p99_seconds',
  'What 99 of 100 queries of a front end took at the most: starrocks_fe_query_latency_ms of its /metrics, read in the background.',
  ['frontend'],
)

export const feConnections = gauge(
  'starrocks_fe_connections',
  'Sessions at a front end: starrocks_fe_connection_total of its /metrics, read in the background.',
  ['frontend'],
)

export const feHeapUsed = gauge(
  'starrocks_fe_jvm_heap_used_bytes',
  'Heap that a front end uses: jvm_heap_size_bytes of its /metrics, read in the background.',
  ['frontend'],
)

export const feHeapMax = gauge(
  'starrocks_fe_jvm_heap_max_bytes',
  'Heap that a front end may use: jvm_heap_size_bytes of its /metrics, read in the background.',
  ['frontend'],
)

export const feCompactionScore = gauge(
  'starrocks_fe_tablet_compaction_score_max',
  'The highest compaction score of any tablet: starrocks_fe_max_tablet_compaction_score of /metrics of the leader, read in the background.',
  ['frontend'],
)

export const feTransactionsFailed = counter(
  'starrocks_fe_transactions_failed_total',
  'Load transactions that failed since the leader started: starrocks_fe_txn_failed of its /metrics, read in the background.',
  ['frontend'],
)

export const feMetaLog = gauge(
  'starrocks_fe_meta_log_entries',
  'Entries of the edit log since the last checkpoint: starrocks_fe_meta_log_count of /metrics of the leader, read in the background.',
  ['frontend'],
)

export const beDiskBytes = gauge(
  'starrocks_be_disk_bytes',
  'Size of the disk below a storage path: starrocks_be_disks_total_capacity of /metrics of a backend, read in the background.',
  ['backend', 'path'],
)

export const beDiskAvailable = gauge(
  'starrocks_be_disk_available_bytes',
  'What is free on the disk below a storage path: starrocks_be_disks_avail_capacity of /metrics of a backend, read in the background.',
  ['backend', 'path'],
)

export const beCompactionsFailed = counter(
  'starrocks_be_compactions_failed_total',
  'Compactions that failed since a backend started: starrocks_be_engine_requests_total of its /metrics, read in the background.',
  ['backend', 'type'],
)

export const beRowsets = gauge(
  'starrocks_be_tablet_rowsets_max',
  'The most rowsets of any tablet of a backend: starrocks_be_max_tablet_rowset_num of its /metrics, read in the background; at tablet_max_versions it refuses loads.',
  ['backend'],
)
