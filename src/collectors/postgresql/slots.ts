import type { PostgresqlRow } from '../../clients/postgresql.ts'
import type { Clock } from '../../clock.ts'
import * as metrics from './metrics.ts'
import { addRows, type Part } from './part.ts'
import { WAL_POSITION } from './replication.ts'
import { type SlotIdentity, slotHistory } from './slot-history.ts'
import { walRate } from './wal-rate.ts'

// Slots and position come from one statement: a position read on its own could lie before what a slot has
// confirmed meanwhile. As JSON what some versions lack.
const slotsOf = (version: number): string => `
  WITH wal AS (
    ${WAL_POSITION}, pg_is_in_recovery() AS is_replica,
      CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
      (SELECT stats_reset FROM pg_stat_bgwriter) AS statistics_since
  )
  SELECT slot_name, slot_type, coalesce(database, '') AS database, plugin, active::int AS active, temporary,
    to_jsonb(slot) ->> 'failover' AS failover, wal.position, wal.is_replica, wal.timeline, wal.statistics_since,
    wal.position - (restart_lsn - '0/0') AS retained,
    confirmed_flush_lsn - '0/0' AS confirmed,
    safe_wal_size, wal_status, 1 AS one
    ${version >= 140_000 ? ', total_txns AS decoded_transactions, total_bytes AS decoded_bytes, stats_reset' : ''}
  FROM wal LEFT JOIN pg_replication_slots AS slot ON true
    ${version >= 140_000 ? 'LEFT JOIN pg_stat_replication_slots USING (slot_name)' : ''}`

const POSITION = { position: metrics.walPosition }

const COLUMNS = [
  {
    active: metrics.slotsActive,
    retained: metrics.slotsRetained,
    position: metrics.slotCurrentPosition,
    confirmed: metrics.slotConfirmed,
    safe_wal_size: metrics.slotSafe,
  },
  { active: metrics.slotIsActive },
  {
    active: metrics.slotIsActiveUntil019,
    position: metrics.slotCurrentPositionUntil019,
    confirmed: metrics.slotConfirmedUntil019,
    safe_wal_size: metrics.slotSafeUntil019,
  },
]

const STATUS = [{ one: metrics.slotWalStatus }, { one: metrics.slotWalStatusUntil019 }]

/** The WAL's position, and the replication slots with what they hold back. */
export function slots(clock: Clock): Part {
  const history = slotHistory()
  const rateOfWal = walRate()
  return {
    name: 'pg_replication_slots',
    families: [
      ...[POSITION, ...COLUMNS, ...STATUS].flatMap((columns) => Object.values(columns)),
      metrics.slotRecreated,
      metrics.slotSecondsToLoss,
    ],
    async collect(server, batch, signal) {
      const rows = await server.query(slotsOf(server.version), [], signal)
      addRows(batch, rows.slice(0, 1), POSITION)
      // The position comes also without any slot.
      const slots = rows.filter(({ slot_name }) => slot_name !== null)
      for (const columns of COLUMNS) addRows(batch, slots, columns)
      const known = slots.filter(({ wal_status }) => wal_status !== null)
      for (const columns of STATUS) addRows(batch, known, columns)

      const isReplica = rows[0]?.is_replica === 't'
      const position = rows[0]?.position
      const rate =
        typeof position === 'string' ? rateOfWal(clock.monotonic(), Number(position), isReplica) : undefined
      for (const slot of slots) {
        const left = secondsToLoss(slot, rate)
        if (left !== undefined)
          batch.add(metrics.slotSecondsToLoss, { slot_name: slot.slot_name ?? '' }, left)
      }
      // A temporary one ends with its session, and its name is made up.
      const lasting = slots.filter(({ temporary }) => temporary === 'f')
      const identities = new Map(lasting.map((slot) => [slot.slot_name ?? '', identityOf(slot)]))
      for (const [slot_name, count] of history(identities, isReplica)) {
        batch.add(metrics.slotRecreated, { slot_name }, count)
      }
    },
  }
}

/** `rate`: of the WAL, in bytes a second. */
function secondsToLoss({ wal_status, safe_wal_size }: PostgresqlRow, rate: number | undefined) {
  if (wal_status === 'lost') return 0
  if (typeof safe_wal_size !== 'string' || rate === undefined || rate <= 0) return undefined
  return Math.max(0, Number(safe_wal_size)) / rate
}

const identityOf = (slot: PostgresqlRow): SlotIdentity => ({
  definition: JSON.stringify([slot.slot_type, slot.plugin, slot.database]),
  timeline: slot.failover === 'true' ? undefined : (slot.timeline ?? undefined),
  statistics: {
    decoded: [slot.decoded_transactions, slot.decoded_bytes].map((count) => BigInt(count ?? 0)),
    resetAt: slot.stats_reset ?? undefined,
    since: slot.statistics_since ?? undefined,
  },
})
