import type Connection from 'kafkajs/src/network/connection.js'
import { free } from '../../memory.ts'

/** Longer ones, or what only looks like one, are left to kafkajs, which makes no room before it has the bytes. */
const LONGEST = 64 * 1024 * 1024
const SIZE_BYTES = 4

/** From this size an answer has its memory to itself. */
const LONG = 64 * 1024

/** The memory of long answers that were gathered here. */
const gathered = new WeakSet<ArrayBufferLike>()

/** Gives the memory of a long answer back, when all that is wanted of it was copied. */
export function freeAnswer(answer: Buffer): void {
  if (gathered.has(answer.buffer)) free(answer)
}

/**
 * kafkajs keeps the chunks of an answer and joins them when it is whole, so that a long one is there twice, in
 * pieces that live long enough to wait for a full garbage collection. Here each chunk is copied to its place in the
 * answer and forgotten: what reads from the socket may use its memory again.
 */
export function gatherFrames(connection: Connection): void {
  const process = connection.processData.bind(connection)
  const size = Buffer.alloc(SIZE_BYTES)
  let sizeFilled = 0
  let frame: Buffer | undefined
  let filled = 0
  let isLeftToKafkajs = false

  connection.processData = (chunk) => {
    // Some mechanisms authenticate without frames.
    if (isLeftToKafkajs || connection.authHandlers) return process(Buffer.from(chunk))
    for (let at = 0; at < chunk.length; ) {
      if (!frame) {
        const more = chunk.copy(size, sizeFilled, at)
        sizeFilled += more
        at += more
        if (sizeFilled < SIZE_BYTES) return
        const length = size.readInt32BE()
        if (length < 0 || length > LONGEST) {
          isLeftToKafkajs = true
          return process(Buffer.concat([size, chunk.subarray(at)]))
        }
        sizeFilled = 0
        const total = SIZE_BYTES + length
        frame = length < LONG ? Buffer.allocUnsafe(total) : Buffer.allocUnsafeSlow(total)
        if (length >= LONG) gathered.add(frame.buffer)
        filled = size.copy(frame)
      }
      const more = chunk.copy(frame, filled, at)
      filled += more
      at += more
      if (filled < frame.length) return
      const whole = frame
      frame = undefined
      process(whole)
      // It would keep the rest of the frame, which is empty, and with it the whole.
      connection.chunks = []
      connection.bytesBuffered = 0
    }
  }
}
