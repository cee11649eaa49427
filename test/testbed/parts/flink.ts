import { join } from 'node:path'
import { flinkClassPath, javaOptions } from '../java.ts'
import { reservePort } from '../ports.ts'
import { TestbedProcess, waitFor } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

/**
 * What a job does with its 100 rows a second, with a checkpoint every second. restarts: fails at the hundredth, and is
 * started again. fails: at the first, for good. slow: takes two a second of all it gets. loses-checkpoints: each is
 * given up. chained: no checkpoints, and source and sink in one vertex.
 */
type Behaviour = 'runs' | 'restarts' | 'fails' | 'slow' | 'loses-checkpoints' | 'chained'

interface Job {
  readonly jid: string
  readonly name: string
  /** As Flink writes it: `RUNNING`. */
  readonly state: string
}

export interface FlinkPart extends ProcessPart {
  /** Base URL of its REST interface. */
  readonly url: string
  /** Each that Flink lists, those that have ended among them, in the order in which they were started. */
  jobs(): Promise<readonly Job[]>
  /** Cancels the job that was started last under this name, and waits until it has ended. */
  cancel(name: string): Promise<void>
}

/** A Flink cluster, JobManager and two task managers of six slots, in one process; `jobs` are `[name, behaviour]`. */
export async function startFlink(jobs: readonly (readonly [string, Behaviour])[]): Promise<FlinkPart> {
  const data = dataFolder('flink', undefined)
  const port = await reservePort()
  const url = `http://127.0.0.1:${port}`
  const get = async (path: string, signal?: AbortSignal): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, signal ? { signal } : {})
    if (!response.ok) throw new Error(`Flink answered ${response.status} to ${path}`)
    return await response.json()
  }
  const list = async (signal?: AbortSignal) => {
    const { jobs } = (await get('/jobs/overview', signal)) as {
      readonly jobs: readonly (Job & { readonly 'start-time': number })[]
    }
    return jobs.toSorted((a, b) => a['start-time'] - b['start-time'])
  }
  const process = new TestbedProcess({
    name: 'flink',
    command: 'java',
    args: [
      ...javaOptions,
      ...['java.base/java.util', 'java.base/java.lang'].map((name) => `--add-opens=${name}=ALL-UNNAMED`),
      // It writes what its tasks hand each other there.
      `-Djava.io.tmpdir=${data.path}`,
      ...['-cp', flinkClassPath, 'Jobs', String(port)],
      ...jobs.map((job) => job.join('=')),
    ],
    logFile: join(data.path, 'flink.log'),
    ready: async (signal) => {
      const { taskmanagers } = (await get('/overview', signal)) as { readonly taskmanagers: number }
      return taskmanagers === 2 && (await list(signal)).length === jobs.length
    },
  })
  return {
    ...(await startProcessPart(process, data)),
    url,
    jobs: () => list(),
    async cancel(name) {
      const job = (await list()).findLast((each) => each.name === name)
      const response = await fetch(`${url}/jobs/${job?.jid}?mode=cancel`, { method: 'PATCH' })
      if (!response.ok) throw new Error(`Flink answered ${response.status} to the cancelling of ${name}`)
      await waitFor(
        `${name} to be cancelled`,
        async () => (await list()).find(({ jid }) => jid === job?.jid)?.state === 'CANCELED',
      )
    },
  }
}
