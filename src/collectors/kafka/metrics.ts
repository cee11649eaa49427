import { counter, gauge } from '../../metrics/family.ts'

// Names, labels and types are those of kafka_exporter.

export const up = gauge('kafka_up', 'Whether the last collection reached the Kafka cluster.')

export const brokers = gauge('kafka_brokers', 'Brokers in the cluster, from Metadata.')
export const brokerInfo = gauge('kafka_broker_info', 'A broker of the cluster, from Metadata; always 1.', [
  'id',
  'address',
])

export const topicPartitions = gauge('kafka_topic_partitions', 'Partitions of the topic, from Metadata.', [
  'topic',
])

const partitionLabels = ['topic', 'partition'] as const

export const currentOffset = gauge(
  'kafka_topic_partition_current_offset',
  'High watermark of the partition, from ListOffsets in the background.',
  partitionLabels,
)
export const oldestOffset = gauge(
  'kafka_topic_partition_oldest_offset',
  'Start of the partition’s log, from ListOffsets in the background.',
  partitionLabels,
)
export const leader = gauge(
  'kafka_topic_partition_leader',
  'Id of the broker that leads the partition, -1 for none, from Metadata.',
  partitionLabels,
)
export const replicas = gauge(
  'kafka_topic_partition_replicas',
  'Replicas of the partition, from Metadata.',
  partitionLabels,
)
export const inSyncReplicas = gauge(
  'kafka_topic_partition_in_sync_replica',
  'Replicas of the partition that are in sync, from Metadata.',
  partitionLabels,
)
export const leaderIsPreferred = gauge(
  'kafka_topic_partition_leader_is_preferred',
  'Whether the first replica leads the partition, from Metadata.',
  partitionLabels,
)
export const underReplicated = gauge(
  'kafka_topic_partition_under_replicated_partition',
  'Whether fewer replicas are in sync than there are, from Metadata.',
  partitionLabels,
)

const groupPartitionLabels = ['consumergroup', 'topic', 'partition'] as const

export const groupOffset = gauge(
  'kafka_consumergroup_current_offset',
  'Offset that the group has committed, from OffsetFetch in the background.',
  groupPartitionLabels,
)
export const groupOffsetSum = gauge(
  'kafka_consumergroup_current_offset_sum',
  'Sum of the group’s committed offsets over the topic’s partitions; absent while one is unknown.',
  ['consumergroup', 'topic'],
)
export const groupLag = gauge(
  'kafka_consumergroup_lag',
  'High watermark less the group’s committed offset, at least 0, read in this order: commits, then watermarks.',
  groupPartitionLabels,
)
export const groupLagSum = gauge(
  'kafka_consumergroup_lag_sum',
  'Sum of the group’s lag over the topic’s partitions; absent while one is unknown.',
  ['consumergroup', 'topic'],
)
export const groupMembers = gauge(
  'kafka_consumergroup_members',
  'Members of the group, from DescribeGroups or ConsumerGroupDescribe by its type.',
  ['consumergroup'],
)

export const clusterInfo = gauge('kafka_cluster_info', 'The cluster’s id, from Metadata; always 1.', [
  'cluster_id',
])

export const topicInfo = gauge(
  'cdc_topic_info',
  'Tenant, table and team of a topic, by the rules of the configuration, empty where none fits; always 1.',
  ['topic', 'tenant', 'table', 'team'],
)
export const topicOffset = gauge(
  'kafka_topic_current_offset',
  'Sum of the high watermarks of the topic’s partitions; absent while one is unknown.',
  ['topic'],
)
export const topicOldestOffset = gauge(
  'kafka_topic_oldest_offset',
  'Sum of the log starts of the topic’s partitions; absent while one is unknown.',
  ['topic'],
)
export const topicUnderReplicated = gauge(
  'kafka_topic_under_replicated_partitions',
  'Partitions of the topic with fewer replicas in sync than there are, from Metadata.',
  ['topic'],
)
export const topicOffline = gauge(
  'kafka_topic_offline_partitions',
  'Partitions of the topic without a leader, from Metadata.',
  ['topic'],
)
export const topicLogSize = gauge(
  'kafka_topic_log_size_bytes',
  'Bytes on disk of all replicas of the topic, from DescribeLogDirs; absent while a broker with replicas does not answer.',
  ['topic'],
)
export const stableOffset = gauge(
  'kafka_topic_partition_last_stable_offset',
  'Where a reader of committed records ends, from ListOffsets; below the high watermark while a transaction is open.',
  partitionLabels,
)

export const groupLagSeconds = gauge(
  'kafka_consumergroup_lag_seconds',
  'Age of the first record that the group has not committed, from sampled ends and ListOffsets by timestamp; 0 when caught up.',
  groupPartitionLabels,
)
export const groupLagSecondsMax = gauge(
  'kafka_consumergroup_lag_seconds_max',
  'The largest kafka_consumergroup_lag_seconds of the topic’s partitions; absent while one is unknown.',
  ['consumergroup', 'topic'],
)
export const groupStableLag = gauge(
  'kafka_consumergroup_stable_lag',
  'As kafka_consumergroup_lag_sum, up to the last stable offset: the lag of a consumer with isolation.level=read_committed.',
  ['consumergroup', 'topic'],
)
export const groupMessagesLost = gauge(
  'kafka_consumergroup_messages_lost',
  'Records that retention deleted before the group committed past them: start of the log less committed offset, over all partitions.',
  ['consumergroup', 'topic'],
)
export const groupRetentionUsed = gauge(
  'kafka_consumergroup_retention_used_ratio',
  'How close the group is to losing records: its lag in seconds over retention.ms, or in bytes over retention.bytes, the larger, of the worst partition; absent where nothing is deleted, or only by a size that the brokers do not tell.',
  ['consumergroup', 'topic'],
)
export const groupLastCommitAge = gauge(
  'kafka_consumergroup_last_commit_age_seconds',
  'Time since a committed offset of the group in the topic was seen to change; absent until one was.',
  ['consumergroup', 'topic'],
)
export const groupLagThreshold = gauge(
  'kafka_consumergroup_lag_threshold',
  'Messages of lag from which the configuration calls the group late, by topic rule or default.',
  ['consumergroup', 'topic'],
)
export const groupLagClamped = counter(
  'kafka_consumergroup_lag_clamped_total',
  'Commits that were found past the high watermark, whose lag is given as 0.',
)
export const groupInfo = gauge(
  'kafka_consumergroup_info',
  'State, type (classic, consumer, share) and coordinator of the group, from ListGroups; always 1.',
  ['consumergroup', 'state', 'type', 'coordinator'],
)
export const groupState = gauge(
  'kafka_consumergroup_state',
  '1 for the state that the group is in, from ListGroups.',
  ['consumergroup', 'state'],
)

export const quorumLeaderId = gauge(
  'kafka_quorum_leader_id',
  'Id of the KRaft leader, from DescribeQuorum; -1 while nobody answers it, as only the leader does.',
)
export const quorumLeaderEpoch = gauge(
  'kafka_quorum_leader_epoch',
  'Epoch of the KRaft leader, from DescribeQuorum.',
)
export const quorumVoters = gauge('kafka_quorum_voters', 'Voters of the KRaft quorum, from DescribeQuorum.')
export const quorumObservers = gauge(
  'kafka_quorum_observers',
  'Observers of the KRaft quorum, from DescribeQuorum.',
)
export const quorumReplicaLag = gauge(
  'kafka_quorum_replica_lag',
  'Records of the metadata log that the replica is behind its leader, from DescribeQuorum.',
  ['replica_id', 'role'],
)

export const dlqMessages = gauge(
  'kafka_dlq_messages',
  'Records in the dead-letter topic: ends less starts of its partitions, from ListOffsets in the background; absent while one is unknown.',
  ['topic'],
)
export const dlqRecords = counter(
  'kafka_dlq_records_total',
  'Records ever written to the dead-letter topic: the sum of the ends of its partitions, from ListOffsets in the background. The marks of transactions count.',
  ['topic'],
)
export const dlqNewestAge = gauge(
  'kafka_dlq_newest_age_seconds',
  'Age of the dead letter with the greatest timestamp, which Connect copies from the record that failed, from ListOffsets in the background; absent while the topic is empty, and with a broker before Kafka 3.0.',
  ['topic'],
)
export const dlqErrors = counter(
  'kafka_dlq_errors_total',
  'Dead letters by the exception class and the connector in their headers (as Kafka Connect, Spring and Kafka Streams write them), from a bounded sample by Fetch in the background; begins with the newest at the start of the exporter. unknown: without such a header. unread: beyond the sample, or compressed with snappy or lz4. other: too many classes.',
  ['topic', 'exception_class', 'connector'],
)
