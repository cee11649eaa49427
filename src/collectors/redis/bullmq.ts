import { type Answer, type Command, RedisRefusal } from '../../clients/redis.ts'
import type { FailedQueue, QueueReading, Reading } from './queues.ts'

// https://github.com/taskforcesh/bullmq: each state of a queue has a key of its own.
const STATES = {
  waiting: ['LLEN', 'wait'],
  active: ['LLEN', 'active'],
  // Until BullMQ 5; since then the jobs of a paused queue stay where they are.
  paused: ['LLEN', 'paused'],
  prioritized: ['ZCARD', 'prioritized'],
  delayed: ['ZCARD', 'delayed'],
  completed: ['ZCARD', 'completed'],
  failed: ['ZCARD', 'failed'],
  'waiting-children': ['ZCARD', 'waiting-children'],
} as const

type Counts = Readonly<Record<keyof typeof STATES, number>>

/** Of a prioritized job's score; what is below counts up in each priority. */
const PRIORITY = 2 ** 32
/** In a queue with jobs of more priorities the oldest one is not looked for. */
const MAX_PRIORITIES = 16

/** The key of a queue that is there from its first use to its end. */
export const metaKey = (prefix: string, queue: string): string => `${prefix}:${queue}:meta`

export async function readBullmq(
  reading: Reading,
  prefix: string,
  names: readonly string[],
): Promise<readonly (QueueReading | FailedQueue)[]> {
  const { redis, signal } = reading
  const commandsOf = (queue: string): Command[] => [
    ...Object.values(STATES).map(([command, key]) => [command, `${prefix}:${queue}:${key}`] as const),
    ['LINDEX', `${prefix}:${queue}:wait`, '-1'],
    ['LINDEX', `${prefix}:${queue}:paused`, '-1'],
    ['HGET', metaKey(prefix, queue), 'paused'],
  ]
  const answers = await redis.askKeys(names.flatMap(commandsOf), signal)
  const each = commandsOf('').length
  return await Promise.all(
    names.map(async (queue, i) => {
      const ofQueue = answers.slice(each * i, each * (i + 1))
      const refusal = ofQueue.find((answer) => answer instanceof RedisRefusal)
      if (refusal) return { queue, failure: refusal }
      return await readQueue(reading, `${prefix}:${queue}`, queue, ofQueue as readonly Answer[])
    }),
  )
}

async function readQueue(
  reading: Reading,
  key: string,
  queue: string,
  answers: readonly Answer[],
): Promise<QueueReading | FailedQueue> {
  const states = Object.keys(STATES)
  const jobs = Object.fromEntries(states.map((state, i) => [state, Number(answers[i])])) as Counts
  const [next, nextPaused, paused] = answers.slice(states.length)
  const firsts = jobs.prioritized > 0 ? await firstOfEachPriority(reading, key) : []
  if (firsts instanceof RedisRefusal) return { queue, failure: firsts }
  const waitingSince =
    firsts &&
    (await earliest(
      reading,
      key,
      [next, nextPaused, ...firsts].filter((id) => typeof id === 'string'),
    ))
  if (waitingSince instanceof RedisRefusal) return { queue, failure: waitingSince }
  return {
    queue,
    length: jobs.waiting + jobs.paused + jobs.prioritized,
    jobs,
    paused: paused !== null,
    waitingSince,
  }
}

/** Ids; undefined where there are too many priorities. */
async function firstOfEachPriority(
  { redis, signal }: Reading,
  key: string,
): Promise<readonly string[] | undefined | RedisRefusal> {
  const ids: string[] = []
  let from = '-inf'
  while (ids.length <= MAX_PRIORITIES) {
    const [answer] = await redis.askKeys(
      [['ZRANGEBYSCORE', `${key}:prioritized`, from, '+inf', 'WITHSCORES', 'LIMIT', '0', '1']],
      signal,
    )
    if (answer instanceof RedisRefusal) return answer
    const [id, score] = (answer ?? []) as readonly string[]
    if (id === undefined) return ids
    ids.push(id)
    from = String((Math.floor(Number(score) / PRIORITY) + 1) * PRIORITY)
  }
  return undefined
}

/**
 * Unix milliseconds at which the first of these jobs was due: when it was added, and its delay later. Undefined
 * where there is none.
 */
async function earliest(
  { redis, signal }: Reading,
  key: string,
  ids: readonly string[],
): Promise<number | undefined | RedisRefusal> {
  const answers = await redis.askKeys(
    ids.map((id) => ['HMGET', `${key}:${id}`, 'timestamp', 'opts']),
    signal,
  )
  let first: number | undefined
  for (const answer of answers) {
    if (answer instanceof RedisRefusal) return answer
    const [timestamp, options] = (answer ?? []) as readonly (string | null)[]
    // It was taken, done and removed meanwhile.
    if (!timestamp) continue
    const due = Number(timestamp) + delayOf(options)
    if (first === undefined || due < first) first = due
  }
  return first
}

function delayOf(options: string | null | undefined): number {
  const [, delay = '0'] = /"delay":(\d+)/.exec(options ?? '') ?? []
  return Number(delay)
}
