import { Command, InvalidArgumentError } from 'commander'
import { startKafka } from '../testbed/parts/kafka.ts'
import { benchDrift } from './drift.ts'
import { benchKafka } from './kafka.ts'
import { machine } from './proc.ts'
import { buildWork, REFERENCE } from './reference-work.ts'
import { report, tableLine } from './report.ts'

const progress = (text: string): void => void process.stderr.write(`bench: ${text}\n`)

const integer = (text: string): number => {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('Not a whole number above 0.')
  return Number(text)
}

interface WorkOptions {
  readonly partitions: number
  readonly groups: number
}

interface KafkaOptions extends WorkOptions {
  readonly bootstrap?: string
  readonly passes: number
  readonly interval: number
  readonly scrapes: number
  readonly growth: boolean
  readonly plot?: string
  readonly peers?: boolean
  readonly peer?: string
  readonly pid?: number
  readonly json?: boolean
}

const program = new Command('bench').description('What the daemon costs, beside what it is compared with')

program
  .command('kafka')
  .description('one pass, a scrape, memory, requests and growth on the reference work')
  .option('--partitions <n>', 'of the work', integer, REFERENCE.partitions)
  .option('--groups <n>', 'of the work', integer, REFERENCE.groups)
  .option('--bootstrap <host:port>', 'a broker that has the work already, from `bench work`')
  .option('--passes <n>', 'for each measure', integer, 12)
  .option('--interval <ms>', 'between the starts of two passes', integer, 2_000)
  .option('--scrapes <n>', 'for each measure', integer, 200)
  .option('--no-growth', 'leave out the steps up to a million series')
  .option('--plot <file>', 'write the growth there as SVG')
  .option(
    '--peers',
    'start and measure kafka_exporter, kminion and klag-exporter, those that are on the PATH',
  )
  .option('--peer <url>', 'another exporter on the same broker; needs --pid')
  .option('--pid <n>', 'the process of the peer', integer)
  .option('--json', 'one object a line')
  .action(async (options: KafkaOptions) => {
    const { peer, pid } = options
    if ((peer === undefined) !== (pid === undefined)) program.error("error: '--peer' and '--pid' go together")
    if (!options.json) process.stdout.write(`${machine()}\n`)
    const isReference = options.partitions === REFERENCE.partitions && options.groups === REFERENCE.groups
    const out = report(isReference, (measure) => {
      process.stdout.write(`${options.json ? JSON.stringify(measure) : tableLine(measure)}\n`)
    })
    if (options.json) progress(machine())
    await benchKafka(
      {
        work: { partitions: options.partitions, groups: options.groups },
        bootstrap: options.bootstrap,
        passes: options.passes,
        interval: options.interval,
        scrapes: options.scrapes,
        growth: options.growth,
        plot: options.plot,
        peers: options.peers ?? false,
        peer: peer === undefined || pid === undefined ? undefined : { url: peer, pid },
      },
      out,
      progress,
    )
  })

program
  .command('drift')
  .description('a whole comparison, a steady one, and the search for one changed row')
  .option('--rows <n>', 'of the small table', integer, 1_000_000)
  .option('--large <n>', 'of the large table', integer, 10_000_000)
  .option('--runs <n>', 'for each measure', integer, 5)
  .option('--json', 'one object a line')
  .action(async (options: { rows: number; large: number; runs: number; json?: boolean }) => {
    if (options.json) progress(machine())
    else process.stdout.write(`${machine()}\n`)
    const isReference = options.rows === 1_000_000 && options.large === 10_000_000
    const out = report(isReference, (measure) => {
      process.stdout.write(`${options.json ? JSON.stringify(measure) : tableLine(measure)}\n`)
    })
    await benchDrift({ sizes: [options.rows, options.large], runs: options.runs }, out, progress)
  })

program
  .command('work')
  .description('starts a broker with the reference work and keeps it until it is interrupted')
  .option('--partitions <n>', 'of the work', integer, REFERENCE.partitions)
  .option('--groups <n>', 'of the work', integer, REFERENCE.groups)
  .action(async (size: WorkOptions) => {
    const kafka = await startKafka({ heap: '1g' })
    await buildWork(kafka.bootstrap, size)
    process.stdout.write(`${kafka.bootstrap}\n`)
    const alive = setInterval(() => {}, 60_000)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, async () => {
        clearInterval(alive)
        await kafka.remove()
      })
    }
  })

await program.parseAsync()
