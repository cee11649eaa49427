import * as metrics from './metrics.ts'
import { statement } from './part.ts'

export const databases = statement(
  'pg_database',
  // pg_database_size refuses a database that the user may neither connect to nor read the statistics of.
  `SELECT datname, datconnlimit,
    CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
      THEN pg_database_size(oid) END AS bytes
  FROM pg_database`,
  { bytes: metrics.databaseSize, datconnlimit: metrics.databaseConnectionLimit },
)

// What is not of one database has no name there.
export const databaseStatistics = statement(
  'pg_stat_database',
  (version) => `
  SELECT datid, datname, numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched,
    tup_inserted, tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, blk_read_time,
    blk_write_time, floor(extract(epoch FROM stats_reset)) AS stats_reset
    ${version >= 140_000 ? ', active_time / 1000 AS active_seconds' : ''}
  FROM pg_stat_database
  WHERE datname IS NOT NULL`,
  {
    numbackends: metrics.databaseBackends,
    xact_commit: metrics.databaseCommits,
    xact_rollback: metrics.databaseRollbacks,
    blks_read: metrics.databaseBlocksRead,
    blks_hit: metrics.databaseBlocksHit,
    tup_returned: metrics.databaseRowsReturned,
    tup_fetched: metrics.databaseRowsFetched,
    tup_inserted: metrics.databaseRowsInserted,
    tup_updated: metrics.databaseRowsUpdated,
    tup_deleted: metrics.databaseRowsDeleted,
    conflicts: metrics.databaseConflicts,
    temp_files: metrics.databaseTemporaryFiles,
    temp_bytes: metrics.databaseTemporaryBytes,
    deadlocks: metrics.databaseDeadlocks,
    blk_read_time: metrics.databaseReadTime,
    blk_write_time: metrics.databaseWriteTime,
    stats_reset: metrics.databaseStatsReset,
    active_seconds: metrics.databaseActiveTime,
  },
)

/** The `count` largest tables of the database we are connected to. */
export const userTables = (count: number) =>
  statement(
    'pg_stat_user_tables',
    `WITH largest AS (
      SELECT pg_class.oid
      FROM pg_class JOIN pg_stat_user_tables ON relid = pg_class.oid
      ORDER BY relpages DESC, pg_class.oid
      LIMIT $1
    )
    SELECT current_database() AS datname, schemaname, relname, seq_scan, seq_tup_read, idx_scan, idx_tup_fetch,
      n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd, n_live_tup, n_dead_tup, n_mod_since_analyze,
      extract(epoch FROM last_vacuum) AS last_vacuum,
      extract(epoch FROM last_autovacuum) AS last_autovacuum,
      extract(epoch FROM last_analyze) AS last_analyze,
      extract(epoch FROM last_autoanalyze) AS last_autoanalyze,
      vacuum_count, autovacuum_count, analyze_count, autoanalyze_count,
      pg_indexes_size(relid) AS indexes_size, pg_table_size(relid) AS table_size
    FROM pg_stat_user_tables JOIN largest ON relid = oid`,
    {
      seq_scan: metrics.tableSequentialScans,
      seq_tup_read: metrics.tableSequentialRows,
      idx_scan: metrics.tableIndexScans,
      idx_tup_fetch: metrics.tableIndexRows,
      n_tup_ins: metrics.tableInserted,
      n_tup_upd: metrics.tableUpdated,
      n_tup_del: metrics.tableDeleted,
      n_tup_hot_upd: metrics.tableHotUpdated,
      n_live_tup: metrics.tableLive,
      n_dead_tup: metrics.tableDead,
      n_mod_since_analyze: metrics.tableModified,
      last_vacuum: metrics.tableVacuumed,
      last_autovacuum: metrics.tableAutovacuumed,
      last_analyze: metrics.tableAnalyzed,
      last_autoanalyze: metrics.tableAutoanalyzed,
      vacuum_count: metrics.tableVacuums,
      autovacuum_count: metrics.tableAutovacuums,
      analyze_count: metrics.tableAnalyzes,
      autoanalyze_count: metrics.tableAutoanalyzes,
      indexes_size: metrics.tableIndexSize,
      table_size: metrics.tableSize,
    },
    [count],
  )
