import { errorName } from '../../clients/kafka/connection.ts'
import type { KafkaPass, Offsets } from '../../clients/kafka/reader.ts'
import {
  type FetchedPartition,
  fetchRecords,
  type LogRecord,
  type RecordBatch,
  readRecords,
  recordBatches,
} from '../../clients/kafka/records.ts'
import { isTurnOver, nextTurn } from '../../clock.ts'

/** Offsets of a partition that are to be read: from `from` up to, not including, `to`. */
export interface Stretch {
  readonly topic: string
  readonly partition: number
  /** A broker; -1 for none. */
  readonly leader: number
  readonly from: number
  readonly to: number
}

/** What is known of a part of a stretch. The parts of one come in order and leave nothing out. */
export interface Portion extends Stretch {
  /** Undefined where nothing of it was read: beyond the bounds, deleted, or compressed with snappy or lz4. */
  readonly records: readonly LogRecord[] | undefined
  /** How many records it has; as many as it has offsets where nothing was fetched. */
  readonly count: number
}

export interface Bounds {
  readonly records: number
  readonly bytes: number
  /** Whether the time for reading is over: what was not read by then is left for the next run. */
  isLate(): boolean
}

/** `error`: the code that the leader answered with, if it did answer. */
type Failed = (stretch: Stretch, cause: unknown, error: number | undefined) => void

/** Of a partition in one answer: small enough that many share it. */
const PARTITION_BYTES = 512 * 1024

/** Of one answer. */
const RESPONSE_BYTES = 4 * 1024 * 1024

/** A stretch that is being read. */
interface Open extends Stretch {
  at: number
  /** Fetched so far. */
  bytes: number
}

/**
 * Reads stretches of logs, of each at most the newest records, all in all what the bounds allow. What is beyond
 * them comes as unread at once, so that a backlog is never carried on. `failed` hears of stretches whose rest could
 * not be read now; it comes not at all.
 */
export async function* readLogs(
  pass: KafkaPass,
  starts: Offsets,
  stretches: readonly Stretch[],
  headers: ReadonlySet<string>,
  bounds: Bounds,
  failed: Failed,
): AsyncGenerator<Portion> {
  const wanted: Open[] = []
  const total = stretches.reduce((sum, { from, to }) => sum + to - from, 0)
  for (const stretch of stretches) {
    const { topic, partition, from, to } = stretch
    const length = to - from
    const share = total <= bounds.records ? length : Math.floor((length * bounds.records) / total)
    const start = starts.get(topic)?.[partition] || 0
    const at = Math.min(to, Math.max(start, to - share))
    if (at > from) yield unread(stretch, from, at)
    if (at < to) wanted.push({ ...stretch, at, bytes: 0 })
  }
  const wantedTotal = wanted.reduce((sum, { at, to }) => sum + to - at, 0)
  for (const [leader, list] of Map.groupBy(wanted, (stretch) => stretch.leader)) {
    const share = list.reduce((sum, { at, to }) => sum + to - at, 0) / wantedTotal
    yield* readLeader(pass, leader, list, headers, { ...bounds, bytes: bounds.bytes * share }, failed)
  }
}

async function* readLeader(
  pass: KafkaPass,
  leader: number,
  stretches: readonly Open[],
  headers: ReadonlySet<string>,
  bounds: Bounds,
  failed: Failed,
): AsyncGenerator<Portion> {
  let open = [...stretches]
  let bytes = bounds.bytes
  while (open.length > 0 && bytes > 0) {
    if (bounds.isLate()) return
    // Who got least is asked first: a broker fills its answer in the order of the question.
    open.sort((a, b) => a.bytes - b.bytes)
    const limits = { partitionBytes: PARTITION_BYTES, totalBytes: Math.ceil(Math.min(bytes, RESPONSE_BYTES)) }
    const positions = open.map(({ topic, partition, at }) => ({ topic, partition, offset: at }))
    const fetched = await pass.ask(leader, fetchRecords(positions, limits))
    if (!fetched) {
      for (const stretch of open) failed(stretch, pass.failedBrokers.get(leader), undefined)
      return
    }
    const answers = new Map(fetched.map((answer) => [`${answer.partition} ${answer.topic}`, answer]))
    const left: Open[] = []
    for (const [place, stretch] of open.entries()) {
      const answer = answers.get(`${stretch.partition} ${stretch.topic}`)
      if (answer?.error !== 0) {
        const what = `Fetch of partition ${stretch.partition} of ${stretch.topic}`
        const why = answer ? errorName(answer.error) : 'nothing'
        failed(stretch, new Error(`Kafka answered ${what} with ${why}`), answer?.error)
        continue
      }
      bytes -= answer.bytes.length
      stretch.bytes += answer.bytes.length
      const before = stretch.at
      yield* portions(stretch, answer, headers)
      // The first always gets a batch, if there is one.
      if (place === 0 && stretch.at === before) {
        yield unread(stretch, stretch.at, stretch.to)
        stretch.at = stretch.to
      }
      if (stretch.at < stretch.to) left.push(stretch)
    }
    open = left
  }
  for (const stretch of open) yield unread(stretch, stretch.at, stretch.to)
}

/** What was fetched of the stretch; moves it on. */
async function* portions(
  stretch: Open,
  fetched: FetchedPartition,
  headers: ReadonlySet<string>,
): AsyncGenerator<Portion> {
  for (const batch of recordBatches(fetched)) {
    const from = stretch.at
    // A fetch begins with the batch that holds its offset.
    if (batch.lastOffset < from) continue
    const to = Math.min(batch.lastOffset + 1, stretch.to)
    stretch.at = to
    yield { ...place(stretch), from, to, ...(await content(batch, from, to, headers)) }
    if (to === stretch.to) return
    if (isTurnOver()) await nextTurn()
  }
}

async function content(
  batch: RecordBatch,
  from: number,
  to: number,
  headers: ReadonlySet<string>,
): Promise<Pick<Portion, 'records' | 'count'>> {
  // Beyond it: compaction has left nothing in between.
  if (!batch.isCommitted || batch.firstOffset >= to) return { records: [], count: 0 }
  const records = await readRecords(batch, { from, to, headers })
  return { records, count: records?.length ?? Math.min(batch.count, to - Math.max(from, batch.firstOffset)) }
}

const unread = (stretch: Stretch, from: number, to: number): Portion => ({
  ...place(stretch),
  from,
  to,
  records: undefined,
  count: to - from,
})

const place = ({ topic, partition, leader }: Stretch) => ({ topic, partition, leader })
