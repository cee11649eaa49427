// One step of the growth in a process of its own: a synthetic loop in a collector's place writes to the engine's
// own series and exposition. Nothing is fetched; every value changes in every pass.
import { InstanceSeries, type RunBatch } from '../../src/metrics/batch.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { gauge } from '../../src/metrics/family.ts'
import { residentBytes } from './proc.ts'
import { median } from './statistics.ts'

export interface GrowthStep {
  readonly series: number
  /** Of a steady pass: the median. */
  readonly wallMs: number
  readonly cpuMs: number
  readonly residentBytes: number
  /** The pass that lays everything out. */
  readonly firstWallMs: number
}

const PASSES = 7
const LABELS = ['consumergroup', 'topic', 'partition'] as const
const families = [
  gauge('bench_current_offset', 'Synthetic.', LABELS),
  gauge('bench_lag', 'Synthetic.', LABELS),
  gauge('bench_lag_seconds', 'Synthetic.', LABELS),
  gauge('bench_lost', 'Synthetic.', LABELS),
]
const PARTITIONS_A_GROUP = 500

const series = Number(process.argv[2])
const texts = Array.from({ length: 10 }, (_, i) => String(i))
/** As a collector writes: in a stable order, labels made anew. */
function writeAll(batch: RunBatch, pass: number): void {
  for (let i = 0; i < series / families.length; i++) {
    const labels = {
      consumergroup: `group-${Math.floor(i / PARTITIONS_A_GROUP)}`,
      topic: `erp.tenant.table-${Math.floor((i % PARTITIONS_A_GROUP) / 10)}`,
      partition: texts[i % 10] ?? '',
    }
    let value = i + pass * 1000
    for (const family of families) batch.add(family, labels, value++)
  }
}

const instance = new InstanceSeries('synthetic', families, { target: 'bench' }, Infinity)
const exposition = new Exposition()
exposition.attach(instance)
const walls: number[] = []
const cpus: number[] = []
for (let i = 0; i < PASSES; i++) {
  const from = performance.now()
  const cpu = process.cpuUsage()
  const batch = instance.begin()
  writeAll(batch, i)
  await batch.commit([], exposition.unread)
  await exposition.publish()
  const { user, system } = process.cpuUsage(cpu)
  walls.push(performance.now() - from)
  cpus.push((user + system) / 1000)
}
// The first lays out, the second makes the second set of buffers.
const step: GrowthStep = {
  series: exposition.current.series,
  wallMs: median(walls.slice(2)),
  cpuMs: median(cpus.slice(2)),
  residentBytes: residentBytes(process.pid).now,
  firstWallMs: walls[0] ?? Number.NaN,
}
process.stdout.write(JSON.stringify(step))
