import { z } from 'zod'
import { duration, integer, settings as keys } from '../../config/fields.ts'
import type { Family } from '../../metrics/family.ts'
import * as metrics from './metrics.ts'
import type { Query } from './query.ts'

// Queries whose series have fixed names. What their tables look like is assumed, so every name is a setting.

const TENANT = '{tenant}'

const column = (name: string) => z.string().min(1).default(name)

const table = (name: string) =>
  z
    .string()
    .regex(/^[^.]+(\.[^.]+)?$/, { error: 'expected a table such as logs.login or {tenant}.login' })
    .default(name)
    .describe(
      'As schema.table, or table alone; {tenant} stands for each tenant, who is then the label tenant.',
    )

const window = (fallback: number) =>
  duration()
    .default(fallback)
    .refine((ms) => ms >= 1_000, { error: 'expected at least 1s' })
    .describe('Rows younger than this are counted.')

const failed = z
  .array(z.string())
  .default(['false', '0', 'failed', 'failure', 'error', 'gagal'])
  .describe('What the column says of a failure, in lower case; of a boolean it is false.')

const cost = {
  interval: duration()
    .optional()
    .describe('Runs no more often than this; otherwise in each run of the collector.'),
  timeout: duration().default(5_000).describe('After this time the server gives a query up.'),
  max_rows: integer(1, 100_000).default(1_000).describe('Rows of a query beyond have no series.'),
}

export const pack = z.discriminatedUnion('pack', [
  keys({
    pack: z.literal('login'),
    table: table('logs.login'),
    time: column('created_at').describe('When the row was made.'),
    result: column('success').describe('Whether the login went well: a boolean, a number or a text.'),
    failed,
    window: window(60_000),
    ...cost,
  }),
  keys({
    pack: z.literal('audit'),
    table: table('logs.audit'),
    time: column('created_at').describe('When the row was made.'),
    window: window(60_000),
    ...cost,
  }),
  keys({
    pack: z.literal('jobs'),
    table: table('pusat.cdc_job_operasional'),
    job: column('job').describe('Name of the job.'),
    state: column('status').describe('State that it is in.'),
    last_run: column('last_run_at').describe('When it last ran; NULL for never.'),
    ...cost,
  }),
  keys({
    pack: z.literal('job_log'),
    table: table('pusat.cdc_job_operasional_log'),
    job: column('job').describe('Name of the job.'),
    result: column('status').describe('How the run went.'),
    time: column('created_at').describe('When the row was made.'),
    failed,
    window: window(3_600_000),
    ...cost,
  }),
  keys({
    pack: z.literal('sink_status'),
    table: z
      .string()
      .regex(/^[^.{}]+(\.[^.{}]+)?$/, { error: 'expected a table such as pusat.cdc_status_sink_tenant' })
      .default('pusat.cdc_status_sink_tenant')
      .describe('As schema.table, or table alone.'),
    tenant: column('tenant').describe('The tenant.'),
    state: column('status').describe('State of its sink.'),
    time: column('updated_at').describe('When the row was last told.'),
    ...cost,
  }),
  keys({
    pack: z.literal('votes'),
    table: z
      .string()
      .regex(/^[^.{}]+(\.[^.{}]+)?$/, { error: 'expected a table such as votes or public.votes' })
      .default('votes')
      .describe('As schema.table, or table alone.'),
    option: column('vote').describe('What was voted for.'),
    ...cost,
  }),
])

type Pack = z.output<typeof pack>

type Quote = (name: string) => string

/** What is particular to a query of a pack; `from` is its table. */
interface PackQuery {
  /** Where a pack has several. */
  readonly name?: string
  sql(quote: Quote, from: string): string
  readonly parameters?: readonly unknown[]
  readonly labels?: readonly string[]
  readonly values: Readonly<Record<string, Family>>
}

export function queriesOf(given: Pack): Query[] {
  const { pack, table, interval = 0, timeout, max_rows } = given
  return packQueries(given).map(({ name, sql, parameters = [], labels = [], values }) => ({
    name: name === undefined ? pack : `${pack}_${name}`,
    byTenant: table.includes(TENANT),
    sql: (quote, tenant) =>
      sql(
        quote,
        table
          .split('.')
          .map((part) => quote(part.replaceAll(TENANT, () => tenant)))
          .join('.'),
      ),
    parameters: () => parameters,
    labels,
    values: Object.entries(values).map(([column, family]) => ({ column, family })),
    interval,
    timeout,
    maxRows: max_rows,
  }))
}

function packQueries(given: Pack): readonly PackQuery[] {
  switch (given.pack) {
    case 'login': {
      const { time, result, failed, window } = given
      return [
        {
          sql: (quote, from) => `
            SELECT recent.events, recent.failures, (SELECT ${epoch(`max(${quote(time)})`)} FROM ${from}) AS newest
            FROM (
              SELECT ${perMinute('count(*)')} AS events,
                ${perMinute(`count(*) FILTER (WHERE ${isOneOf(quote(result), '$2')})`)} AS failures
              FROM ${from}
              WHERE ${isRecent(quote(time))}
            ) AS recent`,
          parameters: [window / 1000, failed],
          values: {
            events: metrics.loginEvents,
            failures: metrics.loginFailures,
            newest: metrics.loginNewest,
          },
        },
      ]
    }
    case 'audit': {
      const { time, window } = given
      return [
        {
          sql: (quote, from) => `
            SELECT recent.events, (SELECT ${epoch(`max(${quote(time)})`)} FROM ${from}) AS newest
            FROM (SELECT ${perMinute('count(*)')} AS events FROM ${from} WHERE ${isRecent(quote(time))}) AS recent`,
          parameters: [window / 1000],
          values: { events: metrics.auditEvents, newest: metrics.auditNewest },
        },
      ]
    }
    case 'jobs': {
      const { job, state, last_run } = given
      return [
        {
          name: 'states',
          sql: (quote, from) =>
            `SELECT ${quote(state)}::text AS state, count(*) AS jobs FROM ${from} GROUP BY 1 ORDER BY 1`,
          labels: ['state'],
          values: { jobs: metrics.jobs },
        },
        {
          name: 'runs',
          sql: (quote, from) => `
            SELECT ${quote(job)}::text AS job, ${epoch(`max(${quote(last_run)})`)} AS last_run
            FROM ${from}
            GROUP BY 1
            ORDER BY 1`,
          labels: ['job'],
          values: { last_run: metrics.jobLastRun },
        },
      ]
    }
    case 'job_log': {
      const { job, result, time, failed, window } = given
      return [
        {
          name: 'runs',
          sql: (quote, from) => `
            SELECT ${quote(job)}::text AS job, count(*) AS runs,
              count(*) FILTER (WHERE ${isOneOf(quote(result), '$2')}) AS failures
            FROM ${from}
            WHERE ${isRecent(quote(time))}
            GROUP BY 1
            ORDER BY 1`,
          parameters: [window / 1000, failed],
          labels: ['job'],
          values: { runs: metrics.jobRuns, failures: metrics.jobFailures },
        },
        {
          name: 'newest',
          sql: (quote, from) => `SELECT ${epoch(`max(${quote(time)})`)} AS newest FROM ${from}`,
          values: { newest: metrics.jobLogNewest },
        },
      ]
    }
    case 'sink_status': {
      const { tenant, state, time } = given
      return [
        {
          name: 'states',
          sql: (quote, from) => `
            SELECT ${quote(tenant)}::text AS tenant, ${quote(state)}::text AS state, count(*) AS sinks
            FROM ${from}
            GROUP BY 1, 2
            ORDER BY 1, 2`,
          labels: ['tenant', 'state'],
          values: { sinks: metrics.sinkStates },
        },
        {
          name: 'newest',
          sql: (quote, from) => `
            SELECT ${quote(tenant)}::text AS tenant, ${epoch(`max(${quote(time)})`)} AS newest
            FROM ${from}
            GROUP BY 1
            ORDER BY 1`,
          labels: ['tenant'],
          values: { newest: metrics.sinkNewest },
        },
      ]
    }
    case 'votes': {
      const { option } = given
      return [
        {
          name: 'total',
          sql: (_, from) => `SELECT count(*) AS votes FROM ${from}`,
          values: { votes: metrics.votes },
        },
        {
          name: 'options',
          sql: (quote, from) =>
            `SELECT ${quote(option)}::text AS option, count(*) AS votes FROM ${from} GROUP BY 1 ORDER BY 1`,
          labels: ['option'],
          values: { votes: metrics.optionVotes },
        },
      ]
    }
  }
}

// `$1`: the window in seconds. The session's time zone is UTC, and a time without zone is taken as of it.
const isRecent = (time: string) => `${time} >= now() - make_interval(secs => $1::float8)`
const perMinute = (count: string) => `${count} / ($1::float8 / 60)`
const epoch = (time: string) => `extract(epoch FROM ${time})`
const isOneOf = (column: string, values: string) => `lower(${column}::text) = ANY(${values}::text[])`
