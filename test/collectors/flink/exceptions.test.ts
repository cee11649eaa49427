import { describe, expect, test } from 'vitest'
import { ExceptionCounts } from '../../../src/collectors/flink/exceptions.ts'

/** What Flink remembers: the failures from one number to another, each of class A. */
const history = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ key: String(from + i), rootClass: 'A' }))

test('a failure that is remembered from look to look is counted once', () => {
  const counts = new ExceptionCounts(true)
  expect(counts.count([])).toEqual(new Map())
  expect(counts.count(history(1, 2))).toEqual(new Map([['A', 2]]))
  expect(counts.count([...history(2, 3), { key: '4', rootClass: 'B' }])).toEqual(
    new Map([
      ['A', 3],
      ['B', 1],
    ]),
  )
})

describe('a job that was there before the daemon', () => {
  test('has all its failures as long as Flink remembers all: as many as were counted before a restart', () => {
    expect(new ExceptionCounts(false).count(history(1, 15))).toEqual(new Map([['A', 15]]))
  })

  test('begins at 0 where Flink has forgotten some', () => {
    const counts = new ExceptionCounts(false)
    expect(counts.count(history(5, 20))).toEqual(new Map([['A', 0]]))
    expect(counts.count(history(7, 22))).toEqual(new Map([['A', 2]]))
  })
})

test('a job that has begun under the daemon’s eyes has all its failures', () => {
  expect(new ExceptionCounts(true).count(history(1, 16))).toEqual(new Map([['A', 16]]))
})
