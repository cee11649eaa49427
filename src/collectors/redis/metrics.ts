import { counter, type Family, gauge } from '../../metrics/family.ts'

// The names are those of redis_exporter 1.45 where that has them, and its labels with them.

export const up = gauge('redis_up', 'Whether Redis answered the last background run.')

// ---- Queues

export const queueLength = gauge(
  'redis_queue_length',
  'Items that wait in a queue, by LLEN, ZCARD, SCARD or XLEN, collected in the background; of BullMQ waiting, paused and prioritized jobs, of Celery all priorities; 0 when the key of a configured queue does not exist.',
  ['queue'],
)

export const queueJobs = gauge(
  'redis_queue_jobs',
  'Jobs of a BullMQ, Celery or Sidekiq queue by state, from the lengths of their keys, collected in the background.',
  ['queue', 'state'],
)

export const queuePaused = gauge(
  'redis_queue_paused',
  'Whether a BullMQ queue is paused, from its meta key, collected in the background.',
  ['queue'],
)

export const queueOldestAge = gauge(
  'redis_queue_oldest_age_seconds',
  'Seconds that the oldest waiting item of a queue has waited, from the timestamp of a BullMQ job, enqueued_at of a Sidekiq job or the id of a stream entry, collected in the background; absent for an empty queue and for values without a time.',
  ['queue'],
)

export const scanComplete = gauge(
  'redis_queue_scan_complete',
  'Whether SCAN has been through all keys for a configured pattern; 0 while it has not, or where scan.max_keys cut it short.',
  ['pattern'],
)

export const keySize = gauge(
  'redis_key_size',
  'Items in the key of a queue, by LLEN, ZCARD, SCARD or XLEN, collected in the background.',
  ['db', 'key'],
)

// ---- Streams

export const streamLength = gauge(
  'redis_stream_length',
  'Entries of a stream, length of XINFO STREAM, collected in the background.',
  ['db', 'stream'],
)

export const streamRadixTreeKeys = gauge(
  'redis_stream_radix_tree_keys',
  'Keys of the radix tree of a stream, radix-tree-keys of XINFO STREAM, collected in the background.',
  ['db', 'stream'],
)

export const streamRadixTreeNodes = gauge(
  'redis_stream_radix_tree_nodes',
  'Nodes of the radix tree of a stream, radix-tree-nodes of XINFO STREAM, collected in the background.',
  ['db', 'stream'],
)

export const streamLastGeneratedId = gauge(
  'redis_stream_last_generated_id',
  'Unix milliseconds of the newest entry of a stream, last-generated-id of XINFO STREAM, collected in the background.',
  ['db', 'stream'],
)

export const streamGroups = gauge(
  'redis_stream_groups',
  'Consumer groups of a stream, groups of XINFO STREAM, collected in the background.',
  ['db', 'stream'],
)

export const streamGroupConsumers = gauge(
  'redis_stream_group_consumers',
  'Consumers of a group, consumers of XINFO GROUPS, collected in the background.',
  ['db', 'stream', 'group'],
)

export const streamGroupPending = gauge(
  'redis_stream_group_messages_pending',
  'Entries that were delivered to a group and not acknowledged, pending of XINFO GROUPS, collected in the background.',
  ['db', 'stream', 'group'],
)

export const streamGroupLastDeliveredId = gauge(
  'redis_stream_group_last_delivered_id',
  'Unix milliseconds of the entry last delivered to a group, last-delivered-id of XINFO GROUPS, collected in the background.',
  ['db', 'stream', 'group'],
)

export const streamGroupLag = gauge(
  'redis_stream_group_lag',
  'Entries not yet delivered to a group, lag of XINFO GROUPS, collected in the background; absent where Redis does not know it, as after XDEL.',
  ['db', 'stream', 'group'],
)

const streamFamilies: readonly Family[] = [
  streamLength,
  streamRadixTreeKeys,
  streamRadixTreeNodes,
  streamLastGeneratedId,
  streamGroups,
  streamGroupConsumers,
  streamGroupPending,
  streamGroupLastDeliveredId,
  streamGroupLag,
]

// ---- The server: one number of INFO or CLUSTER INFO each

/** A family that is one field of an answer in lines of `field:value`. */
interface FieldFamily {
  readonly field: string
  readonly family: Family<never>
  /** What the field's number is divided by. */
  readonly per: number
}

const from =
  (type: typeof gauge | typeof counter, source: string) =>
  (name: string, field: string, meaning: string, per = 1): FieldFamily => ({
    field,
    family: type(name, `${meaning}, ${field} of ${source}, collected in the background.`),
    per,
  })

const info = from(gauge, 'INFO')
const infoCounter = from(counter, 'INFO')
const cluster = from(gauge, 'CLUSTER INFO')
const clusterCounter = from(counter, 'CLUSTER INFO')

export const infoFields: readonly FieldFamily[] = [
  info('redis_uptime_in_seconds', 'uptime_in_seconds', 'Seconds since Redis started'),
  info('redis_process_id', 'process_id', 'Process id of Redis'),
  info('redis_io_threads_active', 'io_threads_active', 'Whether the I/O threads are active'),

  info('redis_connected_clients', 'connected_clients', 'Client connections'),
  info('redis_blocked_clients', 'blocked_clients', 'Clients that wait in a blocking command'),
  info('redis_tracking_clients', 'tracking_clients', 'Clients that track keys'),
  info('redis_clients_in_timeout_table', 'clients_in_timeout_table', 'Clients in the table of time-outs'),
  info('redis_cluster_connections', 'cluster_connections', 'Sockets that the cluster bus uses'),
  info(
    'redis_client_recent_max_output_buffer_bytes',
    'client_recent_max_output_buffer',
    'Largest output buffer of a client of late',
  ),
  info(
    'redis_client_recent_max_input_buffer_bytes',
    'client_recent_max_input_buffer',
    'Largest input buffer of a client of late',
  ),

  info('redis_allocator_active_bytes', 'allocator_active', 'Bytes in active pages of the allocator'),
  info('redis_allocator_allocated_bytes', 'allocator_allocated', 'Bytes that the allocator gave out'),
  info('redis_allocator_resident_bytes', 'allocator_resident', 'Resident bytes of the allocator'),
  info('redis_allocator_frag_ratio', 'allocator_frag_ratio', 'Active to allocated bytes of the allocator'),
  info('redis_allocator_frag_bytes', 'allocator_frag_bytes', 'Active less allocated bytes of the allocator'),
  info('redis_allocator_rss_ratio', 'allocator_rss_ratio', 'Resident to active bytes of the allocator'),
  info('redis_allocator_rss_bytes', 'allocator_rss_bytes', 'Resident less active bytes of the allocator'),
  info('redis_memory_used_bytes', 'used_memory', 'Bytes that Redis has allocated'),
  info('redis_memory_used_rss_bytes', 'used_memory_rss', 'Bytes of Redis that are resident'),
  info('redis_memory_used_peak_bytes', 'used_memory_peak', 'Bytes that Redis had allocated at the most'),
  info('redis_memory_used_lua_bytes', 'used_memory_lua', 'Bytes of the engine of Lua'),
  info('redis_memory_used_overhead_bytes', 'used_memory_overhead', 'Bytes that are no data'),
  info(
    'redis_memory_used_startup_bytes',
    'used_memory_startup',
    'Bytes that Redis had allocated at its start',
  ),
  info('redis_memory_used_dataset_bytes', 'used_memory_dataset', 'Bytes of the data'),
  info('redis_memory_used_scripts_bytes', 'used_memory_scripts', 'Bytes of scripts and functions'),
  info('redis_number_of_cached_scripts', 'number_of_cached_scripts', 'Scripts that EVAL left behind'),
  info('redis_memory_max_bytes', 'maxmemory', 'Bytes that Redis may allocate, 0 without a limit'),
  info('redis_total_system_memory_bytes', 'total_system_memory', 'Bytes of memory of the machine'),
  info('redis_mem_fragmentation_ratio', 'mem_fragmentation_ratio', 'Resident to allocated bytes'),
  info('redis_mem_fragmentation_bytes', 'mem_fragmentation_bytes', 'Resident less allocated bytes'),
  info('redis_mem_clients_slaves', 'mem_clients_slaves', 'Bytes for the connections of replicas'),
  info('redis_mem_clients_normal', 'mem_clients_normal', 'Bytes for the connections of clients'),
  info(
    'redis_mem_not_counted_for_eviction_bytes',
    'mem_not_counted_for_evict',
    'Bytes that do not count towards maxmemory',
  ),
  info('redis_lazyfree_pending_objects', 'lazyfree_pending_objects', 'Objects that wait to be freed'),
  info(
    'redis_active_defrag_running',
    'active_defrag_running',
    'CPU percent of the defragmentation under way',
  ),
  info('redis_migrate_cached_sockets_total', 'migrate_cached_sockets', 'Sockets open for MIGRATE'),
  info('redis_defrag_hits', 'active_defrag_hits', 'Values that the defragmentation moved'),
  info('redis_defrag_misses', 'active_defrag_misses', 'Moves of values that the defragmentation gave up'),
  info('redis_defrag_key_hits', 'active_defrag_key_hits', 'Keys that the defragmentation worked on'),
  info('redis_defrag_key_misses', 'active_defrag_key_misses', 'Keys that the defragmentation passed over'),
  info('redis_expired_stale_percentage', 'expired_stale_perc', 'Percent of keys that are probably expired'),
  infoCounter(
    'redis_expired_time_cap_reached_total',
    'expired_time_cap_reached_count',
    'Times that a cycle of expiring keys ran out of time',
  ),

  info('redis_loading_dump_file', 'loading', 'Whether Redis is loading its data'),
  info(
    'redis_rdb_changes_since_last_save',
    'rdb_changes_since_last_save',
    'Changes since the last save to the RDB file',
  ),
  info('redis_rdb_bgsave_in_progress', 'rdb_bgsave_in_progress', 'Whether an RDB file is being written'),
  info(
    'redis_rdb_last_save_timestamp_seconds',
    'rdb_last_save_time',
    'Unix time of the last save to the RDB file, or of the start',
  ),
  info('redis_rdb_last_bgsave_status', 'rdb_last_bgsave_status', 'Whether the last RDB file went well'),
  info(
    'redis_rdb_last_bgsave_duration_sec',
    'rdb_last_bgsave_time_sec',
    'Seconds that the last RDB file took, -1 before the first',
  ),
  info(
    'redis_rdb_current_bgsave_duration_sec',
    'rdb_current_bgsave_time_sec',
    'Seconds of the RDB file that is being written, else -1',
  ),
  info('redis_rdb_last_cow_size_bytes', 'rdb_last_cow_size', 'Bytes copied on write for the last RDB file'),
  info('redis_aof_enabled', 'aof_enabled', 'Whether there is an append-only file'),
  info(
    'redis_aof_rewrite_in_progress',
    'aof_rewrite_in_progress',
    'Whether the append-only file is rewritten',
  ),
  info('redis_aof_rewrite_scheduled', 'aof_rewrite_scheduled', 'Whether a rewrite is to follow'),
  info(
    'redis_aof_last_rewrite_duration_sec',
    'aof_last_rewrite_time_sec',
    'Seconds that the last rewrite took, -1 before the first',
  ),
  info(
    'redis_aof_current_rewrite_duration_sec',
    'aof_current_rewrite_time_sec',
    'Seconds of the rewrite under way, else -1',
  ),
  info('redis_aof_last_cow_size_bytes', 'aof_last_cow_size', 'Bytes copied on write for the last rewrite'),
  info('redis_aof_current_size_bytes', 'aof_current_size', 'Bytes of the append-only file'),
  info('redis_aof_base_size_bytes', 'aof_base_size', 'Bytes of the append-only file after its last rewrite'),
  info('redis_aof_pending_rewrite', 'aof_pending_rewrite', 'Whether a rewrite waits for an RDB file'),
  info('redis_aof_buffer_length', 'aof_buffer_length', 'Bytes that wait to be appended'),
  info('redis_aof_pending_bio_fsync', 'aof_pending_bio_fsync', 'Calls of fsync that wait'),
  info('redis_aof_delayed_fsync', 'aof_delayed_fsync', 'Calls of fsync that were late'),
  info('redis_aof_last_bgrewrite_status', 'aof_last_bgrewrite_status', 'Whether the last rewrite went well'),
  info('redis_aof_last_write_status', 'aof_last_write_status', 'Whether the last append went well'),
  info('redis_module_fork_in_progress', 'module_fork_in_progress', 'Whether a module has forked'),
  info('redis_module_fork_last_cow_size', 'module_fork_last_cow_size', 'Bytes copied on write for a module'),

  info('redis_pubsub_channels', 'pubsub_channels', 'Channels with subscribers'),
  info('redis_pubsub_patterns', 'pubsub_patterns', 'Patterns with subscribers'),
  info('redis_latest_fork_seconds', 'latest_fork_usec', 'Seconds of the last fork', 1e6),
  info('redis_tracking_total_keys', 'tracking_total_keys', 'Keys that are tracked'),
  info('redis_tracking_total_items', 'tracking_total_items', 'Items that are tracked: clients of each key'),
  info('redis_tracking_total_prefixes', 'tracking_total_prefixes', 'Prefixes that are tracked'),

  info('redis_connected_slaves', 'connected_slaves', 'Replicas that are connected'),
  info('redis_replication_backlog_bytes', 'repl_backlog_size', 'Size of the replication backlog'),
  info('redis_repl_backlog_is_active', 'repl_backlog_active', 'Whether the replication backlog is in use'),
  info(
    'redis_repl_backlog_first_byte_offset',
    'repl_backlog_first_byte_offset',
    'Replication offset at which the backlog begins',
  ),
  info('redis_repl_backlog_history_bytes', 'repl_backlog_histlen', 'Bytes in the replication backlog'),
  info('redis_master_repl_offset', 'master_repl_offset', 'Replication offset of the server'),
  info(
    'redis_second_repl_offset',
    'second_repl_offset',
    'Replication offset of the former master, -1 without',
  ),
  info(
    'redis_slave_expires_tracked_keys',
    'slave_expires_tracked_keys',
    'Keys that a replica expires itself',
  ),
  info('redis_slave_priority', 'slave_priority', 'Rank of a replica in a failover'),
  info('redis_replica_resyncs_full', 'sync_full', 'Full resynchronisations of replicas'),
  info('redis_replica_partial_resync_accepted', 'sync_partial_ok', 'Partial resynchronisations of replicas'),
  info(
    'redis_replica_partial_resync_denied',
    'sync_partial_err',
    'Partial resynchronisations that were not possible',
  ),

  info('redis_cluster_enabled', 'cluster_enabled', 'Whether it is a node of a cluster'),

  infoCounter('redis_connections_received_total', 'total_connections_received', 'Connections taken'),
  infoCounter('redis_commands_processed_total', 'total_commands_processed', 'Commands run'),
  infoCounter('redis_rejected_connections_total', 'rejected_connections', 'Connections beyond maxclients'),
  infoCounter('redis_net_input_bytes_total', 'total_net_input_bytes', 'Bytes received'),
  infoCounter('redis_net_output_bytes_total', 'total_net_output_bytes', 'Bytes sent'),
  infoCounter('redis_expired_keys_total', 'expired_keys', 'Keys that expired'),
  infoCounter('redis_evicted_keys_total', 'evicted_keys', 'Keys evicted because of maxmemory'),
  infoCounter('redis_keyspace_hits_total', 'keyspace_hits', 'Look-ups of a key that was there'),
  infoCounter('redis_keyspace_misses_total', 'keyspace_misses', 'Look-ups of a key that was not there'),
  infoCounter('redis_cpu_sys_seconds_total', 'used_cpu_sys', 'CPU seconds in the kernel'),
  infoCounter('redis_cpu_user_seconds_total', 'used_cpu_user', 'CPU seconds outside the kernel'),
  infoCounter(
    'redis_cpu_sys_children_seconds_total',
    'used_cpu_sys_children',
    'CPU seconds of child processes in the kernel',
  ),
  infoCounter(
    'redis_cpu_user_children_seconds_total',
    'used_cpu_user_children',
    'CPU seconds of child processes outside the kernel',
  ),
  infoCounter(
    'redis_cpu_sys_main_thread_seconds_total',
    'used_cpu_sys_main_thread',
    'CPU seconds of the main thread in the kernel',
  ),
  infoCounter(
    'redis_cpu_user_main_thread_seconds_total',
    'used_cpu_user_main_thread',
    'CPU seconds of the main thread outside the kernel',
  ),
  infoCounter('redis_unexpected_error_replies', 'unexpected_error_replies', 'Error replies between servers'),
  infoCounter('redis_total_error_replies', 'total_error_replies', 'Error replies'),
  infoCounter('redis_total_reads_processed', 'total_reads_processed', 'Reads from sockets'),
  infoCounter('redis_total_writes_processed', 'total_writes_processed', 'Writes to sockets'),
  infoCounter('redis_io_threaded_reads_processed', 'io_threaded_reads_processed', 'Reads by the I/O threads'),
  infoCounter(
    'redis_io_threaded_writes_processed',
    'io_threaded_writes_processed',
    'Writes by the I/O threads',
  ),
  infoCounter(
    'redis_dump_payload_sanitizations',
    'dump_payload_sanitizations',
    'Payloads of RESTORE examined',
  ),
]

export const clusterFields: readonly FieldFamily[] = [
  cluster('redis_cluster_state', 'cluster_state', 'Whether the cluster can serve queries'),
  cluster('redis_cluster_slots_assigned', 'cluster_slots_assigned', 'Slots that a node serves'),
  cluster('redis_cluster_slots_ok', 'cluster_slots_ok', 'Slots of nodes that are well'),
  cluster('redis_cluster_slots_pfail', 'cluster_slots_pfail', 'Slots of nodes that this one does not reach'),
  cluster('redis_cluster_slots_fail', 'cluster_slots_fail', 'Slots of nodes that have failed'),
  cluster('redis_cluster_known_nodes', 'cluster_known_nodes', 'Nodes of the cluster'),
  cluster('redis_cluster_size', 'cluster_size', 'Masters that serve slots'),
  cluster('redis_cluster_current_epoch', 'cluster_current_epoch', 'Epoch of the cluster'),
  cluster('redis_cluster_my_epoch', 'cluster_my_epoch', 'Epoch of the node'),
  clusterCounter(
    'redis_cluster_messages_sent_total',
    'cluster_stats_messages_sent',
    'Messages to other nodes',
  ),
  clusterCounter(
    'redis_cluster_messages_received_total',
    'cluster_stats_messages_received',
    'Messages from other nodes',
  ),
]

// ---- The server: what has labels, or is made of several fields

export const startTime = gauge(
  'redis_start_time_seconds',
  'Unix time of the start of Redis, its clock less uptime_in_seconds of INFO, collected in the background.',
)

export const instanceInfo = gauge(
  'redis_instance_info',
  '1, with what INFO says of the server as labels, collected in the background.',
  [
    'role',
    'redis_version',
    'redis_build_id',
    'redis_mode',
    'os',
    'maxmemory_policy',
    'tcp_port',
    'run_id',
    'process_id',
  ],
)

export const slaveInfo = gauge(
  'redis_slave_info',
  '1 on a replica, from INFO, collected in the background.',
  ['master_host', 'master_port', 'read_only'],
)

const OF_MASTER = ['master_host', 'master_port'] as const

export const masterLinkUp = gauge(
  'redis_master_link_up',
  'Whether a replica is connected to its master, master_link_status of INFO, collected in the background.',
  OF_MASTER,
)

/** By the field of INFO. */
export const masterFields = {
  master_last_io_seconds_ago: gauge(
    'redis_master_last_io_seconds_ago',
    'Seconds since a replica heard of its master, -1 while it is not connected, master_last_io_seconds_ago of INFO, collected in the background.',
    OF_MASTER,
  ),
  master_sync_in_progress: gauge(
    'redis_master_sync_in_progress',
    'Whether a replica is being filled by its master, master_sync_in_progress of INFO, collected in the background.',
    OF_MASTER,
  ),
  slave_repl_offset: gauge(
    'redis_slave_repl_offset',
    'Replication offset of a replica, slave_repl_offset of INFO, collected in the background.',
    OF_MASTER,
  ),
} as const

const OF_REPLICA = ['slave_ip', 'slave_port', 'slave_state'] as const

export const connectedSlaveOffset = gauge(
  'redis_connected_slave_offset_bytes',
  'Replication offset that a replica has acknowledged, offset of its line in INFO, collected in the background.',
  OF_REPLICA,
)

export const connectedSlaveLag = gauge(
  'redis_connected_slave_lag_seconds',
  'Seconds since a replica last acknowledged, lag of its line in INFO, collected in the background.',
  OF_REPLICA,
)

export const dbKeys = gauge(
  'redis_db_keys',
  'Keys of a database, keys of its line in INFO, collected in the background; 0 for a database without keys.',
  ['db'],
)

export const dbKeysExpiring = gauge(
  'redis_db_keys_expiring',
  'Keys of a database that will expire, expires of its line in INFO, collected in the background; 0 for a database without keys.',
  ['db'],
)

export const dbAvgTtl = gauge(
  'redis_db_avg_ttl_seconds',
  'Time to live of the keys that will expire on average, avg_ttl of the line of a database in INFO, collected in the background.',
  ['db'],
)

export const commands = counter(
  'redis_commands_total',
  'Calls of a command, calls of its line in INFO, collected in the background.',
  ['cmd'],
)

export const commandsDuration = counter(
  'redis_commands_duration_seconds_total',
  'Seconds spent in a command, usec of its line in INFO, collected in the background.',
  ['cmd'],
)

export const commandsRejected = counter(
  'redis_commands_rejected_calls_total',
  'Calls of a command that were refused before it ran, rejected_calls of its line in INFO, collected in the background.',
  ['cmd'],
)

export const commandsFailed = counter(
  'redis_commands_failed_calls_total',
  'Calls of a command that failed while it ran, failed_calls of its line in INFO, collected in the background.',
  ['cmd'],
)

export const latencyPercentiles = gauge(
  'redis_latency_percentiles_usec',
  'Microseconds that a percentage of the calls of a command took at most, its latency_percentiles_usec of INFO, collected in the background.',
  ['cmd', 'quantile'],
)

export const errors = counter(
  'redis_errors_total',
  'Error replies by their first word, errorstat of INFO, collected in the background.',
  ['err'],
)

export const configMaxClients = gauge(
  'redis_config_maxclients',
  'Connections that Redis takes at the most, maxclients of CONFIG GET, collected in the background.',
)

export const configMaxMemory = gauge(
  'redis_config_maxmemory',
  'Bytes that Redis may allocate, maxmemory of CONFIG GET, collected in the background; 0 means no limit.',
)

export const configIoThreads = gauge(
  'redis_config_io_threads',
  'Threads for I/O, io-threads of CONFIG GET, collected in the background.',
)

export const slowlogLength = gauge(
  'redis_slowlog_length',
  'Entries of the slow log, by SLOWLOG LEN, collected in the background.',
)

export const slowlogLastId = gauge(
  'redis_slowlog_last_id',
  'Number of the newest entry of the slow log, by SLOWLOG GET, collected in the background; 0 while it is empty.',
)

export const lastSlowDuration = gauge(
  'redis_last_slow_execution_duration_seconds',
  'Seconds of the newest entry of the slow log, by SLOWLOG GET, collected in the background; 0 while it is empty.',
)

export const latencySpikeLast = gauge(
  'redis_latency_spike_last',
  'Unix time of the last spike of an event, by LATENCY LATEST, collected in the background.',
  ['event_name'],
)

export const latencySpikeDuration = gauge(
  'redis_latency_spike_duration_seconds',
  'Seconds of the last spike of an event, by LATENCY LATEST, collected in the background.',
  ['event_name'],
)

export const families: readonly Family[] = [
  up,
  queueLength,
  queueJobs,
  queuePaused,
  queueOldestAge,
  scanComplete,
  keySize,
  ...streamFamilies,
  ...[...infoFields, ...clusterFields].map(({ family }) => family),
  startTime,
  instanceInfo,
  slaveInfo,
  masterLinkUp,
  ...Object.values(masterFields),
  connectedSlaveOffset,
  connectedSlaveLag,
  dbKeys,
  dbKeysExpiring,
  dbAvgTtl,
  commands,
  commandsDuration,
  commandsRejected,
  commandsFailed,
  latencyPercentiles,
  errors,
  configMaxClients,
  configMaxMemory,
  configIoThreads,
  slowlogLength,
  slowlogLastId,
  lastSlowDuration,
  latencySpikeLast,
  latencySpikeDuration,
]
