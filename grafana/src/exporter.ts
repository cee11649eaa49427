import { dashboard } from './dashboard.ts'
import { alertsFire, configurationLoaded, daemonStarts } from './marks.ts'
import { ANSWERS, NEUTRAL, NONE_IS_BEST, NONE_IS_GOOD, type Steps, UP } from './meaning.ts'
import { graph, logs, stat, table, timeline } from './panels.ts'
import { of, targetsOf } from './variables.ts'

/** The daemon's own series have no target: they are of the job that scrapes it. */
const own = (name: string): string => `${name}{job="cdc-exporter"}`

const INSTANCE = 'collector, target, environment'
/** Intervals since the last success, as in CdcCollectorStale. */
const STALE: Steps = ['ok', [2, 'warning'], [5, 'bad']]
/** Seconds that the event loop is late. */
const HANGS: Steps = ['ok', [0.1, 'warning']]

export const exporter = dashboard({
  uid: 'cdc-exporter',
  title: 'cdc-exporter',
  about: 'Are all backends read when they should be, is anything left out, and is the exporter itself well?',
  choices: { target: targetsOf() },
  annotations: [alertsFire, configurationLoaded, daemonStarts],
  logs: true,
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Scraped',
          about: 'Whether Prometheus can scrape the daemon.',
          empty: 'no such job',
          unit: 'none',
          steps: ANSWERS,
          states: UP,
          queries: [[`min(${own('up')})`, '']],
        }),
        stat({
          title: 'Collectors that fail',
          about: 'Whose last run did not read their backend.',
          empty: 'no collector',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('cdc_collector_success')} == bool 0)`, '']],
        }),
        stat({
          title: 'Switched off',
          about: 'Collectors that are switched off, by themselves or with their environment.',
          empty: 'no collector',
          unit: 'none',
          steps: ['ok', [1, 'idle']],
          queries: [[`sum(${of('cdc_collector_enabled')} == bool 0)`, '']],
        }),
        stat({
          title: 'Series',
          about: 'Series that all collectors expose.',
          empty: 'no collector',
          unit: 'short',
          steps: NEUTRAL,
          queries: [[`sum(${of('cdc_collector_series')})`, '']],
        }),
        stat({
          title: 'Samples left out',
          about: 'Within the time range: beyond max_series, written twice, or no numbers.',
          empty: 'none',
          unit: 'short',
          decimals: 0,
          steps: NONE_IS_GOOD,
          queries: [[`sum(increase(${of('cdc_series_dropped_total')}[$__range]))`, '']],
        }),
        stat({
          title: 'Configuration',
          about: 'Whether the last attempt to load it was good. Else an older one is in force.',
          empty: 'unknown',
          unit: 'none',
          steps: ANSWERS,
          states: { faulty: 'bad', good: 'ok' },
          queries: [[`min(${own('cdc_config_last_reload_successful')})`, '']],
        }),
        stat({
          title: 'Watchdog',
          about: 'Whether it arrives at the dead-man’s switch. If not, no alert arrives anywhere.',
          empty: 'no switch',
          unit: 'none',
          steps: ANSWERS,
          states: { silent: 'bad', arrives: 'ok' },
          queries: [[`min(${own('cdc_watchdog_ok')})`, '']],
        }),
        stat({
          title: 'Checks that fail',
          about: 'Required items of cdc-exporter check that are not as expected.',
          empty: 'not looked yet',
          unit: 'none',
          steps: NONE_IS_GOOD,
          queries: [[`sum(${of('cdc_check_ok', 'level="required"')} == bool 0)`, '']],
        }),
      ],
    },
    {
      title: 'Collectors',
      panels: [
        timeline({
          title: 'Last run of each collector',
          about: 'Whether it read its backend.',
          empty: 'no collector',
          states: UP,
          queries: [
            [`min by (collector, target) (${of('cdc_collector_success')})`, '{{collector}} {{target}}'],
          ],
        }),
        table({
          title: 'Schedule',
          about: 'When each collector ran last, well or badly, when it runs next, and what it costs.',
          empty: 'no collector',
          unit: 'none',
          height: 10,
          expressions: [
            `min by (${INSTANCE}) (${of('cdc_collector_success')})`,
            `max by (${INSTANCE}) (${of('cdc_collector_last_run_timestamp_seconds')} * 1000)`,
            `max by (${INSTANCE}) (${of('cdc_collector_last_success_timestamp_seconds')} * 1000)`,
            `max by (${INSTANCE}) (${of('cdc_collector_next_run_timestamp_seconds')} * 1000)`,
            `max by (${INSTANCE}) (${of('cdc_collector_interval_seconds')})`,
            `max by (${INSTANCE}) (${of('cdc_collector_duration_seconds')})`,
            `max by (${INSTANCE}) (${of('cdc_collector_series')})`,
          ],
          columns: [
            { field: 'environment', name: 'Environment' },
            { field: 'collector', name: 'Collector' },
            { field: 'target', name: 'Target' },
            { field: 'Value #A', name: 'Last run', steps: ANSWERS, states: UP },
            { field: 'Value #B', name: 'Ran', unit: 'dateTimeFromNow' },
            { field: 'Value #C', name: 'Succeeded', unit: 'dateTimeFromNow' },
            { field: 'Value #D', name: 'Next', unit: 'dateTimeFromNow' },
            { field: 'Value #E', name: 'Interval', unit: 's' },
            { field: 'Value #F', name: 'Took', unit: 's' },
            { field: 'Value #G', name: 'Series', unit: 'short' },
          ],
          sort: 'Took',
        }),
        graph({
          title: 'Failures of collectors',
          about: 'By reason: error, timeout, overrun (the last run was still going), partial.',
          empty: 'no collector has failed',
          unit: 'none',
          steps: NONE_IS_BEST,
          width: 8,
          queries: [
            [
              `sum by (collector, target, reason) (increase(${of('cdc_collector_failures_total')}[$__rate_interval])) > 0`,
              '{{collector}} {{target}} {{reason}}',
            ],
          ],
        }),
        graph({
          title: 'Duration of runs',
          about: 'How long the last run of each took.',
          empty: 'no collector',
          unit: 's',
          width: 8,
          queries: [
            [
              `max by (collector, target) (${of('cdc_collector_duration_seconds')})`,
              '{{collector}} {{target}}',
            ],
          ],
        }),
        graph({
          title: 'Intervals since the last success',
          about: 'Beyond 5 the numbers of this collector are stale.',
          empty: 'no collector has succeeded yet',
          unit: 'none',
          steps: STALE,
          width: 8,
          queries: [
            [
              `max by (collector, target) (${of('collector:cdc_last_success:age_seconds')} / ${of('cdc_collector_interval_seconds')})`,
              '{{collector}} {{target}}',
            ],
          ],
        }),
        table({
          title: 'Items of check',
          about: 'What is not as expected: see docs/checks.md. An advised item fails nothing.',
          empty: 'all is as expected, or nothing was looked at yet',
          unit: 'none',
          labelsOnly: true,
          expressions: [`max by (collector, target, check, subject, level) (${of('cdc_check_ok')} == 0)`],
          columns: [
            { field: 'collector', name: 'Collector' },
            { field: 'target', name: 'Target' },
            { field: 'check', name: 'Check' },
            { field: 'subject', name: 'Of' },
            { field: 'level', name: 'Level', meanings: { required: 'bad', advised: 'warning' } },
            { field: 'Value', name: 'As expected' },
          ],
        }),
      ],
    },
    {
      title: 'The daemon',
      panels: [
        graph({
          title: 'Duration of scrapes',
          about: 'How long Prometheus waits for the answer, which no backend is asked for.',
          empty: 'Prometheus does not scrape cdc-exporter',
          unit: 's',
          width: 8,
          queries: [[own('scrape_duration_seconds'), '{{instance}}']],
        }),
        graph({
          title: 'Samples of a scrape',
          about: 'What Prometheus stores each time.',
          empty: 'Prometheus does not scrape cdc-exporter',
          unit: 'short',
          width: 8,
          queries: [[own('scrape_samples_scraped'), '{{instance}}']],
        }),
        graph({
          title: 'Memory',
          about: 'Resident memory of the daemon, and its heap.',
          empty: 'Prometheus does not scrape cdc-exporter',
          unit: 'bytes',
          width: 8,
          queries: [
            [own('process_resident_memory_bytes'), '{{instance}} resident'],
            [own('nodejs_heap_size_used_bytes'), '{{instance}} heap'],
          ],
        }),
        graph({
          title: 'CPU',
          about: 'As a part of one core.',
          empty: 'Prometheus does not scrape cdc-exporter',
          unit: 'percentunit',
          width: 8,
          queries: [[`rate(${own('process_cpu_seconds_total')}[$__rate_interval])`, '{{instance}}']],
        }),
        graph({
          title: 'Delay of the event loop',
          about: 'The 99th percentile.',
          empty: 'Prometheus does not scrape cdc-exporter',
          unit: 's',
          steps: HANGS,
          width: 8,
          queries: [[own('nodejs_eventloop_lag_p99_seconds'), '{{instance}}']],
        }),
        stat({
          title: 'Version',
          about: 'Of the daemon, and of the Node.js that runs it.',
          empty: 'unknown',
          unit: 'none',
          width: 8,
          height: 8,
          namesOnly: true,
          queries: [[own('cdc_exporter_build_info'), '{{instance}} {{version}} {{nodejs_version}}']],
        }),
        logs({
          title: 'Log of the daemon',
          about: 'Warnings and worse, as far as Loki has them.',
          empty: 'Loki has no lines of cdc-exporter',
          expression: '{job="cdc-exporter"} | json | level=~"(?i)warn(ing)?|error|critical|fatal"',
        }),
      ],
    },
  ],
})
