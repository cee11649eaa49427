import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Argument, Command, InvalidArgumentError } from 'commander'
import { runningDemo } from '../demo/running.ts'
import { shipped } from '../grafana/shipped.ts'
import { installBrowser } from '../testbed/install.ts'
import { photograph } from './browser.ts'
import { secondsOf } from './fill-in.ts'
import { pageOf } from './page.ts'
import { prometheusAt } from './prometheus.ts'

// Exit codes: 0 good, 1 something could not be drawn, 2 bad usage.

interface Options {
  readonly prometheus?: string
  readonly out: string
  readonly from: number
}

const program = new Command('dashboards:preview')
  .description(
    'Draws the dashboards from live answers of Prometheus, as PNG. A preview: no Grafana is needed',
  )
  .addArgument(
    new Argument('[dashboard...]', 'all where none is named').choices(shipped.map(({ uid = '' }) => uid)),
  )
  .option('--prometheus <url>', 'where to ask; the demo that runs in another terminal where absent')
  .option('--out <dir>', 'where the pictures go', 'dashboards-preview')
  .option('--from <duration>', 'how far back from now: 30m, 6h', secondsOption, 1_800)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .action(async (named: string[], options: Options) => {
    process.exitCode = await draw(named, options)
  })

function secondsOption(text: string): number {
  const seconds = secondsOf(text)
  if (seconds === undefined) throw new InvalidArgumentError('a duration is a whole number and s, m, h or d.')
  return seconds
}

async function draw(named: readonly string[], { prometheus, out, from }: Options): Promise<number> {
  const address = prometheus ?? runningDemo()?.prometheusUrl
  if (address === undefined)
    throw new Error(
      'no demo is running: start it in another terminal by `npm run demo`, or name a Prometheus by --prometheus',
    )
  await installBrowser()
  mkdirSync(out, { recursive: true })
  const to = Math.floor(Date.now() / 1000)
  let code = 0
  for (const dashboard of shipped) {
    const { uid = '' } = dashboard
    if (named.length > 0 && !named.includes(uid)) continue
    const page = await pageOf(dashboard, prometheusAt(address), { from: to - from, to })
    const file = join(out, `${uid}.png`)
    await photograph(page, file)
    process.stdout.write(`${file}\n`)
    for (const mistake of page.mistakes) {
      say(`${uid}: ${mistake}`)
      code = 1
    }
  }
  return code
}

function say(text: string): void {
  process.stderr.write(`preview: ${text}\n`)
}

try {
  await program.parseAsync()
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
