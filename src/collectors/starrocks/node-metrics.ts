import { within } from '../../clients/call.ts'
import type { NodeMetricsReader, NodeSample } from '../../clients/starrocks-metrics.ts'
import type { Clock } from '../../clock.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'
import * as metrics from './metrics.ts'
import type { Node } from './nodes.ts'

/** What is taken of a node's own metrics; StarRocks' alerts are made of these. */
interface Taken<L extends string> {
  readonly name: string
  /** Labels that it has to have. */
  readonly of?: Readonly<Record<string, string>>
  readonly family: Family<L>
  /** Its own label that is kept. */
  readonly keeps?: L
  /** To base units. */
  readonly scale?: number
  /** Of the cluster: what other front ends tell of it is 0. */
  readonly fromLeader?: boolean
}

const FRONTEND: readonly Taken<'frontend'>[] = [
  { name: 'starrocks_fe_query_total', family: metrics.feQueries },
  { name: 'starrocks_fe_query_err', family: metrics.feQueryErrors },
  {
    name: 'starrocks_fe_query_latency_ms',
    of: { quantile: '0.99' },
    scale: 1 / 1000,
    family: metrics.feQueryLatency,
  },
  { name: 'starrocks_fe_connection_total', family: metrics.feConnections },
  { name: 'jvm_heap_size_bytes', of: { type: 'used' }, family: metrics.feHeapUsed },
  { name: 'jvm_heap_size_bytes', of: { type: 'max' }, family: metrics.feHeapMax },
  { name: 'starrocks_fe_max_tablet_compaction_score', family: metrics.feCompactionScore, fromLeader: true },
  { name: 'starrocks_fe_txn_failed', family: metrics.feTransactionsFailed, fromLeader: true },
  { name: 'starrocks_fe_meta_log_count', family: metrics.feMetaLog, fromLeader: true },
]

const COMPACTIONS = {
  name: 'starrocks_be_engine_requests_total',
  family: metrics.beCompactionsFailed,
  keeps: 'type',
} as const

const BACKEND: readonly Taken<'backend' | 'path' | 'type'>[] = [
  { name: 'starrocks_be_disks_total_capacity', family: metrics.beDiskBytes, keeps: 'path' },
  { name: 'starrocks_be_disks_avail_capacity', family: metrics.beDiskAvailable, keeps: 'path' },
  { ...COMPACTIONS, of: { status: 'failed', type: 'base_compaction' } },
  { ...COMPACTIONS, of: { status: 'failed', type: 'cumulative_compaction' } },
  { name: 'starrocks_be_max_tablet_rowset_num', family: metrics.beRowsets },
]

const TAKEN: Readonly<Record<'frontend' | 'backend', readonly Taken<string>[]>> = {
  frontend: FRONTEND,
  backend: BACKEND,
}

const familiesOf = (taken: readonly Taken<string>[]) => [...new Set(taken.map(({ family }) => family))]

export const nodeMetricFamilies = { frontend: familiesOf(FRONTEND), backend: familiesOf(BACKEND) }

/** Nodes that are asked at once. */
const AT_ONCE = 8

/** The few of each node's own metrics that are taken, none longer than `timeout` milliseconds. */
export async function collectNodeMetrics(
  label: 'frontend' | 'backend',
  nodes: readonly Node[],
  {
    reader,
    clock,
    timeout,
  }: { readonly reader: NodeMetricsReader; readonly clock: Clock; readonly timeout: number },
  batch: SampleBatch,
  signal: AbortSignal,
): Promise<void> {
  const taken = TAKEN[label]
  const names = new Set(taken.map(({ name }) => name))
  const waiting = [...nodes]
  const work = async () => {
    for (let node = waiting.shift(); node; node = waiting.shift()) {
      const { name, url, isLeader } = node
      if (url === undefined) continue
      try {
        const samples = await within(timeout, clock, signal, (limited) => reader.read(url, names, limited))
        for (const each of taken) {
          if (!each.fromLeader || isLeader) add(each, samples, { [label]: name }, batch)
        }
      } catch (cause) {
        signal.throwIfAborted()
        batch.partFailed({ [label]: name }, cause, nodeMetricFamilies[label])
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
}

/** Each set of labels once: a name may have further samples, such as one for each warehouse or user. */
function add(
  { name, of = {}, family, keeps, scale = 1 }: Taken<string>,
  samples: readonly NodeSample[],
  node: Readonly<Record<string, string>>,
  batch: SampleBatch,
): void {
  for (const { labels, value, ...sample } of samples) {
    const { is_leader: _, ...own } = labels
    const wanted = keeps === undefined ? of : { [keeps]: own[keeps], ...of }
    const keys = new Set([...Object.keys(own), ...Object.keys(wanted)])
    if (sample.name !== name || ![...keys].every((key) => own[key] !== undefined && own[key] === wanted[key]))
      continue
    batch.add(family, { ...node, ...(keeps !== undefined && { [keeps]: own[keeps] ?? '' }) }, value * scale)
  }
}
