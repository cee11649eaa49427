import { join } from 'node:path'
import axon from 'pm2-axon'
import rpc from 'pm2-axon-rpc'
import { z } from 'zod'
import { call } from './call.ts'

/** A number that a process reports to PM2. */
export interface Pm2Measure {
  readonly value: number
  /** As the process says it: `ms`, `MiB`, `req/min`; empty for none. */
  readonly unit: string
}

/** One process in PM2's list. */
export interface Pm2Process {
  readonly name: string
  /** PM2's number of the process, not the system's. */
  readonly id: number
  /** PM2's word: `online`, `stopped`, `waiting restart`; see `stateOf`. */
  readonly state: string
  /** Since it was added or reset: a number that PM2 sets back to 0. */
  readonly restarts: number
  /** Milliseconds since the epoch, of the last start; undefined where it does not run. */
  readonly startedAt: number | undefined
  /** Bytes; undefined where PM2 could not measure. */
  readonly memory: number | undefined
  /** Of one core, 1 for all of it; undefined where PM2 could not measure. */
  readonly cpu: number | undefined
  /** From its package.json; empty without one. */
  readonly version: string
  /** Empty where it is no Node process. */
  readonly nodeVersion: string
  /** `fork` or `cluster`. */
  readonly execMode: string
  readonly namespace: string
  /** Absolute path of the file that takes its standard error; instances may share it. */
  readonly errorLog: string | undefined
  /** What it reports to PM2, by the name that PM2 shows; what is no number is left out. */
  readonly reported: ReadonlyMap<string, Pm2Measure>
}

// What the environment of a process could have set to anything.
const text = z.string().optional().catch(undefined)

// `pm2_env` holds the whole environment of the process, passwords too: what is not picked here goes no further.
const monitorData = z.array(
  z.object({
    name: z.string(),
    pm_id: z.number(),
    pid: z.number().optional(),
    monit: z.object({ memory: z.number().optional(), cpu: z.number().optional() }).optional(),
    pm2_env: z.object({
      status: z.string(),
      restart_time: z.number(),
      pm_uptime: z.number().optional(),
      created_at: z.unknown(),
      version: text,
      node_version: text,
      exec_mode: text,
      namespace: text,
      pm_err_log_path: text,
      axm_monitor: z.record(z.string(), z.unknown()).catch({}),
    }),
  }),
)

/**
 * The processes of the PM2 daemon whose PM2_HOME is `home`, from its RPC socket. Never starts a daemon, and
 * calls nothing that changes one. A connection lives for one request: on a unix socket it costs nothing.
 */
export async function pm2Processes(home: string, signal: AbortSignal): Promise<readonly Pm2Process[]> {
  const backend = `pm2 in ${home}`
  const request = 'getMonitorData'
  const socket = axon.socket('req')
  const release = () => socket.close()
  try {
    return await call({ backend, request, signal, release }, async () => {
      const processes = monitorData.safeParse(await ask(socket, join(home, 'rpc.sock'), request, signal))
      if (!processes.success) throw new Error(`unexpected answer: ${z.prettifyError(processes.error)}`)
      return processes.data.map(toProcess)
    })
  } finally {
    release()
  }
}

function ask(
  socket: ReturnType<typeof axon.socket>,
  path: string,
  method: string,
  signal: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    // 0: does not connect again on its own.
    socket.set('retry timeout', 0)
    socket.on('error', reject)
    socket.on('socket error', reject)
    socket.on('close', () => reject(new Error('the connection was closed')))
    // A frame that cannot be read would throw out of the stream's event and end the process.
    const handlerFor = socket.onmessage
    socket.onmessage = (peer) => {
      const handle = handlerFor.call(socket, peer)
      return (frame) => {
        try {
          handle(frame)
        } catch (error) {
          reject(error)
        }
      }
    }
    // On a path axon ignores a callback of `connect`.
    socket.on('connect', () => {
      // `close` did not see a socket that was still connecting.
      if (signal.aborted) return socket.close()
      new rpc.Client(socket).call(method, {}, (error, answer) => (error ? reject(error) : resolve(answer)))
    })
    socket.connect(path)
  })
}

function toProcess({
  name,
  pm_id,
  pid = 0,
  monit,
  pm2_env,
}: z.output<typeof monitorData>[number]): Pm2Process {
  const state = stateOf(pm2_env.status, pid, pm2_env.created_at)
  // One that waits for its restart still has the pid of the process that ended.
  const running = pid > 0 && ['online', 'launching', 'stopping'].includes(state)
  // PM2 says 0 for both when it could not measure; no process that runs has no memory.
  const measured = running && (monit?.memory ?? 0) > 0
  return {
    name,
    id: pm_id,
    state,
    restarts: pm2_env.restart_time,
    startedAt: running ? pm2_env.pm_uptime : undefined,
    memory: measured ? monit?.memory : undefined,
    cpu: measured && monit?.cpu !== undefined ? monit.cpu / 100 : undefined,
    version: known(pm2_env.version),
    nodeVersion: known(pm2_env.node_version),
    execMode: known(pm2_env.exec_mode).replace(/_mode$/, ''),
    namespace: known(pm2_env.namespace),
    errorLog: pm2_env.pm_err_log_path,
    reported: new Map(
      Object.entries(pm2_env.axm_monitor).flatMap(([source, given]) => {
        const measure = toMeasure(given)
        return measure === undefined ? [] : [[source, measure]]
      }),
    ),
  }
}

/**
 * With `restart_delay`, PM2 leaves `waiting restart` on a process that it will not start again, for ever. Such a
 * one has lost its pid. PM2 also forgets when it was made if it gave up after too many restarts; else the process
 * was stopped, or had ended and was not to be restarted.
 */
function stateOf(status: string, pid: number, createdAt: unknown): string {
  if (status !== 'waiting restart' || pid > 0) return status
  return createdAt === null ? 'errored' : 'stopped'
}

/** PM2 says `N/A` of what it does not know. */
const known = (text = ''): string => (text === 'N/A' ? '' : text)

/** An application reports `{ value, unit }` or a bare value; a number may be a text, with its unit in it. */
function toMeasure(given: unknown): Pm2Measure | undefined {
  const { value, unit } =
    typeof given === 'object' && given !== null
      ? (given as { value?: unknown; unit?: unknown })
      : { value: given, unit: undefined }
  const named = typeof unit === 'string' ? unit : ''
  if (typeof value === 'number') return { value, unit: named }
  if (typeof value !== 'string') return undefined
  const [, digits, suffix = ''] =
    /^\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([a-zµ%][a-zµ%/]*)?\s*$/i.exec(value) ?? []
  return digits === undefined ? undefined : { value: Number(digits), unit: named || suffix }
}
