import { z } from 'zod'
import { readTrace } from './java-trace.ts'
import { connectRest, hasStatus, type RestAddress } from './rest.ts'

/** Names of Flink itself: https://nightlies.apache.org/flink/flink-docs-stable/docs/ops/rest_api/ */
interface FlinkOverview {
  readonly version: string
  readonly taskManagers: number
  readonly slots: number
  readonly slotsAvailable: number
}

export interface FlinkJob {
  readonly id: string
  readonly name: string
  /** In lower case: `running`. */
  readonly state: string
  /** Wall milliseconds. */
  readonly startedAt: number
}

/** What a vertex, one or more chained operators, took in and put out since its tasks were started last. */
export interface FlinkVertex {
  readonly id: string
  readonly parallelism: number
  readonly isRunning: boolean
  /** Nothing comes before it. */
  readonly isSource: boolean
  /** Nothing comes after it. */
  readonly isSink: boolean
  /** Over the network to and from other vertices. Each undefined as long as a task has not told. */
  readonly recordsIn: number | undefined
  readonly recordsOut: number | undefined
  readonly bytesIn: number | undefined
  readonly bytesOut: number | undefined
}

interface FlinkJobDetails {
  /** Older than the list of jobs by some seconds: Flink keeps this answer. */
  readonly state: string
  readonly vertices: readonly FlinkVertex[]
}

interface FlinkCheckpoints {
  readonly completed: number
  readonly failed: number
  readonly inProgress: number
  readonly last:
    | {
        /** Wall milliseconds. */
        readonly endedAt: number
        /** Milliseconds. */
        readonly duration: number
        /** What was written: of an incremental one less than the state. */
        readonly bytes: number
      }
    | undefined
}

/** One failure of a job that its JobManager remembers. */
export interface FlinkException {
  /** Tells it from every other of the job. */
  readonly key: string
  /** Of the last cause in its trace. */
  readonly rootClass: string
}

export interface FlinkReader {
  /**
   * Of the first address that answers: one that is down, redirects or has no leader is passed over. Everything
   * else is asked of the address that did.
   */
  overview(signal: AbortSignal): Promise<FlinkOverview>
  /** Those that have ended, too, for as long as Flink lists them. */
  jobs(signal: AbortSignal): Promise<readonly FlinkJob[]>
  /** Undefined, here and below, where Flink does not know the job any more. */
  job(id: string, signal: AbortSignal): Promise<FlinkJobDetails | undefined>
  /** Undefined, too, for a job without checkpoints. */
  checkpoints(id: string, signal: AbortSignal): Promise<FlinkCheckpoints | undefined>
  /** Milliseconds; undefined, too, where none are made by themselves. */
  checkpointInterval(id: string, signal: AbortSignal): Promise<number | undefined>
  /** The newest, in no order; Flink remembers `web.exception-history-size` of them. */
  exceptions(id: string, signal: AbortSignal): Promise<readonly FlinkException[]>
  /** Those of the named metrics of the job that there are; none of a job that has ended. */
  jobMetrics(id: string, names: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, number>>
  /** Names of metrics that tasks of the vertex have. */
  vertexMetricNames(id: string, vertex: string, signal: AbortSignal): Promise<readonly string[]>
  /** The sum over all tasks of the vertex; undefined as long as one has not told. */
  vertexSum(
    id: string,
    vertex: FlinkVertex,
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<number | undefined>
  /** Of the task where it is the most, 0 to 1; undefined as long as none has told. */
  backpressure(id: string, vertex: FlinkVertex, signal: AbortSignal): Promise<number | undefined>
  close(): void
}

const state = z.string().transform((text) => text.toLowerCase())

const overviewAnswer = z.object({
  taskmanagers: z.int(),
  'slots-total': z.int(),
  'slots-available': z.int(),
  'flink-version': z.string().default(''),
})

const jobsAnswer = z.object({
  jobs: z.array(z.object({ jid: z.string(), name: z.string(), 'start-time': z.number(), state })),
})

const count = z.number().nullish()

const jobAnswer = z.object({
  state,
  vertices: z.array(
    z.object({
      id: z.string(),
      parallelism: z.int(),
      status: z.string(),
      metrics: z.looseObject({
        'read-records': count,
        'write-records': count,
        'read-bytes': count,
        'write-bytes': count,
      }),
    }),
  ),
  plan: z.object({
    nodes: z.array(z.object({ id: z.string(), inputs: z.array(z.object({ id: z.string() })).default([]) })),
  }),
})

const checkpointsAnswer = z.object({
  counts: z.object({ completed: z.int(), failed: z.int(), in_progress: z.int() }),
  latest: z.object({
    completed: z
      .object({
        latest_ack_timestamp: z.number(),
        end_to_end_duration: z.number(),
        state_size: z.number(),
        // Since Flink 1.15.
        checkpointed_size: z.number().optional(),
      })
      .nullish(),
  }),
})

const checkpointConfigAnswer = z.object({ interval: z.number() })

const exceptionsAnswer = z.object({
  exceptionHistory: z.object({
    entries: z.array(
      z.object({
        exceptionName: z.string(),
        stacktrace: z.string(),
        timestamp: z.number(),
        taskName: z.string().nullish(),
      }),
    ),
  }),
})

const metricNamesAnswer = z.array(z.object({ id: z.string() }))

const metricsAnswer = z.array(z.object({ id: z.string(), value: z.string() }))

const maximaAnswer = z.array(z.object({ id: z.string(), max: z.number() }))

/** Java's largest number, which means never, is beyond it. */
const LONGEST_INTERVAL = 2 ** 53

/** Netty, as Flink has it, takes a first line of up to 4,096 characters. */
const LONGEST_PATH = 3_500

const MAX_EXCEPTIONS = 100

const BACKPRESSURE = 'backPressuredTimeMsPerSecond'

/** Reads a Flink cluster over the REST interface of its JobManagers. Asks for nothing that takes a sample. */
export function connectFlink(address: () => RestAddress): FlinkReader {
  const rest = connectRest('flink', address)

  /** Undefined where Flink does not know what is asked for. */
  async function known<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T | undefined> {
    try {
      return await rest.get(path, schema, signal)
    } catch (error) {
      if (hasStatus(error, 404)) return undefined
      throw error
    }
  }

  async function metrics(path: string, names: readonly string[], signal: AbortSignal) {
    const found = new Map<string, number>()
    const left = names.map(encodeURIComponent)
    while (left.length > 0) {
      let query = `${path}?get=${left.shift()}`
      while (left[0] && query.length + left[0].length < LONGEST_PATH) query += `,${left.shift()}`
      for (const { id, value } of (await known(query, metricsAnswer, signal)) ?? [])
        found.set(id, Number(value))
    }
    return found
  }

  return {
    async overview(signal) {
      const answer = await rest.anywhere(() => rest.get('/overview', overviewAnswer, signal), signal)
      return {
        version: answer['flink-version'],
        taskManagers: answer.taskmanagers,
        slots: answer['slots-total'],
        slotsAvailable: answer['slots-available'],
      }
    },
    async jobs(signal) {
      const { jobs } = await rest.get('/jobs/overview', jobsAnswer, signal)
      return jobs.map(({ jid: id, name, state, 'start-time': startedAt }) => ({ id, name, state, startedAt }))
    },
    async job(id, signal) {
      const answer = await known(`/jobs/${id}`, jobAnswer, signal)
      return answer && { state: answer.state, vertices: verticesOf(answer) }
    },
    async checkpoints(id, signal) {
      const answer = await known(`/jobs/${id}/checkpoints`, checkpointsAnswer, signal)
      if (!answer) return undefined
      const { completed, failed, in_progress: inProgress } = answer.counts
      const last = answer.latest.completed
      return {
        completed,
        failed,
        inProgress,
        last: last
          ? {
              endedAt: last.latest_ack_timestamp,
              duration: last.end_to_end_duration,
              bytes: last.checkpointed_size ?? last.state_size,
            }
          : undefined,
      }
    },
    async checkpointInterval(id, signal) {
      const answer = await known(`/jobs/${id}/checkpoints/config`, checkpointConfigAnswer, signal)
      return answer && answer.interval < LONGEST_INTERVAL ? answer.interval : undefined
    },
    async exceptions(id, signal) {
      const path = `/jobs/${id}/exceptions?maxExceptions=${MAX_EXCEPTIONS}`
      const answer = await known(path, exceptionsAnswer, signal)
      return (answer?.exceptionHistory.entries ?? []).map(({ exceptionName, stacktrace, ...entry }) => ({
        key: JSON.stringify([entry.timestamp, entry.taskName, exceptionName]),
        rootClass: readTrace(stacktrace).rootClass,
      }))
    },
    jobMetrics: (id, names, signal) => metrics(`/jobs/${id}/metrics`, names, signal),
    async vertexMetricNames(id, vertex, signal) {
      const path = `/jobs/${id}/vertices/${vertex}/subtasks/metrics`
      return ((await known(path, metricNamesAnswer, signal)) ?? []).map((metric) => metric.id)
    },
    async vertexSum(id, vertex, names, signal) {
      const wanted = Array.from({ length: vertex.parallelism }, (_, task) =>
        names.map((name) => `${task}.${name}`),
      ).flat()
      const found = await metrics(`/jobs/${id}/vertices/${vertex.id}/metrics`, wanted, signal)
      return sumOf(wanted.map((name) => found.get(name)))
    },
    async backpressure(id, vertex, signal) {
      const path = `/jobs/${id}/vertices/${vertex.id}/subtasks/metrics?get=${BACKPRESSURE}&agg=max`
      const [most] = (await known(path, maximaAnswer, signal)) ?? []
      return most && most.max / 1000
    },
    close: () => rest.close(),
  }
}

/** Undefined where one of them is. */
export function sumOf(values: readonly (number | undefined)[]): number | undefined {
  let sum: number | undefined = 0
  for (const value of values) sum = value === undefined || sum === undefined ? undefined : sum + value
  return sum
}

function verticesOf({ vertices, plan }: z.output<typeof jobAnswer>): FlinkVertex[] {
  const inputsOf = new Map(plan.nodes.map(({ id, inputs }) => [id, inputs]))
  const read = new Set(plan.nodes.flatMap(({ inputs }) => inputs.map(({ id }) => id)))
  return vertices.map(({ id, parallelism, status, metrics }) => {
    const told = (name: 'read-records' | 'write-records' | 'read-bytes' | 'write-bytes') =>
      metrics[`${name}-complete`] === true ? (metrics[name] ?? undefined) : undefined
    return {
      id,
      parallelism,
      isRunning: status === 'RUNNING',
      isSource: (inputsOf.get(id) ?? []).length === 0,
      isSink: !read.has(id),
      recordsIn: told('read-records'),
      recordsOut: told('write-records'),
      bytesIn: told('read-bytes'),
      bytesOut: told('write-bytes'),
    }
  })
}
