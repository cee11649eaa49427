import { dashboard } from './dashboard.ts'
import { alertsFire } from './marks.ts'
import { FILLING, GROUP_STATES, LATE, NEUTRAL, NONE_IS_BEST, NONE_IS_GOOD } from './meaning.ts'
import { cell, graph, stat, stateNumber, table, timeline } from './panels.ts'
import { BY_TABLE, BY_TEAM, of, targetsOf } from './variables.ts'

const CHOSEN = [...BY_TABLE, ...BY_TEAM]

/** Of the topics whose tenant, table and team are chosen, with these as labels. */
function ofTopics(name: string): string {
  return `${of(name)} * on (instance, target, environment, platform, topic) group_left (tenant, table, team) ${of('cdc_topic_info', ...CHOSEN)}`
}

const PAIR = 'target, consumergroup, topic'

export const kafka = dashboard({
  uid: 'cdc-kafka',
  title: 'Kafka lag and throughput',
  about: 'Which consumer group is behind, by how much, does it gain, and is anything about to be lost?',
  choices: {
    target: targetsOf('kafka'),
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
          title: 'Worst lag',
          about: 'Age of the oldest record that a group has not committed, the worst of all.',
          empty: 'no group',
          unit: 's',
          steps: LATE,
          queries: [[`max(${of('group_topic:kafka_lag_seconds:tenant', ...CHOSEN)})`, '']],
        }),
        stat({
          title: 'Records waiting',
          about: 'Lag of all groups together.',
          empty: 'no group',
          unit: 'short',
          queries: [[`sum(${of('group_topic:kafka_lag:tenant', ...CHOSEN)})`, '']],
        }),
        stat({
          title: 'Groups behind',
          about: 'Pairs of group and topic with more lag than the configuration allows them.',
          empty: 'no group',
          unit: 'none',
          steps: NONE_IS_BEST,
          queries: [
            [
              `sum(${of('kafka_consumergroup_lag_sum')} > bool ${of('kafka_consumergroup_lag_threshold')})`,
              '',
            ],
          ],
        }),
        stat({
          title: 'Stalled',
          about: 'Pairs with lag whose offset has not moved for 15 minutes.',
          empty: 'known in 15 min',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('group_topic:kafka_stalled_lag:sum')} > bool 0)`, '']],
        }),
        stat({
          title: 'Records lost',
          about: 'Records that retention deleted before a group had read them.',
          empty: 'no group',
          unit: 'short',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('kafka_consumergroup_messages_lost')})`, '']],
        }),
        stat({
          title: 'Retention used',
          about: 'Lag as a part of what the topic keeps, of the worst pair.',
          empty: 'nothing expires',
          unit: 'percentunit',
          decimals: 1,
          steps: FILLING,
          queries: [[`max(${of('kafka_consumergroup_retention_used_ratio')})`, '']],
        }),
        stat({
          title: 'Partitions in danger',
          about: 'Partitions with fewer replicas in sync than there are.',
          empty: 'no topic',
          unit: 'none',
          steps: NONE_IS_BEST,
          queries: [[`sum(${of('kafka_topic_under_replicated_partitions')})`, '']],
        }),
        stat({
          title: 'Without a leader',
          about: 'Nobody can write to them or read them.',
          empty: 'no topic',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('kafka_topic_offline_partitions')})`, '']],
        }),
      ],
    },
    {
      title: 'Who is late?',
      panels: [
        graph({
          title: 'Lag in seconds',
          about: 'Age of the oldest record that a group has not committed, of the fifteen worst pairs.',
          empty: 'no group, or no topic of this choice',
          unit: 's',
          steps: LATE,
          queries: [
            [
              `topk(15, max by (${PAIR}) (${of('group_topic:kafka_lag_seconds:tenant', ...CHOSEN)}))`,
              '{{consumergroup}} {{topic}}',
            ],
          ],
        }),
        graph({
          title: 'Lag in records',
          about: 'Records that a group has not committed, of the fifteen largest pairs.',
          empty: 'no group, or no topic of this choice',
          unit: 'short',
          queries: [
            [
              `topk(15, max by (${PAIR}) (${of('group_topic:kafka_lag:tenant', ...CHOSEN)}))`,
              '{{consumergroup}} {{topic}}',
            ],
          ],
        }),
        graph({
          title: 'Lag by tenant',
          about: 'Records that wait, by the tenant that the rules read from the name of the topic.',
          empty: 'no topic of this choice',
          unit: 'short',
          stacked: true,
          queries: [
            [
              `sum by (target, tenant) (${of('group_topic:kafka_lag:tenant', ...CHOSEN)})`,
              '{{target}} {{tenant}}',
            ],
          ],
        }),
        graph({
          title: 'Time until it has caught up',
          about: 'Lag over what the group gains on the topic. A pair that does not gain has no line.',
          empty: 'no group, or none gains on its topic',
          unit: 's',
          queries: [
            [
              `topk(15, max by (${PAIR}) (${of('group_topic:kafka_drain:seconds')}))`,
              '{{consumergroup}} {{topic}}',
            ],
          ],
        }),
        table({
          title: 'Every group and topic',
          about: 'As they are now, the most late first.',
          empty: 'no group, or no topic of this choice',
          unit: 'short',
          height: 10,
          expressions: [
            `max by (${PAIR}, tenant, table) (${of('group_topic:kafka_lag_seconds:tenant', ...CHOSEN)})`,
            `max by (${PAIR}, tenant, table) (${of('group_topic:kafka_lag:tenant', ...CHOSEN)})`,
            `max by (${PAIR}, tenant, table) (${ofTopics('kafka_consumergroup_lag_threshold')})`,
            `max by (${PAIR}, tenant, table) (${ofTopics('kafka_consumergroup_last_commit_age_seconds')})`,
          ],
          columns: [
            { field: 'target', name: 'Target', width: 110 },
            { field: 'consumergroup', name: 'Group' },
            {
              field: 'topic',
              name: 'Topic',
              drill: {
                title: 'This table in topics',
                to: 'cdc-topics',
                choose: { tenant: cell('Tenant'), table: cell('Table') },
              },
            },
            { field: 'tenant', name: 'Tenant' },
            { field: 'table', name: 'Table' },
            { field: 'Value #A', name: 'Late by', unit: 's', steps: LATE },
            { field: 'Value #B', name: 'Records' },
            { field: 'Value #C', name: 'Threshold' },
            { field: 'Value #D', name: 'Last commit', unit: 's' },
          ],
          sort: 'Late by',
        }),
      ],
    },
    {
      title: 'How much goes through?',
      panels: [
        graph({
          title: 'Written',
          about: 'Records a second by topic, the fifteen busiest.',
          empty: 'no topic of this choice, or seen for less than a minute',
          unit: 'cps',
          queries: [
            [`topk(15, max by (target, topic) (${ofTopics('topic:kafka_produced:rate5m')}))`, '{{topic}}'],
          ],
        }),
        graph({
          title: 'Read',
          about: 'Records a second that groups commit, the fifteen busiest pairs.',
          empty: 'no group of this choice, or seen for less than a minute',
          unit: 'cps',
          queries: [
            [
              `topk(15, max by (${PAIR}) (${ofTopics('group_topic:kafka_consumed:rate5m')}))`,
              '{{consumergroup}} {{topic}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Groups',
      panels: [
        timeline({
          title: 'State of each group',
          about:
            'Empty means that nobody is a member: the consumer is down, unless it commits without being one, as Flink does.',
          empty: 'no group',
          states: GROUP_STATES,
          queries: [
            [
              stateNumber(GROUP_STATES, 'target, consumergroup', (state) =>
                of('kafka_consumergroup_state', state),
              ),
              '{{consumergroup}}',
            ],
          ],
        }),
        graph({
          title: 'Members',
          about: 'Consumers in each group.',
          empty: 'no group',
          unit: 'none',
          queries: [
            [`max by (target, consumergroup) (${of('kafka_consumergroup_members')})`, '{{consumergroup}}'],
          ],
        }),
        graph({
          title: 'Part of retention used',
          about:
            'Lag as a part of what the topic keeps, of the fifteen worst pairs. At 1 records are deleted unread.',
          empty: 'no group reads a topic that deletes records',
          unit: 'percentunit',
          steps: FILLING,
          queries: [
            [
              `topk(15, max by (${PAIR}) (${of('kafka_consumergroup_retention_used_ratio')}))`,
              '{{consumergroup}} {{topic}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'The cluster',
      panels: [
        stat({
          title: 'Brokers',
          about: 'Brokers in each cluster.',
          empty: 'no cluster answers',
          unit: 'none',
          steps: NEUTRAL,
          width: 4,
          height: 8,
          queries: [[`max by (target) (${of('kafka_brokers')})`, '{{target}}']],
        }),
        graph({
          title: 'On disk',
          about: 'Bytes of all replicas of a topic, the ten largest.',
          empty: 'no topic, or a broker does not tell',
          unit: 'bytes',
          width: 10,
          queries: [[`topk(10, max by (target, topic) (${of('kafka_topic_log_size_bytes')}))`, '{{topic}}']],
        }),
        graph({
          title: 'KRaft replicas behind their leader',
          about: 'Records of the metadata log that a controller or broker has yet to take.',
          empty: 'the cluster runs without KRaft, or may not be asked',
          unit: 'short',
          width: 10,
          queries: [
            [
              `max by (target, replica_id, role) (${of('kafka_quorum_replica_lag')})`,
              '{{target}} {{role}} {{replica_id}}',
            ],
          ],
        }),
      ],
    },
  ],
})
