import { dashboard } from './dashboard.ts'
import { alertsFire, connectorsFail, connectorsRestart } from './marks.ts'
import {
  CONNECTOR_STATES,
  HEALING_STATES,
  NEUTRAL,
  NONE_IS_BEST,
  NONE_IS_GOOD,
  type Steps,
  UP,
} from './meaning.ts'
import { cell, graph, pie, stat, stateNumber, table, timeline } from './panels.ts'
import { BY_TEAM, of, targetsOf } from './variables.ts'

const ALL_CONNECTORS = 'connector:kafka_connect_connector_info:recent'
const KEY = 'instance, target, environment, platform, connector'
const CONNECTOR = 'target, connector'

/** Of the connectors whose team is chosen, with what is known of them as labels. */
function ofTeam(expression: string): string {
  return `${expression} * on (${KEY}) group_left (team, business_cluster, dbms) ${of(ALL_CONNECTORS, ...BY_TEAM)}`
}

const inState = (...states: readonly string[]): string =>
  ofTeam(of('kafka_connect_connector_state', `state=~"${states.join('|')}"`))

const failed = of('connector:kafka_connect_failed_parts:sum', ...BY_TEAM)

const GROWS: Steps = ['ok', [67_108_864, 'bad']]

export const connect = dashboard({
  uid: 'cdc-connect',
  title: 'Kafka Connect',
  about: 'Which connectors run, which have failed and why, and do those that say they run move?',
  choices: { target: targetsOf('connect'), team: of('kafka_connect_connector_info') },
  annotations: [alertsFire, connectorsFail, connectorsRestart],
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Connectors',
          about: 'All connectors of the chosen clusters and teams.',
          empty: 'none',
          unit: 'none',
          width: 4,
          queries: [[`count(${of(ALL_CONNECTORS, ...BY_TEAM)})`, '']],
        }),
        stat({
          title: 'Running',
          about: 'Connectors that say that they run. A task of theirs may have failed.',
          empty: 'none',
          unit: 'none',
          width: 4,
          queries: [[`sum(${inState('running')})`, '']],
        }),
        stat({
          title: 'Failed',
          about: 'Connectors that have failed themselves or in a task.',
          empty: 'unknown',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(${failed} > bool 0)`, '']],
        }),
        stat({
          title: 'Paused or stopped',
          about: 'Connectors that somebody holds. Their slots keep WAL meanwhile.',
          empty: 'unknown',
          unit: 'none',
          steps: ['ok', [1, 'idle']],
          width: 4,
          queries: [[`sum(${inState('paused', 'stopped')})`, '']],
        }),
        stat({
          title: 'Tasks that do not run',
          about: 'Tasks that their connectors are made of, less those that run.',
          empty: 'unknown',
          unit: 'none',
          steps: NONE_IS_BEST,
          width: 4,
          queries: [
            [
              `sum(${ofTeam(`(${of('kafka_connect_tasks_expected')} - ${of('kafka_connect_tasks_running')})`)})`,
              '',
            ],
          ],
        }),
        stat({
          title: 'Failures in the time range',
          about: 'Failures of connectors and tasks that were seen, those that are over among them.',
          empty: 'unknown',
          unit: 'none',
          steps: NONE_IS_BEST,
          width: 4,
          decimals: 0,
          queries: [[`sum(${ofTeam(`increase(${of('kafka_connect_failures_total')}[$__range])`)})`, '']],
        }),
      ],
    },
    {
      title: 'Per environment and platform',
      panels: [
        pie({
          title: 'Connectors by state',
          about: 'How many connectors are in each state.',
          empty: 'no connector',
          unit: 'none',
          states: CONNECTOR_STATES,
          queries: [[`sum by (state) (${inState('.+')}) > 0`, '{{state}}']],
        }),
        table({
          title: 'Environments',
          about:
            'Connectors of each environment and platform; the last column counts failures of the time range.',
          empty: 'no connector',
          unit: 'none',
          width: 18,
          expressions: [
            `count by (environment, platform) (${of(ALL_CONNECTORS, ...BY_TEAM)})`,
            `sum by (environment, platform) (${inState('running')})`,
            `sum by (environment, platform) (${failed} > bool 0)`,
            `sum by (environment, platform) (${inState('paused', 'stopped')})`,
            `sum by (environment, platform) (${ofTeam(`increase(${of('kafka_connect_failures_total')}[$__range])`)})`,
          ],
          columns: [
            { field: 'environment', name: 'Environment' },
            { field: 'platform', name: 'Platform' },
            { field: 'Value #A', name: 'Connectors' },
            { field: 'Value #B', name: 'Running' },
            { field: 'Value #C', name: 'Failed', steps: NONE_IS_GOOD },
            { field: 'Value #D', name: 'Paused or stopped' },
            { field: 'Value #E', name: 'Failures', decimals: 0, steps: NONE_IS_BEST },
          ],
          sort: 'Failed',
        }),
      ],
    },
    {
      title: 'What has failed?',
      panels: [
        table({
          title: 'Open failures',
          about:
            'Connectors and tasks that have failed and not run since, with the exception. cdc-exporter failures show <id> has the trace and first steps.',
          empty: 'nothing has failed',
          unit: 'none',
          width: 12,
          labelsOnly: true,
          expressions: [
            `max by (target, connector, task, exception_class) (${of('kafka_connect_task_failure_info')})`,
          ],
          columns: [
            { field: 'target', name: 'Target', width: 90 },
            { field: 'connector', name: 'Connector' },
            { field: 'task', name: 'Task', width: 60 },
            { field: 'exception_class', name: 'Exception' },
            { field: 'Value', name: 'Open' },
          ],
        }),
        table({
          title: 'Failing since',
          about: 'When each open failure was first seen.',
          empty: 'nothing has failed',
          unit: 'dateTimeFromNow',
          width: 12,
          expressions: [
            `max by (target, connector, task) (${of('kafka_connect_failure_open_timestamp_seconds')} * 1000)`,
          ],
          columns: [
            { field: 'target', name: 'Target', width: 90 },
            { field: 'connector', name: 'Connector' },
            { field: 'task', name: 'Task', width: 60 },
            { field: 'Value', name: 'Since', unit: 'dateTimeFromNow' },
          ],
          sort: 'Since',
        }),
        timeline({
          title: 'State of each connector',
          about: 'What Connect says of the connectors themselves.',
          empty: 'no connector of this choice',
          states: CONNECTOR_STATES,
          queries: [
            [
              stateNumber(CONNECTOR_STATES, CONNECTOR, (state) => of('kafka_connect_connector_state', state)),
              '{{connector}}',
            ],
          ],
        }),
        timeline({
          title: 'State of each task',
          about: 'A task can fail while its connector runs.',
          empty: 'no task of this choice',
          states: CONNECTOR_STATES,
          queries: [
            [
              stateNumber(CONNECTOR_STATES, `${CONNECTOR}, task`, (state) =>
                of('kafka_connect_task_state', state),
              ),
              '{{connector}} {{task}}',
            ],
          ],
        }),
        graph({
          title: 'Failures',
          about: 'Failures seen, by connector.',
          empty: 'no connector of this choice',
          unit: 'none',
          stacked: true,
          queries: [
            [
              `sum by (${CONNECTOR}) (${ofTeam(`increase(${of('kafka_connect_failures_total')}[$__rate_interval])`)}) > 0`,
              '{{connector}}',
            ],
          ],
        }),
        graph({
          title: 'Recoveries',
          about: 'Failures that were seen to be over, by connector.',
          empty: 'no connector of this choice',
          unit: 'none',
          stacked: true,
          queries: [
            [
              `sum by (${CONNECTOR}) (${ofTeam(`increase(${of('kafka_connect_recoveries_total')}[$__rate_interval])`)}) > 0`,
              '{{connector}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Does it move?',
      panels: [
        graph({
          title: 'How far the database is ahead',
          about:
            'WAL that the server wrote and the slot of the connector has not confirmed. It grows while a connector says that it runs and does not move.',
          empty: 'no connector with a replication slot of a watched PostgreSQL',
          unit: 'bytes',
          steps: GROWS,
          queries: [
            [
              `max by (connector, slot_name) (${of('kafka_connect_connector_slot_info')} * on (slot_name) group_left () max by (slot_name) (pg_replication_slots_slot_current_wal_lsn{environment=~"$environment"} - pg_replication_slots_slot_confirmed_flush_lsn{environment=~"$environment"}))`,
              '{{connector}} {{slot_name}}',
            ],
          ],
          drill: { title: 'Databases', to: 'cdc-databases' },
        }),
        graph({
          title: 'What sources read',
          about: 'Bytes of WAL, binlog or file that a source goes forward in a second.',
          empty: 'no source whose Connect tells offsets (Kafka 3.6)',
          unit: 'Bps',
          queries: [
            [
              `max by (${CONNECTOR}) (deriv(${of('kafka_connect_source_position_bytes')}[$__rate_interval])) > 0`,
              '{{connector}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Every connector',
      panels: [
        table({
          title: 'Who has which connector',
          about: 'Class, DBMS, team and business cluster as the configuration assigns them.',
          empty: 'no connector of this choice',
          unit: 'none',
          height: 10,
          labelsOnly: true,
          expressions: [
            `max by (environment, target, connector, kind, dbms, team, business_cluster, class) (${of('kafka_connect_connector_info', ...BY_TEAM)})`,
          ],
          columns: [
            { field: 'environment', name: 'Environment' },
            { field: 'target', name: 'Target', width: 90 },
            {
              field: 'connector',
              name: 'Connector',
              drill: {
                title: 'Only this Connect cluster',
                to: 'cdc-connect',
                choose: { target: cell('Target') },
              },
            },
            { field: 'kind', name: 'Kind' },
            { field: 'dbms', name: 'DBMS' },
            {
              field: 'team',
              name: 'Team',
              drill: {
                title: 'Only this team',
                to: 'cdc-connect',
                choose: { team: cell('Team') },
              },
            },
            { field: 'business_cluster', name: 'Cluster' },
            { field: 'class', name: 'Class' },
            { field: 'Value', name: 'Known' },
          ],
        }),
        table({
          title: 'Topics of connectors',
          about: 'Which connector writes or reads which topic.',
          empty: 'no connector tells its topics',
          unit: 'none',
          width: 12,
          labelsOnly: true,
          expressions: [
            `max by (target, connector, topic, role) (${of('kafka_connect_connector_topic_info')})`,
          ],
          columns: [
            { field: 'target', name: 'Target', width: 90 },
            { field: 'connector', name: 'Connector' },
            { field: 'role', name: 'Role', width: 100 },
            { field: 'topic', name: 'Topic' },
            { field: 'Value', name: 'Known' },
          ],
        }),
        table({
          title: 'Teams and business clusters',
          about: 'Connectors of each, and how many of them have failed.',
          empty: 'no connector',
          unit: 'none',
          width: 12,
          expressions: [
            `count by (team, business_cluster) (${of(ALL_CONNECTORS, ...BY_TEAM)})`,
            `sum by (team, business_cluster) (${failed} > bool 0)`,
          ],
          columns: [
            { field: 'team', name: 'Team' },
            { field: 'business_cluster', name: 'Cluster' },
            { field: 'Value #A', name: 'Connectors' },
            { field: 'Value #B', name: 'Failed', steps: NONE_IS_GOOD },
          ],
          sort: 'Failed',
        }),
      ],
    },
    {
      title: 'Who did what',
      panels: [
        graph({
          title: 'Operations on connectors',
          about: 'By API, command line and self-healing. The audit has who it was.',
          empty: 'nobody has operated a connector',
          unit: 'none',
          width: 8,
          queries: [
            [
              `sum by (operation, result) (increase(${of('kafka_connect_operations_total')}[$__rate_interval]))`,
              '{{operation}} {{result}}',
            ],
          ],
        }),
        timeline({
          title: 'Self-healing',
          about: 'What it does about the connectors of its policy.',
          empty: 'self-healing is off',
          states: HEALING_STATES,
          width: 8,
          queries: [
            [
              stateNumber(HEALING_STATES, CONNECTOR, (state) =>
                of('kafka_connect_self_healing_state', state),
              ),
              '{{connector}}',
            ],
          ],
        }),
        timeline({
          title: 'Connect clusters',
          about: 'Whether a worker of each answers.',
          empty: 'no Connect cluster is watched',
          states: UP,
          width: 8,
          queries: [[`min by (target) (${of('kafka_connect_up')})`, '{{target}}']],
        }),
        stat({
          title: 'Rebalancing',
          about:
            'Connect clusters whose workers are sharing out connectors and tasks. Nothing can be operated meanwhile.',
          empty: 'unknown',
          unit: 'none',
          steps: NONE_IS_BEST,
          width: 6,
          queries: [[`sum(${of('kafka_connect_rebalancing')})`, '']],
        }),
        stat({
          title: 'Workers',
          about: 'The version of the worker that answered.',
          empty: 'unknown',
          unit: 'none',
          steps: NEUTRAL,
          width: 18,
          namesOnly: true,
          queries: [
            [`max by (target, version) (${of('kafka_connect_worker_info')})`, '{{target}} {{version}}'],
          ],
        }),
      ],
    },
  ],
})
