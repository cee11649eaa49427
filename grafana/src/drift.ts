import { dashboard } from './dashboard.ts'
import { alertsFire, driftConfirmed } from './marks.ts'
import { LATE, NONE_IS_GOOD, type Steps } from './meaning.ts'
import { cell, graph, stat, table } from './panels.ts'
import { BY_TABLE, BY_TENANT, of, targetsOf } from './variables.ts'

/** Comparisons are made every few minutes: a rate needs a window of several of them. */
const EVERY = '5m'
/** Seconds, as in ReconcileStale. */
const OLD: Steps = ['ok', [3600, 'warning']]
/** How many times faster than allowed, as in FreshnessBurnSlow and FreshnessBurnFast. */
const BURN: Steps = ['ok', [6, 'warning'], [14.4, 'bad']]

export const drift = dashboard({
  uid: 'cdc-drift',
  title: 'Drift and reconciliation',
  about: 'Has the sink what the source has, which tables differ, and is what it has fresh?',
  choices: {
    target: targetsOf('drift', 'canary'),
    tenant: of('cdc_source_rows'),
    table: of('cdc_source_rows', 'tenant=~"$tenant"'),
  },
  annotations: [alertsFire, driftConfirmed],
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Tables that differ',
          about: 'Tables whose counts of rows differ between source and sink.',
          empty: 'nothing compared',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(abs(${of('cdc_row_difference', ...BY_TABLE)}) > bool 0)`, '']],
        }),
        stat({
          title: 'Rows confirmed to differ',
          about: 'Rows that checksums found missing, extra, duplicate or different.',
          empty: 'no checksums',
          unit: 'short',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(${of('cdc_reconcile_differing_rows', ...BY_TABLE)})`, '']],
        }),
        stat({
          title: 'Values that differ',
          about: 'Groups of a value, such as the balance of an account, that differ beyond their tolerance.',
          empty: 'no values',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(${of('cdc_value_differing_groups', ...BY_TENANT)})`, '']],
        }),
        stat({
          title: 'Assertions violated',
          about: 'Rows that break an assertion, such as journals that do not balance.',
          empty: 'no assertion',
          unit: 'short',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(${of('cdc_assertion_violations', ...BY_TENANT)})`, '']],
        }),
        stat({
          title: 'Oldest comparison',
          about: 'Since the table, value or assertion that was compared longest ago was.',
          empty: 'nothing compared',
          unit: 's',
          steps: OLD,
          width: 4,
          queries: [[`max(${of('check:cdc_reconcile:age_seconds', ...BY_TENANT)})`, '']],
        }),
        stat({
          title: 'Tables that are late',
          about:
            'Tables where a canary that the source committed longer than late_after ago is not at the sink.',
          empty: 'no canary',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(${of('cdc_freshness_ok', ...BY_TABLE)} == bool 0)`, '']],
        }),
      ],
    },
    {
      title: 'Which tables differ?',
      panels: [
        table({
          title: 'Every table',
          about:
            'Rows older than the watermark at both ends, and what checksums confirmed. cdc-exporter drift bisect <check> finds the rows.',
          empty: 'no drift collector, or nothing was compared yet',
          unit: 'short',
          expressions: [
            `max by (target, tenant, table) (${of('cdc_source_rows', ...BY_TABLE)})`,
            `max by (target, tenant, table) (${of('cdc_sink_rows', ...BY_TABLE)})`,
            `max by (target, tenant, table) (${of('cdc_row_difference', ...BY_TABLE)})`,
            `max by (target, tenant, table) (${of('cdc_reconcile_confirmed_ranges', ...BY_TABLE)})`,
            `max by (target, tenant, table) (${of('cdc_reconcile_last_success_timestamp_seconds', ...BY_TABLE)} * 1000)`,
          ],
          columns: [
            { field: 'target', name: 'Target' },
            { field: 'tenant', name: 'Tenant' },
            {
              field: 'table',
              name: 'Table',
              drill: {
                title: 'Lag of this table',
                to: 'cdc-kafka',
                choose: { tenant: cell('Tenant'), table: cell('Table') },
              },
            },
            { field: 'Value #A', name: 'Source' },
            { field: 'Value #B', name: 'Sink' },
            { field: 'Value #C', name: 'Missing', steps: ['bad', [0, 'ok'], [1, 'bad']] },
            { field: 'Value #D', name: 'Ranges that differ', steps: NONE_IS_GOOD },
            { field: 'Value #E', name: 'Compared', unit: 'dateTimeFromNow' },
          ],
          sort: 'Missing',
        }),
        graph({
          title: 'Rows missing in the sink',
          about:
            'Rows of the source less rows of the sink, where that lasted. Below 0 the sink has too many.',
          empty: 'no drift collector, or nothing was compared yet',
          unit: 'short',
          queries: [
            [`max by (tenant, table) (${of('cdc_row_difference', ...BY_TABLE)})`, '{{tenant}} {{table}}'],
          ],
        }),
        graph({
          title: 'Rows confirmed to differ by table',
          about: 'From checksums, until a run sees them equal.',
          empty: 'no table is compared by checksums',
          unit: 'short',
          queries: [
            [
              `max by (tenant, table) (${of('cdc_reconcile_differing_rows', ...BY_TABLE)})`,
              '{{tenant}} {{table}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Do the numbers agree?',
      panels: [
        table({
          title: 'Values by group',
          about: 'Source and sink of each group, the ten that differ most.',
          empty: 'no values are compared',
          unit: 'short',
          width: 12,
          expressions: [
            `topk(10, max by (target, tenant, value, group) (abs(${of('cdc_value_difference', ...BY_TENANT)})))`,
          ],
          columns: [
            { field: 'target', name: 'Target' },
            { field: 'tenant', name: 'Tenant' },
            { field: 'value', name: 'Compared' },
            { field: 'group', name: 'Group' },
            { field: 'Value', name: 'Difference', steps: ['ok', [0.005, 'bad']] },
          ],
          sort: 'Difference',
        }),
        graph({
          title: 'Violations of assertions',
          about: 'Rows that break an assertion, by side.',
          empty: 'no assertion',
          unit: 'short',
          queries: [
            [
              `max by (assertion, tenant, side) (${of('cdc_assertion_violations', ...BY_TENANT)})`,
              '{{assertion}} {{tenant}} {{side}}',
            ],
          ],
        }),
        graph({
          title: 'Groups of values that differ',
          about: 'Beyond their tolerance, or on one side only.',
          empty: 'no values are compared',
          unit: 'none',
          queries: [
            [
              `max by (value, tenant) (${of('cdc_value_differing_groups', ...BY_TENANT)})`,
              '{{value}} {{tenant}}',
            ],
          ],
        }),
        graph({
          title: 'Sums of columns that differ',
          about: 'Source less sink of the sum of a column.',
          empty: 'no sums are compared',
          unit: 'short',
          queries: [
            [
              `max by (tenant, table, column) (${of('cdc_sum_difference', ...BY_TABLE)})`,
              '{{tenant}} {{table}} {{column}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Is it fresh?',
      panels: [
        graph({
          title: 'From commit to sink, measured',
          about:
            'What 99 of 100 canaries took from their commit at the source until they were seen at the sink.',
          empty: 'no canary collector, or no canary has arrived yet',
          unit: 's',
          steps: LATE,
          width: 8,
          queries: [
            [
              `histogram_quantile(0.99, sum by (le, tenant, table) (rate(${of('cdc_canary_latency_seconds_bucket', ...BY_TABLE)}[$__rate_interval])))`,
              '{{tenant}} {{table}}',
            ],
          ],
        }),
        graph({
          title: 'Budget of lateness',
          about: 'How many times faster than allowed a table spends its share of late moments, over an hour.',
          empty: 'no canary collector',
          unit: 'none',
          steps: BURN,
          width: 8,
          queries: [
            [
              `max by (tenant, table) (${of('table:cdc_freshness_burn:rate1h', ...BY_TABLE)})`,
              '{{tenant}} {{table}}',
            ],
          ],
        }),
        graph({
          title: 'Age of the newest row',
          about: 'By the column that freshness names, at both ends. An idle table ages at both.',
          empty: 'no table has a column for freshness',
          unit: 's',
          width: 8,
          queries: [
            [
              `max by (tenant, table, side) (${of('cdc_freshness_seconds', ...BY_TABLE)})`,
              '{{tenant}} {{table}} {{side}}',
            ],
          ],
        }),
        graph({
          title: 'Canaries',
          about: 'Canaries that came late or were lost, a second.',
          empty: 'no canary collector',
          unit: 'cps',
          queries: [
            [
              `sum by (tenant, table) (rate(${of('cdc_canary_late_total', ...BY_TABLE)}[$__rate_interval]))`,
              'late {{tenant}} {{table}}',
            ],
            [
              `sum by (tenant, table) (rate(${of('cdc_canary_lost_total', ...BY_TABLE)}[$__rate_interval]))`,
              'lost {{tenant}} {{table}}',
            ],
          ],
        }),
        graph({
          title: 'Canaries on their way',
          about: 'Written and not yet seen at the sink.',
          empty: 'no canary collector',
          unit: 'none',
          queries: [
            [`max by (tenant, table) (${of('cdc_canary_in_flight', ...BY_TABLE)})`, '{{tenant}} {{table}}'],
          ],
        }),
      ],
    },
    {
      title: 'Does the comparison itself work?',
      panels: [
        graph({
          title: 'Comparisons left out',
          about: 'By reason: lag, bounds of a run, quiet hours, rows that moved meanwhile.',
          empty: 'no drift collector',
          unit: 'cps',
          every: EVERY,
          width: 8,
          queries: [
            [
              `sum by (table, reason) (rate(${of('cdc_reconcile_skipped_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{table}} {{reason}}',
            ],
          ],
        }),
        graph({
          title: 'What it costs the databases',
          about: 'Seconds of statements a second, by side.',
          empty: 'no drift collector',
          unit: 'percentunit',
          every: EVERY,
          width: 8,
          queries: [
            [
              `sum by (target, side) (rate(${of('cdc_reconcile_statement_seconds_total', ...BY_TABLE)}[$__rate_interval]))`,
              '{{target}} {{side}}',
            ],
          ],
        }),
        graph({
          title: 'Since the last comparison',
          about: 'Of tables, values and assertions.',
          empty: 'nothing was compared yet',
          unit: 's',
          steps: OLD,
          width: 8,
          queries: [
            [
              `max by (target, tenant) (${of('check:cdc_reconcile:age_seconds', ...BY_TENANT)})`,
              '{{target}} {{tenant}}',
            ],
          ],
        }),
      ],
    },
  ],
})
