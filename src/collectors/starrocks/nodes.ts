import type { StarrocksReader, StarrocksRow } from '../../clients/starrocks.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'
import * as metrics from './metrics.ts'
import { bytes, ratio, truth, wholeNumber } from './texts.ts'

/** A front end, a backend or a compute node that is alive. */
export interface Node {
  /** Its label. */
  readonly name: string
  readonly isLeader: boolean
  /** Where its metrics are; undefined where it told no port. */
  readonly url: string | undefined
}

export const frontendFamilies = [metrics.frontendAlive, metrics.frontendJournal]

export async function collectFrontends(
  server: StarrocksReader,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<readonly Node[]> {
  const rows = await server.show('frontends', signal)
  return rows.flatMap((row) => {
    const frontend = placeOf(row, 'EditLogPort')
    const role = row.Role?.toLowerCase() ?? ''
    const alive = truth(row.Alive)
    if (alive !== undefined) batch.add(metrics.frontendAlive, { frontend, role }, alive)
    const journal = wholeNumber(row.ReplayedJournalId)
    if (journal !== undefined) batch.add(metrics.frontendJournal, { frontend }, journal)
    return alive === 1 ? [{ name: frontend, isLeader: role === 'leader', url: metricsUrl(row) }] : []
  })
}

/** What a node that is dead does not have: StarRocks tells what it last said. */
const OF_THE_LIVING: readonly (readonly [
  column: string,
  family: Family<'backend'>,
  parse: (text: string | null | undefined) => number | undefined,
])[] = [
  ['MaxDiskUsedPct', metrics.backendDiskUsed, ratio],
  ['TotalCapacity', metrics.backendDiskBytes, bytes],
  ['AvailCapacity', metrics.backendDiskAvailable, bytes],
  ['MemUsedPct', metrics.backendMemoryUsed, ratio],
  ['CpuUsedPct', metrics.backendCpuUsed, ratio],
]

export const backendFamilies = [
  metrics.backendAlive,
  metrics.backendTablets,
  ...OF_THE_LIVING.map(([, family]) => family),
]

export async function collectBackends(
  what: 'backends' | 'computeNodes',
  server: StarrocksReader,
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<readonly Node[]> {
  const rows = await server.show(what, signal)
  return rows.flatMap((row) => {
    const backend = placeOf(row, 'HeartbeatPort')
    const alive = truth(row.Alive)
    if (alive !== undefined) batch.add(metrics.backendAlive, { backend }, alive)
    const tablets = wholeNumber(row.TabletNum)
    if (tablets !== undefined) batch.add(metrics.backendTablets, { backend }, tablets)
    if (alive !== 1) return []
    for (const [column, family, parse] of OF_THE_LIVING) {
      const value = parse(row[column])
      if (value !== undefined) batch.add(family, { backend }, value)
    }
    return [{ name: backend, isLeader: false, url: metricsUrl(row) }]
  })
}

/** As ALTER SYSTEM names a node, and StarRocks' own metrics do: `10.0.0.1:9050`. */
function placeOf(row: StarrocksRow, port: string): string {
  for (const column of ['IP', port]) {
    if (!row[column]) throw new Error(`starrocks: a node without ${column}`)
  }
  return `${hostOf(row)}:${row[port]}`
}

const hostOf = ({ IP: host }: StarrocksRow): string => (host?.includes(':') ? `[${host}]` : (host ?? ''))

function metricsUrl(row: StarrocksRow): string | undefined {
  const port = wholeNumber(row.HttpPort)
  return port === undefined ? undefined : `http://${hostOf(row)}:${port}/metrics`
}
