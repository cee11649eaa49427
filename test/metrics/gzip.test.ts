import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Deflater, stitch } from '../../src/metrics/gzip.ts'

test('stretches of one deflater make a whole member in another order, long and empty ones too', async () => {
  // Hardly to be compressed, so that what zlib gives comes in several parts.
  const noise = fc
    .tuple(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.integer({ min: 60_000, max: 200_000 }))
    .map(([seed, length]) => {
      let state = seed
      return Uint8Array.from({ length }, () => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
        return state >>> 24
      })
    })
  const text = fc.uint8Array({ maxLength: 300 })
  const pages = fc.array(fc.oneof({ weight: 4, arbitrary: text }, { weight: 1, arbitrary: noise }), {
    maxLength: 12,
  })
  const deflater = new Deflater()
  await fc.assert(
    fc.asyncProperty(pages, async (given) => {
      const made = []
      for (const bytes of given) {
        // Each twice: the second could be told as the first again, and comes before it below.
        for (let copies = 0; copies < 2; copies++) {
          const buffer = Buffer.from(bytes)
          made.push({ buffer, stretch: await deflater.stretch(buffer) })
        }
      }
      made.reverse()
      const { gzip } = stitch(made.map(({ stretch }) => stretch))
      expect(gunzipSync(gzip).equals(Buffer.concat(made.map(({ buffer }) => buffer)))).toBe(true)
    }),
    { numRuns: 60 },
  )
})
