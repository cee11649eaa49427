import { z } from 'zod'
import type { ClickhouseReader } from '../../clients/clickhouse.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import * as metrics from './metrics.ts'

const CONNECTIONS = ['TCPConnection', 'HTTPConnection', 'MySQLConnection', 'PostgreSQLConnection']

const METRICS = 'SELECT metric, value FROM system.metrics WHERE has({names:Array(String)}, metric)'

const values = z.array(z.object({ metric: z.string(), value: z.coerce.number() }))

/** Merges and connections of the whole server. */
export async function collectActivity(
  server: ClickhouseReader,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  const rows = values.parse(await server.query(METRICS, { names: ['Merge', ...CONNECTIONS] }, signal))
  const merge = rows.find(({ metric }) => metric === 'Merge')
  if (merge) batch.add(metrics.merges, {}, merge.value)
  const open = rows.filter(({ metric }) => metric !== 'Merge').map(({ value }) => value)
  if (open.length > 0) {
    batch.add(
      metrics.connections,
      {},
      open.reduce((sum, count) => sum + count, 0),
    )
  }
}

const REPLICAS = `
  SELECT database AS database_name, table AS table_name, is_readonly, absolute_delay, queue_size
  FROM system.replicas
  LIMIT 100000`

const replicas = z.array(
  z.object({
    database_name: z.string(),
    table_name: z.string(),
    is_readonly: z.coerce.number(),
    absolute_delay: z.coerce.number(),
    queue_size: z.coerce.number(),
  }),
)

/** This server's replicas of the tables that are chosen. */
export async function collectReplicas(
  server: ClickhouseReader,
  chosen: (table: { readonly database_name: string; readonly table_name: string }) => boolean,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  for (const replica of replicas.parse(await server.query(REPLICAS, {}, signal)).filter(chosen)) {
    const labels = { database: replica.database_name, table: replica.table_name }
    batch.add(metrics.replicaQueue, labels, replica.queue_size)
    batch.add(metrics.replicaReadOnly, labels, replica.is_readonly)
    // Without Keeper it knows of no newest insert, and tells the seconds since 1970.
    if (replica.is_readonly === 0) batch.add(metrics.replicaDelay, labels, replica.absolute_delay)
  }
}

const DISKS = 'SELECT name, total_space, free_space FROM system.disks'

const disks = z.array(
  z.object({ name: z.string(), total_space: z.coerce.number(), free_space: z.coerce.number() }),
)

/** Object storage tells the largest number there is. */
const UNBOUNDED = 2 ** 63

export async function collectDisks(
  server: ClickhouseReader,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  for (const { name: disk, total_space, free_space } of disks.parse(await server.query(DISKS, {}, signal))) {
    if (total_space < UNBOUNDED) batch.add(metrics.diskBytes, { disk }, total_space)
    if (free_space < UNBOUNDED) batch.add(metrics.diskFreeBytes, { disk }, free_space)
  }
}
