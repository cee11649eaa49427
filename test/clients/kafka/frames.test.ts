import fc from 'fast-check'
import Connection from 'kafkajs/src/network/connection.js'
import createSocketFactory from 'kafkajs/src/network/socketFactory.js'
import { expect, test } from 'vitest'
import { freeAnswer, gatherFrames } from '../../../src/clients/kafka/frames.ts'

interface Answer {
  readonly correlationId: number
  readonly payload: Buffer
}

/** kafkajs's connection, never opened, and the answers that it finds in what it is given. */
function unopened() {
  const connection = new Connection({
    host: '127.0.0.1',
    port: 1,
    clientId: 'test',
    logger: silent,
    socketFactory: createSocketFactory(),
    ssl: null,
    sasl: null,
    connectionTimeout: 1000,
    requestTimeout: 1000,
    reauthenticationThreshold: 0,
  })
  const answers: Answer[] = []
  Object.assign(connection.requestQueue, { fulfillRequest: (answer: Answer) => answers.push(answer) })
  return { connection, answers }
}

const silent = {
  namespace: () => silent,
  setLogLevel: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
}

const framed = (correlationId: number, payload: Uint8Array): Buffer => {
  const head = Buffer.alloc(8)
  head.writeInt32BE(payload.length + 4)
  head.writeInt32BE(correlationId, 4)
  return Buffer.concat([head, payload])
}

test('answers are the same, however the bytes are cut, also after the memory of others was given back', () => {
  const payload = fc.oneof(
    { weight: 5, arbitrary: fc.uint8Array({ maxLength: 40 }) },
    // Long ones have memory of their own.
    {
      weight: 1,
      arbitrary: fc.integer({ min: 65_000, max: 140_000 }).map((n) => new Uint8Array(n).fill(n % 251)),
    },
  )
  fc.assert(
    fc.property(
      fc.array(payload, { minLength: 1, maxLength: 12 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 70_000 })), {
        minLength: 1,
      }),
      (payloads, cuts) => {
        const { connection, answers } = unopened()
        gatherFrames(connection)
        const bytes = Buffer.concat(payloads.map((given, i) => framed(i, given)))
        let done = 0
        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const end = at + (cuts[cut % cuts.length] ?? 1)
          const chunk = Buffer.from(bytes.subarray(at, end))
          connection.processData(chunk)
          // As the next read from the socket does.
          chunk.fill(0xff)
          at = end
          for (; done < answers.length; done++) {
            const { correlationId, payload: found = Buffer.alloc(0) } = answers[done] ?? {}
            expect(correlationId).toBe(done)
            expect(found.equals(payloads[done] ?? new Uint8Array())).toBe(true)
            const { length } = found
            freeAnswer(found)
            expect(found.length).toBe(length + 4 >= 65_536 ? 0 : length)
          }
        }
        expect(answers).toHaveLength(payloads.length)
      },
    ),
    { numRuns: 200 },
  )
})

test.each([-1, 2 ** 31 - 1])('a length of %i makes no room: kafkajs waits for what never comes', (length) => {
  const { connection, answers } = unopened()
  gatherFrames(connection)
  const before = process.memoryUsage().arrayBuffers
  const head = Buffer.alloc(12)
  head.writeInt32BE(length)
  for (const byte of head) {
    try {
      connection.processData(Buffer.from([byte]))
    } catch (error) {
      // As kafkajs does without us.
      expect(error).toBeInstanceOf(Error)
    }
  }
  expect(answers.length).toBeLessThanOrEqual(1)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
})
