import { promisify } from 'node:util'
import { gunzip, zstdDecompress } from 'node:zlib'
import type { Request } from './connection.ts'

/** https://kafka.apache.org/documentation/#recordbatch */

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  /** 0, or why the leader gave nothing. */
  readonly error: number
  /** Transactions that were aborted, and have records in `bytes`. */
  readonly aborted: readonly { readonly producerId: number; readonly firstOffset: number }[]
  /** Record batches; the last one may be cut off. */
  readonly bytes: Buffer
}

/** Where to read on. */
export interface FetchPosition {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/**
 * Records up to the last stable offset, from the positions given, at once: it waits for none, and makes no session
 * and no group. At most `partitionBytes` of each partition and `totalBytes` in all, but for the first batch of the
 * first partition, which comes however large it is. The partitions of a topic go together, in the place of its
 * first.
 */
export function fetchRecords(
  positions: readonly FetchPosition[],
  { partitionBytes, totalBytes }: { readonly partitionBytes: number; readonly totalBytes: number },
): Request<FetchedPartition[]> {
  return {
    name: 'Fetch',
    key: 1,
    min: 4,
    // Below 10 a broker does not give batches that are compressed with zstd; from 13 topics have ids for names.
    max: 11,
    flexibleFrom: 12,
    givesParts: true,
    write: (writer, version) => {
      // No replica; no wait; no least size; read_committed.
      writer.int32(-1).int32(0).int32(0).int32(totalBytes).int8(1)
      if (version >= 7) writer.int32(0).int32(-1)
      writer.array([...Map.groupBy(positions, ({ topic }) => topic)], ([topic, partitions]) => {
        writer.string(topic).array(partitions, ({ partition, offset }) => {
          writer.int32(partition)
          if (version >= 9) writer.int32(-1)
          writer.int64(offset)
          if (version >= 5) writer.int64(-1)
          writer.int32(partitionBytes)
        })
      })
      if (version >= 7) writer.array([], () => {})
      if (version >= 11) writer.string('')
    },
    read: (reader, version) => {
      reader.int32()
      const error = version >= 7 ? reader.int16() : 0
      if (version >= 7) reader.int32()
      const fetched: FetchedPartition[] = []
      reader.array(() => {
        const topic = reader.string()
        reader.array(() => {
          const partition = reader.int32()
          const partitionError = reader.int16()
          reader.int64()
          reader.int64()
          if (version >= 5) reader.int64()
          const aborted = reader.array(() => ({ producerId: reader.int64(), firstOffset: reader.int64() }))
          if (version >= 11) reader.int32()
          fetched.push({ topic, partition, error: error || partitionError, aborted, bytes: reader.bytes() })
        })
      })
      return fetched
    },
  }
}

export interface RecordBatch {
  readonly firstOffset: number
  readonly lastOffset: number
  /** Records in it; fewer than its offsets where compaction took some. */
  readonly count: number
  /** False for a mark of a transaction's end, and for what an aborted transaction wrote. */
  readonly isCommitted: boolean
  readonly format: 'old' | 'current'
  /** Of the first record, or of all where the broker stamped them; milliseconds since the epoch. */
  readonly timestamp: number
  /** Whether the broker stamped the records: their own times say nothing. */
  readonly isStamped: boolean
  /** As the batch's attributes number it. */
  readonly compression: number
  /** The records, compressed or not. */
  readonly payload: Buffer
}

/** Places in a batch, in bytes from its beginning. */
const LENGTH_AT = 8
const SIZE_FROM = 12
const FORMAT_AT = 16
const ATTRIBUTES_AT = 21
const LAST_OFFSET_AT = 23
const FIRST_TIME_AT = 27
const LAST_TIME_AT = 35
const PRODUCER_AT = 43
const COUNT_AT = 57
const RECORDS_AT = 61

const COMPRESSION_BITS = 0b111
const STAMPED_BIT = 0b1000
const TRANSACTIONAL_BIT = 0b1_0000
const CONTROL_BIT = 0b10_0000

/** The whole batches of what was fetched, in order of offsets. */
export function* recordBatches({ bytes, aborted }: FetchedPartition): Generator<RecordBatch> {
  const waiting = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const abortedProducers = new Set<number>()
  for (let at = 0; at + FORMAT_AT < bytes.length; ) {
    const size = SIZE_FROM + bytes.readInt32BE(at + LENGTH_AT)
    if (size <= FORMAT_AT || at + size > bytes.length) return
    const batch = bytes.subarray(at, at + size)
    at += size
    const firstOffset = Number(batch.readBigInt64BE(0))
    if (batch.readInt8(FORMAT_AT) < 2) {
      const old = { firstOffset, lastOffset: firstOffset, count: 1, isCommitted: true, compression: 0 }
      yield { ...old, timestamp: -1, isStamped: false, format: 'old', payload: batch }
      continue
    }
    if (size < RECORDS_AT) return
    const attributes = batch.readInt16BE(ATTRIBUTES_AT)
    const lastOffset = firstOffset + batch.readInt32BE(LAST_OFFSET_AT)
    const producer = Number(batch.readBigInt64BE(PRODUCER_AT))
    const payload = batch.subarray(RECORDS_AT)
    for (let next = waiting[0]; next && next.firstOffset <= lastOffset; next = waiting[0]) {
      abortedProducers.add(next.producerId)
      waiting.shift()
    }
    const isStamped = (attributes & STAMPED_BIT) !== 0
    const isControl = (attributes & CONTROL_BIT) !== 0
    const isAborted = (attributes & TRANSACTIONAL_BIT) !== 0 && abortedProducers.has(producer)
    // Its abort mark ends it; another transaction of this producer may follow.
    if (isControl) abortedProducers.delete(producer)
    yield {
      firstOffset,
      lastOffset,
      count: batch.readInt32BE(COUNT_AT),
      isCommitted: !isControl && !isAborted,
      format: 'current',
      timestamp: Number(batch.readBigInt64BE(isStamped ? LAST_TIME_AT : FIRST_TIME_AT)),
      isStamped,
      compression: attributes & COMPRESSION_BITS,
      payload,
    }
  }
}

/** Compressed data may grow without end. */
const LARGEST_PAYLOAD = 16 * 1024 * 1024

/** A longer header is a message or a trace. */
const LONGEST_HEADER = 1024

/** Snappy (2) and lz4 (3) would each need a package. */
const DECOMPRESSORS: Readonly<Record<number, (payload: Buffer) => Promise<Buffer>>> = {
  0: async (payload) => payload,
  1: (payload) => promisify(gunzip)(payload, { maxOutputLength: LARGEST_PAYLOAD }),
  4: (payload) => promisify(zstdDecompress)(payload, { maxOutputLength: LARGEST_PAYLOAD }),
}

export interface LogRecord {
  readonly offset: number
  /** Milliseconds since the epoch; -1 for none. */
  readonly timestamp: number
  /** Undefined where it is null. */
  readonly key: Buffer | undefined
  readonly value: Buffer | undefined
  /** Those that were asked for, as text; the last one where there are several of a name. */
  readonly headers: ReadonlyMap<string, string>
}

/**
 * The records of the batch whose offset is at least `from` and below `to`. Undefined for a batch that cannot be
 * read: of an old format, compressed with snappy or lz4, too large or damaged.
 */
export async function readRecords(
  batch: RecordBatch,
  {
    from,
    to,
    headers,
  }: { readonly from: number; readonly to: number; readonly headers: ReadonlySet<string> },
): Promise<LogRecord[] | undefined> {
  const decompress = DECOMPRESSORS[batch.compression]
  if (batch.format === 'old' || !decompress) return undefined
  const records: LogRecord[] = []
  try {
    const payload = new RecordBytes(await decompress(batch.payload))
    for (let i = 0; i < batch.count; i++) {
      const length = payload.varint()
      const end = payload.at + length
      payload.skip(1)
      const age = payload.varlong()
      const offset = batch.firstOffset + payload.varint()
      if (offset >= to) break
      if (offset >= from) {
        const timestamp = batch.isStamped ? batch.timestamp : batch.timestamp + age
        const key = payload.nullable(payload.varint())
        const value = payload.nullable(payload.varint())
        records.push({ offset, timestamp, key, value, headers: readHeaders(payload, headers) })
      }
      payload.skip(end - payload.at)
    }
  } catch {
    return undefined
  }
  return records
}

function readHeaders(record: RecordBytes, names: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>()
  for (let count = record.varint(); count > 0; count--) {
    const name = record.take(record.varint()).toString()
    const length = record.varint()
    if (names.has(name) && length >= 0 && length <= LONGEST_HEADER) {
      found.set(name, record.take(length).toString())
    } else {
      record.skip(length)
    }
  }
  return found
}

/** Within records lengths are signed and written in zigzag. */
class RecordBytes {
  at = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  varint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes.readUInt8(this.at++)
      value |= (byte & 0x7f) << shift
      if ((byte & 0x80) === 0) return (value >>> 1) ^ -(value & 1)
    }
    throw new RangeError('a number in a record is malformed')
  }

  /** Of up to ten bytes; exact up to 2^53. */
  varlong(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.#bytes.readUInt8(this.at++)
      value += (byte & 0x7f) * scale
      scale *= 128
      if ((byte & 0x80) === 0) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
    throw new RangeError('a time in a record is malformed')
  }

  take(size: number): Buffer {
    const from = this.at
    this.skip(size)
    return this.#bytes.subarray(from, this.at)
  }

  /** A length of -1 is null. */
  nullable(size: number): Buffer | undefined {
    return size === -1 ? undefined : this.take(size)
  }

  /** -1, for what is null, skips nothing. */
  skip(size: number): void {
    if (size < -1 || this.at + size > this.#bytes.length) throw new RangeError('a record ends too soon')
    if (size > 0) this.at += size
  }
}
