import { join } from 'node:path'
import axon from 'pm2-axon'
import rpc from 'pm2-axon-rpc'
import { z } from 'zod'
import { call } from './call.ts'

/** One process in PM2's list. */
export interface Pm2Process {
  readonly name: string
  /** PM2's number of the process, not the system's. */
  readonly id: number
  /** PM2's word: `online`, `stopped`, `waiting restart`. */
  readonly state: string
  /** Whether a process of the system stands behind it now. */
  readonly running: boolean
  readonly restarts: number
  /** Milliseconds since the epoch, of the last start. */
  readonly startedAt: number | undefined
  /** Bytes; undefined where PM2 could not measure. */
  readonly memory: number | undefined
  /** Of one core, 1 for all of it; undefined where PM2 could not measure. */
  readonly cpu: number | undefined
}

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
  const running = pid > 0
  // PM2 says 0 for both when it could not measure; no process that runs has no memory.
  const measured = running && (monit?.memory ?? 0) > 0
  return {
    name,
    id: pm_id,
    state: pm2_env.status,
    running,
    restarts: pm2_env.restart_time,
    startedAt: running ? pm2_env.pm_uptime : undefined,
    memory: measured ? monit?.memory : undefined,
    cpu: measured && monit?.cpu !== undefined ? monit.cpu / 100 : undefined,
  }
}
