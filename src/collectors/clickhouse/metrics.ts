import { gauge } from '../../metrics/family.ts'

export const up = gauge('clickhouse_up', 'Whether ClickHouse answered the last background run.')

const labels = ['database', 'table'] as const

export const tableRows = gauge(
  'clickhouse_table_rows',
  'Rows in the active parts of a MergeTree table, from system.parts, collected in the background; of the max_tables largest tables.',
  labels,
)

export const tableBytes = gauge(
  'clickhouse_table_bytes',
  'Bytes on disk of the active parts of a MergeTree table, from system.parts, collected in the background; of the max_tables largest tables.',
  labels,
)

export const tableParts = gauge(
  'clickhouse_table_parts',
  'Active parts of a MergeTree table, from system.parts, collected in the background; of the max_tables largest tables.',
  labels,
)

export const partitionPartsMax = gauge(
  'clickhouse_table_partition_parts_max',
  'Active parts in the partition of a MergeTree table that has most, from system.parts, collected in the background; at parts_to_throw_insert ClickHouse refuses inserts.',
  labels,
)

export const newestRow = gauge(
  'clickhouse_table_newest_row_timestamp_seconds',
  'When a MergeTree table got its newest rows, from the part of the last insert in system.parts, collected in the background. Where that part was merged before the daemon first saw it, the time of the merge, which is later; absent for an empty table.',
  labels,
)

export const mutationsPending = gauge(
  'clickhouse_mutations_pending',
  'Mutations of a MergeTree table that are not done, from system.mutations, collected in the background.',
  labels,
)

export const duplicateRows = gauge(
  'clickhouse_table_duplicate_rows',
  'Rows of a watched table less those that a merge would leave, by count() with and without FINAL in the background; not for a plain MergeTree, which keeps all.',
  labels,
)

export const deletedRatio = gauge(
  'clickhouse_table_deleted_ratio',
  'Share of the rows of a watched table, versions counted once, that its deleted column marks, by FINAL in the background; absent for an empty table.',
  labels,
)

export const replicaDelay = gauge(
  'clickhouse_replica_delay_seconds',
  'How far this replica of a table is behind the newest insert, absolute_delay of system.replicas, collected in the background; absent while it is read-only.',
  labels,
)

export const replicaQueue = gauge(
  'clickhouse_replica_queue',
  'Operations that this replica of a table has yet to do, queue_size of system.replicas, collected in the background.',
  labels,
)

export const replicaReadOnly = gauge(
  'clickhouse_replica_readonly',
  'Whether this replica of a table takes no writes, as it does without ClickHouse Keeper, is_readonly of system.replicas, collected in the background.',
  labels,
)

export const merges = gauge(
  'clickhouse_merges',
  'Merges under way on the server, Merge of system.metrics, collected in the background.',
)

export const connections = gauge(
  'clickhouse_connections',
  'Client connections to the server over its native protocol, HTTP, MySQL and PostgreSQL, from system.metrics, collected in the background.',
)

export const diskBytes = gauge(
  'clickhouse_disk_bytes',
  'Size of a disk, total_space of system.disks, collected in the background; absent where it has no bound, as object storage.',
  ['disk'],
)

export const diskFreeBytes = gauge(
  'clickhouse_disk_free_bytes',
  'Free space of a disk, free_space of system.disks, collected in the background; absent where it has no bound, as object storage.',
  ['disk'],
)
