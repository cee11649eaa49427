import { dashboard } from './dashboard.ts'
import { alertsFire } from './marks.ts'
import { FILLING, NONE_IS_BEST, NONE_IS_GOOD, ROUTINE_LOAD_STATES, type Steps, UP } from './meaning.ts'
import { graph, stat, stateNumber, table, timeline } from './panels.ts'
import { BY_TENANT, of, targetsOf } from './variables.ts'

/** Bytes, as in PgSlotRetainedWal. */
const RETAINED: Steps = ['ok', [10_737_418_240, 'bad']]
/** Seconds, as in PgLongTransaction. */
const LONG: Steps = ['ok', [1800, 'warning']]
/** Seconds until a slot is lost, as in PgSlotWillBeLost. */
const TO_LOSS: Steps = ['bad', [21_600, 'warning'], [86_400, 'ok']]
/** Parts in a partition, as in ClickHouseTooManyParts. */
const PARTS: Steps = ['ok', [1000, 'warning']]
/** Seconds, as in ClickHouseReplicaLag. */
const BEHIND: Steps = ['ok', [300, 'warning']]

export const databases = dashboard({
  uid: 'cdc-databases',
  title: 'PostgreSQL, ClickHouse and StarRocks',
  about: 'Do the databases at both ends answer, have they room, and does a slot keep too much WAL?',
  choices: {
    target: targetsOf('postgresql', 'clickhouse', 'starrocks', 'sql'),
    tenant: of('cdc_sql_query_success'),
  },
  annotations: [alertsFire],
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Slots that nobody reads',
          about: 'Replication slots without a reader keep WAL until the disk is full.',
          empty: 'no slot',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`sum(${of('pg_replication_slots_active')} == bool 0)`, '']],
        }),
        stat({
          title: 'WAL kept for slots',
          about: 'Of the slot that keeps most.',
          empty: 'no slot',
          unit: 'bytes',
          steps: RETAINED,
          width: 4,
          queries: [[`max(${of('pg_replication_slots_pg_wal_lsn_diff')})`, '']],
        }),
        stat({
          title: 'First slot is lost in',
          about: 'If WAL goes on as in the last ten minutes and nothing is confirmed.',
          empty: 'no bound is set',
          unit: 's',
          steps: TO_LOSS,
          width: 4,
          queries: [[`min(${of('cdc_slot_seconds_to_loss')})`, '']],
        }),
        stat({
          title: 'Connections used',
          about: 'Part of max_connections, of the fullest PostgreSQL.',
          empty: 'unknown',
          unit: 'percentunit',
          steps: FILLING,
          width: 4,
          queries: [[`max(${of('cdc_connections_used')} / ${of('pg_settings_max_connections')})`, '']],
        }),
        stat({
          title: 'Tables not published',
          about: 'Tables that the configuration expects in a publication and that are not in it.',
          empty: 'none',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [[`count(${of('cdc_publication_table_missing')})`, '']],
        }),
        stat({
          title: 'Fullest disk',
          about: 'Of ClickHouse and StarRocks, the part in use.',
          empty: 'unknown',
          unit: 'percentunit',
          steps: FILLING,
          width: 4,
          queries: [
            [
              `max(1 - ${of('clickhouse_disk_free_bytes')} / ${of('clickhouse_disk_bytes')} or ${of('starrocks_backend_disk_used_ratio')})`,
              '',
            ],
          ],
        }),
        timeline({
          title: 'Servers',
          about: 'Whether each answers.',
          empty: 'no database is watched',
          states: UP,
          height: 6,
          queries: [
            [`min by (target) (${of('pg_up')})`, 'PostgreSQL {{target}}'],
            [`min by (target) (${of('clickhouse_up')})`, 'ClickHouse {{target}}'],
            [`min by (target) (${of('starrocks_up')})`, 'StarRocks {{target}}'],
          ],
        }),
      ],
    },
    {
      title: 'PostgreSQL: replication',
      panels: [
        graph({
          title: 'WAL kept by slot',
          about: 'Bytes that the server keeps for a slot. It grows while its reader stands still.',
          empty: 'no slot',
          unit: 'bytes',
          steps: RETAINED,
          queries: [
            [
              `max by (target, slot_name) (${of('pg_replication_slots_pg_wal_lsn_diff')})`,
              '{{target}} {{slot_name}}',
            ],
          ],
        }),
        graph({
          title: 'WAL that slots may still take',
          about: 'Bytes until a slot is in danger of being lost.',
          empty: 'max_slot_wal_keep_size sets no bound',
          unit: 'bytes',
          queries: [
            [
              `min by (target, slot_name) (${of('pg_replication_slots_safe_wal_size_bytes')})`,
              '{{target}} {{slot_name}}',
            ],
          ],
        }),
        timeline({
          title: 'Readers of slots',
          about: 'Whether somebody reads each slot.',
          empty: 'no slot',
          states: { nobody: 'bad', reader: 'ok' },
          width: 12,
          queries: [
            [`min by (target, slot_name) (${of('pg_replication_slots_active')})`, '{{target}} {{slot_name}}'],
          ],
        }),
        graph({
          title: 'Replication lag',
          about: 'Seconds since the commit that a standby replayed last.',
          empty: 'no standby is watched',
          unit: 's',
          steps: BEHIND,
          queries: [[`max by (target) (${of('pg_replication_lag_seconds')})`, '{{target}}']],
        }),
      ],
    },
    {
      title: 'PostgreSQL: work',
      panels: [
        graph({
          title: 'Queries',
          about: 'Statements a second from pg_stat_statements where it is there, else transactions.',
          empty: 'no PostgreSQL',
          unit: 'ops',
          width: 8,
          queries: [
            [
              `sum by (target, datname, source) (rate(${of('cdc_queries_total')}[$__rate_interval]))`,
              '{{target}} {{datname}} {{source}}',
            ],
          ],
        }),
        graph({
          title: 'Slowest statements',
          about: 'Mean time of the five statements that take longest, by their id.',
          empty: 'pg_stat_statements is not there',
          unit: 's',
          width: 8,
          queries: [
            [
              `topk(5, sum by (target, queryid) (rate(${of('pg_stat_statements_seconds_total')}[$__rate_interval])) / (sum by (target, queryid) (rate(${of('pg_stat_statements_calls_total')}[$__rate_interval])) > 0))`,
              '{{target}} {{queryid}}',
            ],
          ],
        }),
        graph({
          title: 'Sessions by state',
          about: 'Of pg_stat_activity.',
          empty: 'no PostgreSQL',
          unit: 'none',
          stacked: true,
          width: 8,
          queries: [[`sum by (target, state) (${of('pg_stat_activity_count')})`, '{{target}} {{state}}']],
        }),
        graph({
          title: 'Oldest transaction',
          about: 'It holds back vacuum, and the slot of a source that has to wait for it.',
          empty: 'no PostgreSQL',
          unit: 's',
          steps: LONG,
          width: 8,
          queries: [
            [
              `max by (target) (${of('pg_long_running_transactions_oldest_timestamp_seconds')})`,
              '{{target}}',
            ],
          ],
        }),
        graph({
          title: 'Size of databases',
          about: 'Bytes on disk.',
          empty: 'no PostgreSQL',
          unit: 'bytes',
          width: 8,
          queries: [[`max by (target, datname) (${of('pg_database_size_bytes')})`, '{{target}} {{datname}}']],
        }),
        graph({
          title: 'Blocks found in memory',
          about: 'Part of the blocks that did not have to be read.',
          empty: 'no block was asked for',
          unit: 'percentunit',
          max: 1,
          width: 8,
          queries: [
            [
              `sum by (target) (rate(${of('pg_stat_database_blks_hit')}[$__rate_interval])) / (sum by (target) (rate(${of('pg_stat_database_blks_hit')}[$__rate_interval]) + rate(${of('pg_stat_database_blks_read')}[$__rate_interval])) > 0)`,
              '{{target}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'PgBouncer',
      panels: [
        graph({
          title: 'Clients that wait for a connection',
          about: 'By database of the pool. Any that stay want a larger pool.',
          empty: 'no PgBouncer is configured',
          unit: 'none',
          steps: NONE_IS_BEST,
          width: 8,
          queries: [
            [
              `max by (target, database) (${of('pgbouncer_pools_client_waiting_connections')})`,
              '{{target}} {{database}}',
            ],
          ],
        }),
        graph({
          title: 'Longest wait of a client',
          about: 'Seconds that the first in the queue has waited.',
          empty: 'no PgBouncer is configured',
          unit: 's',
          width: 8,
          queries: [
            [
              `max by (target, database) (${of('pgbouncer_pools_client_maxwait_seconds')})`,
              '{{target}} {{database}}',
            ],
          ],
        }),
        graph({
          title: 'Connections of pools to the server',
          about: 'Linked to a client, and idle.',
          empty: 'no PgBouncer is configured',
          unit: 'none',
          width: 8,
          queries: [
            [
              `sum by (target, database) (${of('pgbouncer_pools_server_active_connections')})`,
              '{{target}} {{database}} active',
            ],
            [
              `sum by (target, database) (${of('pgbouncer_pools_server_idle_connections')})`,
              '{{target}} {{database}} idle',
            ],
          ],
        }),
      ],
    },
    {
      title: 'ClickHouse',
      panels: [
        table({
          title: 'Tables of ClickHouse',
          about: 'The largest tables, what a merge would still remove, and when each got its newest rows.',
          empty: 'no ClickHouse',
          unit: 'short',
          expressions: [
            `max by (target, database, table) (${of('clickhouse_table_rows')})`,
            `max by (target, database, table) (${of('clickhouse_table_bytes')})`,
            `max by (target, database, table) (${of('clickhouse_table_partition_parts_max')})`,
            `max by (target, database, table) (${of('clickhouse_table_newest_row_timestamp_seconds')} * 1000)`,
          ],
          columns: [
            { field: 'target', name: 'Target' },
            { field: 'database', name: 'Database' },
            { field: 'table', name: 'Table' },
            { field: 'Value #A', name: 'Rows' },
            { field: 'Value #B', name: 'Size', unit: 'bytes' },
            { field: 'Value #C', name: 'Parts in a partition', unit: 'none', steps: PARTS },
            { field: 'Value #D', name: 'Newest rows', unit: 'dateTimeFromNow' },
          ],
          sort: 'Size',
        }),
        graph({
          title: 'Rows in tables',
          about: 'Rows in active parts, of the ten largest tables.',
          empty: 'no ClickHouse',
          unit: 'short',
          width: 8,
          queries: [
            [
              `topk(10, max by (target, database, table) (${of('clickhouse_table_rows')}))`,
              '{{database}}.{{table}}',
            ],
          ],
        }),
        graph({
          title: 'Parts in a partition',
          about: 'At parts_to_throw_insert ClickHouse refuses inserts.',
          empty: 'no ClickHouse',
          unit: 'none',
          steps: PARTS,
          width: 8,
          queries: [
            [
              `topk(10, max by (target, database, table) (${of('clickhouse_table_partition_parts_max')}))`,
              '{{database}}.{{table}}',
            ],
          ],
        }),
        graph({
          title: 'Merges and mutations',
          about: 'Merges under way, and mutations that are not done.',
          empty: 'no ClickHouse',
          unit: 'none',
          width: 8,
          queries: [
            [`max by (target) (${of('clickhouse_merges')})`, '{{target}} merges'],
            [`sum by (target) (${of('clickhouse_mutations_pending')})`, '{{target}} mutations'],
          ],
        }),
        graph({
          title: 'Disks in use',
          about: 'Part of each disk.',
          empty: 'no ClickHouse, or its disks have no bound',
          unit: 'percentunit',
          steps: FILLING,
          max: 1,
          width: 8,
          queries: [
            [
              `max by (target, disk) (1 - ${of('clickhouse_disk_free_bytes')} / ${of('clickhouse_disk_bytes')})`,
              '{{target}} {{disk}}',
            ],
          ],
        }),
        graph({
          title: 'Replicas behind',
          about: 'Seconds behind the newest insert.',
          empty: 'no replicated table',
          unit: 's',
          steps: BEHIND,
          width: 8,
          queries: [
            [
              `max by (target, database, table) (${of('clickhouse_replica_delay_seconds')})`,
              '{{target}} {{database}}.{{table}}',
            ],
          ],
        }),
        graph({
          title: 'Duplicates until the next merge',
          about: 'Rows of watched tables less those that a merge would leave.',
          empty: 'no table is watched',
          unit: 'short',
          width: 8,
          queries: [
            [
              `max by (target, database, table) (${of('clickhouse_table_duplicate_rows')})`,
              '{{database}}.{{table}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'StarRocks',
      panels: [
        timeline({
          title: 'Nodes of StarRocks',
          about: 'Whether front ends and backends have heartbeats.',
          empty: 'no StarRocks',
          states: UP,
          width: 12,
          queries: [
            [`min by (frontend, role) (${of('starrocks_frontend_alive')})`, '{{role}} {{frontend}}'],
            [`min by (backend) (${of('starrocks_backend_alive')})`, 'backend {{backend}}'],
          ],
        }),
        timeline({
          title: 'Routine loads',
          about: 'Paused means that StarRocks gave up: the reason is in the log.',
          empty: 'no routine load',
          states: ROUTINE_LOAD_STATES,
          width: 12,
          queries: [
            [
              stateNumber(ROUTINE_LOAD_STATES, 'database, job', (state) =>
                of('starrocks_routine_load_state', state),
              ),
              '{{database}}.{{job}}',
            ],
          ],
        }),
        graph({
          title: 'Lag of routine loads',
          about: 'Messages that a load has yet to read.',
          empty: 'no routine load that runs',
          unit: 'short',
          width: 8,
          queries: [[`max by (database, job) (${of('starrocks_routine_load_lag')})`, '{{database}}.{{job}}']],
        }),
        graph({
          title: 'Rows of routine loads',
          about: 'Read and failed, a second.',
          empty: 'no routine load',
          unit: 'cps',
          width: 8,
          queries: [
            [
              `sum by (job) (rate(${of('starrocks_routine_load_rows_total')}[$__rate_interval]))`,
              '{{job}} read',
            ],
            [
              `sum by (job) (rate(${of('starrocks_routine_load_error_rows_total')}[$__rate_interval]))`,
              '{{job}} failed',
            ],
          ],
        }),
        graph({
          title: 'Latency of queries',
          about: 'What 99 of 100 queries of a front end took at the most.',
          empty: 'no StarRocks, or http_metrics is off',
          unit: 's',
          width: 8,
          queries: [[`max by (frontend) (${of('starrocks_fe_query_latency_p99_seconds')})`, '{{frontend}}']],
        }),
        graph({
          title: 'Backends: disk, memory and CPU',
          about: 'Parts in use.',
          empty: 'no StarRocks',
          unit: 'percentunit',
          steps: FILLING,
          max: 1,
          width: 8,
          queries: [
            [`max by (backend) (${of('starrocks_backend_disk_used_ratio')})`, '{{backend}} disk'],
            [`max by (backend) (${of('starrocks_backend_memory_used_ratio')})`, '{{backend}} memory'],
            [`max by (backend) (${of('starrocks_backend_cpu_used_ratio')})`, '{{backend}} CPU'],
          ],
        }),
        graph({
          title: 'Connections to StarRocks',
          about: 'Sessions at the front end that answered.',
          empty: 'no StarRocks, or without the right to see the sessions of others',
          unit: 'none',
          width: 8,
          queries: [[`max by (target) (${of('starrocks_connections')})`, '{{target}}']],
        }),
        graph({
          title: 'Tablets that are not well',
          about: 'Without a good replica, differing, or in error.',
          empty: 'no StarRocks',
          unit: 'none',
          steps: NONE_IS_BEST,
          width: 8,
          queries: [
            [`sum by (database) (${of('starrocks_tablets_unhealthy')})`, '{{database}} unhealthy'],
            [`sum by (database) (${of('starrocks_tablets_inconsistent')})`, '{{database}} inconsistent'],
            [`sum by (database) (${of('starrocks_tablets_error_state')})`, '{{database}} in error'],
          ],
        }),
      ],
    },
    {
      title: 'Log-ins, audit and queries of your own',
      panels: [
        graph({
          title: 'Log-ins',
          about: 'Rows of the log of log-ins in a minute, and those that failed.',
          empty: 'no pack login is configured',
          unit: 'cpm',
          width: 8,
          queries: [
            [
              `max by (target, tenant) (${of('cdc_login_events_per_minute', ...BY_TENANT)})`,
              '{{target}} {{tenant}} all',
            ],
            [
              `max by (target, tenant) (${of('cdc_login_failures_per_minute', ...BY_TENANT)})`,
              '{{target}} {{tenant}} failed',
            ],
          ],
        }),
        graph({
          title: 'Audit',
          about: 'Rows of the audit log in a minute.',
          empty: 'no pack audit is configured',
          unit: 'cpm',
          width: 8,
          queries: [
            [
              `max by (target, tenant) (${of('cdc_audit_events_per_minute', ...BY_TENANT)})`,
              '{{target}} {{tenant}}',
            ],
          ],
        }),
        graph({
          title: 'Cost of queries of your own',
          about: 'How long each query of the sql collector took.',
          empty: 'no sql collector',
          unit: 's',
          width: 8,
          queries: [
            [
              `max by (target, query, tenant) (${of('cdc_sql_query_duration_seconds', ...BY_TENANT)})`,
              '{{query}} {{tenant}}',
            ],
          ],
        }),
      ],
    },
  ],
})
