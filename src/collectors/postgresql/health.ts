import { z } from 'zod'
import { type Health, type LastRun, MOST_LISTED } from '../../collection/health.ts'
import * as metrics from './metrics.ts'

const pool = z.object({
  database: z.string(),
  user: z.string(),
  clients_active: z.number(),
  clients_waiting: z.number().optional(),
  servers_active: z.number().optional(),
  servers_idle: z.number().optional(),
})

export const details = z.object({
  version: z.string().optional(),
  standby: z.boolean().optional(),
  connections: z.object({ used: z.number().optional(), max: z.number().optional() }),
  slots: z
    .array(
      z.object({
        slot_name: z.string(),
        database: z.string().describe('Empty for a physical slot.'),
        active: z.boolean(),
        retained_bytes: z.number().optional(),
        wal_status: z.string().optional(),
      }),
    )
    .describe('100 at the most.'),
  missing_in_publications: z.number().describe('Tables that the configuration expects in a publication.'),
  pgbouncer: z
    .object({
      up: z.boolean(),
      connections: z
        .array(z.object({ name: z.string(), used: z.number(), pool_size: z.number().optional() }))
        .describe(
          'To the server, by database of PgBouncer, 100 at the most. Each user has a pool of that size.',
        ),
      pools: z.array(pool).describe('100 at the most.'),
    })
    .optional()
    .describe('Where one is configured.'),
})

type Details = z.output<typeof details>

const maxConnections = metrics.settings.find(({ name }) => name === 'pg_settings_max_connections')

/** Slots that have lost WAL that their reader needs, or are about to. */
const IN_DANGER = ['lost', 'unreserved']

export function healthOf(last: LastRun): Health<Details> {
  const [server] = last.having(metrics.serverInfo, 1)
  const standby = last.value(metrics.isReplica)
  const slots = slotsOf(last)
  const missing = last.count(metrics.publicationTableMissing)
  return {
    details: {
      version: server?.short_version,
      standby: standby === undefined ? undefined : standby === 1,
      connections: {
        used: last.value(metrics.connectionsUsed),
        max: maxConnections && last.value(maxConnections),
      },
      slots: slots.slice(0, MOST_LISTED),
      missing_in_publications: missing,
      pgbouncer: pgbouncerOf(last),
    },
    problems: [
      ...slots
        .filter(({ wal_status }) => IN_DANGER.includes(wal_status ?? ''))
        .map(({ slot_name, wal_status }) => `the WAL of replication slot ${slot_name} is ${wal_status}`),
      ...(missing > 0 ? [`${missing} tables are missing in publications`] : []),
    ],
  }
}

function slotsOf(last: LastRun): Details['slots'] {
  const retained = new Map(
    [...last.samples(metrics.slotsRetained)].map(({ labels, value }) => [labels.slot_name, value]),
  )
  const status = new Map(
    [...last.having(metrics.slotWalStatus, 1)].map(({ slot_name, wal_status }) => [slot_name, wal_status]),
  )
  return [...last.samples(metrics.slotsActive)].map(({ labels: { slot_name, database }, value }) => ({
    slot_name,
    database,
    active: value === 1,
    retained_bytes: retained.get(slot_name),
    wal_status: status.get(slot_name),
  }))
}

function pgbouncerOf(last: LastRun): Details['pgbouncer'] {
  const up = last.value(metrics.pgbouncerUp)
  if (up === undefined) return undefined
  const byName = new Map(
    [...last.samples(metrics.bouncedPoolSize)].map(({ labels, value }) => [labels.name, value]),
  )
  const byPool = (family: typeof metrics.poolClientsActive) =>
    new Map([...last.samples(family)].map(({ labels, value }) => [JSON.stringify(labels), value]))
  const [waiting, active, idle] = [
    byPool(metrics.poolClientsWaiting),
    byPool(metrics.poolServersActive),
    byPool(metrics.poolServersIdle),
  ]
  return {
    up: up === 1,
    connections: [...last.samples(metrics.bouncedConnections)]
      .slice(0, MOST_LISTED)
      .map(({ labels: { name }, value }) => ({ name, used: value, pool_size: byName.get(name) })),
    pools: [...last.samples(metrics.poolClientsActive)].slice(0, MOST_LISTED).map(({ labels, value }) => {
      const pool = JSON.stringify(labels)
      return {
        ...labels,
        clients_active: value,
        clients_waiting: waiting.get(pool),
        servers_active: active.get(pool),
        servers_idle: idle.get(pool),
      }
    }),
  }
}
