import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allKinds } from '../../src/collectors/index.ts'
import { installClickHouse } from '../testbed/clickhouse.ts'
import { collectorsOf, type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { startTraffic, type Traffic } from '../testbed/erp/traffic.ts'
import type { Sample } from '../testbed/exposition-text.ts'
import { installJars } from '../testbed/java.ts'
import type { Part } from '../testbed/part.ts'
import { etlApp, type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'
import { type Answer, type Prober, startProber, worstOf } from './prober.ts'

const collectorKinds = await allKinds()

interface Fault {
  readonly part: keyof Pick<Pipeline, 'postgres' | 'kafka' | 'connect' | 'clickhouse' | 'redis' | 'pm2'>
  /** The kind that watches the part. */
  readonly kind: string
  /** Kinds whose backend cannot answer without the part, so that they may fail with it. */
  readonly mayFail: readonly string[]
  /** Series of other kinds that tell of something that is gone with the part. */
  readonly mayMiss: RegExp
}

const NOTHING = /^$/

/** Where the pace of all is not the right one. */
const PACE: Readonly<Record<string, object>> = {
  kafka: { broker_timeout: '2s' },
  // The engine runs one statement at a time, and others than ours too.
  clickhouse: { interval: '10s', timeout: '10s' },
}

const FAULTS: readonly Fault[] = [
  { part: 'postgres', kind: 'postgresql', mayFail: ['drift'], mayMiss: NOTHING },
  // Connect's REST interface waits for the group that its workers form in Kafka. The ETL ends without Kafka and
  // waits for its next start, when it has neither memory nor start time.
  { part: 'kafka', kind: 'kafka', mayFail: ['connect'], mayMiss: /^pm2_process_|^pg_stat_replication_/ },
  // Its connector is what reads PostgreSQL's WAL.
  { part: 'connect', kind: 'connect', mayFail: [], mayMiss: /^pg_stat_replication_/ },
  { part: 'clickhouse', kind: 'clickhouse', mayFail: ['drift'], mayMiss: NOTHING },
  { part: 'redis', kind: 'redis', mayFail: [], mayMiss: NOTHING },
  { part: 'pm2', kind: 'pm2', mayFail: [], mayMiss: NOTHING },
]

describe('a part of the pipeline goes and comes back under the eyes of the daemon', () => {
  let pipeline: Pipeline
  let traffic: Traffic
  let daemon: DaemonPart
  let prober: Prober
  let config: Record<string, unknown>
  /** The kinds that run, with the names that each exposes while all is well. */
  let wellNames: Map<string, Set<string>>

  beforeAll(async () => {
    await installJars()
    await installClickHouse()
    pipeline = await startPipeline()
    traffic = startTraffic({
      url: pipeline.postgres.url('erp'),
      tenants: pipeline.tenants,
      ratePerSecond: 10,
      deletes: true,
      redisUrl: pipeline.redis.url,
    })
    config = {
      // A time-out that only what is frozen reaches: all others have to be up all the time, on a busy machine too.
      defaults: { interval: '3s', timeout: '3s' },
      collectors: [
        ...collectorsOf(pipeline).map((one) => ({ ...one, ...PACE[String(one.kind)] })),
        driftOf(pipeline),
      ],
    }
    daemon = await startDaemon({ config })
    await waitFor('all to be well', async () => ups(await daemon.scrape()).every(([, up]) => up === 1))
    wellNames = namesByKind(await daemon.scrape())
    prober = startProber(daemon.url)
    await waitFor('the prober', () => lastScrape(prober.answers) !== undefined)
  })
  afterAll(async () => {
    await prober?.stop()
    await daemon?.remove()
    await traffic?.stop()
    await pipeline?.stop()
  })

  test.each(FAULTS)('$part is killed, and started again', async (fault) => {
    const part: Part = pipeline[fault.part]
    let outage: Outage
    let late: DaemonPart | undefined
    try {
      try {
        outage = await breaks(fault, () => part.kill())
        if (fault.part === 'pm2') expect(processesOfPm2(pipeline.pm2.home)).toEqual([])
        // A daemon that never saw the part alive.
        late = await startDaemon({ config })
        expect(upOf(await late.scrape(), fault.kind)).toBe(0)
      } finally {
        await part.start()
        if (fault.part === 'pm2') await startEtlAgain(pipeline)
        await comesBack(daemon, fault.kind)
      }
      await comesBack(late, fault.kind)
    } finally {
      await late?.remove()
    }
    report(`${fault.part} killed`, outage)
  })

  test.each(FAULTS)('$part is frozen, and thawed', async (fault) => {
    const part: Part = pipeline[fault.part]
    let outage: Outage
    try {
      outage = await breaks(fault, () => part.freeze())
    } finally {
      part.thaw()
      await comesBack(daemon, fault.kind)
    }
    report(`${fault.part} frozen`, outage)
  })

  interface Outage {
    /** Where its answers begin in the prober's list. */
    readonly from: number
    readonly upGoneAfter: number
    readonly seriesGoneAfter: number
  }

  /** The part's own series go, after their stale window, and nothing else does. */
  async function breaks({ kind, mayFail, mayMiss }: Fault, breakIt: () => unknown): Promise<Outage> {
    const from = prober.answers.length
    const before = lastScrape(prober.answers)
    await breakIt()
    const at = Date.now()

    const isDown = ({ samples }: Answer) => upOf(samples, kind) === 0
    const scrapes = () => prober.answers.slice(from).filter(({ path }) => path === '/metrics')
    await waitFor(`${kind} to be down`, () => scrapes().some(isDown))
    const down = scrapes().find(isDown)
    // In runs, not in seconds, for a busy machine: none that began without the part went well, and up was 0 when
    // the first of them had ended. Before it one may have ended since the last scrape, and one was under way.
    // With the schedule that makes one interval and the time-out.
    expect(engineSays(down, kind, 'last_success_timestamp_seconds')).toBeLessThanOrEqual(at / 1000)
    const runs = engineSays(down, kind, 'runs_total') - engineSays(before, kind, 'runs_total')
    expect(runs).toBeLessThanOrEqual(3)

    let samples = await daemon.scrape()
    const own = ownFamilies(kind)
    // They do not go with the first lost run.
    await waitFor(`the series of ${kind} to go`, async () => {
      samples = await daemon.scrape()
      return !samples.some(({ name }) => own.has(name))
    })
    const goneAt = Date.now()
    for (const [other, names] of wellNames) {
      if (other === kind || mayFail.includes(other)) continue
      const missing = [...names].filter((name) => !samples.some((sample) => sample.name === name))
      expect(
        missing.filter((name) => !mayMiss.test(name)),
        `of ${other}`,
      ).toEqual([])
      for (const scrape of scrapes()) {
        const when = `up of ${other}, ${scrape.at - at} ms after the fault`
        expect(upOf(scrape.samples, other), when).toBe(1)
      }
    }
    expect(daemon.process.running).toBe(true)
    return { from, upGoneAfter: (down?.at ?? at) - at, seriesGoneAfter: goneAt - at }
  }

  /**
   * Up is 1 everywhere and all names are there again, in the same process. The kind whose part was away has run well
   * twice in a row: a broker that was frozen answers once, and then sees that its time is over.
   */
  async function comesBack(watcher: DaemonPart, kind: string): Promise<void> {
    let missing: string[] = []
    let lastBad = { failures: Number.NaN, runs: 0 }
    const back = waitFor('all to be well again', async () => {
      const samples = await watcher.scrape()
      const names = new Set(samples.map(({ name }) => name))
      missing = [...wellNames.values()].flatMap((wanted) => [...wanted].filter((name) => !names.has(name)))
      missing.push(...ups(samples).flatMap(([kind, up]) => (up === 1 ? [] : [`${kind} is not up`])))
      if (!isOne(samples, 'kafka_connect_task_state', 'running')) missing.push('the task does not run')
      if (!isOne(samples, 'pm2_process_state', 'online')) missing.push('the ETL is not online')
      const failures = engineSum(samples, kind, 'failures_total')
      const runs = engineSum(samples, kind, 'runs_total')
      if (failures !== lastBad.failures) lastBad = { failures, runs }
      if (runs < lastBad.runs + 2) missing.push(`${kind} has not run well twice in a row`)
      return missing.length === 0
    })
    await back.catch((error: unknown) => {
      throw new Error(`${error}; ${missing.join(', ')}`, { cause: error })
    })
    expect(watcher.process.running).toBe(true)
  }

  function report(what: string, { from, upGoneAfter, seriesGoneAfter }: Outage): void {
    const answers = prober.answers.slice(from)
    expect(answers.flatMap(({ path, fault }) => (fault === undefined ? [] : [`${path}: ${fault}`]))).toEqual(
      [],
    )
    const waits = Object.entries(worstOf(answers)).map(([path, ms]) => `${path} ${ms.toFixed(0)} ms`)
    console.log(
      `${what}: up 0 after ${upGoneAfter} ms, series gone after ${seriesGoneAfter} ms; ` +
        `${answers.length} answers, worst ${waits.join(', ')}`,
    )
  }
})

function driftOf({ postgres, clickhouse, tenants }: Pipeline) {
  return {
    kind: 'drift',
    target: 'erp',
    // The lag has to fit in, and what ClickHouse does after it was away: it catches up, one request at a time.
    interval: '15s',
    timeout: '15s',
    lag: '2s',
    source: { postgresql: { url: postgres.url('erp') } },
    sink: { clickhouse: { url: clickhouse.url, database: 'erp' } },
    tenants,
    tables: [
      {
        source: '{tenant}.journals',
        sink: 'journals',
        sink_tenant_column: 'tenant',
        watermark: 'created_at',
        deleted: '_deleted',
      },
    ],
  }
}

function lastScrape(answers: readonly Answer[]): Answer | undefined {
  return answers.findLast(({ path }) => path === '/metrics')
}

function ownFamilies(kind: string): ReadonlySet<string> {
  const found = collectorKinds.find((candidate) => candidate.kind === kind)
  const names = (found?.families ?? []).filter((family) => family !== found?.up).map(({ name }) => name)
  return new Set(names.flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]))
}

/** Of the kinds that run, without what the engine says of them. */
function namesByKind(samples: readonly Sample[]): Map<string, Set<string>> {
  const names = new Set(samples.map(({ name }) => name))
  // A daemon that began later may see no state change.
  names.delete('kafka_connect_state_change_timestamp_seconds')
  return new Map(
    ups(samples).map(([kind]) => [kind, new Set([...ownFamilies(kind)].filter((name) => names.has(name)))]),
  )
}

/** Kind and whether it is up, of those that run. */
function ups(samples: readonly Sample[]): [string, number][] {
  return samples
    .filter(({ name }) => name === 'cdc_collector_success')
    .map(({ labels }) => [labels.collector ?? '', upOf(samples, labels.collector ?? '') ?? Number.NaN])
}

/** Undefined before the first run has ended. A kind without a series of its own for it has the engine's. */
function upOf(samples: readonly Sample[], kind: string): number | undefined {
  const family = collectorKinds.find((candidate) => candidate.kind === kind)?.up?.name
  const found = samples.find(({ name, labels }) =>
    family === undefined ? name === 'cdc_collector_success' && labels.collector === kind : name === family,
  )
  return found?.value
}

/** Of all its reasons. */
function engineSum(samples: readonly Sample[], kind: string, what: string): number {
  return samples
    .filter(({ name, labels }) => name === `cdc_collector_${what}` && labels.collector === kind)
    .reduce((sum, { value }) => sum + value, 0)
}

function engineSays(answer: Answer | undefined, kind: string, what: string): number {
  const found = answer?.samples.find(
    ({ name, labels }) => name === `cdc_collector_${what}` && labels.collector === kind,
  )
  return found?.value ?? Number.NaN
}

function isOne(samples: readonly Sample[], family: string, state: string): boolean {
  return samples.some(({ name, labels, value }) => name === family && labels.state === state && value === 1)
}

/** The part comes back with an empty list, as PM2 does. */
async function startEtlAgain({ pm2 }: Pipeline): Promise<void> {
  const declaration = JSON.parse(readFileSync(join(pm2.home, `${etlApp}.json`), 'utf8'))
  await pm2.startApp(declaration.apps[0])
}

/** Command lines of all that runs with this PM2_HOME. */
function processesOfPm2(home: string): string[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const environment = readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0')
      if (!environment.includes(`PM2_HOME=${home}`)) return []
      return [readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ')]
    } catch {
      // It has ended meanwhile.
      return []
    }
  })
}
