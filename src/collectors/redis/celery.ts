import { type Command, RedisRefusal } from '../../clients/redis.ts'
import type { CelerySettings } from './config.ts'
import type { FailedQueue, QueueReading, Reading } from './queues.ts'

/** Of all queues of the database: what a worker has taken and not acknowledged. */
const UNACKED = 'unacked'

/** https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html: a list for each priority. */
export async function readCelery(
  { redis, signal }: Reading,
  { queues, prefix, separator, priority_steps }: CelerySettings,
): Promise<readonly (QueueReading | FailedQueue)[]> {
  const commands = queues.flatMap((queue) =>
    priority_steps.map(
      (step): Command => ['LLEN', `${prefix}${queue}${step === 0 ? '' : `${separator}${step}`}`],
    ),
  )
  const answers = await redis.askKeys([...commands, ['HLEN', `${prefix}${UNACKED}`]], signal)
  const ofQueues = queues.map((queue, i) => {
    const lengths = answers.slice(priority_steps.length * i, priority_steps.length * (i + 1))
    const refusal = lengths.find((length) => length instanceof RedisRefusal)
    if (refusal) return { queue, failure: refusal }
    const waiting = lengths.reduce<number>((sum, length) => sum + Number(length), 0)
    return { queue, length: waiting, jobs: { waiting } }
  })
  const unacked = answers.at(-1)
  return [
    ...ofQueues,
    unacked instanceof RedisRefusal
      ? { queue: UNACKED, failure: unacked }
      : { queue: UNACKED, jobs: { unacked: Number(unacked) } },
  ]
}
