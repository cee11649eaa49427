import type { PostgresqlReader } from '../../clients/postgresql.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import * as metrics from './metrics.ts'

// Before a standby streams for the first time it has received nothing, but replayed what it was copied with.
const WAL_POSITION = `
  SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END - '0/0' AS position`

// As JSON, since versions before 13 lack some columns. Slots and position come from one statement: a position
// read on its own could lie before what a slot has confirmed meanwhile.
const SLOTS = `
  WITH wal AS (${WAL_POSITION})
  SELECT slot_name, slot_type, coalesce(database, '') AS database, active, wal.position,
    wal.position - (restart_lsn - '0/0') AS retained,
    confirmed_flush_lsn - '0/0' AS confirmed,
    to_jsonb(slot) ->> 'safe_wal_size' AS safe,
    to_jsonb(slot) ->> 'wal_status' AS wal_status
  FROM wal LEFT JOIN pg_replication_slots AS slot ON true`

/** The WAL's position, and the replication slots with what they hold back. */
export async function collectSlots(
  server: PostgresqlReader,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  const rows = await server.query(SLOTS, [], signal)
  const position = rows[0]?.position
  if (typeof position === 'string') batch.add(metrics.walPosition, {}, Number(position))
  for (const row of rows) {
    // The position comes also without any slot.
    if (typeof row.slot_name !== 'string') continue
    const slot = { slot_name: row.slot_name, database: row.database ?? '' }
    const typed = { slot_name: row.slot_name, slot_type: row.slot_type ?? '' }
    const isActive = Number(row.active === 't')
    batch.add(metrics.slotsActive, slot, isActive)
    batch.add(metrics.slotIsActive, typed, isActive)
    if (typeof row.retained === 'string') batch.add(metrics.slotsRetained, slot, Number(row.retained))
    if (typeof row.position === 'string') {
      batch.add(metrics.slotCurrentPosition, typed, Number(row.position))
    }
    if (typeof row.confirmed === 'string') batch.add(metrics.slotConfirmed, typed, Number(row.confirmed))
    if (typeof row.safe === 'string') batch.add(metrics.slotSafe, typed, Number(row.safe))
    if (typeof row.wal_status === 'string') {
      batch.add(metrics.slotWalStatus, { ...typed, wal_status: row.wal_status }, 1)
    }
  }
}
