import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lookedAgain, rowDifference, sourceAtSink } from '../../../src/collectors/drift/difference.ts'

/** The source had these rows at the looks; the sink has `sink` at the last one. */
function after(sourceRows: readonly bigint[], sink: bigint) {
  const [first = 0n, ...rest] = sourceRows
  let counts = { sourceLow: first, sourceHigh: first, sink }
  for (const rows of rest) counts = lookedAgain(counts, sink, rows)
  return counts
}

test('equal counts do not differ', () => {
  expect(rowDifference(after([7n], 7n))).toBe(0n)
})

test('what is missing in the sink is above 0, what is too much is below', () => {
  expect(rowDifference(after([10n], 7n))).toBe(3n)
  expect(rowDifference(after([10n], 12n))).toBe(-2n)
})

test('a sink between what the source had before and after is where the source was in between', () => {
  const counts = after([10n, 8n], 9n)
  expect(sourceAtSink(counts)).toBe(9n)
  expect(rowDifference(counts)).toBe(0n)
})

test('while the source moves only what lies beyond its bounds is a difference', () => {
  expect(rowDifference(after([10n, 8n], 5n))).toBe(3n)
  expect(rowDifference(after([10n, 8n], 11n))).toBe(-1n)
})

test('counts beyond 2^53 are exact', () => {
  expect(rowDifference(after([9007199254740993n], 9007199254740992n))).toBe(1n)
})

const rows = fc.bigInt({ min: 0n, max: 1_000_000n })
const looks = fc.array(rows, { minLength: 1, maxLength: 5 })

test('source less sink is the difference, and the source is one that it may have been', () => {
  fc.assert(
    fc.property(looks, rows, (sourceRows, sink) => {
      const counts = after(sourceRows, sink)
      const source = sourceAtSink(counts)
      expect(source - sink).toBe(rowDifference(counts))
      expect(sourceRows.some((n) => n <= source) && sourceRows.some((n) => n >= source)).toBe(true)
    }),
  )
})

test('a sink that lost rows differs by no more than it lost, and one that lost none does not differ', () => {
  fc.assert(
    fc.property(looks, rows, fc.nat(), (sourceRows, lost, seed) => {
      const low = sourceRows.reduce((a, b) => (a < b ? a : b))
      const high = sourceRows.reduce((a, b) => (a > b ? a : b))
      const moment = low + (BigInt(seed) % (high - low + 1n))
      expect(rowDifference(after(sourceRows, moment))).toBe(0n)
      const difference = rowDifference(after(sourceRows, moment - lost))
      expect(difference >= 0n && difference <= lost).toBe(true)
    }),
  )
})
