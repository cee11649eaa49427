import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Collector, SampleBatch } from '../../src/collection/collector.ts'
import { defineCollector, minutes, seconds } from '../../src/collection/collector.ts'
import { Instance, type InstanceEvents, type InstanceSettings } from '../../src/collection/instance.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { gauge } from '../../src/metrics/family.ts'
import { ManualClock } from './manual-clock.ts'

const START = Date.UTC(2026, 0, 1)
const INTERVAL = seconds(10)
const TIMEOUT = seconds(8)

const up = gauge('depot_up', 'Whether the depot answered.')
const stock = gauge('depot_stock', 'Items of an article, counted by the test.', ['article'])

let clock: ManualClock
let exposition: Exposition
let instances: Instance[]
/** What the scheduler said, one line an event. */
let said: string[]

beforeEach(() => {
  clock = new ManualClock(START)
  exposition = new Exposition()
  instances = []
  said = []
})
afterEach(async () => {
  await Promise.all(instances.map((instance) => instance.stop()))
})

const events: InstanceEvents = {
  failed: (instance, reason, error) => said.push(`${instance.settings.target} failed: ${reason}: ${error}`),
  recovered: (instance) => said.push(`${instance.settings.target} recovered`),
  partsFailed: (_, parts) => said.push(`parts: ${parts.map(({ labels }) => labels.article).join()}`),
  seriesDropped: (_, byFamily) => said.push(`dropped: ${[...byFamily].join()}`),
}

/** An instance whose collector does as the test says. */
function depot(collector: Collector, change: Partial<InstanceSettings> = {}): Instance {
  const kind = defineCollector({
    kind: 'depot',
    health: { key: 'depot', title: 'Depot' },
    settings: z.unknown(),
    families: [up, stock],
    up,
    defaults: { interval: INTERVAL, timeout: TIMEOUT },
    create: () => collector,
  })
  const target = change.target ?? 'north'
  const instance = new Instance(
    {
      kind,
      target,
      enabled: true,
      labels: { target },
      interval: INTERVAL,
      timeout: TIMEOUT,
      maxSeries: 1000,
      settings: {},
      ...change,
    },
    clock,
    exposition,
    events,
    { report: () => ({ open: [], totals: new Map() }) },
  )
  instances.push(instance)
  return instance
}

/** Until what the last step set off has reached the exposition: a run that does not hang is over then. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await setImmediate()
    await exposition.publish()
  }
}

const advance = (ms: number) => clock.advance(ms, settle)

/** To the end of the next run that is due. */
async function nextRun(instance: Instance): Promise<void> {
  await settle()
  await advance((instance.state.nextRunAt ?? clock.now()) - clock.now())
}

/** What a scrape sees, without HELP and TYPE. */
const lines = (): string[] =>
  Buffer.concat(exposition.current.plain)
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replace(/ +/g, ' '))

const own = (): string[] => lines().filter((line) => line.startsWith('depot_stock'))

function value(series: string): number | undefined {
  const line = lines().find((line) => line.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

const ofRun = (name: string) => value(`cdc_collector_${name}{target="north",collector="depot"}`)
const failures = (reason: string) =>
  value(`cdc_collector_failures_total{target="north",collector="depot",reason="${reason}"}`)

/** A depot that answers, until the test lets it fail. */
class Answering implements Collector {
  failure: Error | undefined
  stock: Readonly<Record<string, number>> = { nut: 1, bolt: 2 }
  failedParts: readonly string[] = []

  async collect(batch: SampleBatch): Promise<void> {
    if (this.failure) throw this.failure
    for (const [article, count] of Object.entries(this.stock)) batch.add(stock, { article }, count)
    for (const article of this.failedParts) batch.partFailed({ article }, new Error(`no ${article}`))
  }
}

const both = ['depot_stock{target="north",article="nut"} 1', 'depot_stock{target="north",article="bolt"} 2']

describe('the interval', () => {
  test('runs begin an interval apart, however long they take', async () => {
    const began: number[] = []
    const instance = depot({
      async collect(_, signal) {
        began.push(clock.now())
        await clock.sleep(1_000 * began.length, signal)
      },
    })
    await instance.start()
    await advance(5 * INTERVAL)
    expect(began).toHaveLength(5)
    const first = began[0] ?? 0
    expect(began).toEqual([0, 1, 2, 3, 4].map((n) => first + n * INTERVAL))
    expect(ofRun('last_run_timestamp_seconds')).toBe((began[4] ?? 0) / 1000)
    expect(ofRun('next_run_timestamp_seconds')).toBe((first + 5 * INTERVAL) / 1000)
    expect(ofRun('duration_seconds')).toBe(5)
    expect(ofRun('interval_seconds')).toBe(10)
    expect(ofRun('runs_total')).toBe(5)
  })

  test('ticks that were missed are left out, and the next one keeps to the grid', async () => {
    const began: number[] = []
    const instance = depot({
      async collect() {
        began.push(clock.now())
      },
    })
    await instance.start()
    await nextRun(instance)
    const first = began[0] ?? 0
    await clock.leap(5.5 * INTERVAL, settle)
    expect(began).toEqual([first, first + 5.5 * INTERVAL])
    await advance(INTERVAL)
    expect(began[2]).toBe(first + 6 * INTERVAL)
  })

  test('instances begin at different times, and each at the same time at every start', async () => {
    const began = async (targets: readonly string[]) => {
      const at = new Map<string, number>()
      const from = clock.now()
      const started = targets.map((target) =>
        depot(
          {
            async collect() {
              if (!at.has(target)) at.set(target, clock.now() - from)
            },
          },
          { target },
        ),
      )
      await Promise.all(started.map((instance) => instance.start()))
      await advance(INTERVAL)
      await Promise.all(started.map((instance) => instance.stop()))
      return at
    }
    const targets = ['north', 'south', 'east', 'west']
    const first = await began(targets)
    expect(new Set(first.values()).size).toBe(4)
    for (const offset of first.values()) expect(offset).toBeLessThan(INTERVAL)
    expect(await began(targets)).toEqual(first)
  })
})

describe('a run that fails', () => {
  test('is seen at once: success 0, up 0, the reason counted; its duration and last success are told', async () => {
    const collector = new Answering()
    const instance = depot(collector)
    await instance.start()
    await nextRun(instance)
    expect([ofRun('success'), value('depot_up{target="north"}'), failures('error')]).toEqual([1, 1, 0])
    const succeededAt = ofRun('last_success_timestamp_seconds')
    collector.failure = new Error('closed')
    await nextRun(instance)
    expect([ofRun('success'), value('depot_up{target="north"}'), failures('error')]).toEqual([0, 0, 1])
    expect(ofRun('last_success_timestamp_seconds')).toBe(succeededAt)
    expect(ofRun('last_run_timestamp_seconds')).toBe((succeededAt ?? 0) + 10)
    expect(instance.state.error).toBe(collector.failure)
  })

  test('keeps its series for three intervals from the first failure, and then they go', async () => {
    const collector = new Answering()
    const instance = depot(collector)
    await instance.start()
    await nextRun(instance)
    collector.failure = new Error('closed')
    await nextRun(instance)
    expect(ofRun('stale_after_seconds')).toBe(30)
    await advance(3 * INTERVAL - 1)
    expect(own()).toEqual(both)
    expect(ofRun('series')).toBe(2)
    await advance(1)
    expect(own()).toEqual([])
    expect(ofRun('series')).toBe(0)
    expect([ofRun('success'), value('depot_up{target="north"}')]).toEqual([0, 0])
  })

  test('keeps them for 15 minutes where three intervals are more', async () => {
    const collector = new Answering()
    const instance = depot(collector, { interval: minutes(10) })
    await instance.start()
    await nextRun(instance)
    collector.failure = new Error('closed')
    await nextRun(instance)
    await advance(minutes(15) - 1)
    expect(own()).toEqual(both)
    await advance(1)
    expect(own()).toEqual([])
  })

  test('a recovery in time begins a new window', async () => {
    const collector = new Answering()
    const instance = depot(collector)
    await instance.start()
    await nextRun(instance)
    const failOnce = async () => {
      collector.failure = new Error('closed')
      await nextRun(instance)
      collector.failure = undefined
    }
    await failOnce()
    await nextRun(instance)
    await failOnce()
    collector.failure = new Error('closed')
    await advance(3 * INTERVAL - 1)
    // 50 s after the first failure, 30 s after the second.
    expect(own()).toEqual(both)
    await advance(1)
    expect(own()).toEqual([])
  })

  test('a late recovery shows the present truth, and nothing of the old one', async () => {
    const collector = new Answering()
    const instance = depot(collector)
    await instance.start()
    await nextRun(instance)
    collector.failure = new Error('closed')
    await nextRun(instance)
    await advance(5 * INTERVAL)
    expect(own()).toEqual([])
    collector.failure = undefined
    collector.stock = { bolt: 7 }
    await nextRun(instance)
    expect(own()).toEqual(['depot_stock{target="north",article="bolt"} 7'])
    expect(ofRun('series')).toBe(1)
    await advance(10 * INTERVAL)
    expect(own()).toEqual(['depot_stock{target="north",article="bolt"} 7'])
  })

  test('counters go on over failures', async () => {
    const collector = new Answering()
    const instance = depot(collector)
    await instance.start()
    for (const failure of [undefined, new Error('a'), undefined, new Error('b'), undefined]) {
      collector.failure = failure
      await nextRun(instance)
    }
    expect([ofRun('runs_total'), failures('error'), failures('timeout')]).toEqual([5, 2, 0])
  })

  test('a start that fails is a failed run, tried again; one that succeeded is not repeated', async () => {
    let starts = 0
    const instance = depot({
      async start() {
        if (++starts < 3) throw new Error('not yet')
      },
      async collect(batch) {
        batch.add(stock, { article: 'nut' }, starts)
      },
    })
    await instance.start()
    for (let n = 0; n < 5; n++) await nextRun(instance)
    expect(own()).toEqual(['depot_stock{target="north",article="nut"} 3'])
    expect([ofRun('runs_total'), failures('error')]).toEqual([5, 2])
  })
})

describe('a run without end', () => {
  test('is told so at its time-out, and fails for that reason', async () => {
    const reasons: unknown[] = []
    const instance = depot({
      async collect(_, signal) {
        await clock.sleep(minutes(60), signal).catch((reason: unknown) => {
          reasons.push(reason)
          throw reason
        })
      },
    })
    await instance.start()
    await nextRun(instance)
    await advance(TIMEOUT - 1)
    expect([failures('timeout'), ofRun('success')]).toEqual([0, undefined])
    await advance(1)
    expect([failures('timeout'), failures('error'), ofRun('success')]).toEqual([1, 0, 0])
    expect(String(reasons[0])).toBe('Error: no answer within 8000 ms')
    expect(ofRun('duration_seconds')).toBe(8)
  })

  test('that ignores its signal is never doubled: the ticks meanwhile are overruns', async () => {
    let running = 0
    let most = 0
    let began = 0
    const held = Promise.withResolvers<void>()
    const instance = depot({
      async collect(batch) {
        began++
        most = Math.max(most, ++running)
        if (began === 1) await held.promise
        // What comes after the time-out is written to nobody.
        batch.add(stock, { article: 'nut' }, began)
        running--
      },
    })
    await instance.start()
    await nextRun(instance)
    await advance(3 * INTERVAL)
    expect([began, most]).toEqual([1, 1])
    expect([failures('timeout'), failures('overrun'), ofRun('runs_total')]).toEqual([1, 3, 1])
    held.resolve()
    await settle()
    expect(own()).toEqual([])
    await nextRun(instance)
    expect([began, most, ofRun('success')]).toEqual([2, 1, 1])
    expect(own()).toEqual(['depot_stock{target="north",article="nut"} 2'])
  })
})

describe('a part that fails', () => {
  test('keeps its last samples for the window, while the others go on, and then they go', async () => {
    const collector = new Answering()
    const instance = depot(collector)
    await instance.start()
    await nextRun(instance)
    collector.stock = { nut: 5 }
    collector.failedParts = ['bolt']
    const seen: string[][] = []
    for (let n = 0; n < 5; n++) {
      await nextRun(instance)
      seen.push(own().toSorted())
    }
    const nut = 'depot_stock{target="north",article="nut"} 5'
    const kept = ['depot_stock{target="north",article="bolt"} 2', nut]
    expect(seen).toEqual([kept, kept, kept, [nut], [nut]])
    expect([failures('partial'), failures('error'), ofRun('success')]).toEqual([5, 0, 1])
    expect(instance.state.failedParts.map(({ labels }) => labels)).toEqual([{ article: 'bolt' }])
  })

  test('that recovers has a new window at its next failure', async () => {
    const collector = new Answering()
    const instance = depot(collector)
    await instance.start()
    await nextRun(instance)
    const withoutBolt = async (runs: number) => {
      collector.stock = { nut: 1 }
      collector.failedParts = ['bolt']
      for (let n = 0; n < runs; n++) await nextRun(instance)
    }
    await withoutBolt(2)
    collector.stock = { nut: 1, bolt: 3 }
    collector.failedParts = []
    await nextRun(instance)
    await withoutBolt(3)
    expect(own()).toContain('depot_stock{target="north",article="bolt"} 3')
    await withoutBolt(1)
    expect(own()).toEqual(['depot_stock{target="north",article="nut"} 1'])
  })
})

test('events tell of changes, not of every run', async () => {
  const collector = new Answering()
  const instance = depot(collector)
  await instance.start()
  const runs = async (count: number) => {
    for (let n = 0; n < count; n++) await nextRun(instance)
  }
  await runs(2)
  expect(said).toEqual([])
  collector.failure = new Error('closed')
  await runs(3)
  expect(said).toEqual(['north failed: error: Error: closed'])
  collector.failure = undefined
  await runs(2)
  expect(said.slice(1)).toEqual(['north recovered'])
  collector.failedParts = ['bolt']
  collector.stock = { nut: 1 }
  await runs(3)
  expect(said.slice(2)).toEqual(['parts: bolt'])
})

test('an instance that is switched off shows so, and does not run', async () => {
  let runs = 0
  const instance = depot(
    {
      async collect() {
        runs++
      },
    },
    { enabled: false },
  )
  await instance.start()
  await advance(10 * INTERVAL)
  expect(runs).toBe(0)
  expect([ofRun('enabled'), ofRun('success'), ofRun('runs_total')]).toEqual([0, undefined, 0])
  expect(value('depot_up{target="north"}')).toBeUndefined()
})

describe('stop', () => {
  test('aborts the run, closes the collector once it has ended, and takes the series away', async () => {
    const order: string[] = []
    const instance = depot({
      async collect(batch, signal) {
        batch.add(stock, { article: 'nut' }, 1)
        if (order.length === 0) {
          order.push('ran')
          return
        }
        await clock.sleep(minutes(60), signal).catch((reason: unknown) => {
          order.push(`aborted: ${reason}`)
          throw reason
        })
      },
      async stop() {
        order.push('stopped')
      },
    })
    await instance.start()
    await nextRun(instance)
    await nextRun(instance)
    expect(own()).toHaveLength(1)
    await instance.stop()
    await settle()
    expect(order).toEqual(['ran', 'aborted: Error: the exporter is stopping', 'stopped'])
    expect(lines()).toEqual([])
    expect(said).toEqual([])
  })

  test('does not leave the series of a run that ignores its signal', async () => {
    const held = Promise.withResolvers<void>()
    let began = 0
    const instance = depot({
      async collect(batch) {
        batch.add(stock, { article: 'nut' }, 1)
        if (++began === 2) await held.promise
      },
    })
    await instance.start()
    await nextRun(instance)
    await nextRun(instance)
    const stopped = instance.stop()
    await settle()
    expect(lines()).toEqual([])
    held.resolve()
    await stopped
    await settle()
    expect(lines()).toEqual([])
  })

  test('before start, it keeps the instance from ever showing', async () => {
    const instance = depot(new Answering())
    await instance.stop()
    await instance.start()
    await advance(INTERVAL)
    expect(lines()).toEqual([])
  })

  test('ends the wait of a failed instance for its series to go', async () => {
    const collector = new Answering()
    collector.failure = new Error('closed')
    const instance = depot(collector)
    await instance.start()
    await nextRun(instance)
    await instance.stop()
    await advance(10 * INTERVAL)
    expect(lines()).toEqual([])
  })
})

test('beyond the bound on series: cut, counted, and said once by family', async () => {
  const collector = new Answering()
  collector.stock = { nut: 1, bolt: 2, screw: 3 }
  const instance = depot(collector, { maxSeries: 2 })
  await instance.start()
  await nextRun(instance)
  await nextRun(instance)
  await settle()
  expect(own()).toEqual([
    'depot_stock{target="north",article="nut"} 1',
    'depot_stock{target="north",article="bolt"} 2',
  ])
  expect(value('cdc_series_dropped_total{target="north",collector="depot",reason="limit"}')).toBe(2)
  expect(said).toEqual(['dropped: depot_stock,1'])
})
