import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface ProcessOptions {
  /** Short name for messages: `kafka`, `redis`. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Run as this user: PostgreSQL refuses root. */
  readonly uid?: number
  readonly gid?: number
  /** Where standard output and error go. */
  readonly logFile: string
  /** Rejects or answers false while the part is not ready; asked again as long as patience lasts. */
  readonly ready: (signal: AbortSignal) => Promise<boolean>
  /** The signal that asks for a clean stop; SIGTERM where absent. */
  readonly stopSignal?: NodeJS.Signals
}

/**
 * A process of the testbed: started, awaited, frozen, killed and started again on the same ports and data.
 * It dies with the process that started it, even by kill -9 (setpriv --pdeathsig).
 */
export class TestbedProcess {
  readonly options: ProcessOptions
  #child: ChildProcess | undefined

  constructor(options: ProcessOptions) {
    this.options = options
  }

  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error(`${this.options.name} is not running`)
    return pid
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Starts it and waits until it is ready; says the end of its log when it does not come. */
  async start(): Promise<void> {
    const { name, command, args, env, cwd, uid, gid, logFile, ready } = this.options
    if (this.running) throw new Error(`${name} is running already`)
    mkdirSync(dirname(logFile), { recursive: true })
    const log = createWriteStream(logFile, { flags: 'a' })
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    })
    this.#child = child
    child.stdout?.pipe(log, { end: false })
    child.stderr?.pipe(log, { end: false })
    child.once('close', () => log.end())
    let failure: Error | undefined
    child.once('error', (error) => {
      failure = error
    })
    try {
      await waitFor(`${name} to be ready`, async (signal) => {
        if (failure) throw new Fatal(`${name} could not be started: ${failure.message}`)
        if (!this.running) throw new Fatal(`${name} ended with ${child.exitCode ?? child.signalCode}`)
        return await ready(signal)
      })
    } catch (error) {
      await this.kill()
      throw new Error(`${error instanceof Error ? error.message : error}\n${tail(logFile)}`, { cause: error })
    }
  }

  /** Asks it to end; kills it when it does not within ten seconds. */
  async stop(): Promise<void> {
    if (!this.running) return
    this.thaw()
    this.#child?.kill(this.options.stopSignal ?? 'SIGTERM')
    const killer = setTimeout(() => this.#signalTree('SIGKILL'), 10_000)
    await this.#ended()
    clearTimeout(killer)
  }

  /** kill -9 of it and all its descendants; resolves when all have ended. */
  async kill(): Promise<void> {
    if (!this.running) return
    const family = descendants(this.pid)
    this.#signalTree('SIGKILL')
    await this.#ended()
    // What a dying backend still holds, such as shared memory, would stop the next start.
    await waitFor(`the processes of ${this.options.name} to end`, () => !family.some(isAlive))
  }

  /** SIGSTOP: connections stay open and nothing answers. It has stopped when this returns. */
  freeze(): void {
    freezeTree(this.pid)
  }

  thaw(): void {
    this.#signalTree('SIGCONT')
  }

  #signalTree(signal: NodeJS.Signals): void {
    for (const pid of [this.pid, ...descendants(this.pid)]) {
      try {
        process.kill(pid, signal)
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  #ended(): Promise<void> {
    const child = this.#child
    if (!child || !this.running) return Promise.resolve()
    return new Promise((resolve) => child.once('exit', () => resolve()))
  }
}

/** An answer that will not change by waiting. */
class Fatal extends Error {}

/**
 * How long a test waits for what has to come, in milliseconds. A slow and busy machine may need minutes; only
 * what hangs is waited for to the end.
 */
export const PATIENCE_MS = 180_000

/** For one question of those that are asked again and again: a slow answer is one, a hung connection none. */
export const ANSWER_MS = 20_000

/** Asks until the condition holds; its last error is the cause of the rejection. */
export async function waitFor(
  what: string,
  condition: (signal: AbortSignal) => Promise<boolean> | boolean,
  withinMs = PATIENCE_MS,
): Promise<void> {
  const deadline = performance.now() + withinMs
  let last: unknown
  while (performance.now() < deadline) {
    try {
      const left = Math.max(1, Math.ceil(deadline - performance.now()))
      if (await condition(AbortSignal.timeout(Math.min(ANSWER_MS, left)))) return
      last = undefined
    } catch (error) {
      if (error instanceof Fatal) throw error
      last = error
    }
    await delay(50)
  }
  const reason = last instanceof Error ? `: ${last.message}` : ''
  throw new Error(`waited ${withinMs} ms for ${what}${reason}`, { cause: last })
}

/** SIGSTOP to a process and all below it. Parents first: what has stopped starts no further child. */
export function freezeTree(pid: number): void {
  try {
    process.kill(pid, 'SIGSTOP')
  } catch {
    // It has ended meanwhile.
  }
  // The kernel stops the threads of a busy process a little after the signal; until then they answer.
  const pause = new Int32Array(new SharedArrayBuffer(4))
  const deadline = performance.now() + 60_000
  while (threadStates(pid).some((state) => !'TtZX'.includes(state))) {
    if (performance.now() > deadline) throw new Error(`process ${pid} does not stop`)
    Atomics.wait(pause, 0, 0, 1)
  }
  for (const child of childrenByParent().get(pid) ?? []) freezeTree(child)
}

/** The letters of proc(5): R running, S sleeping, T stopped, Z zombie, … */
function threadStates(pid: number): string[] {
  const folder = `/proc/${pid}/task`
  if (!existsSync(folder)) return []
  return readdirSync(folder).map((thread) => {
    try {
      return statOf(join(folder, thread))[0] ?? ''
    } catch {
      // It has ended meanwhile.
      return 'X'
    }
  })
}

/** The fields of a `stat` file after the command's name, which may hold blanks: state, parent, … */
function statOf(folder: string): string[] {
  const stat = readFileSync(`${folder}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** Every process below `pid`, from /proc. */
export function descendants(pid: number): number[] {
  const childrenOf = childrenByParent()
  const found: number[] = []
  const queue = [pid]
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const children = childrenOf.get(next) ?? []
    found.push(...children)
    queue.push(...children)
  }
  return found
}

function childrenByParent(): Map<number, number[]> {
  const childrenOf = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const parent = Number(statOf(`/proc/${entry}`)[1])
      childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(entry)])
    } catch {
      // It has ended meanwhile.
    }
  }
  return childrenOf
}

/** False for a zombie too: it holds nothing but its number. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z'
  } catch {
    return false
  }
}

function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(-20).join('\n')
  } catch {
    return ''
  }
}
