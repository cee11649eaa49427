import * as metrics from './metrics.ts'
import { statement } from './part.ts'

/**
 * Bytes from 0/0: where a server writes its WAL. Of a standby, where it has received it; before it streams for
 * the first time it has received nothing, but replayed what it was copied with.
 */
export const WAL_POSITION = `
  SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END - '0/0' AS position`

// A standby that has not replayed a commit yet does not know.
export const replication = statement(
  'replication',
  `WITH replay AS (
    SELECT pg_is_in_recovery() AS is_replica,
      pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AS has_all,
      extract(epoch FROM now() - pg_last_xact_replay_timestamp()) AS age
  )
  SELECT is_replica::int AS is_replica,
    CASE WHEN NOT is_replica OR has_all THEN 0 WHEN age < 0 THEN 0 ELSE age END AS lag,
    CASE WHEN NOT is_replica THEN NULL WHEN age < 0 THEN 0 ELSE age END AS last_replay
  FROM replay`,
  { lag: metrics.replicationLag, is_replica: metrics.isReplica, last_replay: metrics.lastReplay },
)

export const receivers = statement(
  'pg_stat_replication',
  `WITH wal AS (${WAL_POSITION})
  SELECT application_name, client_addr::text AS client_addr, state, slot_name,
    wal.position, max(wal.position - (replay_lsn - '0/0')) AS behind
  FROM wal
    CROSS JOIN pg_stat_replication AS receiver
    LEFT JOIN pg_replication_slots AS slot ON slot.active_pid = receiver.pid
  GROUP BY 1, 2, 3, 4, 5`,
  { position: metrics.receiverPosition, behind: metrics.receiverLag },
)
