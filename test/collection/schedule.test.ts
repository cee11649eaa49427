import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineCollector, seconds } from '../../src/collection/collector.ts'
import { Instance, type InstanceSettings } from '../../src/collection/instance.ts'
import { nextTime } from '../../src/collection/schedule.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { ManualClock } from './manual-clock.ts'

const HOUR = 3_600_000
const START = Date.UTC(2026, 0, 1, 3)
const DAILY = { cron: '0 6 * * *', timezone: 'UTC' }

let clock: ManualClock
let exposition: Exposition
let instance: Instance
/** When runs began. */
let began: number[]
/** What each run does. */
let work: (signal: AbortSignal) => Promise<void>

beforeEach(() => {
  clock = new ManualClock(START)
  exposition = new Exposition()
  began = []
  work = async () => {}
})
afterEach(() => instance.stop())

async function start(interval: InstanceSettings['interval'], enabled = true): Promise<void> {
  const kind = defineCollector({
    kind: 'depot',
    health: { key: 'depot', title: 'Depot' },
    settings: z.unknown(),
    families: [],
    defaults: { interval: seconds(10), timeout: seconds(8) },
    create: () => ({
      async collect(_, signal) {
        began.push(clock.now())
        await work(signal)
      },
    }),
  })
  const target = 'north'
  instance = new Instance(
    { kind, target, enabled, labels: { target }, interval, timeout: seconds(8), maxSeries: 10, settings: {} },
    clock,
    exposition,
    { failed: () => {}, recovered: () => {}, partsFailed: () => {}, seriesDropped: () => {} },
    { report: () => ({ open: [], totals: new Map() }) },
  )
  await instance.start()
}

async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await setImmediate()
    await exposition.publish()
  }
}

const advance = (ms: number) => clock.advance(ms, settle)

function ofRun(name: string): number | undefined {
  const series = `cdc_collector_${name}{target="north",collector="depot"}`
  const text = Buffer.concat(exposition.current.plain).toString()
  const line = text.split('\n').find((line) => line.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length))
}

describe('a cron expression', () => {
  test('runs at its times, and only then', async () => {
    await start(DAILY)
    await advance(3 * HOUR - 1)
    expect(began).toEqual([])
    await advance(1)
    expect(began).toEqual([START + 3 * HOUR])
    expect(ofRun('next_run_timestamp_seconds')).toBe((START + 27 * HOUR) / 1000)
    expect(ofRun('interval_seconds')).toBe(86_400)
    await advance(48 * HOUR)
    expect(began).toEqual([3, 27, 51].map((hours) => START + hours * HOUR))
  })

  test('is kept over a month, longer than a timer of Node may be', async () => {
    await start({ cron: '0 0 15 2 *', timezone: 'UTC' })
    await advance(60 * 24 * HOUR)
    expect(began).toEqual([Date.UTC(2026, 1, 15)])
  })

  test('series outlive a failed run by the time to the next run, 15 minutes at most', async () => {
    await start({ cron: '*/2 * * * *', timezone: 'UTC' })
    await advance(120_000)
    expect(ofRun('stale_after_seconds')).toBe(360)
    await instance.stop()
    await start(DAILY)
    await advance(24 * HOUR)
    expect(ofRun('stale_after_seconds')).toBe(900)
  })

  test('is read in its time zone, over a change to summer time', () => {
    const jakarta = nextTime({ cron: '0 6 * * *', timezone: 'Asia/Jakarta' }, START)
    expect(new Date(jakarta).toISOString()).toBe('2026-01-01T23:00:00.000Z')
    const berlin = { cron: '30 7 * * *', timezone: 'Europe/Berlin' }
    const before = nextTime(berlin, Date.UTC(2026, 2, 28))
    const after = nextTime(berlin, before)
    expect([before, after].map((at) => new Date(at).toISOString())).toEqual([
      '2026-03-28T06:30:00.000Z',
      '2026-03-29T05:30:00.000Z',
    ])
  })

  test.each(['0 6 * *', '61 * * * *', 'daily', '0 0 30 2 *'])('%s is refused', (cron) => {
    expect(() => nextTime({ cron, timezone: 'UTC' }, START)).toThrow()
  })
})

describe('a run that is asked for', () => {
  test('begins at once, and the next one is due when it was', async () => {
    await start(DAILY)
    await settle()
    const done = instance.collectNow()
    await settle()
    await done
    expect(began).toEqual([START])
    expect(instance.state).toMatchObject({ success: true, lastRunAt: START, nextRunAt: START + 3 * HOUR })
    await advance(3 * HOUR)
    expect(began).toEqual([START, START + 3 * HOUR])
  })

  test('never runs beside another: it waits for that, and all who ask meanwhile share one', async () => {
    const first = Promise.withResolvers<void>()
    work = () => (began.length === 1 ? first.promise : Promise.resolve())
    await start(seconds(10))
    await advance(seconds(3))
    expect(began).toHaveLength(1)
    const asked = [instance.collectNow(), instance.collectNow()]
    await settle()
    expect(began).toHaveLength(1)
    first.resolve()
    await settle()
    await Promise.all(asked)
    expect(began).toHaveLength(2)
  })

  test('tells how it went, failed or not', async () => {
    work = async () => {
      throw new Error('closed')
    }
    await start(DAILY)
    await settle()
    const done = instance.collectNow()
    await settle()
    await done
    expect(instance.state).toMatchObject({ success: false, error: new Error('closed') })
  })

  test('is refused by an instance that is off, or that stops meanwhile', async () => {
    await start(DAILY, false)
    await expect(instance.collectNow()).rejects.toThrow('the collector is off')
    await start(DAILY)
    work = (signal) => clock.sleep(HOUR, signal)
    const asked = instance.collectNow()
    const refused = expect(asked).rejects.toThrow('the collector is off')
    await settle()
    await instance.stop()
    await refused
  })
})
