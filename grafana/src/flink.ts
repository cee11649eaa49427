import { dashboard } from './dashboard.ts'
import { alertsFire, jobsRestart, jobsStart } from './marks.ts'
import { JOB_STATES, LATE, NEUTRAL, NONE_IS_BEST, NONE_IS_GOOD, type Steps } from './meaning.ts'
import { graph, stat, stateNumber, timeline } from './panels.ts'
import { BY_TABLE, BY_TENANT, of, targetsOf } from './variables.ts'

/** A part of all records, as in SyncErrorRateElevated and SyncErrorRateHigh. */
const ERRORS: Steps = ['ok', [0.05, 'warning'], [0.1, 'bad']]
/** Seconds, as in SyncLatencyP99. */
const SLOW: Steps = ['ok', [1, 'warning']]
const BACKPRESSURE: Steps = ['ok', [0.5, 'warning'], [0.9, 'bad']]

export const flink = dashboard({
  uid: 'cdc-flink',
  title: 'Sync, Flink and jobs',
  about: 'How many records reach the sink, how fast and how well, and do the jobs that carry them run?',
  choices: {
    target: targetsOf('sync', 'flink', 'sql'),
    tenant: of('sync_lag_seconds'),
    table: of('sync_lag_seconds', 'tenant=~"$tenant"'),
  },
  annotations: [alertsFire, jobsStart, jobsRestart],
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Jobs that run',
          about: 'Connectors, Flink jobs and routine loads that run.',
          empty: 'unknown',
          unit: 'none',
          width: 4,
          queries: [[`sum(${of('sync_active_jobs')})`, '']],
        }),
        stat({
          title: 'Jobs that failed',
          about: 'Connectors, Flink jobs and routine loads that have failed, or restart.',
          empty: 'unknown',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(${of('sync_error_jobs')})`, '']],
        }),
        stat({
          title: 'Throughput',
          about: 'Records a second that the sink has taken, over all tables.',
          empty: 'no sync collector',
          unit: 'cps',
          width: 4,
          queries: [[`sum(${of('sync_throughput_records_per_second', ...BY_TABLE)})`, '']],
        }),
        stat({
          title: 'Part that fails',
          about: 'Failed records as a part of all that are handled, of the worst table.',
          empty: 'nothing is handled',
          unit: 'percentunit',
          steps: ERRORS,
          width: 4,
          queries: [[`max(${of('table:sync_errors:ratio5m', ...BY_TABLE)})`, '']],
        }),
        stat({
          title: 'Worst lag of a table',
          about: 'Age of the oldest record that the sink has not taken.',
          empty: 'no sync collector',
          unit: 's',
          steps: LATE,
          width: 4,
          queries: [[`max(${of('sync_lag_seconds', ...BY_TABLE)})`, '']],
        }),
        stat({
          title: 'Free slots',
          about: 'Slots of Flink that no job uses.',
          empty: 'no Flink',
          unit: 'none',
          steps: NEUTRAL,
          width: 4,
          queries: [[`sum(${of('flink_slots_available')})`, '']],
        }),
      ],
    },
    {
      title: 'How much reaches the sink?',
      panels: [
        graph({
          title: 'Processed by table',
          about: 'Changes a second that the groups of the sink committed past.',
          empty: 'no sync collector, or seen for less than a minute',
          unit: 'cps',
          stacked: true,
          queries: [
            [
              `sum by (tenant, table) (rate(${of('sync_records_processed_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{tenant}} {{table}}',
            ],
          ],
        }),
        graph({
          title: 'Processed by operation',
          about: 'Inserts, updates, deletes and snapshots, a second.',
          empty: 'no sync collector, or seen for less than a minute',
          unit: 'cps',
          stacked: true,
          queries: [
            [
              `sum by (operation) (rate(${of('sync_records_processed_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{operation}}',
            ],
          ],
        }),
        graph({
          title: 'Throughput by table',
          about: 'Records a second between the last two runs.',
          empty: 'no sync collector',
          unit: 'cps',
          queries: [
            [
              `topk(15, max by (tenant, table) (${of('sync_throughput_records_per_second', ...BY_TABLE)}))`,
              '{{tenant}} {{table}}',
            ],
          ],
        }),
        graph({
          title: 'Size of batches',
          about: 'Offsets that a group goes forward with one commit, half and 95 of 100.',
          empty: 'no commit was seen yet',
          unit: 'short',
          queries: [0.5, 0.95].map((quantile) => [
            `histogram_quantile(${quantile}, sum by (le) (rate(${of('sync_batch_size_bucket', ...BY_TABLE)}[$__rate_interval])))`,
            `p${quantile * 100}`,
          ]),
        }),
      ],
    },
    {
      title: 'How fast, and how well?',
      panels: [
        graph({
          title: 'Latency',
          about: 'From the commit in the source to the commit of the sink: half, 95 and 99 of 100 changes.',
          empty: 'no change was read yet',
          unit: 's',
          steps: SLOW,
          queries: [0.5, 0.95, 0.99].map((quantile) => [
            `histogram_quantile(${quantile}, sum by (le) (rate(${of('sync_processing_latency_seconds_bucket', ...BY_TABLE)}[$__rate_interval])))`,
            `p${quantile * 100}`,
          ]),
        }),
        graph({
          title: 'Lag',
          about: 'Age of the oldest record that the sink has not taken, by table.',
          empty: 'no sync collector',
          unit: 's',
          steps: LATE,
          queries: [
            [
              `topk(15, max by (tenant, table) (${of('sync_lag_seconds', ...BY_TABLE)}))`,
              '{{tenant}} {{table}}',
            ],
          ],
          drill: { title: 'Kafka lag', to: 'cdc-kafka' },
        }),
        graph({
          title: 'Errors by kind',
          about: 'Records a second that went to dead-letter topics.',
          empty: 'no record has failed',
          unit: 'cps',
          queries: [
            [
              `sum by (error_type) (rate(${of('sync_records_failed_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{error_type}}',
            ],
          ],
          drill: { title: 'Topics and dead letters', to: 'cdc-topics' },
        }),
        graph({
          title: 'Part that fails by table',
          about: 'Failed records as a part of all that are handled.',
          empty: 'nothing is handled',
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
      title: 'Flink',
      panels: [
        timeline({
          title: 'State of each job',
          about: 'What Flink says of its jobs.',
          empty: 'no Flink, or no job',
          states: JOB_STATES,
          queries: [
            [stateNumber(JOB_STATES, 'target, job', (state) => of('flink_job_state', state)), '{{job}}'],
          ],
        }),
        graph({
          title: 'Since the last checkpoint',
          about: 'What would be read again after a failure.',
          empty: 'no Flink, or no job runs',
          unit: 's',
          width: 8,
          queries: [[`max by (target, job) (${of('job:flink_checkpoint:age_seconds')})`, '{{job}}']],
        }),
        graph({
          title: 'Duration of checkpoints',
          about: 'How long the last completed one took.',
          empty: 'no checkpoint yet',
          unit: 's',
          width: 8,
          queries: [
            [`max by (target, job) (${of('flink_job_last_checkpoint_duration_seconds')})`, '{{job}}'],
          ],
        }),
        graph({
          title: 'Size of checkpoints',
          about: 'What the last completed one wrote.',
          empty: 'no checkpoint yet',
          unit: 'bytes',
          width: 8,
          queries: [[`max by (target, job) (${of('flink_job_last_checkpoint_size_bytes')})`, '{{job}}']],
        }),
        graph({
          title: 'Checkpoints',
          about: 'Completed and failed ones, a second.',
          empty: 'no Flink, or no job',
          unit: 'cps',
          width: 8,
          queries: [
            [
              `sum by (target) (rate(${of('flink_job_checkpoints_completed_total')}[$__rate_interval]))`,
              '{{target}} completed',
            ],
            [
              `sum by (target) (rate(${of('flink_job_checkpoints_failed_total')}[$__rate_interval]))`,
              '{{target}} failed',
            ],
          ],
        }),
        graph({
          title: 'Checkpoints by table',
          about: 'Of the jobs of a table, completed and failed, a second.',
          empty: 'the sync collector gives no table a Flink job',
          unit: 'cps',
          width: 8,
          queries: [
            [
              `sum by (table) (rate(${of('sync_checkpoints_completed_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{table}} completed',
            ],
            [
              `sum by (table) (rate(${of('sync_checkpoints_failed_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{table}} failed',
            ],
          ],
        }),
        graph({
          title: 'Backpressure',
          about: 'Part of its time that the most held-up task of a job waits for those after it.',
          empty: 'no Flink, or no job runs',
          unit: 'percentunit',
          steps: BACKPRESSURE,
          max: 1,
          width: 8,
          queries: [[`max by (target, job) (${of('flink_job_backpressure_ratio')})`, '{{job}}']],
        }),
        graph({
          title: 'Records of jobs',
          about: 'What the sources of a job pass on and what arrives at its sinks, a second.',
          empty: 'no Flink, or no job runs',
          unit: 'cps',
          width: 8,
          queries: [
            [
              `sum by (target, job) (rate(${of('flink_job_records_in_total')}[$__rate_interval]))`,
              '{{job}} in',
            ],
            [
              `sum by (target, job) (rate(${of('flink_job_records_out_total')}[$__rate_interval]))`,
              '{{job}} out',
            ],
          ],
        }),
        graph({
          title: 'Restarts and exceptions',
          about: 'Restarts by Flink, and failures by the class of their last cause.',
          empty: 'no Flink, or no job',
          unit: 'none',
          width: 8,
          queries: [
            [
              `sum by (job) (increase(${of('flink_job_restarts_total')}[$__rate_interval]))`,
              '{{job}} restarts',
            ],
            [
              `sum by (job, exception_class) (increase(${of('flink_job_exceptions_total')}[$__rate_interval]))`,
              '{{job}} {{exception_class}}',
            ],
          ],
        }),
        graph({
          title: 'Task managers and slots',
          about: 'Task managers that are registered, and slots in use.',
          empty: 'no Flink',
          unit: 'none',
          width: 8,
          queries: [
            [`max by (target) (${of('flink_taskmanagers')})`, '{{target}} task managers'],
            [
              `max by (target) (${of('flink_slots')} - ${of('flink_slots_available')})`,
              '{{target}} slots in use',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Jobs of the control plane',
      panels: [
        graph({
          title: 'Jobs by state',
          about: 'Rows of the table of the pack jobs.',
          empty: 'no pack jobs is configured',
          unit: 'none',
          width: 8,
          queries: [[`sum by (state) (${of('cdc_jobs', ...BY_TENANT)})`, '{{state}}']],
        }),
        graph({
          title: 'Runs that failed',
          about: 'In the window of the pack job_log, by job.',
          empty: 'no pack job_log is configured',
          unit: 'none',
          steps: NONE_IS_BEST,
          width: 8,
          queries: [[`sum by (tenant, job) (${of('cdc_job_failures', ...BY_TENANT)})`, '{{tenant}} {{job}}']],
        }),
        graph({
          title: 'Sinks of tenants by state',
          about: 'Rows of the table of the pack sink_status.',
          empty: 'no pack sink_status is configured',
          unit: 'none',
          width: 8,
          queries: [
            [
              `sum by (tenant, state) (${of('cdc_sink_tenant_states', ...BY_TENANT)})`,
              '{{tenant}} {{state}}',
            ],
          ],
        }),
      ],
    },
  ],
})
