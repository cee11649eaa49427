import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InstanceSeries } from '../../src/metrics/batch.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { counter, gauge } from '../../src/metrics/family.ts'
import { combineCrc32 } from '../../src/metrics/gzip.ts'

const lag = gauge('test_lag', 'Lag, from a test.', ['group', 'partition'])
const total = counter('test_total', 'Total, from a test.')

const scrape = (exposition: Exposition): string => {
  const text = gunzipSync(exposition.current.gzip).toString()
  expect(Buffer.concat(exposition.current.plain).toString()).toBe(text)
  expect(exposition.current.plainLength).toBe(Buffer.byteLength(text))
  return text
}

/** Sample lines, with the padding of their values taken out. */
const samples = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.replace(/ +/g, ' '))
    .sort()

interface Write {
  readonly group: string
  readonly partition: string
  readonly value: number
}

/** One run, in the way the engine does it. */
async function run(exposition: Exposition, instance: InstanceSeries, writes: readonly Write[]) {
  const batch = instance.begin()
  for (const { group, partition, value } of writes) batch.add(lag, { group, partition }, value)
  await batch.commit([], exposition.unread)
  await exposition.publish()
  return batch
}

describe('what a scrape sees', () => {
  test('families of several instances stand under one HELP and TYPE', async () => {
    const exposition = new Exposition()
    for (const target of ['b', 'a']) {
      const instance = new InstanceSeries('test', [lag, total], { target, environment: 'dev' }, 10)
      exposition.attach(instance)
      const batch = instance.begin()
      batch.add(total, {}, 7)
      batch.add(lag, { group: 'g', partition: '0' }, 1.5)
      await batch.commit([], true)
    }
    await exposition.publish()
    expect(scrape(exposition).replace(/ +/g, ' ')).toBe(
      [
        '# HELP test_lag Lag, from a test.',
        '# TYPE test_lag gauge',
        'test_lag{target="b",environment="dev",group="g",partition="0"} 1.5',
        'test_lag{target="a",environment="dev",group="g",partition="0"} 1.5',
        '# HELP test_total Total, from a test.',
        '# TYPE test_total counter',
        'test_total{target="b",environment="dev"} 7',
        'test_total{target="a",environment="dev"} 7',
        '',
      ].join('\n'),
    )
    expect(exposition.current.series).toBe(4)
  })

  test('any sequence of runs shows exactly what the last one wrote', async () => {
    const write = fc.record({
      group: fc.oneof(
        fc.constantFrom('a', 'b', 'c', '"quoted"', 'back\\slash', 'line\nfeed', 'é𝄞'),
        fc.string(),
      ),
      partition: fc.nat(40).map(String),
      value: fc.oneof(
        fc.nat(),
        fc.integer({ min: -1e9, max: 1e9 }),
        fc.double({ noNaN: true }),
        fc.nat(100_000_000).map((milliseconds) => milliseconds / 1000),
        fc.maxSafeInteger().map((milliseconds) => milliseconds / 1000),
        fc.constantFrom(
          0.001,
          99.9,
          999_999_999_999.999,
          1_000_000_000_000.001,
          0,
          -0,
          Infinity,
          -Infinity,
          2 ** 53,
          1e21,
          5e-324,
          -1.2345678901234567e-100,
          -0.0000010444961525939881,
        ),
      ),
    })
    const runs = fc.array(
      fc.uniqueArray(write, { selector: (w) => `${w.group}\0${w.partition}`, maxLength: 60 }),
      { minLength: 1, maxLength: 8 },
    )
    await fc.assert(
      fc.asyncProperty(runs, async (sequence) => {
        const exposition = new Exposition()
        const instance = new InstanceSeries('test', [lag], { target: 't' }, 1000)
        exposition.attach(instance)
        for (const writes of sequence) {
          await run(exposition, instance, writes)
          expect(samples(scrape(exposition))).toEqual(
            writes
              .map(({ group, partition, value }) => {
                const escaped = group.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
                const number = String(value).replace(/^(-?)Infinity$/, (_, sign) => `${sign || '+'}Inf`)
                // Lone surrogates have no UTF-8 form; both sides print them as U+FFFD.
                return Buffer.from(
                  `test_lag{target="t",group="${escaped}",partition="${partition}"} ${number}`,
                )
                  .toString()
                  .replace(/ +/g, ' ')
              })
              .sort(),
          )
        }
      }),
      { numRuns: 150 },
    )
  })

  test('a run of many chunks that grows, shrinks and changes order stays exact', async () => {
    const exposition = new Exposition()
    const instance = new InstanceSeries('test', [lag], { target: 't' }, 100_000)
    exposition.attach(instance)
    const all = Array.from({ length: 10_000 }, (_, i) => ({ group: `g${i}`, partition: '0', value: i }))
    for (const writes of [
      all,
      all.map((w) => ({ ...w, value: w.value * 3 })),
      all.filter((_, i) => i % 7 !== 0),
      all.toReversed(),
      all.slice(5000).concat(all.slice(0, 10)),
      [],
      all,
    ]) {
      await run(exposition, instance, writes)
      expect(samples(scrape(exposition))).toEqual(
        writes.map((w) => `test_lag{target="t",group="${w.group}",partition="0"} ${w.value}`).sort(),
      )
    }
  })
})

describe('what is not taken', () => {
  test('beyond the bound, written twice, or not a number: counted by reason', async () => {
    const exposition = new Exposition()
    const instance = new InstanceSeries('test', [lag], { target: 't' }, 2)
    exposition.attach(instance)
    const batch = await run(exposition, instance, [
      { group: 'a', partition: '0', value: 1 },
      { group: 'a', partition: '0', value: 2 },
      { group: 'b', partition: '0', value: Number.NaN },
      { group: 'c', partition: '0', value: 3 },
      { group: 'd', partition: '0', value: 4 },
    ])
    expect(batch.dropped).toEqual({ limit: 1, duplicate: 1, invalid: 1 })
    expect(samples(scrape(exposition))).toEqual([
      'test_lag{target="t",group="a",partition="0"} 1',
      'test_lag{target="t",group="c",partition="0"} 3',
    ])
  })

  test('a family that the kind does not declare', () => {
    const batch = new InstanceSeries('test', [lag], { target: 't' }, 2).begin()
    expect(() => batch.add(total, {}, 1)).toThrow('test_total is not among the families of its kind')
  })

  test('what a discarded run wrote', async () => {
    const exposition = new Exposition()
    const instance = new InstanceSeries('test', [lag], { target: 't' }, 10)
    exposition.attach(instance)
    await run(exposition, instance, [{ group: 'a', partition: '0', value: 1 }])
    const failed = instance.begin()
    failed.add(lag, { group: 'a', partition: '0' }, 99)
    failed.add(lag, { group: 'new', partition: '0' }, 99)
    failed.discard()
    failed.add(lag, { group: 'late', partition: '0' }, 99)
    await exposition.publish()
    expect(samples(scrape(exposition))).toEqual(['test_lag{target="t",group="a",partition="0"} 1'])
    await run(exposition, instance, [
      { group: 'b', partition: '0', value: 5 },
      { group: 'a', partition: '0', value: 6 },
    ])
    expect(samples(scrape(exposition))).toEqual([
      'test_lag{target="t",group="a",partition="0"} 6',
      'test_lag{target="t",group="b",partition="0"} 5',
    ])
  })
})

test('samples of a failed part stay with their last values, others go', async () => {
  const exposition = new Exposition()
  const instance = new InstanceSeries('test', [lag], { target: 't' }, 10)
  exposition.attach(instance)
  await run(exposition, instance, [
    { group: 'a', partition: '0', value: 1 },
    { group: 'a', partition: '1', value: 2 },
    { group: 'b', partition: '0', value: 3 },
    { group: 'c', partition: '0', value: 4 },
  ])
  const batch = instance.begin()
  batch.add(lag, { group: 'a', partition: '1' }, 20)
  const parts = [{ group: 'a' }, { partition: '0', group: 'b' }, { other: 'c' }]
  await batch.commit(
    parts.map((labels) => ({ labels, cause: undefined })),
    true,
  )
  await exposition.publish()
  expect(samples(scrape(exposition))).toEqual([
    'test_lag{target="t",group="a",partition="0"} 1',
    'test_lag{target="t",group="a",partition="1"} 20',
    'test_lag{target="t",group="b",partition="0"} 3',
  ])
})

test('a part of some families keeps what they have of its labels, and nothing of other families', async () => {
  const exposition = new Exposition()
  const instance = new InstanceSeries('test', [lag, total], { target: 't' }, 10)
  exposition.attach(instance)
  const first = instance.begin()
  first.add(lag, { group: 'a', partition: '0' }, 1)
  first.add(lag, { group: 'b', partition: '0' }, 2)
  first.add(total, {}, 3)
  await first.commit([], true)
  const kept = async (labels: Record<string, string>, families: (typeof lag | typeof total)[]) => {
    const batch = instance.begin()
    await batch.commit([{ labels, cause: undefined, families }], true)
    await exposition.publish()
    return samples(scrape(exposition))
  }
  const both = { query: 'q', group: 'a' }
  expect(await kept(both, [lag, total])).toEqual([
    'test_lag{target="t",group="a",partition="0"} 1',
    'test_total{target="t"} 3',
  ])
  expect(await kept(both, [total])).toEqual(['test_total{target="t"} 3'])
  expect(await kept({}, [lag])).toEqual([])
})

test('a family that is declared anew has its new HELP and TYPE', async () => {
  const exposition = new Exposition()
  const heads: string[] = []
  for (const family of [counter('test_rows_total', 'As it was.'), counter('test_rows_total', 'As it is.')]) {
    const instance = new InstanceSeries('test', [family], { target: 't' }, 10)
    exposition.attach(instance)
    const batch = instance.begin()
    batch.add(family, {}, 1)
    await batch.commit([], true)
    await exposition.publish()
    heads.push(scrape(exposition).split('\n')[0] ?? '')
    exposition.detach(instance)
  }
  expect(heads).toEqual(['# HELP test_rows_total As it was.', '# HELP test_rows_total As it is.'])
})

test('bytes that a reader holds do not change under it', async () => {
  const exposition = new Exposition()
  const instance = new InstanceSeries('test', [lag], { target: 't' }, 10)
  exposition.attach(instance)
  await run(exposition, instance, [{ group: 'a', partition: '0', value: 1 }])
  const held = await exposition.read()
  const before = Buffer.concat(held.plain).toString()
  for (const value of [2, 3, 4]) {
    await run(exposition, instance, [{ group: 'a', partition: '0', value }])
    expect(Buffer.concat(held.plain).toString()).toBe(before)
  }
  held.release()
})

test('a gzip form that is being sent stays until it is released, then its memory is given back', async () => {
  const exposition = new Exposition()
  const instance = new InstanceSeries('test', [lag], { target: 't' }, 10)
  exposition.attach(instance)
  await run(exposition, instance, [{ group: 'a', partition: '0', value: 1 }])
  const [held, again] = [exposition.readGzip(), exposition.readGzip()]
  const before = gunzipSync(held.gzip).toString()
  for (const value of [2, 3, 4]) await run(exposition, instance, [{ group: 'a', partition: '0', value }])
  expect(gunzipSync(held.gzip).toString()).toBe(before)
  held.release()
  held.release()
  expect(gunzipSync(again.gzip).toString()).toBe(before)
  again.release()
  expect(again.gzip).toHaveLength(0)

  const newest = exposition.readGzip()
  newest.release()
  expect(scrape(exposition).replace(/ +/g, ' ')).toContain('partition="0"} 4')
})

test('who reads while a pass is rendered in place gets that pass, not a mixture', async () => {
  const exposition = new Exposition()
  const instance = new InstanceSeries('test', [lag], { target: 't' }, 100_000)
  exposition.attach(instance)
  const all = (value: number) =>
    Array.from({ length: 20_000 }, (_, i) => ({ group: `g${i}`, partition: '0', value }))
  await run(exposition, instance, all(1))
  const batch = instance.begin()
  for (const { group, partition, value } of all(2)) batch.add(lag, { group, partition }, value)
  let readers: Promise<void>[] = []
  await exposition.rewrite(async (inPlace) => {
    expect(inPlace).toBe(true)
    const written = batch.commit([], inPlace)
    readers = [undefined, () => true].map(async (wanted) => {
      const { plain, release } = await exposition.read(wanted)
      const values = new Set(samples(Buffer.concat(plain).toString()).map((line) => line.split(' ').at(-1)))
      release()
      expect([...values]).toEqual(['2'])
    })
    await written
  })
  await exposition.publish()
  await Promise.all(readers)
})

test('the CRC-32 of two stretches is that of both in a row', async () => {
  const { crc32 } = await import('node:zlib')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.uint8Array({ maxLength: 3000 }), (a, b) => {
      expect(combineCrc32(crc32(a), crc32(b), b.length)).toBe(crc32(Buffer.concat([a, b])))
    }),
  )
})
