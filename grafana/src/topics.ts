import { dashboard } from './dashboard.ts'
import { alertsFire } from './marks.ts'
import { NONE_IS_BEST, NONE_IS_GOOD, type Steps } from './meaning.ts'
import { graph, stat, table } from './panels.ts'
import { BY_TABLE, BY_TEAM, of, targetsOf } from './variables.ts'

const CHOSEN = [...BY_TABLE, ...BY_TEAM]
const TOPIC = 'target, topic, tenant, table, team'
/** A part of all records, as in SyncErrorRateElevated and SyncErrorRateHigh. */
const ERRORS: Steps = ['ok', [0.05, 'warning'], [0.1, 'bad']]

/** Of the topics whose tenant, table and team are chosen, with these as labels. */
function ofTopics(expression: string): string {
  return `${expression} * on (instance, target, environment, platform, topic) group_left (tenant, table, team) ${of('cdc_topic_info', ...CHOSEN)}`
}

export const topics = dashboard({
  uid: 'cdc-topics',
  title: 'Topics and dead letters',
  about: 'Which topics are there, who uses them, and which records could a sink not take, and why?',
  choices: {
    target: targetsOf('kafka', 'sync', 'connect'),
    team: of('cdc_topic_info'),
    tenant: of('cdc_topic_info'),
    table: of('cdc_topic_info', 'tenant=~"$tenant"'),
  },
  annotations: [alertsFire],
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Topics',
          about: 'Topics of the chosen tenants, tables and teams.',
          empty: 'no topic',
          unit: 'none',
          width: 4,
          queries: [[`count(${of('cdc_topic_info', ...CHOSEN)})`, '']],
        }),
        stat({
          title: 'Dead letters',
          about: 'Records in dead-letter topics. The sink does not have them.',
          empty: 'no such topic',
          unit: 'short',
          steps: NONE_IS_BEST,
          width: 5,
          queries: [[`sum(${ofTopics(of('kafka_dlq_messages'))})`, '']],
        }),
        stat({
          title: 'New dead letters',
          about: 'Records that came to dead-letter topics within the time range.',
          empty: 'no such topic',
          unit: 'short',
          decimals: 0,
          steps: NONE_IS_GOOD,
          width: 5,
          queries: [[`sum(${ofTopics(`increase(${of('kafka_dlq_records_total')}[$__range])`)})`, '']],
        }),
        stat({
          title: 'Newest dead letter',
          about: 'How old the record is that failed last.',
          empty: 'none, or no such topic',
          unit: 's',
          width: 5,
          queries: [[`min(${ofTopics(of('kafka_dlq_newest_age_seconds'))})`, '']],
        }),
        stat({
          title: 'Part that fails',
          about:
            'Records that go to dead-letter topics, as a part of all that are handled, of the worst table.',
          empty: 'nothing is handled',
          unit: 'percentunit',
          steps: ERRORS,
          width: 5,
          queries: [[`max(${of('table:sync_errors:ratio5m', ...BY_TABLE)})`, '']],
        }),
      ],
    },
    {
      title: 'What could a sink not take?',
      panels: [
        graph({
          title: 'Dead letters by topic',
          about: 'Records in each dead-letter topic.',
          empty: 'no dead-letter topic of this choice',
          unit: 'short',
          queries: [[`max by (target, topic) (${ofTopics(of('kafka_dlq_messages'))})`, '{{topic}}']],
        }),
        graph({
          title: 'Dead letters by exception',
          about: 'By the exception class in the headers of the records, from a bounded sample.',
          empty: 'no dead letter with a class was seen',
          unit: 'cps',
          queries: [
            [
              `sum by (exception_class, connector) (rate(${of('kafka_dlq_errors_total')}[$__rate_interval]))`,
              '{{exception_class}} {{connector}}',
            ],
          ],
        }),
        graph({
          title: 'Records that failed',
          about: 'Records a second by table and kind of error, as the sync collector counts them.',
          empty: 'no record has failed, or no sync collector',
          unit: 'cps',
          queries: [
            [
              `sum by (tenant, table, error_type) (rate(${of('sync_records_failed_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{tenant}} {{table}} {{error_type}}',
            ],
          ],
        }),
        graph({
          title: 'Part that fails by table',
          about: 'Failed records as a part of all that are handled.',
          empty: 'nothing is handled, or no sync collector',
          unit: 'percentunit',
          steps: ERRORS,
          queries: [
            [
              `max by (tenant, table) (${of('table:sync_errors:ratio5m', ...BY_TABLE)})`,
              '{{tenant}} {{table}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Every topic',
      panels: [
        table({
          title: 'Contents of topics',
          about: 'What is in each topic, and whose it is by the rules of the configuration.',
          empty: 'no topic of this choice',
          unit: 'short',
          height: 10,
          expressions: [
            `max by (${TOPIC}) (${ofTopics(of('kafka_topic_partitions'))})`,
            `max by (${TOPIC}) (${ofTopics(`(${of('kafka_topic_current_offset')} - ${of('kafka_topic_oldest_offset')})`)})`,
            `max by (${TOPIC}) (${ofTopics(of('kafka_topic_log_size_bytes'))})`,
            `max by (${TOPIC}) (${ofTopics(of('topic:kafka_produced:rate5m'))})`,
          ],
          columns: [
            { field: 'target', name: 'Target', width: 110 },
            { field: 'topic', name: 'Topic' },
            { field: 'tenant', name: 'Tenant' },
            { field: 'table', name: 'Table' },
            { field: 'team', name: 'Team' },
            { field: 'Value #A', name: 'Partitions', unit: 'none' },
            { field: 'Value #B', name: 'Offsets kept' },
            { field: 'Value #C', name: 'On disk', unit: 'bytes' },
            { field: 'Value #D', name: 'Written', unit: 'cps' },
          ],
          sort: 'Offsets kept',
        }),
        table({
          title: 'Connectors of topics',
          about: 'Which connector writes or reads each topic, or puts its dead letters there.',
          empty: 'no connector tells its topics',
          unit: 'none',
          labelsOnly: true,
          expressions: [
            `max by (topic, role, target, connector) (${of('kafka_connect_connector_topic_info')})`,
          ],
          columns: [
            { field: 'topic', name: 'Topic' },
            { field: 'role', name: 'Role' },
            { field: 'target', name: 'Target' },
            { field: 'connector', name: 'Connector' },
            { field: 'Value', name: 'Known' },
          ],
        }),
        graph({
          title: 'Written by tenant',
          about: 'Records a second, by the tenant that the rules read from the name of the topic.',
          empty: 'no topic of this choice',
          unit: 'cps',
          stacked: true,
          queries: [
            [
              `sum by (target, tenant) (${ofTopics(of('topic:kafka_produced:rate5m'))})`,
              '{{target}} {{tenant}}',
            ],
          ],
        }),
        graph({
          title: 'On disk by tenant',
          about: 'Bytes of all replicas of the topics of a tenant.',
          empty: 'no topic of this choice, or a broker does not tell',
          unit: 'bytes',
          stacked: true,
          queries: [
            [
              `sum by (target, tenant) (${ofTopics(of('kafka_topic_log_size_bytes'))})`,
              '{{target}} {{tenant}}',
            ],
          ],
        }),
      ],
    },
  ],
})
