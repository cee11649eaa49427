import { execFile, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { PATIENCE_MS, TestbedProcess, waitFor } from '../process.ts'
import { dataFolder, type ProcessPart, processPart } from '../process-part.ts'

// Neither package has types.
const require = createRequire(import.meta.url)
const axon = require('pm2-axon') as { socket(type: 'req'): RequestSocket }
const rpc = require('pm2-axon-rpc') as { Client: new (socket: RequestSocket) => RpcClient }

interface RequestSocket {
  once(event: 'connect' | 'error' | 'ignored error', listener: (error: Error) => void): void
  connect(path: string): void
  close(): void
}

interface RpcClient {
  call(method: string, argument: unknown, done: (error: Error | null, answer: unknown) => void): void
}

export interface Pm2Options {
  /** Existing folder that becomes PM2_HOME; a temporary one where absent. */
  readonly folder?: string
}

/** An application in the words of PM2's own ecosystem file. */
interface Pm2App {
  readonly name: string
  /** Absolute path of a Node script. */
  readonly script: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly instances?: number
  readonly exec_mode?: 'fork' | 'cluster'
  readonly namespace?: string
  readonly autorestart?: boolean
  readonly max_restarts?: number
  /** Milliseconds. */
  readonly min_uptime?: number
  /** Milliseconds. */
  readonly restart_delay?: number
  /** Whether all instances write to the same files. */
  readonly merge_logs?: boolean
  /** False leaves out PM2's metrics, whose next report ends an application that has lost its daemon. */
  readonly pmx?: boolean
}

export interface Pm2Part extends ProcessPart {
  /** PM2_HOME. */
  readonly home: string
  /** Starts it through PM2's command line, and rejects with what that says. */
  startApp(app: Pm2App): Promise<void>
  /** It stays in PM2's list. */
  stopApp(name: string): Promise<void>
  deleteApp(name: string): Promise<void>
  restartApp(name: string): Promise<void>
  /** Sets its restarts to 0. */
  resetApp(name: string): Promise<void>
  /** Opens the log files anew, as after a rotation. */
  reloadLogs(): Promise<void>
  /** Of its first instance; 0 while it is stopped. Rejects where PM2 does not have it. */
  pidOf(name: string): Promise<number>
}

/**
 * A PM2 daemon in its own PM2_HOME. `kill` takes its applications with it; where only the daemon is killed,
 * by its pid, those without `pmx` live on until `stop`, as they do in production. It starts with an empty list each time.
 */
export async function startPm2({ folder }: Pm2Options = {}): Promise<Pm2Part> {
  const data = dataFolder('pm2', folder)
  const home = data.path
  // What PM2's command line makes before it starts a daemon; it greets, and calls home, where `touch` is missing.
  for (const name of ['logs', 'pids', 'modules']) mkdirSync(join(home, name), { recursive: true })
  writeFileSync(join(home, 'touch'), '')
  const environment = {
    PM2_HOME: home,
    HOME: home,
    // `node` of an application is the Node that runs us.
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}`,
    PM2_DISABLE_VERSION_CHECK: 'true',
    PM2_NO_INTERACTION: 'true',
    // After an error of its own the daemon runs `node $_ update`, which would start another daemon.
    _: '/dev/null',
  }
  const socket = join(home, 'rpc.sock')
  const commandLine = require.resolve('pm2/bin/pm2')
  const daemon = new TestbedProcess({
    name: 'pm2',
    command: process.execPath,
    args: [require.resolve('pm2/lib/Daemon.js')],
    env: environment,
    cwd: home,
    logFile: join(home, 'pm2.log'),
    ready: async (signal) => (await call(socket, 'ping', {}, signal)) !== undefined,
  })
  const part = processPart(daemon, data)

  let guard: Guard | undefined

  async function start(): Promise<void> {
    if (daemon.running) throw new Error('pm2 is running already')
    await endApps()
    guard = guardAgainstOurDeath(home)
    await daemon.start()
  }

  async function stop(): Promise<void> {
    await daemon.stop()
    await endApps()
  }

  /** Those that the daemon left behind. */
  async function endApps(): Promise<void> {
    guard?.dismiss()
    guard = undefined
    await waitFor('the applications of pm2 to end', () => killAppsOf(home) === 0)
  }

  async function apps(name: string): Promise<readonly MonitoredProcess[]> {
    const list = (await call(socket, 'getMonitorData', {})) as readonly MonitoredProcess[]
    const found = list.filter((app) => app.name === name)
    if (found.length === 0) throw new Error(`pm2 has no application ${name}`)
    return found
  }

  try {
    await start()
  } catch (error) {
    data.remove()
    throw error
  }
  return {
    ...part,
    home,
    start,
    stop,
    async kill() {
      await daemon.kill()
      await endApps()
    },
    async remove() {
      await stop()
      await part.remove()
    },
    async startApp(app) {
      // Without a daemon the command line would start one of its own.
      await call(socket, 'ping', {})
      const declaration = join(home, `${app.name}.json`)
      writeFileSync(declaration, JSON.stringify({ apps: [app] }))
      // The applications inherit the environment of the command line: hand over no more than they need.
      await run('setpriv', ['--pdeathsig', 'KILL', process.execPath, commandLine, 'start', declaration], {
        cwd: home,
        env: environment,
      })
    },
    async stopApp(name) {
      for (const { pm_id } of await apps(name)) await call(socket, 'stopProcessId', pm_id)
    },
    async deleteApp(name) {
      for (const { pm_id } of await apps(name)) await call(socket, 'deleteProcessId', pm_id)
    },
    async restartApp(name) {
      for (const { pm_id } of await apps(name)) await call(socket, 'restartProcessId', { id: pm_id })
    },
    async resetApp(name) {
      for (const { pm_id } of await apps(name)) await call(socket, 'resetMetaProcessId', pm_id)
    },
    async reloadLogs() {
      await call(socket, 'reloadLogs', {})
    },
    async pidOf(name) {
      return (await apps(name))[0]?.pid ?? 0
    },
  }
}

const run = promisify(execFile)

interface MonitoredProcess {
  readonly name: string
  readonly pm_id: number
  readonly pid: number
}

/** Calls a method of the daemon. Rejects where none answers: it never starts one. */
function call(path: string, method: string, argument: unknown, signal = AbortSignal.timeout(PATIENCE_MS)) {
  const socket = axon.socket('req')
  return new Promise<unknown>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    socket.once('error', reject)
    // axon goes on trying after a refused connection; we ask again ourselves.
    socket.once('ignored error', reject)
    socket.once('connect', () => {
      new rpc.Client(socket).call(method, argument, (error, answer) =>
        error ? reject(error) : resolve(answer),
      )
    })
    socket.connect(path)
  }).finally(() => socket.close())
}

/**
 * kill -9 of the applications of a daemon, and how many there were. They are found by their environment: PM2
 * detaches them, so that they outlive it and are nobody's children then.
 */
function killAppsOf(home: string): number {
  let killed = 0
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const environment = readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0')
      // `pm_id` is in the environment of a forked application, `pm2_env` in that of a clustered one.
      if (!environment.includes(`PM2_HOME=${home}`)) continue
      if (!environment.some((variable) => /^(pm_id|pm2_env)=/.test(variable))) continue
      process.kill(Number(entry), 'SIGKILL')
      killed++
    } catch {
      // It has ended meanwhile, or is another user's.
    }
  }
  return killed
}

interface Guard {
  dismiss(): void
}

/**
 * The applications would outlive our own kill -9 too. A shell waits for the end of its standard input, which is
 * a pipe from us, and then kills all that has this PM2_HOME. Its session is its own: Ctrl-C does not reach it.
 */
function guardAgainstOurDeath(home: string): Guard {
  const script = `
    read -r _
    for process in /proc/[0-9]*; do
      grep -qszxF "PM2_HOME=$1" $process/environ && kill -9 \${process#/proc/}
    done`
  const shell = spawn('sh', ['-c', script, 'pm2-guard', home], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  return {
    dismiss() {
      shell.kill()
    },
  }
}
