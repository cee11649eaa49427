import { counter, gauge } from '../../metrics/family.ts'

// What the queries of the configuration cost. `tenant` is empty for a query that does not run tenant by tenant.
const ofQuery = ['query', 'tenant'] as const

export const querySuccess = gauge(
  'cdc_sql_query_success',
  'Whether the query gave its values when it last ran, in the background.',
  ofQuery,
)

export const queryDuration = gauge(
  'cdc_sql_query_duration_seconds',
  'How long the query took when it last ran, well or badly, in the background.',
  ofQuery,
)

export const queryRows = gauge(
  'cdc_sql_query_rows',
  'Rows that the query gave when it last went well, max_rows at the most.',
  ofQuery,
)

export const queryTruncated = gauge(
  'cdc_sql_query_truncated',
  'Whether the query had more rows than max_rows when it last went well; those beyond have no series.',
  ofQuery,
)

export const queryLastSuccess = gauge(
  'cdc_sql_query_last_success_timestamp_seconds',
  'When the query last went well, by our own clock.',
  ofQuery,
)

// Of the packs. `tenant` is empty where the table is not by tenant.

export const loginEvents = gauge(
  'cdc_login_events_per_minute',
  'Rows of the login log in the window of the pack login, 1m by default, per minute, by SQL in the background.',
  ['tenant'],
)

export const loginFailures = gauge(
  'cdc_login_failures_per_minute',
  'Rows of the login log in the window of the pack login whose result says failed, per minute, by SQL in the background.',
  ['tenant'],
)

export const loginNewest = gauge(
  'cdc_login_newest_timestamp_seconds',
  'Time of the newest row of the login log, by SQL in the background; absent while it is empty.',
  ['tenant'],
)

export const auditEvents = gauge(
  'cdc_audit_events_per_minute',
  'Rows of the audit log in the window of the pack audit, 1m by default, per minute, by SQL in the background.',
  ['tenant'],
)

export const auditNewest = gauge(
  'cdc_audit_newest_timestamp_seconds',
  'Time of the newest row of the audit log, by SQL in the background; absent while it is empty.',
  ['tenant'],
)

export const jobs = gauge(
  'cdc_jobs',
  'Jobs by state, rows of the table of the pack jobs, by SQL in the background.',
  ['tenant', 'state'],
)

export const jobLastRun = gauge(
  'cdc_job_last_run_timestamp_seconds',
  'When a job last ran, from the table of the pack jobs, by SQL in the background; absent for one that never did.',
  ['tenant', 'job'],
)

export const jobRuns = gauge(
  'cdc_job_runs',
  'Runs of a job in the window of the pack job_log, 1h by default, from its table, by SQL in the background.',
  ['tenant', 'job'],
)

export const jobFailures = gauge(
  'cdc_job_failures',
  'Runs of a job in the window of the pack job_log that failed, from its table, by SQL in the background.',
  ['tenant', 'job'],
)

export const jobLogNewest = gauge(
  'cdc_job_log_newest_timestamp_seconds',
  'Time of the newest row in the log of the jobs, by SQL in the background; absent while it is empty.',
  ['tenant'],
)

export const sinkStates = gauge(
  'cdc_sink_tenant_states',
  'Sinks of a tenant by state, rows of the table of the pack sink_status, by SQL in the background.',
  ['tenant', 'state'],
)

export const sinkNewest = gauge(
  'cdc_sink_tenant_newest_timestamp_seconds',
  'When the status of a sink of the tenant was last told, from the table of the pack sink_status, by SQL in the background.',
  ['tenant'],
)

export const votes = counter(
  'voting_votes_total',
  'Votes in the table of the pack votes, by SQL in the background. It falls only when the table is emptied.',
)

export const optionVotes = gauge(
  'voting_option_votes',
  'Votes for an option, from the table of the pack votes, by SQL in the background. A voter who votes again takes the first vote back.',
  ['option'],
)
