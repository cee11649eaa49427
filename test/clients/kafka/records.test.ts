import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readRecords, recordBatches } from '../../../src/clients/kafka/records.ts'

const NAMES = new Set(['a'])

test('whatever bytes come: no error, no end that never comes, and offsets within what was asked', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    // With a length and a format that pass for those of a batch.
    fc.uint8Array({ minLength: 62, maxLength: 400 }).map((array) => {
      const batch = Buffer.from(array)
      batch.writeInt32BE(batch.length - 12, 8)
      batch.writeInt8(2, 16)
      return batch
    }),
  )
  await fc.assert(
    fc.asyncProperty(bytes, async (array) => {
      const fetched = { topic: 'a', partition: 0, error: 0, aborted: [], bytes: Buffer.from(array) }
      for (const batch of recordBatches(fetched)) {
        const records = await readRecords(batch, { from: 0, to: 1000, headers: NAMES })
        expect(records?.length ?? 0).toBeLessThanOrEqual(array.length)
        for (const { offset } of records ?? []) {
          expect(offset).toBeGreaterThanOrEqual(0)
          expect(offset).toBeLessThan(1000)
        }
      }
    }),
    { numRuns: 2_000 },
  )
})
