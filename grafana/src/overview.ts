import { dashboard } from './dashboard.ts'
import { alertsFire, connectorsFail, driftConfirmed, processesDeployed } from './marks.ts'
import { ANSWERS, FILLING, LATE, NONE_IS_BEST, NONE_IS_GOOD, UP } from './meaning.ts'
import { cell, graph, stat, table, timeline } from './panels.ts'
import { BY_TABLE, of, targetsOf } from './variables.ts'

const lag = of('kafka_consumergroup_lag_sum')

export const overview = dashboard({
  uid: 'cdc-overview',
  title: 'CDC overview',
  about: 'Is everything arriving, how late is it, is anything missing, and what is on fire?',
  choices: {
    target: targetsOf(),
    tenant: of('cdc_topic_info'),
    table: of('cdc_topic_info', 'tenant=~"$tenant"'),
  },
  annotations: [alertsFire, connectorsFail, driftConfirmed, processesDeployed],
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Backends that fail',
          about:
            'Collectors whose last run did not read their backend. 0 is well; the timeline below says which.',
          empty: 'no collector',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('cdc_collector_success')} == bool 0)`, '']],
          drill: { title: 'The exporter and its collectors', to: 'cdc-exporter' },
        }),
        stat({
          title: 'Failed connectors',
          about: 'Connectors that have failed themselves or in a task.',
          empty: 'no connector',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('connector:kafka_connect_failed_parts:sum')} > bool 0)`, '']],
          drill: { title: 'Kafka Connect', to: 'cdc-connect' },
        }),
        stat({
          title: 'Groups behind',
          about: 'Pairs of consumer group and topic with more lag than their threshold.',
          empty: 'no group',
          unit: 'none',
          steps: NONE_IS_BEST,
          queries: [[`sum(${lag} > bool ${of('kafka_consumergroup_lag_threshold')})`, '']],
          drill: { title: 'Kafka lag', to: 'cdc-kafka' },
        }),
        stat({
          title: 'Worst lag',
          about: 'Age of the oldest record that a consumer group has not committed, the worst of all.',
          empty: 'no group',
          unit: 's',
          steps: LATE,
          queries: [[`max(${of('kafka_consumergroup_lag_seconds_max')})`, '']],
          drill: { title: 'Kafka lag', to: 'cdc-kafka' },
        }),
        stat({
          title: 'Tables that are late',
          about:
            'Tables where a canary that the source committed longer than late_after ago is not at the sink.',
          empty: 'no canary',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('cdc_freshness_ok', ...BY_TABLE)} == bool 0)`, '']],
          drill: { title: 'Drift and freshness', to: 'cdc-drift' },
        }),
        stat({
          title: 'Rows that differ',
          about: 'Rows by which source and sink differ, however they differ, over all tables.',
          empty: 'nothing compared',
          unit: 'short',
          steps: NONE_IS_GOOD,
          queries: [[`sum(abs(${of('cdc_row_difference', ...BY_TABLE)}))`, '']],
          drill: { title: 'Drift', to: 'cdc-drift' },
        }),
        stat({
          title: 'Dead letters',
          about: 'Records in dead-letter topics, which the sink does not have.',
          empty: 'no such topic',
          unit: 'short',
          steps: NONE_IS_BEST,
          queries: [[`sum(${of('kafka_dlq_messages')})`, '']],
          drill: { title: 'Topics and dead letters', to: 'cdc-topics' },
        }),
        stat({
          title: 'Critical alerts',
          about: 'Critical alerts that fire now. The table at the end lists them.',
          empty: 'none',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [
            ['count(ALERTS{alertstate="firing",severity="critical",environment=~"$environment"})', ''],
          ],
        }),
      ],
    },
    {
      title: 'Is everything arriving?',
      panels: [
        graph({
          title: 'Records into Kafka',
          about:
            'Records a second that are written to topics, by target. A line at zero where the source is busy: look at its connector.',
          empty: 'no topic, or Prometheus has seen it for less than a minute',
          unit: 'cps',
          queries: [[`sum by (target) (${of('topic:kafka_produced:rate5m')})`, '{{target}}']],
          drill: { title: 'Kafka lag and throughput', to: 'cdc-kafka' },
        }),
        graph({
          title: 'Records taken by consumer groups',
          about: 'Records a second that groups commit, by group. Below what is written, lag grows.',
          empty: 'no group has committed, or Prometheus has seen it for less than a minute',
          unit: 'cps',
          queries: [
            [
              `topk(10, sum by (target, consumergroup) (${of('group_topic:kafka_consumed:rate5m')}))`,
              '{{consumergroup}}',
            ],
          ],
          drill: { title: 'Kafka lag and throughput', to: 'cdc-kafka' },
        }),
        timeline({
          title: 'Backends',
          about: 'Whether the last run of each collector read its backend.',
          empty: 'no collector: is cdc-exporter scraped?',
          states: UP,
          queries: [
            [`min by (collector, target) (${of('cdc_collector_success')})`, '{{collector}} {{target}}'],
          ],
          drill: { title: 'The exporter and its collectors', to: 'cdc-exporter' },
        }),
      ],
    },
    {
      title: 'How late is it?',
      panels: [
        graph({
          title: 'Lag in seconds, the ten worst tables',
          about:
            'Age of the oldest record that the sink has not committed, by table where a rule reads one from the topic.',
          empty: 'no group reads a topic',
          unit: 's',
          steps: LATE,
          queries: [
            [
              `topk(10, max by (target, tenant, table) (${of('group_topic:kafka_lag_seconds:tenant', ...BY_TABLE)}))`,
              '{{target}} {{tenant}} {{table}}',
            ],
          ],
          drill: { title: 'Kafka lag', to: 'cdc-kafka' },
        }),
        graph({
          title: 'From commit to sink, measured',
          about:
            'What half, and 99 of 100, of the canaries took from their commit at the source until they were seen at the sink.',
          empty: 'no canary collector, or no canary has arrived yet',
          unit: 's',
          steps: LATE,
          queries: [0.5, 0.99].map((quantile) => [
            `histogram_quantile(${quantile}, sum by (le, target) (rate(${of('cdc_canary_latency_seconds_bucket', ...BY_TABLE)}[$__rate_interval])))`,
            `{{target}} p${quantile * 100}`,
          ]),
          drill: { title: 'Drift and freshness', to: 'cdc-drift' },
        }),
      ],
    },
    {
      title: 'Is anything missing?',
      panels: [
        graph({
          title: 'Rows that the sink lacks or has too many',
          about: 'Rows of the source less rows of the sink, by table, where the difference lasted.',
          empty: 'no drift collector, or nothing was compared yet',
          unit: 'short',
          width: 8,
          queries: [
            [
              `topk(10, max by (tenant, table) (${of('cdc_row_difference', ...BY_TABLE)}))`,
              '{{tenant}} {{table}}',
            ],
          ],
          drill: { title: 'Drift', to: 'cdc-drift' },
        }),
        graph({
          title: 'Dead letters by topic',
          about: 'Records in each dead-letter topic.',
          empty: 'no dead-letter topic',
          unit: 'short',
          steps: NONE_IS_BEST,
          width: 8,
          queries: [[`max by (target, topic) (${of('kafka_dlq_messages')})`, '{{topic}}']],
          drill: { title: 'Topics and dead letters', to: 'cdc-topics' },
        }),
        graph({
          title: 'How near groups are to losing records',
          about:
            'Lag as a part of what the topic keeps, of the five nearest. At 1 retention deletes what was not read.',
          empty: 'no group reads a topic that deletes records',
          unit: 'percentunit',
          steps: FILLING,
          width: 8,
          queries: [
            [
              `topk(5, max by (consumergroup, topic) (${of('kafka_consumergroup_retention_used_ratio')}))`,
              '{{consumergroup}} {{topic}}',
            ],
          ],
          drill: { title: 'Kafka lag', to: 'cdc-kafka' },
        }),
      ],
    },
    {
      title: 'What is on fire?',
      panels: [
        table({
          title: 'Alerts that fire',
          about:
            'All alerts that fire, but for the Watchdog, which always does. docs/alerts has a page for each.',
          empty: 'no alert fires',
          unit: 'none',
          width: 12,
          labelsOnly: true,
          expressions: [
            'max by (alertname, severity, environment, target) (ALERTS{alertstate="firing",severity!="none",environment=~"$environment"})',
          ],
          columns: [
            {
              field: 'severity',
              name: 'Severity',
              width: 90,
              meanings: { critical: 'bad', warning: 'warning', info: 'idle' },
            },
            { field: 'alertname', name: 'Alert' },
            { field: 'environment', name: 'Environment' },
            { field: 'target', name: 'Target' },
            { field: 'Value', name: 'Fires' },
          ],
        }),
        table({
          title: 'Each backend now',
          about: 'Whether it answers, and when it was last read.',
          empty: 'no collector: is cdc-exporter scraped?',
          unit: 'none',
          width: 12,
          expressions: [
            `min by (collector, target, environment) (${of('cdc_collector_success')})`,
            `max by (collector, target, environment) (${of('cdc_collector_last_success_timestamp_seconds')} * 1000)`,
          ],
          sortRising: 'Answers',
          columns: [
            { field: 'environment', name: 'Environment' },
            { field: 'collector', name: 'Collector' },
            {
              field: 'target',
              name: 'Target',
              drill: {
                title: 'This collector',
                to: 'cdc-exporter',
                choose: { target: cell('Target') },
              },
            },
            { field: 'Value #A', name: 'Answers', steps: ANSWERS, states: UP },
            { field: 'Value #B', name: 'Last read', unit: 'dateTimeFromNow' },
          ],
        }),
      ],
    },
  ],
})
