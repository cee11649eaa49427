import { Command, Option } from 'commander'
import { install } from '../testbed/install.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { endProcesses } from './end.ts'
import { faults } from './faults.ts'
import { checkOnce, saveAnswers, saveLogs } from './once.ts'
import { forgetDemo, publishDemo, runningDemo } from './running.ts'
import { progress, startDemo } from './start.ts'
import { frame } from './table.ts'
import { watch } from './watch.ts'

// Exit codes: 0 good, 1 failed, 2 bad usage.

/** For all of `--once`, from the first part to the last check. */
const ONCE_WITHIN_MS = 480_000

interface Options {
  readonly once?: boolean
  readonly save?: string
  readonly break?: string
  readonly repair?: string
}

const faultOption = (flag: string, description: string) =>
  new Option(`${flag} <fault>`, description).choices(Object.keys(faults)).conflicts(['once', 'save'])

const program = new Command('demo')
  .description('A whole pipeline of real parts on loopback, and the daemon that watches it')
  .option('--once', 'check that all is collected and scraped, print one table, and end')
  .option('--save <dir>', 'with --once: keep the answers of the daemon and all logs there')
  .addOption(faultOption('--break', 'break a part of the demo that runs in another terminal'))
  .addOption(faultOption('--repair', 'undo --break').conflicts('break'))
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (options: Options) => {
    if (options.save !== undefined && !options.once) program.error("error: option '--save' needs '--once'")
    const fault = options.break ?? options.repair
    process.exitCode =
      fault === undefined ? await demo(options) : await act(fault, options.repair !== undefined)
  })

/** Runs until a signal, or with `--once` until it is checked. Whenever it ends, nothing stays behind. */
async function demo({ once = false, save }: Options): Promise<number> {
  const end = new AbortController()
  const interrupted = new Error('interrupted')
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => end.abort(interrupted))
  if (once)
    setTimeout(() => end.abort(new Error(`not done within ${ONCE_WITHIN_MS} ms`)), ONCE_WITHIN_MS).unref()

  const folder = temporaryFolder('demo')
  // All parts put their data below it, and inherit it: by that they are found again, see end.ts.
  process.env.TMPDIR = folder.path
  const work = run(folder.path, once, save, end.signal)
  const settled = work.then(
    () => {},
    () => {},
  )
  let code = 0
  try {
    await Promise.race([work, rejection(end.signal)])
  } catch (error) {
    // Ctrl-C is how the demo ends; only a check that was broken off has failed.
    if (error !== interrupted || once) {
      progress(error instanceof Error ? error.message : String(error))
      code = 1
    }
  }
  // The table on a terminal ends without a line break.
  if (process.stdout.isTTY) process.stdout.write('\n')
  progress('stopping')
  forgetDemo()
  await endProcesses(folder.path, settled)
  if (save !== undefined) saveLogs(save, folder.path)
  folder.remove()
  return code
}

async function run(folder: string, once: boolean, save: string | undefined, signal: AbortSignal) {
  if (!once) requireNoOther()
  await install()
  signal.throwIfAborted()
  const running = await startDemo(folder, signal)
  if (once) {
    try {
      const { scrape, rates } = await checkOnce(running)
      const lines = [...frame(running.addresses, scrape, rates), '', `${scrape.samples.length} samples`]
      process.stdout.write(`${lines.join('\n')}\n`)
    } finally {
      if (save !== undefined) await saveAnswers(save, running.addresses.daemon)
    }
  } else {
    publishDemo(running.state)
    process.on('SIGUSR2', () => void running.pipeline.redis.start().catch((error) => progress(String(error))))
    await watch(running.addresses, signal)
  }
}

function requireNoOther(): void {
  const other = runningDemo()
  if (other !== undefined) throw new Error(`a demo is running already, as process ${other.pid}`)
}

/** Breaks or repairs a part of the running demo, and says what there is to see. */
async function act(name: string, repair: boolean): Promise<number> {
  const fault = faults[name]
  const running = runningDemo()
  if (running === undefined || fault === undefined) {
    progress('no demo is running; start it in another terminal: npm run demo')
    return 1
  }
  const done = repair ? await fault.repair(running) : await fault.break(running)
  process.stdout.write(`${done}\n`)
  if (!repair) process.stdout.write(`watch: ${fault.watch}\nundo:  npm run demo -- --repair ${name}\n`)
  return 0
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

try {
  await program.parseAsync()
} catch (error) {
  progress(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
// Clients of parts that were started but never handed over would keep the process alive.
process.exit()
