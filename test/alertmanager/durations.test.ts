import { globSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { parseDuration } from '../../src/config/fields.ts'
import { scaled, withDurations } from './durations.ts'
import { shippedFile } from './shipped.ts'

test('each duration is scaled, and nothing that only looks like one', () => {
  const text = [
    '  # for: 5m of a remark',
    '- alert: LagIn5m',
    '  expr: rate(x[5m]) > 300 and x offset 1h30m > 0 or max_over_time(x[1h:1m]) == 5 # 5m',
    '  for: 10m',
    '  labels: { severity: critical, window: 5m }',
    '  summary: For 10m.',
    'group_wait: 0s',
    '{receiver: sms, group_interval: 60s}',
  ].join('\n')
  expect(scaled(text, 1 / 60).split('\n')).toEqual([
    '  # for: 5m of a remark',
    '- alert: LagIn5m',
    '  expr: rate(x[5000ms]) > 300 and x offset 90000ms > 0 or max_over_time(x[60000ms:1000ms]) == 5 # 5m',
    '  for: 10000ms',
    '  labels: { severity: critical, window: 5m }',
    '  summary: For 10m.',
    'group_wait: 0ms',
    '{receiver: sms, group_interval: 1000ms}',
  ])
})

describe.each([shippedFile, ...globSync('prometheus/rules/*.yml')])('%s', (file) => {
  const text = readFileSync(file, 'utf8')
  const factor = 1 / 30

  test('scaled, it differs in nothing but its durations, each by the one factor', () => {
    const [before, after]: [number[], number[]] = [[], []]
    const without = (from: string, into: number[]) =>
      withDurations(from, (duration) => {
        into.push(parseDuration(duration) ?? Number.NaN)
        return 'D'
      })
    expect(without(scaled(text, factor), after)).toBe(without(text, before))
    expect(before.length).toBeGreaterThan(0)
    expect(after).toEqual(before.map((ms) => Math.round(ms * factor)))
  })

  test('no duration is left out', () => {
    const left: unknown[] = []
    // Whatever is a duration as a whole, and whatever stands in brackets or behind an offset of an expression.
    const look = (value: unknown, key: string): void => {
      if (typeof value === 'object' && value !== null) {
        for (const [name, item] of Object.entries(value)) look(item, name)
      } else if (typeof value === 'string') {
        if ((key === 'expr' ? /[[: ]\d+[smhdw]\b/ : /^(\d+[smhdw])+$/).test(value)) left.push({ key, value })
      }
    }
    look(
      parse(
        withDurations(text, () => 'D'),
        { merge: true },
      ),
      '',
    )
    expect(left).toEqual([])
  })
})
