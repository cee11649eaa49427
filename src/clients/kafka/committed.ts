/**
 * What one group has committed, in flat lists: groups on a large cluster have a hundred thousand offsets together,
 * and an object for each topic of each would be most of what a pass leaves to the garbage collector.
 */
export class CommittedOffsets {
  /** Names of topics; everything below takes their index. */
  readonly topics: readonly string[]
  /** Of all topics, one after the other; partitions without a commit are left out. */
  readonly partitions: Int32Array
  /** `offsets[i]` is what was committed for `partitions[i]`. */
  readonly offsets: Float64Array
  readonly #ends: readonly number[]

  /** `ends`: for each topic, where it ends in the lists. */
  constructor(
    topics: readonly string[],
    ends: readonly number[],
    partitions: Int32Array,
    offsets: Float64Array,
  ) {
    this.topics = topics
    this.partitions = partitions
    this.offsets = offsets
    this.#ends = ends
  }

  /** Where the topic begins in the lists. */
  from(topic: number): number {
    return this.#ends[topic - 1] ?? 0
  }

  /** Where it ends, exclusive. */
  to(topic: number): number {
    return this.#ends[topic] ?? 0
  }

  /** Partition and offset of each commit in the topic. */
  *of(topic: number): Generator<[partition: number, offset: number]> {
    for (let i = this.from(topic); i < this.to(topic); i++) {
      yield [this.partitions[i] ?? 0, this.offsets[i] ?? 0]
    }
  }
}

/** For those that commit nothing, as share groups do. */
export const NOTHING_COMMITTED = new CommittedOffsets([], [], new Int32Array(0), new Float64Array(0))

/** Collects the commits of one group after the other. */
export class CommitsWriter {
  #partitions = new Int32Array(1024)
  #offsets = new Float64Array(1024)
  #length = 0
  #topics: string[] = []
  #ends: number[] = []
  /** Groups of one answer have read much the same topics: one string for each. */
  readonly #names = new Map<string, string>()

  /** The commits that follow are in this topic. */
  topic(name: string): void {
    const known = this.#names.get(name)
    if (known === undefined) this.#names.set(name, name)
    this.#topics.push(known ?? name)
    this.#ends.push(this.#length)
  }

  add(partition: number, offset: number): void {
    if (this.#length === this.#partitions.length) this.#grow()
    this.#partitions[this.#length] = partition
    this.#offsets[this.#length] = offset
    this.#length++
    this.#ends[this.#ends.length - 1] = this.#length
  }

  /** What came since the last call. */
  take(): CommittedOffsets {
    const taken = new CommittedOffsets(
      this.#topics,
      this.#ends,
      this.#partitions.slice(0, this.#length),
      this.#offsets.slice(0, this.#length),
    )
    this.#topics = []
    this.#ends = []
    this.#length = 0
    return taken
  }

  #grow(): void {
    const partitions = new Int32Array(this.#length * 2)
    partitions.set(this.#partitions)
    this.#partitions = partitions
    const offsets = new Float64Array(this.#length * 2)
    offsets.set(this.#offsets)
    this.#offsets = offsets
  }
}
