/** A distribution as it can be kept: observations by bucket, not cumulative, and their sum. */
export interface KeptDistribution {
  readonly counts: readonly number[]
  readonly sum: number
}

/** What was observed so far, by bucket: the value of one histogram series. It only grows. */
export class Distribution {
  readonly #bounds: readonly number[]
  /** Not cumulative; the last is beyond every bound. */
  readonly #counts: number[]
  #sum = 0

  /** `bounds`: the buckets of its family. `kept`: goes on from there, where that is of as many buckets. */
  constructor(bounds: readonly number[], kept?: KeptDistribution) {
    this.#bounds = bounds
    this.#counts = new Array<number>(bounds.length + 1).fill(0)
    if (kept?.counts.length !== this.#counts.length) return
    this.#counts = [...kept.counts]
    this.#sum = kept.sum
  }

  toJSON(): KeptDistribution {
    return { counts: this.#counts, sum: this.#sum }
  }

  /** `value` in the unit of the bounds, seen `times` times. */
  observe(value: number, times = 1): void {
    let bucket = 0
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? 0)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + times
    this.#sum += value * times
  }

  get sum(): number {
    return this.#sum
  }

  /** Observations up to each bound, and last of all, as the text format has them. */
  cumulative(): number[] {
    let total = 0
    return this.#counts.map((count) => {
      total += count
      return total
    })
  }
}
