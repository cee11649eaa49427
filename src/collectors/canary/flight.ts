import type { SampleBatch } from '../../collection/collector.ts'
import { Distribution } from '../../metrics/distribution.ts'
import * as metrics from './metrics.ts'

/** A canary that was written and is not seen yet. */
interface Canary {
  readonly sequence: bigint
  /** Monotonic milliseconds, and wall milliseconds, when its commit was answered. */
  readonly at: number
  readonly wall: number
  isLate: boolean
  /** There was a time since in which nobody looked that should have: how long it took is not known. */
  isUnwatched: boolean
}

interface Limits {
  /** Milliseconds. */
  readonly lateAfter: number
  readonly lostAfter: number
}

/** So many in flight say all that can be said, and bound the rows at both ends. */
const MOST = 1000

/**
 * The canaries of one collector, from commit to first sighting. Each in flight has a slot of its own, which names
 * its row: no row is written over that has still to be seen, and both tables have no more rows than slots were
 * ever needed at once.
 */
export class Flight {
  readonly #limits: Limits
  readonly #canaries = new Map<number, Canary>()
  readonly #latency = new Distribution(metrics.latency.buckets)
  /** The newest that was seen, and the newest that was late, by their commit. */
  #newestSeen: Canary | undefined
  #newestLate: Canary | undefined
  #sent = 0
  #late = 0
  #lost = 0

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Of the next canary; undefined while there are too many in flight. */
  freeSlot(): number | undefined {
    let slot = 0
    while (this.#canaries.has(slot)) slot++
    return slot < MOST ? slot : undefined
  }

  /** The source has committed the canary, at this monotonic and wall time. */
  sent(slot: number, sequence: bigint, at: number, wall: number): void {
    this.#canaries.set(slot, { sequence, at, wall, isLate: false, isUnwatched: false })
    this.#sent++
  }

  has(slot: number): boolean {
    return this.#canaries.has(slot)
  }

  /** The lowest sequence in flight; undefined where nothing is. */
  get oldest(): bigint | undefined {
    let oldest: bigint | undefined
    for (const { sequence } of this.#canaries.values()) {
      if (oldest === undefined || sequence < oldest) oldest = sequence
    }
    return oldest
  }

  /**
   * `newest`: the newest sequence of a slot that the sink was seen to have. `asked` and `answered`: monotonic
   * milliseconds. What is there was there by the answer, what is not was not when it was asked.
   */
  looked(newest: (slot: number) => bigint | undefined, asked: number, answered: number): void {
    for (const [slot, canary] of this.#canaries) {
      const sequence = newest(slot)
      if (sequence !== undefined && sequence >= canary.sequence) this.#seen(slot, canary, answered)
      else this.#missed(slot, canary, asked)
    }
  }

  /** Nobody could look. */
  unwatched(): void {
    for (const canary of this.#canaries.values()) canary.isUnwatched = true
  }

  #seen(slot: number, canary: Canary, now: number): void {
    this.#canaries.delete(slot)
    if (!this.#newestSeen || canary.at > this.#newestSeen.at) this.#newestSeen = canary
    if (canary.isUnwatched) return
    const age = now - canary.at
    this.#latency.observe(age / 1000)
    // It may have come between two runs.
    if (age > this.#limits.lateAfter) this.#judgeLate(canary)
  }

  #missed(slot: number, canary: Canary, now: number): void {
    const age = now - canary.at
    if (age > this.#limits.lateAfter) {
      this.#judgeLate(canary)
      if (!this.#newestLate || canary.at > this.#newestLate.at) this.#newestLate = canary
    }
    if (age > this.#limits.lostAfter) {
      this.#lost++
      this.#canaries.delete(slot)
    }
  }

  #judgeLate(canary: Canary): void {
    if (canary.isLate) return
    canary.isLate = true
    this.#late++
  }

  /** Undefined while nothing that was sent has been seen or been late. */
  get #isFresh(): boolean | undefined {
    if (!this.#newestLate) return this.#newestSeen && true
    return this.#newestSeen !== undefined && this.#newestSeen.at >= this.#newestLate.at
  }

  /** `isKnown`: whether the sink could be looked at. */
  write(batch: SampleBatch, labels: Readonly<Record<'table' | 'tenant', string>>, isKnown: boolean): void {
    batch.add(metrics.sent, labels, this.#sent)
    batch.add(metrics.late, labels, this.#late)
    batch.add(metrics.lost, labels, this.#lost)
    batch.addHistogram(metrics.latency, labels, this.#latency)
    if (this.#newestSeen) batch.add(metrics.newestSeen, labels, this.#newestSeen.wall / 1000)
    if (!isKnown) return
    batch.add(metrics.inFlight, labels, this.#canaries.size)
    if (this.#isFresh !== undefined) batch.add(metrics.freshness, labels, Number(this.#isFresh))
  }
}
