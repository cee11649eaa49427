import { counter, gauge } from '../../metrics/family.ts'

export const up = gauge(
  'kafka_connect_up',
  'Whether a worker of the Connect cluster answered the last background run.',
)

export const workerInfo = gauge(
  'kafka_connect_worker_info',
  'The worker that answered, from GET / of Connect REST, collected in the background; always 1.',
  ['version', 'commit', 'kafka_cluster_id'],
)

export const pluginInfo = gauge(
  'kafka_connect_plugin_info',
  'A class that connectors use and its version, from GET /connector-plugins of Connect REST, asked every 10 minutes; always 1.',
  ['class', 'type', 'version'],
)

export const rebalancing = gauge(
  'kafka_connect_rebalancing',
  'Whether the workers are sharing out connectors and tasks: Connect REST answers 409, or something is unassigned; collected in the background.',
)

export const connectorInfo = gauge(
  'kafka_connect_connector_info',
  'A connector: its class, whether it is a source or a sink, its DBMS by class and connection, its team and business cluster by the rules of the configuration; from Connect REST, collected in the background; always 1.',
  ['connector', 'class', 'kind', 'dbms', 'team', 'business_cluster'],
)

export const connectorState = gauge(
  'kafka_connect_connector_state',
  '1 for the state a connector is in, from Connect REST, collected in the background.',
  ['connector', 'state'],
)

export const taskState = gauge(
  'kafka_connect_task_state',
  '1 for the state a task is in, from Connect REST, collected in the background. A task can fail while its connector runs.',
  ['connector', 'task', 'state'],
)

export const tasksExpected = gauge(
  'kafka_connect_tasks_expected',
  'Tasks that a connector is made of, the length of info.tasks of Connect REST, collected in the background; 0 for one that was stopped. tasks.max is only its upper bound.',
  ['connector'],
)

export const tasksRunning = gauge(
  'kafka_connect_tasks_running',
  'Tasks of a connector that are in the state running, from Connect REST, collected in the background.',
  ['connector'],
)

export const stateChange = gauge(
  'kafka_connect_state_change_timestamp_seconds',
  'When a connector, or with a task the task, was first seen in its present state by the background runs; absent for a state that was there at the first of them.',
  ['connector', 'task'],
)

export const connectorTopicInfo = gauge(
  'kafka_connect_connector_topic_info',
  'A topic of a connector, from its configuration and from the active topics of Connect REST, collected in the background; always 1. consumes: in topics of a sink, or active for its topics.regex; produces: active of a source, or its topic; dead_letter: errors.deadletterqueue.topic.name of a sink. Active topics are asked every 5 minutes.',
  ['connector', 'topic', 'role'],
)

export const connectorSlotInfo = gauge(
  'kafka_connect_connector_slot_info',
  'The replication slot that a Debezium connector for PostgreSQL reads, from its configuration by Connect REST, collected in the background; always 1.',
  ['connector', 'slot_name', 'database'],
)

export const sourcePosition = gauge(
  'kafka_connect_source_position_bytes',
  'Up to where a source has read and told so to Kafka: the LSN of PostgreSQL, the position within the binlog file of MySQL, or within a file; of several the least. From GET /connectors/{name}/offsets of Connect REST (Kafka 3.6), in turn where there are more than 50 connectors.',
  ['connector'],
)

export const taskFailureInfo = gauge(
  'kafka_connect_task_failure_info',
  'A connector, or with a task the task, that has failed and not run since, with the class in the first line of its trace, from Connect REST, collected in the background; always 1.',
  ['connector', 'task', 'exception_class'],
)

export const failureOpen = gauge(
  'kafka_connect_failure_open_timestamp_seconds',
  'When the failure that a connector, or with a task the task, is in was first seen, from the failure log.',
  ['connector', 'task'],
)

export const failures = counter(
  'kafka_connect_failures_total',
  'Failures of a connector and its tasks that were seen, from the failure log.',
  ['connector'],
)

export const healingState = gauge(
  'kafka_connect_self_healing_state',
  '1 for what self-healing does about a connector of its policy: idle (nothing of it fails), waiting (until its next restart), restarting, exhausted (as often as it may within an hour), suspended (maintenance window), excluded (it fails in a way that the policy leaves to people); collected in the background.',
  ['connector', 'state'],
)

export const healingRestarts = counter(
  'kafka_connect_self_healing_restarts_total',
  'Restarts of failed tasks by self-healing since the daemon began, by what came of them: done, unconfirmed, failed, planned (dry run: nothing was restarted); of the connectors of its policy.',
  ['connector', 'result'],
)

export const recoveries = counter(
  'kafka_connect_recoveries_total',
  'Failures of a connector and its tasks that were seen to be over, from the failure log.',
  ['connector'],
)
