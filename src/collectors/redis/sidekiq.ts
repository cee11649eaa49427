import { type Answer, type Command, RedisRefusal } from '../../clients/redis.ts'
import type { SidekiqSettings } from './config.ts'
import type { FailedQueue, QueueReading, Reading } from './queues.ts'

/** Of all queues together: sorted sets, and the state of the jobs in them. */
const SETS = { schedule: 'scheduled', retry: 'retry', dead: 'dead' } as const

/** Above it a time is in milliseconds, as since Sidekiq 8, else in seconds: the year 5138. */
const LAST_SECOND = 1e11

/** https://github.com/sidekiq/sidekiq: the set `queues` has the names, the list `queue:NAME` the jobs. */
export async function readSidekiq(
  { redis, signal }: Reading,
  { queues, prefix }: SidekiqSettings,
): Promise<readonly (QueueReading | FailedQueue)[]> {
  const sets = Object.entries(SETS)
  const [known, ...counts] = await redis.askKeys(
    [['SMEMBERS', `${prefix}queues`], ...sets.map(([set]): Command => ['ZCARD', `${prefix}${set}`])],
    signal,
  )
  const ofSets = sets.map(([queue, state], i) => {
    const count = counts[i]
    return count instanceof RedisRefusal
      ? { queue, failure: count }
      : { queue, jobs: { [state]: Number(count) } }
  })
  const names = [...new Set([...queues, ...(Array.isArray(known) ? known.map(String).sort() : [])])]
  const answers = await redis.askKeys(
    names.flatMap((name): Command[] => [
      ['LLEN', `${prefix}queue:${name}`],
      ['LINDEX', `${prefix}queue:${name}`, '-1'],
    ]),
    signal,
  )
  const ofQueues = names.map((queue, i) => {
    const [length, oldest] = answers.slice(2 * i, 2 * i + 2)
    const refusal = [length, oldest].find((answer) => answer instanceof RedisRefusal)
    if (refusal) return { queue, failure: refusal }
    const waiting = Number(length)
    return { queue, length: waiting, jobs: { waiting }, waitingSince: enqueuedAt(oldest as Answer) }
  })
  const unknown = known instanceof RedisRefusal ? [{ queue: `${prefix}queues`, failure: known }] : []
  return [...ofQueues, ...ofSets, ...unknown]
}

/** Unix milliseconds; undefined where the job does not say. */
function enqueuedAt(job: Answer): number | undefined {
  if (typeof job !== 'string') return undefined
  try {
    const { enqueued_at: time } = JSON.parse(job) as { enqueued_at?: unknown }
    if (typeof time !== 'number') return undefined
    return time > LAST_SECOND ? time : time * 1000
  } catch {
    return undefined
  }
}
