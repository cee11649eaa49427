import type { RedisReader } from '../../clients/redis.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import * as metrics from './metrics.ts'

/** What one layout of queues found out about one of them. */
export interface QueueReading {
  readonly queue: string
  /** Items that wait; undefined for a set of jobs that do not. */
  readonly length?: number | undefined
  /** Jobs by state. */
  readonly jobs?: Readonly<Record<string, number>> | undefined
  readonly paused?: boolean | undefined
  /** Unix milliseconds since when the oldest waiting item has waited; undefined where nobody knows. */
  readonly waitingSince?: number | undefined
}

/** Why a queue could not be read. */
export interface FailedQueue {
  readonly queue: string
  readonly failure: Error
}

/** Where the queues of a layout are read, and when. */
export interface Reading {
  readonly redis: RedisReader
  /** Unix milliseconds. */
  readonly now: number
  readonly signal: AbortSignal
}

/** Writes each queue once: of two that have the same name, in two layouts, the second is a failed part. A set of
 * jobs beside the queues, such as those to be tried again, may be called as one of them. */
export class QueueSamples {
  readonly #batch: SampleBatch
  readonly #now: number
  readonly #written = new Set<string>()

  constructor(batch: SampleBatch, now: number) {
    this.#batch = batch
    this.#now = now
  }

  /** False where the name is taken. */
  add(reading: QueueReading | FailedQueue): boolean {
    const { queue } = reading
    const isSet = 'jobs' in reading && reading.length === undefined
    const key = JSON.stringify([queue, isSet])
    if (this.#written.has(key)) {
      this.#batch.partFailed({ queue }, new Error(`redis: there are two queues called ${queue}`), [])
      return false
    }
    this.#written.add(key)
    if ('failure' in reading) {
      this.#batch.partFailed({ queue }, reading.failure)
      return true
    }
    const { length, jobs, paused, waitingSince } = reading
    if (length !== undefined) this.#batch.add(metrics.queueLength, { queue }, length)
    for (const [state, count] of Object.entries(jobs ?? {}))
      this.#batch.add(metrics.queueJobs, { queue, state }, count)
    if (paused !== undefined) this.#batch.add(metrics.queuePaused, { queue }, Number(paused))
    // A clock that is behind that of the writer does not make an age of less than nothing.
    if (waitingSince !== undefined)
      this.#batch.add(metrics.queueOldestAge, { queue }, Math.max(0, this.#now - waitingSince) / 1000)
    return true
  }
}
