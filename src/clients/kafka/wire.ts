/** Writes the body of a Kafka request. A flexible version has compact lengths and tag buffers (KIP-482). */
export class Writer {
  readonly #flexible: boolean
  #bytes = Buffer.allocUnsafe(256)
  #length = 0

  constructor(flexible: boolean) {
    this.#flexible = flexible
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  boolean(value: boolean): this {
    return this.int8(value ? 1 : 0)
  }

  int8(value: number): this {
    this.#room(1)
    this.#length = this.#bytes.writeInt8(value, this.#length)
    return this
  }

  int32(value: number): this {
    this.#room(4)
    this.#length = this.#bytes.writeInt32BE(value, this.#length)
    return this
  }

  /** A whole number. */
  int64(value: number): this {
    const high = Math.floor(value / 2 ** 32)
    this.#room(8)
    this.#length = this.#bytes.writeInt32BE(high, this.#length)
    this.#length = this.#bytes.writeUInt32BE(value - high * 2 ** 32, this.#length)
    return this
  }

  string(value: string | null): this {
    const size = value === null ? -1 : Buffer.byteLength(value)
    if (this.#flexible) {
      this.#uvarint(size + 1)
    } else {
      this.#room(2)
      this.#length = this.#bytes.writeInt16BE(size, this.#length)
    }
    if (value !== null) {
      this.#room(size)
      this.#length += this.#bytes.write(value, this.#length)
    }
    return this
  }

  /** `null`: a null array. */
  array<T>(items: readonly T[] | null, write: (item: T) => void): this {
    const size = items === null ? -1 : items.length
    if (this.#flexible) this.#uvarint(size + 1)
    else this.int32(size)
    for (const item of items ?? []) write(item)
    return this
  }

  /** An empty tag buffer, in flexible versions. */
  tags(): this {
    if (this.#flexible) this.#uvarint(0)
    return this
  }

  #uvarint(value: number): void {
    this.#room(5)
    let rest = value >>> 0
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#length++] = rest
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + bytes))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
  }
}

/** Reads the body of a Kafka response. Throws a RangeError where it ends too soon. */
export class Reader {
  readonly #bytes: Buffer
  readonly #flexible: boolean
  #at = 0

  constructor(bytes: Buffer, flexible: boolean) {
    this.#bytes = bytes
    this.#flexible = flexible
  }

  boolean(): boolean {
    return this.int8() !== 0
  }

  int8(): number {
    const value = this.#bytes.readInt8(this.#at)
    this.#at += 1
    return value
  }

  int16(): number {
    const value = this.#bytes.readInt16BE(this.#at)
    this.#at += 2
    return value
  }

  int32(): number {
    const value = this.#bytes.readInt32BE(this.#at)
    this.#at += 4
    return value
  }

  /** Offsets and timestamps stay far below 2^53. */
  int64(): number {
    const value = this.#bytes.readInt32BE(this.#at) * 2 ** 32 + this.#bytes.readUInt32BE(this.#at + 4)
    this.#at += 8
    return value
  }

  uuid(): string {
    const value = this.#take(16).toString('base64url')
    return value
  }

  /** A null string reads as the empty one. */
  string(): string {
    const size = this.#flexible ? this.#uvarint() - 1 : this.int16()
    if (size <= 0) return ''
    const from = this.#pass(size)
    return this.#bytes.toString('utf8', from, this.#at)
  }

  skipString(): void {
    const size = this.#flexible ? this.#uvarint() - 1 : this.int16()
    if (size > 0) this.#pass(size)
  }

  /** Null reads as none; they share memory with the response. */
  bytes(): Buffer {
    const size = this.#flexible ? this.#uvarint() - 1 : this.int32()
    return this.#take(Math.max(0, size))
  }

  skipBytes(): void {
    const size = this.#flexible ? this.#uvarint() - 1 : this.int32()
    if (size > 0) this.#pass(size)
  }

  /** Of an array, which follows; 0 for a null one. */
  length(): number {
    const size = this.#flexible ? this.#uvarint() - 1 : this.int32()
    // Each item has a byte at least: no room is made for more than there can be.
    if (size > this.#bytes.length - this.#at) throw new RangeError('the response ends too soon')
    return Math.max(0, size)
  }

  /** A null array reads as an empty one. */
  array<T>(read: () => T): T[] {
    const items = new Array<T>(this.length())
    for (let i = 0; i < items.length; i++) items[i] = read()
    return items
  }

  /** Like `array`, for items that are taken note of as they are read. */
  each(read: () => void): void {
    for (let left = this.length(); left > 0; left--) read()
  }

  /** All that was not read yet; shares memory with the response. */
  rest(): Buffer {
    return this.#bytes.subarray(this.#at)
  }

  /** Passes over a tag buffer, in flexible versions. */
  tags(): void {
    if (!this.#flexible) return
    for (let count = this.#uvarint(); count > 0; count--) {
      this.#uvarint()
      this.#pass(this.#uvarint())
    }
  }

  #take(size: number): Buffer {
    const from = this.#pass(size)
    return this.#bytes.subarray(from, this.#at)
  }

  /** Goes past them, and gives where they begin. */
  #pass(size: number): number {
    const from = this.#at
    if (from + size > this.#bytes.length) throw new RangeError('the response ends too soon')
    this.#at = from + size
    return from
  }

  #uvarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#at++)
      value |= (byte & 0x7f) << shift
      if ((byte & 0x80) === 0) return value >>> 0
    }
    throw new RangeError('a length in the response is malformed')
  }
}
