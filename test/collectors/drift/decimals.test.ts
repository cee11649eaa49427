import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonical, subtract } from '../../../src/collectors/drift/decimals.ts'
import { sumDifference, sumLookedAgain } from '../../../src/collectors/drift/difference.ts'
import { isQuiet } from '../../../src/collectors/drift/quiet-hours.ts'

test('decimals are subtracted exactly, whatever their digits', () => {
  expect(subtract('0.30', '0.1')).toBe('0.2')
  expect(subtract('100', '100.00')).toBe('0')
  expect(subtract('12345678901234567890.01', '12345678901234567890.02')).toBe('-0.01')
  expect(canonical('-0.00')).toBe('0')
  expect(canonical('1200.500')).toBe('1200.5')
  expect(() => canonical('NaN')).toThrow('a sum is no decimal number: NaN')
})

test('what is subtracted can be added again', () => {
  const cents = fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n })
  const text = (n: bigint) =>
    `${n < 0n ? '-' : ''}${String(n < 0n ? -n : n)
      .padStart(3, '0')
      .replace(/(..)$/, '.$1')}`
  fc.assert(
    fc.property(cents, cents, (a, b) => {
      expect(subtract(text(a), text(b))).toBe(canonical(text(a - b)))
    }),
  )
})

test('a sum differs only where the source said the same at every look', () => {
  const looks = { source: new Set(['10']), sink: '7' }
  expect(sumDifference(looks)).toBe('3')
  expect(sumDifference(sumLookedAgain(looks, '7.00', '10.0'))).toBe('3')
  expect(sumDifference(sumLookedAgain(looks, '7', '11'))).toBeUndefined()
  expect(sumDifference(sumLookedAgain(looks, '11', '11'))).toBe('0')
})

test('quiet hours may go over midnight, and are those of their time zone', () => {
  const at = (time: string) => Date.parse(`2026-11-21T${time}Z`)
  expect(isQuiet([], 'UTC', at('12:00:00'))).toBe(false)
  expect(isQuiet(['08:00-18:00'], 'UTC', at('08:00:00'))).toBe(true)
  expect(isQuiet(['08:00-18:00'], 'UTC', at('18:00:00'))).toBe(false)
  expect(isQuiet(['08:00-18:00'], 'Asia/Jakarta', at('17:00:00'))).toBe(false)
  expect(isQuiet(['08:00-18:00'], 'Asia/Jakarta', at('01:30:00'))).toBe(true)
  expect(isQuiet(['22:00-02:00'], 'UTC', at('00:30:00'))).toBe(true)
  expect(isQuiet(['22:00-02:00'], 'UTC', at('02:00:00'))).toBe(false)
})
