import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { temporaryFolder } from '../testbed/part.ts'
import { waitFor } from '../testbed/process.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface CommandResult {
  /** Null when a signal ended it. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Running {
  readonly pid: number
  /** What it has written so far. */
  stdout(): string
  stderr(): string
  readonly ended: Promise<CommandResult>
  kill(signal: NodeJS.Signals): void
}

/** A process of the command line, as a user runs it; it dies with the process that started it. */
function start(args: readonly string[], entry: string): Running {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, entry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
    })
  }
  const ended = once(child, 'close').then(([exitCode]) => ({ exitCode: exitCode as number | null, ...text }))
  return {
    pid: child.pid ?? 0,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    ended,
    kill: (signal) => void child.kill(signal),
  }
}

/** Runs `cdc-exporter` with these arguments to its end. */
export function runCommand(...args: readonly string[]): Promise<CommandResult> {
  return start(args, main).ended
}

export interface Daemon {
  readonly url: string
  /** Of its configuration file; `configure` writes it anew. */
  readonly file: string
  readonly pid: number
  /** Writes the file; nothing is reloaded by that. */
  configure(config: unknown): void
  /** The lines of the log so far, parsed. */
  log(): readonly Readonly<Record<string, unknown>>[]
  /** All that it has written to standard output and error. */
  output(): string
  /** The body of a GET. */
  get(path: string): Promise<string>
  /** The value of a series, blanks and all as the exposition has it; undefined where there is none. */
  sample(series: string): Promise<number | undefined>
  kill(signal: NodeJS.Signals): void
  readonly ended: Promise<CommandResult>
  /** SIGTERM, and its end. */
  stop(): Promise<void>
}

/** `cdc-exporter run` on a free loopback port; resolves when it says that it runs. `entry`: its main.ts.
 * `settings`: other keys of its configuration. */
export async function startDaemon(
  collectors: readonly unknown[],
  {
    entry = main,
    log = {},
    settings = {},
  }: { readonly entry?: string; readonly log?: object; readonly settings?: object } = {},
): Promise<Daemon> {
  const folder = temporaryFolder('daemon')
  const file = join(folder.path, 'config.yaml')
  const configure = (config: unknown) => writeFileSync(file, stringify(config))
  configure({ web: { listen: '127.0.0.1:0' }, log, collectors, ...settings })
  const running = start(['run', '--config', file], entry)
  let over = false
  void running.ended.then(() => {
    over = true
  })
  const parsed = () =>
    running
      .stdout()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  await waitFor(
    'the daemon to run',
    () => over || parsed().some(({ message }) => message === 'cdc-exporter is running'),
  )
  const port = parsed().find(({ message }) => message === 'cdc-exporter is running')?.port
  if (over || typeof port !== 'number')
    throw new Error(`the daemon did not start: ${running.stdout()}${running.stderr()}`)
  const url = `http://127.0.0.1:${port}`
  const get = async (path: string) => await (await fetch(`${url}${path}`)).text()
  return {
    url,
    file,
    pid: running.pid,
    configure,
    log: parsed,
    output: () => running.stdout() + running.stderr(),
    get,
    async sample(series) {
      const line = (await get('/metrics')).split('\n').find((line) => line.startsWith(`${series} `))
      return line === undefined ? undefined : Number(line.slice(series.length + 1))
    },
    kill: running.kill,
    ended: running.ended,
    async stop() {
      running.kill('SIGTERM')
      await running.ended
      folder.remove()
    },
  }
}
