import { type FlinkJob, type FlinkReader, type FlinkVertex, sumOf } from '../../clients/flink.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'
import { ExceptionCounts } from './exceptions.ts'
import * as metrics from './metrics.ts'

const ENDED = ['finished', 'failed', 'canceled']

/** Of a job with more vertices that could be backpressured, none is asked: each takes a request. */
const MAX_VERTICES = 50

/** Of a vertex that is source and sink in one; each of its tasks has metrics of its own to be asked for. */
const MAX_TASKS = 100

/** Jobs whose details are asked for at once. */
const AT_ONCE = 8

/** What is kept of a job from pass to pass. */
interface Known {
  readonly exceptions: ExceptionCounts
  /** Of a vertex that is source and sink in one: its metrics to add up. */
  readonly operators: Map<string, { readonly sources: readonly string[]; readonly sinks: readonly string[] }>
  /** Asked for once; undefined as long as it was not. */
  interval: { readonly ms: number | undefined } | undefined
  /** Of a job that has ended, and of which all was asked: it will not change. */
  last: readonly Sample[] | undefined
}

type Sample = readonly [family: Family, labels: Readonly<Record<string, string>>, value: number]

/** What takes requests for each job. */
export class Jobs {
  readonly #flink: FlinkReader
  #known = new Map<string, Known>()
  #hasLooked = false

  constructor(flink: FlinkReader) {
    this.#flink = flink
  }

  /** `all`: every job that Flink lists; `asked`: those whose details are wanted, one for each name. */
  async collect(
    all: readonly FlinkJob[],
    asked: readonly FlinkJob[],
    batch: SampleBatch,
    signal: AbortSignal,
  ): Promise<void> {
    const before = this.#known
    this.#known = new Map(all.map(({ id }) => [id, before.get(id) ?? newlyKnown(this.#hasLooked)] as const))
    this.#hasLooked = true
    const waiting = [...asked]
    const work = async () => {
      for (let job = waiting.shift(); job; job = waiting.shift()) {
        const known = this.#known.get(job.id)
        if (known) await this.#collectJob(job, known, batch, signal)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
  }

  async #collectJob(
    { id, name, state }: FlinkJob,
    known: Known,
    batch: SampleBatch,
    signal: AbortSignal,
  ): Promise<void> {
    for (const sample of known.last ?? []) batch.add(...sample)
    if (known.last) return
    const flink = this.#flink
    const job = { job: name }
    const samples: Sample[] = []
    let isWhole = true
    const add = (
      family: Family,
      value: number | undefined,
      labels: Readonly<Record<string, string>> = job,
    ) => {
      if (value !== undefined) samples.push([family, labels, value])
    }
    /** One request of several: where it fails, the others still count. */
    async function part(request: string, families: readonly Family[], work: () => Promise<void>) {
      try {
        await work()
      } catch (cause) {
        isWhole = false
        batch.partFailed({ ...job, request }, cause, families)
      }
    }
    const isRunning = !ENDED.includes(state)
    let vertices: readonly FlinkVertex[] = []
    // First, and the rest after it: what Flink tells of the failures of a job is as old as this, or newer.
    await part('job', TRAFFIC, async () => {
      const details = await flink.job(id, signal)
      vertices = details?.vertices ?? []
      // A job that has just ended may be told of as it was before.
      if (!details || !ENDED.includes(details.state)) isWhole = false
      const traffic = await this.#traffic(id, known, vertices, isRunning, signal)
      TRAFFIC.forEach((family, i) => void add(family, traffic[i]))
    })
    await part('checkpoints', CHECKPOINTS, async () => {
      known.interval ??= { ms: await flink.checkpointInterval(id, signal) }
      add(metrics.checkpointInterval, inSeconds(known.interval.ms))
      const told = await flink.checkpoints(id, signal)
      add(metrics.checkpointsCompleted, told?.completed)
      add(metrics.checkpointsFailed, told?.failed)
      add(metrics.checkpointsInProgress, told?.inProgress)
      add(metrics.lastCheckpoint, inSeconds(told?.last?.endedAt))
      add(metrics.lastCheckpointDuration, inSeconds(told?.last?.duration))
      add(metrics.lastCheckpointSize, told?.last?.bytes)
    })
    await part('exceptions', [metrics.exceptions], async () => {
      const counts = known.exceptions.count(await flink.exceptions(id, signal))
      for (const [exception_class, count] of counts)
        add(metrics.exceptions, count, { ...job, exception_class })
    })
    if (isRunning) {
      await part('metrics', [metrics.restarts, metrics.uptime], async () => {
        const told = await flink.jobMetrics(id, ['numRestarts', 'uptime'], signal)
        add(metrics.restarts, told.get('numRestarts'))
        // Not below 0: that is a job which is not running.
        const uptime = told.get('uptime')
        if (uptime !== undefined && state === 'running' && uptime >= 0) add(metrics.uptime, uptime / 1000)
      })
      await part('backpressure', [metrics.backpressure], async () => {
        const asked = vertices.filter((vertex) => vertex.isRunning && !vertex.isSink)
        if (asked.length === 0 || asked.length > MAX_VERTICES) return
        const ratios = await inTurn(asked, (vertex) => flink.backpressure(id, vertex, signal))
        const known = ratios.filter((ratio) => ratio !== undefined)
        if (known.length === asked.length) add(metrics.backpressure, Math.max(...known))
      })
    }
    for (const sample of samples) batch.add(...sample)
    if (!isRunning && isWhole) known.last = samples
  }

  /** In the order of `TRAFFIC`. Only a whole sum counts: else it would seem to have gone back, and then to leap. */
  async #traffic(
    id: string,
    known: Known,
    vertices: readonly FlinkVertex[],
    isRunning: boolean,
    signal: AbortSignal,
  ): Promise<readonly (number | undefined)[]> {
    const [sources, sinks] = [
      vertices.filter((each) => each.isSource),
      vertices.filter((each) => each.isSink),
    ]
    if (sources.length === 0) return []
    const both = vertices.filter((each) => each.isSource && each.isSink)
    const between = new Map<string, { readonly in: number | undefined; readonly out: number | undefined }>()
    // Flink counts what goes over the network, and between the source and the sink of such a vertex there is none.
    for (const vertex of both) {
      between.set(vertex.id, isRunning ? await this.#withinVertex(id, known, vertex, signal) : NOTHING)
    }
    return [
      sumOf(sources.map((each) => (each.isSink ? between.get(each.id)?.in : each.recordsOut))),
      sumOf(sinks.map((each) => (each.isSource ? between.get(each.id)?.out : each.recordsIn))),
      sumOf(sources.map((each) => (each.isSink ? undefined : each.bytesOut))),
      sumOf(sinks.map((each) => (each.isSource ? undefined : each.bytesIn))),
    ]
  }

  /** What its source operators passed on, and what its sinks' writers took. */
  async #withinVertex(id: string, known: Known, vertex: FlinkVertex, signal: AbortSignal) {
    if (vertex.parallelism > MAX_TASKS) return NOTHING
    let operators = known.operators.get(vertex.id)
    if (!operators) {
      const names = await this.#flink.vertexMetricNames(id, vertex.id, signal)
      operators = {
        sources: names.filter((name) => /^Source_[^.]*\.numRecordsOut$/.test(name)),
        sinks: names.filter((name) => /^(Sink_(?!.*Committer)[^.]*|[^.]*_Writer)\.numRecordsIn$/.test(name)),
      }
      // While its tasks begin, Flink may know of some of its operators only.
      if (operators.sources.length > 0 && operators.sinks.length > 0)
        known.operators.set(vertex.id, operators)
    }
    const sum = async (names: readonly string[]) =>
      names.length === 0 ? undefined : await this.#flink.vertexSum(id, vertex, names, signal)
    return { in: await sum(operators.sources), out: await sum(operators.sinks) }
  }
}

const newlyKnown = (sinceBegin: boolean): Known => ({
  exceptions: new ExceptionCounts(sinceBegin),
  operators: new Map(),
  interval: undefined,
  last: undefined,
})

const NOTHING = { in: undefined, out: undefined }

const TRAFFIC: readonly Family<'job'>[] = [
  metrics.recordsIn,
  metrics.recordsOut,
  metrics.bytesIn,
  metrics.bytesOut,
]

const CHECKPOINTS: readonly Family<'job'>[] = [
  metrics.checkpointInterval,
  metrics.checkpointsCompleted,
  metrics.checkpointsFailed,
  metrics.checkpointsInProgress,
  metrics.lastCheckpoint,
  metrics.lastCheckpointDuration,
  metrics.lastCheckpointSize,
]

const inSeconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000)

async function inTurn<T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = []
  for (const item of items) answers.push(await ask(item))
  return answers
}

/** The job that was started last of each name, the newest first: Flink lists those that have ended, too. */
export function newestOfEachName(jobs: readonly FlinkJob[]): readonly FlinkJob[] {
  const byName = new Map<string, FlinkJob>()
  for (const job of jobs.toSorted((a, b) => b.startedAt - a.startedAt)) {
    if (!byName.has(job.name)) byName.set(job.name, job)
  }
  return [...byName.values()]
}
