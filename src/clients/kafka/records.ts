import { promisify } from 'node:util'
import { gunzip, zstdDecompress } from 'node:zlib'
import type { Request } from './connection.ts'

/** https://kafka.apache.org/documentation/#recordbatch: of a record only its headers are read. */

export interface FetchedPartition {
  readonly partition: number
  /** 0, or why the leader gave nothing. */
  readonly error: number
  /** Transactions that were aborted, and have records in `bytes`. */
  readonly aborted: readonly { readonly producerId: number; readonly firstOffset: number }[]
  /** Record batches; the last one may be cut off. */
  readonly bytes: Buffer
}

/**
 * Records of one topic up to the last stable offset, from the offsets given, at once: it waits for none, and
 * makes no session and no group. At most `partitionBytes` of each partition and `topicBytes` in all, but for
 * a first batch that is larger.
 */
export function fetchRecords(
  topic: string,
  partitions: readonly { readonly partition: number; readonly offset: number }[],
  { partitionBytes, topicBytes }: { readonly partitionBytes: number; readonly topicBytes: number },
): Request<FetchedPartition[]> {
  return {
    name: 'Fetch',
    key: 1,
    min: 4,
    // Below 10 a broker does not give batches that are compressed with zstd; from 13 topics have ids for names.
    max: 11,
    flexibleFrom: 12,
    write: (writer, version) => {
      // No replica; no wait; no least size; read_committed.
      writer.int32(-1).int32(0).int32(0).int32(topicBytes).int8(1)
      if (version >= 7) writer.int32(0).int32(-1)
      writer.array([topic], (name) => {
        writer.string(name).array(partitions, ({ partition, offset }) => {
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
        reader.skipString()
        reader.array(() => {
          const partition = reader.int32()
          const partitionError = reader.int16()
          reader.int64()
          reader.int64()
          if (version >= 5) reader.int64()
          const aborted = reader.array(() => ({ producerId: reader.int64(), firstOffset: reader.int64() }))
          if (version >= 11) reader.int32()
          fetched.push({ partition, error: error || partitionError, aborted, bytes: reader.bytes() })
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
const PRODUCER_AT = 43
const COUNT_AT = 57
const RECORDS_AT = 61

const COMPRESSION_BITS = 0b111
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
      yield { ...old, format: 'old', payload: batch }
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

/**
 * Of each record of the batch whose offset is at least `from` and below `to`: the headers called one of
 * `names`, as text; the last one where there are several. Undefined for a batch that cannot be read: of an
 * old format, compressed with snappy or lz4, too large or damaged.
 */
export async function recordHeaders(
  batch: RecordBatch,
  { from, to, names }: { readonly from: number; readonly to: number; readonly names: ReadonlySet<string> },
): Promise<ReadonlyMap<string, string>[] | undefined> {
  const decompress = DECOMPRESSORS[batch.compression]
  if (batch.format === 'old' || !decompress) return undefined
  const records: ReadonlyMap<string, string>[] = []
  try {
    const payload = new RecordBytes(await decompress(batch.payload))
    for (let i = 0; i < batch.count; i++) {
      const length = payload.varint()
      const end = payload.at + length
      payload.skip(1)
      payload.skipVarint()
      const offset = batch.firstOffset + payload.varint()
      if (offset >= to) break
      if (offset >= from) {
        payload.skip(payload.varint())
        payload.skip(payload.varint())
        records.push(headers(payload, names))
      }
      payload.skip(end - payload.at)
    }
  } catch {
    return undefined
  }
  return records
}

function headers(record: RecordBytes, names: ReadonlySet<string>): Map<string, string> {
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

  /** Of any length: times have up to ten bytes. */
  skipVarint(): void {
    while ((this.#bytes.readUInt8(this.at++) & 0x80) !== 0);
  }

  take(size: number): Buffer {
    const from = this.at
    this.skip(size)
    return this.#bytes.subarray(from, this.at)
  }

  /** -1, for what is null, skips nothing. */
  skip(size: number): void {
    if (size < -1 || this.at + size > this.#bytes.length) throw new RangeError('a record ends too soon')
    if (size > 0) this.at += size
  }
}
