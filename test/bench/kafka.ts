import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { startKafka } from '../testbed/parts/kafka.ts'
import { reservePort } from '../testbed/ports.ts'
import { TestbedProcess } from '../testbed/process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../testbed/process-part.ts'
import { type MeasuredDaemon, startMeasuredDaemon } from './daemon.ts'
import type { GrowthStep } from './growth.ts'
import { growthLines, growthPlot } from './growth-plot.ts'
import type { NaivePass } from './naive.ts'
import {
  type Goals,
  type Granularity,
  isInstalled,
  measurePeer,
  measureRunning,
  type PassFigures,
  PEERS,
  type PeerFigures,
  seriesOf,
} from './peers.ts'
import { cpuSeconds, machine, residentBytes } from './proc.ts'
import { buildWork, type WorkSize } from './reference-work.ts'
import { type Report, ratioAtMost, valueAtMost } from './report.ts'
import { exponent, median, quantile } from './statistics.ts'
import { timedGet } from './timed-get.ts'
import { PROBE, startWire } from './wire.ts'

export interface KafkaBenchOptions {
  readonly work: WorkSize
  /** A cluster that has the work already; one is started and filled where absent. */
  readonly bootstrap: string | undefined
  /** Passes for each measure. */
  readonly passes: number
  /** Milliseconds between the starts of two passes. */
  readonly interval: number
  readonly scrapes: number
  readonly growth: boolean
  /** Whether the other exporters that are on the PATH are started, one at a time, and measured. */
  readonly peers: boolean
  /** Another exporter on the same cluster, which runs already. */
  readonly peer: { readonly url: string; readonly pid: number } | undefined
  /** Where the plot of the growth goes; nowhere where absent. */
  readonly plot: string | undefined
}

interface OurFigures extends PassFigures {
  readonly scrapeMilliseconds: number
  readonly series: number
}

/** Laying out, filling the history of record times, and the second set of buffers come before the steady state. */
const WARM_UP_PASSES = 8
const warmUp = ({ passes }: KafkaBenchOptions): number => Math.min(WARM_UP_PASSES, passes)
const MIB = 1024 ** 2
const GROWTH_STEPS = [10_000, 30_000, 100_000, 300_000, 1_000_000]

const run = promisify(execFile)
// The programs that run in processes of their own.
const bareServerFile = fileURLToPath(new URL('bare-server.ts', import.meta.url))
const growthFile = fileURLToPath(new URL('growth.ts', import.meta.url))
const naiveFile = fileURLToPath(new URL('naive.ts', import.meta.url))
const proberFile = fileURLToPath(new URL('prober.ts', import.meta.url))

/** Measures one thing after another, so that no figure holds the work of another measurement. */
export async function benchKafka(
  options: KafkaBenchOptions,
  out: Report,
  progress: (text: string) => void,
): Promise<void> {
  if (options.bootstrap !== undefined) return await measureAll(options, options.bootstrap, out, progress)
  progress(
    `starting a broker and building ${options.work.partitions} partitions, ${options.work.groups} groups`,
  )
  const kafka = await startKafka({ heap: '1g' })
  try {
    const work = await buildWork(kafka.bootstrap, options.work)
    progress(
      `${work.topics} topics, ${work.partitions} partitions, ${work.groups} groups, ${work.committedOffsets} committed offsets`,
    )
    await measureAll(options, kafka.bootstrap, out, progress)
  } finally {
    await kafka.remove()
  }
}

async function measureAll(
  options: KafkaBenchOptions,
  bootstrap: string,
  out: Report,
  progress: (text: string) => void,
): Promise<void> {
  progress('kafkajs admin and prom-client, one request after another')
  const naive = await measureNaive(bootstrap, out)
  progress('the daemon without a pass')
  const idleCpuASecond = await measureIdle(bootstrap, options, out)
  for (const granularity of ['partition', 'topic'] as const) {
    progress(`the daemon at ${granularity} granularity`)
    const daemon = await startMeasuredDaemon({ brokers: bootstrap, granularity }, options.interval)
    let ours: OurFigures
    try {
      await daemon.nextPasses(warmUp(options))
      await measureLiveness(daemon, granularity, options, out)
      const scrape = await measureScrapes(daemon, granularity, options, out)
      // Last, with the other exporters right after it: a machine changes within minutes.
      ours = {
        ...scrape,
        ...(await measurePasses(daemon, granularity, { options, naive, idleCpuASecond }, out)),
      }
    } finally {
      await daemon.remove()
    }
    await compareWithPeers({ bootstrap, granularity, ours, options }, out, progress)
    progress(`requests on the wire at ${granularity} granularity`)
    await measureRequests(bootstrap, granularity, options, out)
  }
  if (options.growth) {
    progress('growth')
    await measureGrowth(options, out)
  }
}

async function measureNaive(bootstrap: string, out: Report): Promise<NaivePass> {
  const { stdout } = await run(process.execPath, [naiveFile, bootstrap, '3'])
  const passes: NaivePass[] = JSON.parse(stdout)
  const naive = {
    milliseconds: median(passes.map(({ milliseconds }) => milliseconds)),
    cpuSeconds: median(passes.map((pass) => pass.cpuSeconds)),
    series: passes.at(-1)?.series ?? 0,
  }
  out.add('naive.pass_wall', naive.milliseconds, 'ms')
  out.add('naive.pass_cpu', naive.cpuSeconds, 's')
  out.add('naive.series', naive.series, 'series')
  return naive
}

/** Seconds of CPU a second of a daemon whose collector is switched off. */
async function measureIdle(
  bootstrap: string,
  { passes, interval }: KafkaBenchOptions,
  out: Report,
): Promise<number> {
  const daemon = await startMeasuredDaemon({ brokers: bootstrap, enabled: false }, interval)
  try {
    await delay(2_000)
    const before = cpuSeconds(daemon.pid)
    const seconds = Math.min(10, (passes * interval) / 1000)
    await delay(seconds * 1000)
    const idle = (cpuSeconds(daemon.pid) - before) / seconds
    out.add('idle.cpu', idle, 's/s')
    out.add('idle.rss', residentBytes(daemon.pid).now / MIB, 'MiB')
    return idle
  } finally {
    await daemon.remove()
  }
}

async function measurePasses(
  daemon: MeasuredDaemon,
  granularity: Granularity,
  {
    options,
    naive,
    idleCpuASecond,
  }: { options: KafkaBenchOptions; naive: NaivePass; idleCpuASecond: number },
  out: Report,
): Promise<PassFigures> {
  const resident: number[] = []
  const durations = new Map<string, number>()
  const watching = new AbortController()
  const watch = (async () => {
    while (!watching.signal.aborted) {
      resident.push(residentBytes(daemon.pid).now)
      const { checks } = (await (await fetch(`${daemon.url}/health/detailed`)).json()) as DetailedHealth
      durations.set(checks.kafka?.last_run ?? '', checks.kafka?.last_duration_ms ?? Number.NaN)
      await delay(500)
    }
  })()
  const from = performance.now()
  const before = cpuSeconds(daemon.pid)
  const passes = await daemon.nextPasses(options.passes)
  const seconds = (performance.now() - from) / 1000
  const cpu = (cpuSeconds(daemon.pid) - before - idleCpuASecond * seconds) / passes.length
  watching.abort()
  await watch

  const wall = median(passes.map(({ total }) => total))
  const add = (name: string, value: number, unit: string, more: Parameters<Report['add']>[3] = {}) =>
    out.add(`${granularity}.${name}`, value, unit, more)
  add('collector_duration', median([...durations.values()]), 'ms')
  add('pass_collect', median(passes.map(({ collect }) => collect)), 'ms')
  add('pass_render', median(passes.map(({ render }) => render)), 'ms')
  add('pass_publish', median(passes.map(({ publish }) => publish)), 'ms')
  add('pass_wall', wall, 'ms')
  add('pass_wall_worst', Math.max(...passes.map(({ total }) => total)), 'ms')
  add('pass_cpu', cpu, 's')
  add('pass_cpu_inside', median(passes.map((pass) => pass.cpu)) / 1000, 's')
  const rss = median(resident) / MIB
  add('rss', rss, 'MiB', { goal: valueAtMost(granularity === 'partition' ? 250 : 120) })
  add('rss_peak', residentBytes(daemon.pid).peak / MIB, 'MiB')
  const measured = 'naive, measured'
  add('pass_wall.to_naive', wall, 'ms', { reference: { name: measured, value: naive.milliseconds } })
  add('pass_cpu.to_naive', cpu, 's', { reference: { name: measured, value: naive.cpuSeconds } })
  return { milliseconds: wall, cpuSeconds: cpu, mib: rss }
}

interface DetailedHealth {
  readonly checks: Readonly<
    Record<string, { readonly last_run?: string; readonly last_duration_ms?: number }>
  >
}

/** How long `/health/live` keeps one waiting while passes run, and beside it a server that does nothing else. */
async function measureLiveness(
  daemon: MeasuredDaemon,
  granularity: Granularity,
  { passes }: KafkaBenchOptions,
  out: Report,
): Promise<void> {
  const bare = await startBareServer(Buffer.from('{"status":"alive"}\n'))
  // It ends with this process, however that ends.
  const prober = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', process.execPath, proberFile, `${daemon.url}/health/live`, bare.url],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  try {
    const printed: Buffer[] = []
    prober.stdout.on('data', (chunk: Buffer) => printed.push(chunk))
    const ended = once(prober, 'close')
    await daemon.nextPasses(passes)
    prober.kill('SIGTERM')
    await ended
    const [live = [], control = []] = JSON.parse(Buffer.concat(printed).toString()) as number[][]
    out.add(`${granularity}.live_wait_worst`, Math.max(...live), 'ms', { goal: valueAtMost(25) })
    out.add(`${granularity}.live_wait_p99`, quantile(live, 0.99), 'ms')
    out.add(`${granularity}.live_wait_median`, median(live), 'ms')
    out.add(`${granularity}.live_wait_worst_of_bare_server`, Math.max(...control), 'ms')
    out.add(`${granularity}.live_requests`, live.length, 'requests')
  } finally {
    prober.kill('SIGKILL')
    await bare.remove()
  }
}

/** In turns with a bare server that sends the same bytes, so that both meet the same machine. */
async function measureScrapes(
  daemon: MeasuredDaemon,
  granularity: Granularity,
  { scrapes }: KafkaBenchOptions,
  out: Report,
): Promise<Omit<OurFigures, keyof PassFigures>> {
  const agent = new Agent({ keepAlive: true })
  const url = `${daemon.url}/metrics`
  const { body } = await timedGet(url, agent)
  const gzip = Buffer.concat(body)
  const text = gunzipSync(gzip).toString()
  const bare = await startBareServer(gzip)
  try {
    for (const warmUp of [url, bare.url]) await timedGet(warmUp, agent)
    const ours: number[] = []
    const bares: number[] = []
    for (let i = 0; i < scrapes; i++) {
      ours.push((await timedGet(url, agent)).milliseconds)
      bares.push((await timedGet(bare.url, agent)).milliseconds)
    }
    const series = linesOf(text, granularity)
    out.add(`${granularity}.series`, series.all, 'series')
    out.add(`${granularity}.lag_pairs`, series.pairs, 'series')
    out.add(`${granularity}.lag_pairs_with_seconds`, series.withSeconds, 'series')
    out.add(`${granularity}.body`, text.length, 'bytes')
    out.add(`${granularity}.body_gzip`, gzip.length, 'bytes')
    out.add(`${granularity}.scrape_median`, median(ours), 'ms')
    out.add(`${granularity}.scrape_p99`, quantile(ours, 0.99), 'ms')
    out.add(`${granularity}.bare_server_median`, median(bares), 'ms')
    out.add(`${granularity}.bare_server_p99`, quantile(bares, 0.99), 'ms')
    out.add(`${granularity}.scrape.to_bare_server`, median(ours), 'ms', {
      reference: { name: 'bare node:http server, measured', value: median(bares) },
      goal: ratioAtMost(1.2),
    })
    return { scrapeMilliseconds: median(ours), series: series.all }
  } finally {
    agent.destroy()
    await bare.remove()
  }
}

/** Ours beside each other exporter's: measured in this run where it can be, else as recorded. */
async function compareWithPeers(
  {
    bootstrap,
    granularity,
    ours,
    options: { peers, peer },
  }: { bootstrap: string; granularity: Granularity; ours: OurFigures; options: KafkaBenchOptions },
  out: Report,
  progress: (text: string) => void,
): Promise<void> {
  const compare = (
    name: string,
    theirs: PassFigures & Partial<PeerFigures>,
    goals: Goals,
    recorded: boolean,
  ) => {
    const to = (figure: string, value: number, unit: string, their: number | undefined, atMost?: number) => {
      if (their === undefined) return
      const label = recorded ? 'recorded on another day, other machine state' : 'measured'
      out.add(`${granularity}.${figure}.to_${name}`, value, unit, {
        reference: { name: `${name}, ${label}`, value: their, recorded },
        ...(atMost === undefined ? {} : { goal: ratioAtMost(atMost) }),
      })
    }
    to('pass_wall', ours.milliseconds, 'ms', theirs.milliseconds, goals.wall)
    to('pass_cpu', ours.cpuSeconds, 's', theirs.cpuSeconds, goals.cpu)
    to('rss', ours.mib, 'MiB', theirs.mib)
    to('scrape', ours.scrapeMilliseconds, 'ms', theirs.scrapeMilliseconds, goals.scrape)
    to('series', ours.series, 'series', theirs.series)
  }
  const compareMeasured = (name: string, theirs: PeerFigures, goals: Goals) => {
    const add = (figure: string, value: number, unit: string) =>
      out.add(`${granularity}.${name}.${figure}`, value, unit)
    add('pass_wall', theirs.milliseconds, 'ms')
    add('pass_cpu', theirs.cpuSeconds, 's')
    add('rss', theirs.mib, 'MiB')
    add('scrape_median', theirs.scrapeMilliseconds, 'ms')
    add('series', theirs.series, 'series')
    add('body', theirs.body, 'bytes')
    compare(name, theirs, goals, false)
  }
  for (const known of PEERS) {
    const recorded = known.recorded[granularity]
    // An exporter that has no such granularity has no record of it either.
    if (!recorded) continue
    const goals = known.goals[granularity] ?? {}
    if (peers && isInstalled(known)) {
      progress(`${known.command} at ${granularity} granularity`)
      compareMeasured(known.name, await measurePeer(known, bootstrap, granularity), goals)
    } else {
      if (peers) progress(`${known.command} is not on the PATH: what was recorded stands for it`)
      compare(known.name, recorded, goals, true)
    }
  }
  if (peer) {
    progress(`the peer at ${peer.url}`)
    compareMeasured('peer', await measureRunning(peer), {})
  }
}

/** Sample lines; those that give the lag of a pair of group and partition (or topic), and those its age. */
function linesOf(text: string, granularity: Granularity) {
  const [pair, age] = granularity === 'partition' ? ['lag', 'lag_seconds'] : ['lag_sum', 'lag_seconds_max']
  const lines = text.split('\n')
  const count = (start: string) => lines.filter((line) => line.startsWith(start)).length
  return {
    all: seriesOf(text),
    pairs: count(`kafka_consumergroup_${pair}{`),
    withSeconds: count(`kafka_consumergroup_${age}{`),
  }
}

async function startBareServer(body: Buffer): Promise<ProcessPart & { readonly url: string }> {
  const data = dataFolder('bench-bare', undefined)
  const file = join(data.path, 'body')
  writeFileSync(file, body)
  const port = await reservePort()
  const url = `http://127.0.0.1:${port}/`
  const server = new TestbedProcess({
    name: 'bare-server',
    command: process.execPath,
    args: [bareServerFile, String(port), file],
    logFile: join(data.path, 'bare-server.log'),
    ready: async (signal) => (await fetch(url, { signal, method: 'HEAD' })).ok,
  })
  return { ...(await startProcessPart(server, data)), url }
}

async function measureRequests(
  bootstrap: string,
  granularity: Granularity,
  options: KafkaBenchOptions,
  out: Report,
): Promise<void> {
  const wire = await startWire(bootstrap)
  const daemon = await startMeasuredDaemon({ brokers: wire.bootstrap, granularity }, options.interval)
  try {
    await daemon.nextPasses(warmUp(options))
    const before = new Map(wire.requests)
    // A pass is over long before the next begins, and all its requests are counted by then.
    const { length } = await daemon.nextPasses(options.passes)
    const requests = [...wire.requests]
      .map(([name, total]) => [name, (total - (before.get(name) ?? 0)) / length] as const)
      .filter(([, perPass]) => perPass > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const steady = requests.filter(([name]) => name !== PROBE)
    const sum = steady.reduce((total, [, perPass]) => total + perPass, 0)
    out.add(`${granularity}.requests`, sum, '/pass', { goal: valueAtMost(5 + 8 + options.work.groups / 50) })
    for (const [name, perPass] of requests) {
      out.add(`${granularity}.requests.${name.replaceAll(' ', '_')}`, perPass, '/pass')
    }
  } finally {
    await daemon.remove()
    wire.close()
  }
}

async function measureGrowth({ plot }: KafkaBenchOptions, out: Report): Promise<void> {
  const steps: GrowthStep[] = []
  for (const series of GROWTH_STEPS) {
    const { stdout } = await run(process.execPath, [growthFile, String(series)])
    const step: GrowthStep = JSON.parse(stdout)
    steps.push(step)
    out.add(`growth.${series}.wall`, step.wallMs, 'ms')
    out.add(`growth.${series}.first_wall`, step.firstWallMs, 'ms')
    out.add(`growth.${series}.cpu`, step.cpuMs, 'ms')
    out.add(`growth.${series}.rss`, step.residentBytes / MIB, 'MiB')
  }
  for (const { label, value } of growthLines) {
    const name = label.replace(/,.*/, '').toLowerCase()
    const points = steps.map((step) => [step.series, value(step)] as const)
    out.add(`growth.exponent_${name}`, exponent(points), 'exponent', { goal: valueAtMost(1) })
  }
  if (plot !== undefined) writeFileSync(plot, growthPlot(steps, machine()))
}
