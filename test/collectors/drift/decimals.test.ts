import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonical, isDecimal, isWithin, subtract } from '../../../src/collectors/drift/decimals.ts'
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

test('an exponent is read exactly, and what is no number is none', () => {
  expect(canonical('1.5e3')).toBe('1500')
  expect(canonical('+25E-4')).toBe('0.0025')
  expect(subtract('1e21', '1')).toBe('999999999999999999999')
  for (const text of ['', ' 1', '1 ', 'NaN', 'Infinity', '-inf', '0x10', '1,5', '.5', '1.', 't', '1e9999']) {
    expect(isDecimal(text), text).toBe(false)
  }
})

/** `units` with `scale` digits behind the point. */
const decimal = (units: bigint, scale: number) => {
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, '0')
  const point = digits.length - scale
  return `${units < 0n ? '-' : ''}${digits.slice(0, point)}${scale === 0 ? '' : `.${digits.slice(point)}`}`
}

const anyUnits = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n })
const anyScale = fc.nat({ max: 30 })

test('numbers are within a tolerance just where whole numbers of their last digit are', () => {
  fc.assert(
    fc.property(
      anyUnits,
      anyUnits,
      fc.bigInt({ min: 0n, max: 10n ** 40n }),
      anyScale,
      (a, b, allowed, scale) => {
        const apart = a > b ? a - b : b - a
        const tolerance = { absolute: decimal(allowed, scale), relative: '0' }
        expect(isWithin(decimal(a, scale), decimal(b, scale), tolerance)).toBe(apart <= allowed)
        const exactly = { absolute: decimal(apart, scale), relative: '0' }
        expect(isWithin(decimal(a, scale), decimal(b, scale), exactly)).toBe(true)
        const less = { absolute: decimal(apart - 1n, scale), relative: '0' }
        if (apart > 0n) expect(isWithin(decimal(a, scale), decimal(b, scale), less)).toBe(false)
      },
    ),
  )
})

test('numbers are within a share of the first one, however many digits they are written with', () => {
  fc.assert(
    fc.property(
      anyUnits,
      anyUnits,
      fc.nat({ max: 2000 }),
      anyScale,
      anyScale,
      (a, b, thousandths, scale, zeros) => {
        const [apart, of] = [a > b ? a - b : b - a, a < 0n ? -a : a]
        const tolerance = { absolute: '0', relative: decimal(BigInt(thousandths), 3) }
        const longer = decimal(b * 10n ** BigInt(zeros), scale + zeros)
        expect(isWithin(decimal(a, scale), longer, tolerance)).toBe(apart * 1000n <= of * BigInt(thousandths))
      },
    ),
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
