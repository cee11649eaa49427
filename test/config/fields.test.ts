// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { boolean, formatDuration, integer, parseDuration, parseSize } from '../../src/config/fields.ts'
import { interpolate } from '../../src/config/interpolate.ts'

const MS = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 }
const BYTES = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
}
const keys = <T extends object>(table: T) => fc.constantFrom(...(Object.keys(table) as (keyof T & string)[]))

test('a duration is the sum of its parts', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(10_000), keys(MS)), { minLength: 1, maxLength: 4 }), (parts) => {
      const text = parts.map(([count, unit]) => `${count}${unit}`).join('')
      expect(parseDuration(text)).toBe(parts.reduce((sum, [count, unit]) => sum + count * MS[unit], 0))
    }),
  )
})

test('a duration survives being written and read', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 45), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms)
    }),
  )
  expect(formatDuration(5_400_000)).toBe('1h30m')
})

test('a size is its count times its unit, or nothing beyond exact numbers', () => {
  fc.assert(
    fc.property(fc.nat(), keys(BYTES), (count, unit) => {
      const bytes = count * BYTES[unit]
      expect(parseSize(`${count}${unit}`)).toBe(Number.isSafeInteger(bytes) ? bytes : undefined)
    }),
  )
})

test('other texts are no duration and no size', () => {
  for (const text of [
    '',
    '15',
    '15 s',
    '1.5s',
    '-1s',
    's',
    '15S',
    '15sec',
    '1m 5s',
    '99999999999999999999w',
  ]) {
    expect(parseDuration(text), text).toBeUndefined()
  }
  for (const text of ['', '64', '64 MiB', '1.5GB', '-1B', 'MiB', '64mib', '64M', '9999999999TB']) {
    expect(parseSize(text), text).toBeUndefined()
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      if (!/^(\d+[a-z]+)+$/.test(text)) expect(parseDuration(text)).toBeUndefined()
      if (!/^\d+[A-Za-z]+$/.test(text)) expect(parseSize(text)).toBeUndefined()
    }),
  )
})

test('a number and a boolean may be texts, as variables give them', () => {
  expect(integer(0).parse('42')).toBe(42)
  expect(integer(-5).parse('-5')).toBe(-5)
  expect(integer(0).safeParse('4.2').success).toBe(false)
  expect(integer(0).safeParse('').success).toBe(false)
  expect(boolean().parse('true')).toBe(true)
  expect(boolean().parse('false')).toBe(false)
  expect(boolean().safeParse('no').success).toBe(false)
})

const none = () => undefined

test('a text without a variable stays as it is', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!text.includes('${'))
      expect(interpolate(text, none)).toEqual({ text, faults: [] })
    }),
  )
})

test('any text can be written with escapes', () => {
  const pieces = fc.array(fc.constantFrom('$', '{', '}', '${', '$${', 'A', ':-'), { maxLength: 12 })
  fc.assert(
    fc.property(pieces, (parts) => {
      const text = parts.join('')
      expect(
        interpolate(
          text.replaceAll('${', () => '$${'),
          none,
        ),
      ).toEqual({ text, faults: [] })
    }),
  )
})

test('a value goes in as it is, and is not looked into again', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (value, around) => {
      fc.pre(!around.includes('$') && !around.includes('{'))
      const result = interpolate(`${around}\${A}${around}`, () => value)
      expect(result).toEqual({ text: around + value + around, faults: [] })
    }),
  )
  expect(interpolate('${A}', () => '${B} $& $1').text).toBe('${B} $& $1')
})

test('a default stands in for a variable that is missing or empty', () => {
  const lookup = (name: string) => ({ SET: 'x', EMPTY: '' })[name]
  expect(interpolate('${SET:-d}|${EMPTY:-d}|${NONE:-d:-e}|${NONE:-}|${EMPTY}', lookup)).toEqual({
    text: 'x|d|d:-e||',
    faults: [],
  })
  expect(interpolate('${A} ${B:-x} ${C}', none).faults).toHaveLength(2)
  for (const text of ['${', '${}', '${1}', '${A', '${A-b}', '${A B}']) {
    expect(interpolate(text, () => 'x').faults, text).toHaveLength(1)
  }
})
