import { type Answer, type Command, RedisRefusal } from '../../clients/redis.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import * as metrics from './metrics.ts'
import type { QueueSamples, Reading } from './queues.ts'

const LENGTH_COMMANDS: Readonly<Record<string, string>> = {
  list: 'LLEN',
  zset: 'ZCARD',
  set: 'SCARD',
  stream: 'XLEN',
}

/** The types of keys that may be queues. */
export const queueTypes = Object.keys(LENGTH_COMMANDS)

/** A stream and what its groups have of it. */
interface Stream {
  readonly fields: Fields
  readonly groups: readonly Fields[]
  /** Unix milliseconds of the oldest entry that a group has not acknowledged, or that there is without groups. */
  readonly oldest: number | undefined
}

type Fields = ReadonlyMap<string, Answer>

/**
 * Queues that are a key of their own, told under its name. A key of `found` that is gone meanwhile, or has become
 * something else, is no queue any more; one of `configured` is 0 without its key.
 */
export async function addKeys(
  batch: SampleBatch,
  queues: QueueSamples,
  { redis, signal }: Reading,
  configured: readonly string[],
  found: readonly string[],
): Promise<void> {
  const keys = [...new Set([...configured, ...found])]
  const expected = new Set(configured)
  const types = await redis.askKeys(
    keys.map((key) => ['TYPE', key]),
    signal,
  )
  const there = keys.flatMap((key, i) => {
    const type = types[i]
    const command = typeof type === 'string' ? LENGTH_COMMANDS[type] : undefined
    return command ? [{ key, type, command }] : []
  })
  const lengths = await redis.askKeys(
    there.map(({ command, key }) => [command, key] as const),
    signal,
  )
  const lengthOf = new Map(there.map(({ key }, i) => [key, lengths[i]]))
  const streams = await readStreams(
    there.filter(({ type }) => type === 'stream').map(({ key }) => key),
    { redis, signal },
  )

  const db = `db${redis.database}`
  for (const [i, queue] of keys.entries()) {
    const type = types[i]
    const length = type === 'none' ? 0 : (lengthOf.get(queue) ?? type)
    if (type === 'none' && !expected.has(queue)) continue
    if (typeof length === 'number') {
      const stream = streams.get(queue)
      const waitingSince = stream instanceof Error ? undefined : stream?.oldest
      if (!queues.add({ queue, length, waitingSince })) continue
      batch.add(metrics.keySize, { db, key: queue }, length)
      addStream(batch, db, queue, stream)
    } else if (length instanceof RedisRefusal) {
      queues.add({ queue, failure: length })
      batch.partFailed({ db, key: queue }, length)
      batch.partFailed({ db, stream: queue }, length)
    } else if (expected.has(queue)) {
      queues.add({
        queue,
        failure: new Error(`redis: key ${queue} is a ${type}, not a list, zset, set or stream`),
      })
    }
  }
}

/** By key: a stream, or why it was not read; none for one that is gone. */
async function readStreams(
  keys: readonly string[],
  { redis, signal }: Pick<Reading, 'redis' | 'signal'>,
): Promise<ReadonlyMap<string, Stream | Error>> {
  const streams = new Map<string, Stream | Error>()
  const answers = await redis.askKeys(
    keys.flatMap((key): Command[] => [
      ['XINFO', 'STREAM', key],
      ['XINFO', 'GROUPS', key],
    ]),
    signal,
  )
  const read = keys.flatMap((key, i) => {
    const [stream, groups] = answers.slice(2 * i, 2 * i + 2)
    const refusal = [stream, groups].find((answer) => answer instanceof RedisRefusal)
    if (!refusal) return [{ key, fields: fieldsOf(stream), groups: listOf(groups).map(fieldsOf) }]
    if (refusal.code !== 'ERR') streams.set(key, refusal)
    return []
  })

  // Of each group the oldest entry that it has not acknowledged, and the first that it was not given.
  const asked = read.flatMap(({ key, groups }) => groups.map((group) => ({ key, group })))
  const unread = await redis.askKeys(
    asked.flatMap(({ key, group }): Command[] => [
      ['XPENDING', key, String(group.get('name'))],
      ['XRANGE', key, `(${group.get('last-delivered-id')}`, '+', 'COUNT', '1'],
    ]),
    signal,
  )
  for (const { key, fields, groups } of read) {
    const ofGroups = asked.flatMap((each, i) => (each.key === key ? unread.slice(2 * i, 2 * i + 2) : []))
    const refusal = ofGroups.find((answer) => answer instanceof RedisRefusal)
    const ids =
      groups.length === 0
        ? [listOf(fields.get('first-entry'))[0]]
        : // XPENDING gives a count and the first id, XRANGE a list of entries.
          ofGroups.map((answer, i) => (i % 2 === 0 ? listOf(answer)[1] : listOf(listOf(answer)[0])[0]))
    const times = ids.filter((id) => typeof id === 'string').map(timeOf)
    streams.set(
      key,
      refusal ?? { fields, groups, oldest: times.length === 0 ? undefined : Math.min(...times) },
    )
  }
  return streams
}

function addStream(batch: SampleBatch, db: string, stream: string, read: Stream | Error | undefined): void {
  if (read === undefined) return
  if (read instanceof Error) {
    batch.partFailed({ db, stream }, read)
    batch.partFailed({ queue: stream }, read, [metrics.queueOldestAge])
    return
  }
  const { fields, groups } = read
  const labels = { db, stream }
  batch.add(metrics.streamLength, labels, Number(fields.get('length')))
  batch.add(metrics.streamRadixTreeKeys, labels, Number(fields.get('radix-tree-keys')))
  batch.add(metrics.streamRadixTreeNodes, labels, Number(fields.get('radix-tree-nodes')))
  batch.add(metrics.streamLastGeneratedId, labels, timeOf(fields.get('last-generated-id')))
  batch.add(metrics.streamGroups, labels, Number(fields.get('groups')))
  for (const group of groups) {
    const ofGroup = { ...labels, group: String(group.get('name')) }
    batch.add(metrics.streamGroupConsumers, ofGroup, Number(group.get('consumers')))
    batch.add(metrics.streamGroupPending, ofGroup, Number(group.get('pending')))
    batch.add(metrics.streamGroupLastDeliveredId, ofGroup, timeOf(group.get('last-delivered-id')))
    const lag = group.get('lag')
    // Since Redis 7; null where entries were deleted.
    if (typeof lag === 'number') batch.add(metrics.streamGroupLag, ofGroup, lag)
  }
}

/** Unix milliseconds in the id of an entry, `1700000000000-0`. */
const timeOf = (id: Answer | undefined): number => Number(String(id).split('-', 1)[0])

const listOf = (answer: Answer | Error | undefined): readonly Answer[] =>
  Array.isArray(answer) ? answer : []

/** Name and value by turns. */
function fieldsOf(answer: Answer | Error | undefined): Fields {
  const list = listOf(answer)
  const fields = new Map<string, Answer>()
  for (let i = 0; i + 1 < list.length; i += 2) fields.set(String(list[i]), list[i + 1] ?? null)
  return fields
}
