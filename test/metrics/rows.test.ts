import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InstanceSeries } from '../../src/metrics/batch.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { gauge, histogram } from '../../src/metrics/family.ts'

const labels = ['group', 'partition'] as const
const families = [
  gauge('test_offset', 'Offset, from a test.', labels),
  gauge('test_lag', 'Lag, from a test.', labels),
  gauge('test_lag_seconds', 'Age, from a test.', labels),
]

interface Row {
  readonly group: string
  readonly partition: string
  /** NaN leaves the sample out. */
  readonly values: readonly number[]
}

/** An instance that is written in rows, and one that is written sample by sample. */
function pair(maxSeries: number) {
  return (['rows', 'samples'] as const).map((way) => {
    const exposition = new Exposition()
    const instance = new InstanceSeries('test', families, { target: 't' }, maxSeries)
    exposition.attach(instance)
    return async (rows: readonly Row[]) => {
      const batch = instance.begin()
      // One object and one list for all, as a collector has it.
      const own = { group: '', partition: '' }
      const values = new Float64Array(families.length)
      for (const row of rows) {
        Object.assign(own, { group: row.group, partition: row.partition })
        values.set(row.values)
        if (way === 'rows') batch.addRow(families, own, values)
        else {
          for (const [i, family] of families.entries()) {
            if (!Number.isNaN(values[i])) batch.add(family, own, values[i] ?? 0)
          }
        }
      }
      await batch.commit([], exposition.unread)
      await exposition.publish()
      const { plain, release } = await exposition.read()
      const lines = Buffer.concat(plain).toString().split('\n').sort()
      release()
      return { lines, dropped: batch.dropped, byFamily: Object.fromEntries(batch.droppedByFamily) }
    }
  })
}

describe('rows', () => {
  test('say what their samples would say one by one, in any sequence of runs', async () => {
    const row = fc.record({
      group: fc.constantFrom('a', 'b', 'c'),
      partition: fc.nat(3).map(String),
      values: fc.tuple(
        ...families.map(() => fc.oneof({ weight: 5, arbitrary: fc.nat() }, fc.constant(Number.NaN))),
      ),
    })
    const rows = fc.array(row, { maxLength: 12 })
    // Most runs write the series of the one before, in their order.
    const runs = fc.array(fc.tuple(fc.nat(3), rows), { minLength: 2, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(runs, fc.constantFrom(6, 1000), async (sequence, maxSeries) => {
        const [inRows, bySample] = pair(maxSeries)
        let last: readonly Row[] = []
        for (const [change, next] of sequence) {
          if (change === 0) last = next
          else last = last.map((one, i) => ({ ...one, values: next[i]?.values ?? one.values }))
          expect(await inRows?.(last)).toEqual(await bySample?.(last))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('want the same labels of all their families', () => {
    const other = gauge('test_other', 'From a test.', ['partition', 'group'])
    const buckets = histogram('test_latency', 'From a test.', [1], labels)
    const batch = new InstanceSeries('test', [...families, other, buckets], { target: 't' }, 10).begin()
    const values = new Float64Array(2)
    for (const wrong of [other, buckets]) {
      expect(() => batch.addRow([...families, wrong], { group: '', partition: '' }, values)).toThrow(
        `${wrong.name} has not the labels of the row: group,partition`,
      )
    }
  })
})
