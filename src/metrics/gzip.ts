import { constants, crc32, createDeflateRaw } from 'node:zlib'

/** A stretch of a gzip member: deflated up to a byte boundary, not the last. */
export interface Stretch {
  /** In memory of its own, or a part of the member. */
  readonly deflated: Buffer
  /** CRC-32 and length of the bytes before deflation. */
  readonly crc: number
  readonly length: number
}

/**
 * Deflates on one of libuv's threads, one stretch after the other. It is kept: one for each stretch took 6 % more CPU a
 * pass, and some MiB.
 */
export class Deflater {
  // The flush ends every write at a byte, and lets nothing after it refer to what is before. Higher levels double the
  // time for 8 % fewer bytes.
  readonly #zlib = createDeflateRaw({ level: 1, flush: constants.Z_FULL_FLUSH, chunkSize: 65_536 })
  #parts: Buffer[] = []

  constructor() {
    this.#zlib.on('data', (part: Buffer) => this.#parts.push(part))
  }

  /** Not before the one before is done, and never again after one that failed. */
  async stretch(bytes: Buffer): Promise<Stretch> {
    this.#parts = []
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    // Where zlib itself fails, the write is never told.
    this.#zlib.once('error', reject)
    this.#zlib.write(bytes, (error) => (error ? reject(error) : resolve()))
    // Here and now, while the other thread deflates.
    const crc = crc32(bytes)
    await promise
    this.#zlib.off('error', reject)
    // Should a part wait to be told, reading tells it.
    while (this.#zlib.read() !== null);
    // In memory of its own: zlib's is part of a larger one.
    const deflated = Buffer.allocUnsafeSlow(this.#parts.reduce((sum, part) => sum + part.length, 0))
    let at = 0
    for (const part of this.#parts) at += part.copy(deflated, at)
    return { deflated, crc, length: bytes.length }
  }
}

const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff])
/** An empty last block. */
const END = Buffer.from([0x03, 0x00])

/**
 * One gzip member (RFC 1952) out of stretches; several members in a row are not read by every client. Gives the
 * stretches too, as parts of the member, in memory of its own.
 */
export function stitch(stretches: readonly Stretch[]): { gzip: Buffer; stretches: Stretch[] } {
  let crc = 0
  let length = 0
  for (const part of stretches) {
    crc = combineCrc32(crc, part.crc, part.length)
    length += part.length
  }
  const deflated = stretches.reduce((sum, part) => sum + part.deflated.length, 0)
  const gzip = Buffer.allocUnsafeSlow(HEADER.length + deflated + END.length + 8)
  let at = HEADER.copy(gzip)
  const parts = stretches.map((part) => {
    const from = at
    at += part.deflated.copy(gzip, from)
    return { ...part, deflated: gzip.subarray(from, at) }
  })
  at += END.copy(gzip, at)
  at = gzip.writeUInt32LE(crc, at)
  gzip.writeUInt32LE(length % 2 ** 32, at)
  return { gzip, stretches: parts }
}

/** CRC-32's polynomial, lowest power in the highest bit, as the checksum itself is written. */
const POLYNOMIAL = 0xedb88320

/** Product of two polynomials over GF(2), modulo CRC-32's. */
function multiply(a: number, b: number): number {
  let product = 0
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= b
    b = b & 1 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1
  }
  return product >>> 0
}

/** x^(8 · 2^n) modulo the polynomial, for n = 0 … 47. */
const BYTE_POWERS: readonly number[] = (() => {
  const powers = [0x00800000]
  while (powers.length < 48) {
    const last = powers.at(-1) ?? 0
    powers.push(multiply(last, last))
  }
  return powers
})()

/**
 * CRC-32 of A followed by B, from the CRC of each and the length of B in bytes: appending n bytes multiplies
 * A's remainder by x^(8n).
 */
export function combineCrc32(a: number, b: number, lengthOfB: number): number {
  let shift = 0x80000000
  for (let n = 0, rest = lengthOfB; rest > 0; n++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) shift = multiply(BYTE_POWERS[n] ?? 0, shift)
  }
  return (multiply(shift, a) ^ b) >>> 0
}
