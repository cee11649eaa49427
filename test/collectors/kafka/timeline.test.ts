import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Timeline } from '../../../src/collectors/kafka/timeline.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Timestamps by offset, ascending: a partition as its broker knows it; a hole is a record that compaction took. */
type Log = readonly (number | undefined)[]

/** What ListOffsets by timestamp answers of the records that exist at `now`. */
function ask(log: Log, timestamp: number, now: number): { offset: number; timestamp: number } | undefined {
  const offset = log.findIndex((time) => time !== undefined && time >= timestamp && time <= now)
  return offset < 0 ? undefined : { offset, timestamp: log[offset] ?? 0 }
}

const endAt = (log: Log, now: number): number => {
  const newest = log.findLastIndex((time) => time !== undefined && time <= now)
  return newest + 1
}

/** When the first record at or after `offset` was written. */
const truth = (log: Log, offset: number): number =>
  log.slice(offset).find((time) => time !== undefined) ?? Number.NaN

/** Asks as the collector does, up to `rounds` times; gives the number of questions. */
function settle(
  line: Timeline,
  log: Log,
  offset: number,
  now: number,
  rounds: number,
  compacted = false,
): number {
  for (let round = 0; round < rounds; round++) {
    line.readTime(offset, now, compacted)
    const question = line.question(now, compacted)
    if (question === undefined) return round
    const answer = ask(log, question, now)
    if (answer) line.learn(answer.offset, answer.timestamp, question, now)
    else line.learnNone(question)
  }
  return rounds
}

const every = (step: number, count: number, from: number): number[] =>
  Array.from({ length: count }, (_, i) => from + i * step)

const START = 1_700_000_000_000

describe('right after a start, with nothing but questions', () => {
  test.each([
    ['steady, two hours behind', every(SECOND, 20_000, START), 2 * HOUR],
    ['slow, a record an hour', every(HOUR, 100, START), 30 * HOUR],
    ['idle for three days', every(SECOND, 500, START), 3 * DAY],
    [
      'bursts of a thousand in a second, each ten minutes',
      every(10 * MINUTE, 50, START).flatMap((t) => every(1, 1000, t)),
      3 * HOUR,
    ],
  ])('%s: within a fifth of the age or half a minute', (_, log, behind) => {
    const newest = log.at(-1) ?? 0
    const now = newest + (behind > 2 * DAY ? behind : 5 * SECOND)
    const line = new Timeline()
    line.sample(endAt(log, now), now)
    const offset = Math.max(
      0,
      log.findIndex((time) => time >= now - behind),
    )
    const questions = settle(line, log, offset, now, 40)
    const age = now - truth(log, offset)
    const estimate = line.timeOf(offset, false)
    expect(Math.abs(now - (estimate?.time ?? 0) - age)).toBeLessThanOrEqual(Math.max(30 * SECOND, age * 0.2))
    expect(questions).toBeLessThan(30)
  })
})

test('caught up: no estimate, and nothing to ask', () => {
  const line = new Timeline()
  line.sample(10, START)
  expect(line.timeOf(10, false)).toBeUndefined()
  line.readTime(10, START, false)
  expect(line.question(START, false)).toBeUndefined()
  expect(line.timeOf(9, false)).toEqual({ time: START, earliest: undefined, latest: START })
})

test('sampled while it ran: within one interval, without a question', () => {
  const log = every(700, 5000, START)
  const line = new Timeline()
  const interval = 15 * SECOND
  let now = START
  for (; now < START + 40 * MINUTE; now += interval) line.sample(endAt(log, now), now)
  const last = now - interval
  for (let offset = endAt(log, START); offset < endAt(log, last); offset += 17) {
    const estimate = line.timeOf(offset, false)
    const recent = last - truth(log, offset) < 20 * MINUTE
    if (recent) {
      expect(Math.abs((estimate?.time ?? 0) - truth(log, offset))).toBeLessThanOrEqual(interval)
      line.readTime(offset, last, false)
      expect(line.question(last, false)).toBeUndefined()
    }
  }
})

test('a log that was made anew is not judged by the old one', () => {
  const line = new Timeline()
  line.sample(1000, START)
  line.learn(10, START - DAY, START - DAY, START)
  line.sample(5, START + MINUTE)
  expect(line.timeOf(3, false)).toEqual({ time: START + MINUTE, earliest: undefined, latest: START + MINUTE })
})

test('compaction left a gap: the next record that is there stands for it', () => {
  const log: (number | undefined)[] = every(MINUTE, 300, START)
  for (let i = 50; i < 250; i++) log[i] = undefined
  const now = START + 301 * MINUTE
  const line = new Timeline()
  line.sample(300, now)
  settle(line, log, 120, now, 40, true)
  const estimate = line.timeOf(120, true)
  expect(Math.abs((estimate?.time ?? 0) - truth(log, 120))).toBeLessThanOrEqual((now - truth(log, 120)) * 0.2)
})

test('compaction took the head of the log: the oldest record stands for it, and is asked for once', () => {
  const log: (number | undefined)[] = every(MINUTE, 300, START)
  for (let i = 0; i < 100; i++) log[i] = undefined
  const now = START + 301 * MINUTE
  const line = new Timeline()
  line.sample(300, now)
  expect(line.isBefore(50)).toBe(true)
  expect(settle(line, log, 50, now, 40, true)).toBe(1)
  expect(line.isBefore(50)).toBe(false)
  const time = truth(log, 50)
  expect(line.timeOf(50, true)).toEqual({ time, earliest: time, latest: time })
})

describe('clocks that are wrong', () => {
  test('records dated a day back: only samples count, and the lag is at least what was seen', () => {
    const line = new Timeline()
    line.sample(100, START)
    line.sample(100, START + MINUTE)
    line.sample(200, START + 2 * MINUTE)
    line.learn(150, START - DAY, START - DAY, START + 2 * MINUTE)
    expect(line.skewed).toBe(true)
    line.readTime(150, START + 2 * MINUTE, false)
    expect(line.question(START + 2 * MINUTE, false)).toBeUndefined()
    const estimate = line.timeOf(150, false)
    expect(estimate?.time).toBeGreaterThanOrEqual(START + MINUTE)
    expect(estimate?.time).toBeLessThanOrEqual(START + 2 * MINUTE)
  })

  test('another log is believed again', () => {
    const line = new Timeline()
    line.sample(100, START)
    line.learn(10, START + HOUR, 1, START)
    line.sample(20, START + MINUTE)
    expect(line.skewed).toBe(false)
  })

  test('records dated in the future', () => {
    const line = new Timeline()
    line.sample(100, START)
    line.learn(10, START + HOUR, 1, START)
    expect(line.skewed).toBe(true)
    expect(line.timeOf(10, false)?.latest).toBe(START)
  })
})

test('for any log, any moments of sampling and any offset: the truth lies in the bracket, and the estimate too', () => {
  const gaps = fc.array(fc.oneof(fc.nat(3), fc.nat(5 * SECOND), fc.nat(2 * HOUR)), {
    minLength: 1,
    maxLength: 200,
  })
  const pauses = fc.array(fc.oneof(fc.integer({ min: 1, max: 20 * SECOND }), fc.nat(3 * HOUR)), {
    minLength: 1,
    maxLength: 300,
  })
  fc.assert(
    fc.property(gaps, pauses, fc.nat(), fc.nat(6), (between, waits, pick, rounds) => {
      let time = START
      const log = between.map((gap) => (time += gap))
      const line = new Timeline()
      let now = START - 1
      for (const wait of waits) {
        now += wait
        const end = endAt(log, now)
        line.sample(end, now)
        if (end === 0) continue
        const offset = pick % end
        settle(line, log, offset, now, rounds)
        const estimate = line.timeOf(offset, false)
        const written = truth(log, offset)
        expect(estimate).toBeDefined()
        if (!estimate) return
        expect(estimate.latest).toBeGreaterThanOrEqual(written)
        if (estimate.earliest !== undefined) expect(estimate.earliest).toBeLessThanOrEqual(written)
        expect(estimate.time).toBeGreaterThanOrEqual(estimate.earliest ?? estimate.latest)
        expect(estimate.time).toBeLessThanOrEqual(estimate.latest)
        expect(line.timeOf(end, false)).toBeUndefined()
      }
    }),
    { numRuns: 300 },
  )
})
