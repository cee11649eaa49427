import * as metrics from './metrics.ts'
import { type Part, statement } from './part.ts'

/** The labels of a session that a setting may leave out, in the order of the families. */
export const DROPPABLE_LABELS = [
  'usename',
  'application_name',
  'backend_type',
  'wait_event_type',
  'wait_event',
] as const

const LABELS = DROPPABLE_LABELS.join(', ')

/**
 * Sessions by what they are and do. A state that a database has no session in is 0. `labels`: those that are
 * not left out. `groups`: beyond so many the smallest are added up to one for each database and state, so that
 * sums hold whatever the names that applications give themselves.
 */
export const activity = (labels: readonly string[], groups: number): Part =>
  statement(
    'pg_stat_activity',
    `WITH sessions AS (
      SELECT datname, state, ${DROPPABLE_LABELS.map((name) => `CASE WHEN '${name}' = ANY ($1) THEN ${name}::text END AS ${name}`).join(', ')},
        count(*) AS sessions, max(extract(epoch FROM now() - xact_start)) AS duration
      FROM pg_stat_activity
      WHERE pid <> pg_backend_pid() AND datname IS NOT NULL AND state IS NOT NULL
      GROUP BY datname, state, 3, 4, 5, 6, 7
    ), ranked AS (
      SELECT *, row_number() OVER (ORDER BY sessions DESC, datname, state, ${LABELS}) <= $2 AS kept FROM sessions
    ), bounded AS (
      SELECT datname, state, ${DROPPABLE_LABELS.map((name) => `CASE WHEN kept THEN ${name} END AS ${name}`).join(', ')},
        sum(sessions) AS sessions, max(duration) AS duration
      FROM ranked
      GROUP BY datname, state, 3, 4, 5, 6, 7
    )
    SELECT datname, state, ${LABELS},
      coalesce(sessions, 0) AS sessions, greatest(coalesce(duration, 0), 0) AS duration
    FROM (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'),
        ('fastpath function call'), ('disabled')) AS states (state)
      CROSS JOIN (SELECT datname FROM pg_database) AS databases
      LEFT JOIN bounded USING (datname, state)`,
    { sessions: metrics.activityCount, duration: metrics.activityDuration },
    [labels, groups],
  )

export const connections = statement(
  'pg_stat_activity for connections',
  // Who may not see a session is not told its type.
  `SELECT count(*) FILTER (WHERE backend_type = 'client backend') AS used
  FROM pg_stat_activity
  HAVING bool_and(backend_type IS NOT NULL)`,
  { used: metrics.connectionsUsed },
)

export const transactions = statement(
  'pg_stat_activity for transactions',
  `SELECT count(*) AS transactions,
    coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) AS oldest
  FROM pg_stat_activity
  WHERE state IS DISTINCT FROM 'idle' AND query NOT LIKE 'autovacuum:%' AND xact_start IS NOT NULL
    AND pid <> pg_backend_pid()`,
  { transactions: metrics.longTransactions, oldest: metrics.oldestTransaction },
)

export const locks = statement(
  'pg_locks',
  `SELECT datname, mode, coalesce(locks, 0) AS locks
  FROM (VALUES ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'), ('shareupdateexclusivelock'),
      ('sharelock'), ('sharerowexclusivelock'), ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')
    ) AS modes (mode)
    CROSS JOIN (SELECT oid AS database, datname FROM pg_database) AS databases
    LEFT JOIN (
      SELECT database, lower(mode) AS mode, count(*) AS locks FROM pg_locks GROUP BY 1, 2
    ) AS held USING (database, mode)`,
  { locks: metrics.locks },
)
