import { gauge } from '../../metrics/family.ts'

export const up = gauge('pg_up', 'Whether PostgreSQL answered the last background run.')

export const databaseSize = gauge(
  'pg_database_size_bytes',
  'Disk space of a database, by pg_database_size, collected in the background; of those that the user may connect to.',
  ['datname'],
)

export const walPosition = gauge(
  'cdc_wal_position_bytes',
  'Where the server writes its WAL, or where a standby has received it, as bytes from 0/0, collected in the background. It grows whether there is a slot or not.',
)

export const slotsActive = gauge(
  'pg_replication_slots_active',
  'Whether someone reads the replication slot, from pg_replication_slots, collected in the background. The database of a physical slot is empty.',
  ['slot_name', 'database'],
)

export const slotsRetained = gauge(
  'pg_replication_slots_pg_wal_lsn_diff',
  'Bytes of WAL that the server retains for the replication slot, from restart_lsn of pg_replication_slots, collected in the background.',
  ['slot_name', 'database'],
)

export const slotCurrentPosition = gauge(
  'pg_replication_slot_slot_current_wal_lsn',
  'Where the server writes its WAL, as bytes from 0/0, for each replication slot, collected in the background.',
  ['slot_name', 'slot_type'],
)

export const slotConfirmed = gauge(
  'pg_replication_slot_slot_confirmed_flush_lsn',
  'Up to where the reader of a logical slot has confirmed the WAL, as bytes from 0/0, collected in the background; also while nobody reads it.',
  ['slot_name', 'slot_type'],
)

export const slotIsActive = gauge(
  'pg_replication_slot_slot_is_active',
  'Whether someone reads the replication slot, from pg_replication_slots, collected in the background.',
  ['slot_name', 'slot_type'],
)

export const slotSafe = gauge(
  'pg_replication_slot_safe_wal_size_bytes',
  'Bytes of WAL that can be written before the replication slot is in danger of being lost, collected in the background; absent where max_slot_wal_keep_size sets no bound.',
  ['slot_name', 'slot_type'],
)

export const slotWalStatus = gauge(
  'pg_replication_slot_wal_status',
  'Whether the server still has the WAL that the replication slot claims: reserved, extended, unreserved or lost, collected in the background; always 1.',
  ['slot_name', 'slot_type', 'wal_status'],
)
