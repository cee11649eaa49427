import { expect, test } from 'vitest'
import type { SampleBatch } from '../../../src/collection/collector.ts'
import { Flight } from '../../../src/collectors/canary/flight.ts'

const LATE = 60_000
const LOST = 600_000

/** Canaries whose sequence is the time, in milliseconds, at which they were sent. */
class Sky {
  readonly flight = new Flight({ lateAfter: LATE, lostAfter: LOST })

  send(at: number): number {
    const slot = this.flight.freeSlot()
    if (slot === undefined) throw new Error('there is no free slot')
    this.flight.sent(slot, BigInt(at), at, at)
    return slot
  }

  /** At this time, these are there: sequences by slot. */
  look(at: number, there: Readonly<Record<number, number>> = {}): void {
    this.flight.looked((slot) => (there[slot] === undefined ? undefined : BigInt(there[slot])), at, at + 10)
  }

  /** Sent, late, lost, in flight, number and sum of latencies, and freshness. */
  get values(): (number | undefined)[] {
    const samples = new Map<string, number>()
    const batch: SampleBatch = {
      add: ({ name }, _, value) => void samples.set(name, value),
      addRow() {},
      addHistogram(_, __, value) {
        samples.set('count', value.cumulative().at(-1) ?? 0)
        samples.set('sum', value.sum)
      },
      partFailed() {},
    }
    this.flight.write(batch, { table: 'cdc_canary', tenant: '' }, true)
    const counters = ['sent_total', 'late_total', 'lost_total', 'in_flight'].map(
      (name) => `cdc_canary_${name}`,
    )
    return [...counters, 'count', 'sum', 'cdc_freshness_ok'].map((name) => samples.get(name))
  }
}

test('latency runs from the commit to the answer that had it', () => {
  const sky = new Sky()
  sky.send(1000)
  sky.look(1500)
  expect(sky.values).toEqual([1, 0, 0, 1, 0, 0, undefined])
  sky.look(1990, { 0: 1000 })
  expect(sky.values).toEqual([1, 0, 0, 0, 1, 1, 1])
})

test('what an earlier use of the slot left at the sink is not the canary', () => {
  const sky = new Sky()
  sky.send(1000)
  sky.look(1100, { 0: 999 })
  expect(sky.values.at(3)).toBe(1)
  sky.look(1200, { 0: 1000 })
  expect(sky.values.at(3)).toBe(0)
})

test('one that is lost among others that arrive is counted, and the sink is fresh', () => {
  const sky = new Sky()
  expect(sky.send(0)).toBe(0)
  expect(sky.send(30_000)).toBe(1)
  sky.look(30_100, { 1: 30_000 })
  sky.look(LATE, { 1: 30_000 })
  expect(sky.values.slice(1, 4)).toEqual([0, 0, 1])
  sky.look(LATE + 1)
  expect(sky.values.slice(1, 4)).toEqual([1, 0, 1])
  expect(sky.values.at(-1)).toBe(1)
  sky.look(LOST + 1)
  expect(sky.values.slice(1, 4)).toEqual([1, 1, 0])
  expect(sky.values.at(-1)).toBe(1)
  expect(sky.flight.freeSlot()).toBe(0)
})

test('the sink is not fresh until something newer than what was late arrives, though that is lost meanwhile', () => {
  const sky = new Sky()
  sky.send(0)
  sky.look(100, { 0: 0 })
  const slot = sky.send(1000)
  sky.look(1000 + LOST + 1)
  expect(sky.values).toEqual([2, 1, 1, 0, 1, 0.11, 0])
  sky.send(LOST + 2000)
  sky.look(LOST + 2001)
  expect(sky.values.at(-1)).toBe(0)
  sky.look(LOST + 2100, { [slot]: LOST + 2000 })
  expect(sky.values.at(-1)).toBe(1)
})

test('one that came late is counted when it comes, if nobody looked before', () => {
  const sky = new Sky()
  sky.send(0)
  sky.look(LATE + 1000, { 0: 0 })
  expect(sky.values).toEqual([1, 1, 0, 0, 1, 61.01, 1])
})

test('of one that came while nobody could look only that it came is known', () => {
  const sky = new Sky()
  sky.send(0)
  sky.look(100)
  sky.flight.unwatched()
  sky.look(LATE + 1000, { 0: 0 })
  expect(sky.values).toEqual([1, 0, 0, 0, 0, 0, 1])
})

test('no more are sent than are worth looking for', () => {
  const sky = new Sky()
  for (let at = 0; at < 1000; at++) sky.send(at)
  expect(sky.flight.freeSlot()).toBeUndefined()
  expect(sky.flight.oldest).toBe(0n)
  sky.look(2000, { 7: 7 })
  expect(sky.flight.freeSlot()).toBe(7)
})
