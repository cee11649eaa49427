import { readFileSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { isThere } from '../testbed/install.ts'
import { reservePort } from '../testbed/ports.ts'
import { TestbedProcess, waitFor } from '../testbed/process.ts'
import { dataFolder, startProcessPart } from '../testbed/process-part.ts'
import { cpuSeconds, residentBytes } from './proc.ts'
import { median } from './statistics.ts'
import { timedGet } from './timed-get.ts'

export type Granularity = 'partition' | 'topic'

/** What one pass takes: of an exporter that asks the broker when it is scraped, that is a scrape. */
export interface PassFigures {
  readonly milliseconds: number
  readonly cpuSeconds: number
  readonly mib: number
}

/** What was measured of another exporter. */
export interface PeerFigures extends PassFigures {
  readonly scrapeMilliseconds: number
  readonly series: number
  /** Bytes of a scrape as they came, with gzip where the peer has it. */
  readonly body: number
}

/** Goals for our share of what a peer takes. */
export interface Goals {
  readonly wall?: number
  readonly cpu?: number
  readonly scrape?: number
}

/** Another exporter that the bench knows how to start. */
export interface Peer {
  /** In the names of measures. */
  readonly name: string
  readonly command: string
  /** Path that answers with 200 when it can be scraped. */
  readonly ready: string
  start(at: Start): { readonly args: readonly string[]; readonly env?: Readonly<Record<string, string>> }
  /** It polls by itself and tells of each poll in its log; a scrape asks the broker where absent. */
  readonly poll?: {
    /** The line of the log with which a poll ends. */
    readonly ended: RegExp
    /** The gauge of a scrape that has the milliseconds of the last poll. */
    readonly milliseconds: RegExp
  }
  /** What it took for the reference work on another day, in another state of the machine. */
  readonly recorded: Readonly<
    Partial<Record<Granularity, PassFigures & { readonly scrapeMilliseconds: number }>>
  >
  readonly goals: Readonly<Partial<Record<Granularity, Goals>>>
}

interface Start {
  readonly bootstrap: string
  readonly granularity: Granularity
  readonly port: number
  /** For its files. */
  readonly folder: string
}

const kafkaExporter: Peer = {
  name: 'kafka_exporter',
  command: 'kafka_exporter',
  ready: '/healthz',
  start: ({ bootstrap, port }) => ({
    args: [`--kafka.server=${bootstrap}`, `--web.listen-address=127.0.0.1:${port}`],
  }),
  recorded: { partition: { milliseconds: 12_159, cpuSeconds: 7.34, mib: 241, scrapeMilliseconds: 12_159 } },
  goals: { partition: { wall: 1 / 50, scrape: 1 / 1000 } },
}

const kminion: Peer = {
  name: 'kminion',
  command: 'kminion',
  ready: '/ready',
  start: ({ bootstrap, granularity, port }) => ({
    args: [],
    env: {
      KAFKA_BROKERS: bootstrap,
      EXPORTER_HOST: '127.0.0.1',
      EXPORTER_PORT: String(port),
      MINION_CONSUMERGROUPS_GRANULARITY: granularity,
      MINION_TOPICS_GRANULARITY: granularity,
    },
  }),
  recorded: {
    partition: { milliseconds: 782, cpuSeconds: 0.88, mib: 202, scrapeMilliseconds: 782 },
    topic: { milliseconds: 432, cpuSeconds: 0.32, mib: 112, scrapeMilliseconds: 432 },
  },
  goals: { partition: { wall: 1 / 3, cpu: 1 / 3 } },
}

const klagExporter: Peer = {
  name: 'klag_exporter',
  command: 'klag-exporter',
  ready: '/ready',
  start({ bootstrap, granularity, port, folder }) {
    const config = join(folder, 'config.toml')
    writeFileSync(
      config,
      `[exporter]
poll_interval = "5s"
http_host = "127.0.0.1"
http_port = ${port}
granularity = "${granularity}"

[[clusters]]
name = "bench"
bootstrap_servers = "${bootstrap}"
`,
    )
    return {
      args: ['--config', config],
      env: { RUST_LOG: 'warn,klag_exporter::cluster=debug', NO_COLOR: '1' },
    }
  },
  poll: {
    ended: /Collection cycle completed/g,
    milliseconds: /^kafka_consumergroup_poll_time_ms\S* (\d+)/m,
  },
  recorded: {
    partition: { milliseconds: 503, cpuSeconds: 0.9, mib: 571, scrapeMilliseconds: 1_310 },
    topic: { milliseconds: 435, cpuSeconds: 0.34, mib: 60, scrapeMilliseconds: 25 },
  },
  goals: { partition: { wall: 1 / 2, cpu: 1 / 3 }, topic: { cpu: 1 / 2 } },
}

export const PEERS: readonly Peer[] = [kafkaExporter, kminion, klagExporter]

/** Polls that come before the steady state, and those that count. */
const WARM_UP_POLLS = 2
const POLLS = 5
const MOST_SCRAPES = 10
const SCRAPING_MS = 10_000
/** Longer than what one poll or scrape takes on a slow machine. */
const WITHIN_MS = 300_000

/** Whether the peer's command is on the PATH. */
export const isInstalled = (peer: Peer): boolean => isThere(peer.command)

/** Starts it, measures it with nothing of ours beside it, and stops it. */
export async function measurePeer(
  peer: Peer,
  bootstrap: string,
  granularity: Granularity,
): Promise<PeerFigures> {
  const data = dataFolder(`bench-${peer.command}`, undefined)
  const port = await reservePort()
  const url = `http://127.0.0.1:${port}`
  const logFile = join(data.path, 'log')
  const part = await startProcessPart(
    new TestbedProcess({
      name: peer.command,
      command: peer.command,
      ...peer.start({ bootstrap, granularity, port, folder: data.path }),
      logFile,
      ready: async (signal) => (await fetch(`${url}${peer.ready}`, { signal })).ok,
    }),
    data,
  )
  try {
    const running = { url: `${url}/metrics`, pid: part.process.pid }
    return peer.poll ? await measurePolls(running, peer.poll, logFile) : await measureRunning(running)
  } finally {
    await part.remove()
  }
}

/** An exporter that runs already, by its scrapes: as many as fit into ten seconds, two to ten. */
export async function measureRunning({ url, pid }: { url: string; pid: number }): Promise<PeerFigures> {
  const agent = new Agent({ keepAlive: true })
  try {
    const first = await scrape(url, agent)
    const times: number[] = []
    const cpu = cpuSeconds(pid)
    const from = performance.now()
    while (times.length < MOST_SCRAPES && (times.length < 2 || performance.now() - from < SCRAPING_MS)) {
      times.push((await timedGet(url, agent)).milliseconds)
    }
    return {
      milliseconds: median(times),
      cpuSeconds: (cpuSeconds(pid) - cpu) / times.length,
      mib: residentBytes(pid).now / 1024 ** 2,
      scrapeMilliseconds: median(times),
      series: seriesOf(first.text),
      body: first.bytes,
    }
  } finally {
    agent.destroy()
  }
}

/** A poll is told by the log; between two of them there is one scrape, whose CPU does not count. */
async function measurePolls(
  { url, pid }: { url: string; pid: number },
  poll: NonNullable<Peer['poll']>,
  logFile: string,
): Promise<PeerFigures> {
  const agent = new Agent({ keepAlive: true })
  const polls = () => readFileSync(logFile, 'utf8').match(poll.ended)?.length ?? 0
  const nextPolls = async (count: number) => {
    const before = polls()
    await waitFor(`${count} polls`, () => polls() >= before + count, WITHIN_MS)
  }
  try {
    await nextPolls(WARM_UP_POLLS)
    const taken: { milliseconds: number; cpuSeconds: number; mib: number; scrapeMilliseconds: number }[] = []
    let last = await scrape(url, agent)
    for (let i = 0; i < POLLS; i++) {
      const before = cpuSeconds(pid)
      await nextPolls(1)
      const cpu = cpuSeconds(pid) - before
      const mib = residentBytes(pid).now / 1024 ** 2
      last = await scrape(url, agent)
      taken.push({
        milliseconds: Number(poll.milliseconds.exec(last.text)?.[1] ?? Number.NaN),
        cpuSeconds: cpu,
        mib,
        scrapeMilliseconds: last.milliseconds,
      })
    }
    return {
      milliseconds: median(taken.map(({ milliseconds }) => milliseconds)),
      cpuSeconds: median(taken.map((one) => one.cpuSeconds)),
      mib: median(taken.map(({ mib }) => mib)),
      scrapeMilliseconds: median(taken.map(({ scrapeMilliseconds }) => scrapeMilliseconds)),
      series: seriesOf(last.text),
      body: last.bytes,
    }
  } finally {
    agent.destroy()
  }
}

async function scrape(url: string, agent: Agent) {
  const { milliseconds, body, gzip } = await timedGet(url, agent)
  const bytes = Buffer.concat(body)
  return { milliseconds, bytes: bytes.length, text: (gzip ? gunzipSync(bytes) : bytes).toString() }
}

/** Lines of a scrape that are samples. */
export const seriesOf = (text: string): number => text.match(/^[^#\n]/gm)?.length ?? 0
