import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InstanceSeries } from '../../src/metrics/batch.ts'
import { Distribution } from '../../src/metrics/distribution.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { gauge, histogram } from '../../src/metrics/family.ts'

const latency = histogram('test_latency_seconds', 'Latency, from a test.', [0.005, 1, 2.5], ['table'])
const up = gauge('test_up', 'Whether it is up, from a test.')

async function textOf(instance: InstanceSeries, ...tables: readonly [string, Distribution][]) {
  const exposition = new Exposition()
  exposition.attach(instance)
  const batch = instance.begin()
  for (const [table, value] of tables) batch.addHistogram(latency, { table }, value)
  batch.add(up, {}, 1)
  await batch.commit([], true)
  await exposition.publish()
  return { batch, exposition, text: Buffer.concat(exposition.current.plain).toString().replace(/ +/g, ' ') }
}

test('a histogram is written as Prometheus reads one', async () => {
  const users = new Distribution(latency.buckets)
  for (const seconds of [0.005, 0.006, 1, 9]) users.observe(seconds)
  users.observe(2, 10)
  const instance = new InstanceSeries('test', [latency, up], { target: 'erp' }, 100)
  const { exposition, text } = await textOf(instance, ['users', users])
  expect(text.split('\n')).toEqual([
    '# HELP test_latency_seconds Latency, from a test.',
    '# TYPE test_latency_seconds histogram',
    'test_latency_seconds_bucket{target="erp",table="users",le="0.005"} 1',
    'test_latency_seconds_bucket{target="erp",table="users",le="1"} 3',
    'test_latency_seconds_bucket{target="erp",table="users",le="2.5"} 13',
    'test_latency_seconds_bucket{target="erp",table="users",le="+Inf"} 14',
    'test_latency_seconds_sum{target="erp",table="users"} 30.011',
    'test_latency_seconds_count{target="erp",table="users"} 14',
    '# HELP test_up Whether it is up, from a test.',
    '# TYPE test_up gauge',
    'test_up{target="erp"} 1',
    '',
  ])
  const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text })
  expect(stderr.toString()).toBe('')
  expect(status).toBe(0)

  expect(exposition.samples('test_latency_seconds_count')).toEqual([
    { labels: { target: 'erp', table: 'users' }, value: 14 },
  ])
  expect(exposition.samples('test_latency_seconds_bucket')).toContainEqual({
    labels: { target: 'erp', table: 'users', le: '2.5' },
    value: 13,
  })
  expect(exposition.samples('test_latency_seconds')).toEqual([])
})

test('a bound on series takes a histogram whole or not at all, and one of the same labels is taken once', async () => {
  const one = new Distribution(latency.buckets)
  one.observe(1)
  // Six lines each: the second does not fit.
  const instance = new InstanceSeries('test', [latency, up], { target: 'erp' }, 11)
  const { batch, text } = await textOf(instance, ['users', one], ['orders', one])
  expect(text).toContain('table="users"')
  expect(text).not.toContain('table="orders"')
  expect(text).toContain('test_up{target="erp"} 1')
  expect(batch.dropped).toEqual({ limit: 1, duplicate: 0, invalid: 0 })

  const again = await textOf(
    new InstanceSeries('test', [latency, up], {}, 100),
    ['users', one],
    ['users', one],
  )
  expect(again.batch.dropped).toEqual({ limit: 0, duplicate: 1, invalid: 0 })
})

test('a histogram takes no single value', () => {
  const batch = new InstanceSeries('test', [latency], {}, 100).begin()
  expect(() => batch.add(latency, { table: 'users' }, 1)).toThrow('test_latency_seconds is a histogram')
})

test('every observation is in the buckets of all bounds that it does not exceed', () => {
  const bounds = [0.1, 1, 10, 100]
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: 0, max: 1000 })), (values) => {
      const seen = new Distribution(bounds)
      for (const value of values) seen.observe(value)
      expect(seen.cumulative()).toEqual(
        [...bounds, Infinity].map((bound) => values.filter((value) => value <= bound).length),
      )
    }),
  )
})
