/**
 * What is known of when the records of one partition were written, as knots over offsets:
 *
 * - a sampled knot says that the log ended at `offset` from `before` to `at`: record `offset` − 1 is not
 *   younger than `before`, record `offset` not older than `at`;
 * - an exact knot (an answer to a question by timestamp) says that the first record at or after `offset` has
 *   the timestamp `at`, and that every record before it is older than `before`.
 *
 * Times are in milliseconds. Where producers' clocks are wrong, exact knots contradict sampled ones; then only
 * sampled ones count.
 */
export class Timeline {
  #count = 0
  /** Of each knot: offset, before, at, and 1 where it is exact. One list: there are thousands of partitions. */
  #knots = new Float64Array(FIRST_CAPACITY * WIDTH)
  #skewed = false
  #askMiddle = false
  /** Of all looks since the last question, the offset whose time is least known. */
  #worst = Number.NaN
  #worstDoubt = 1

  /** Producers' timestamps disagree with the times at which the log was seen to grow. */
  get skewed(): boolean {
    return this.#skewed
  }

  /** The end of the log is at `end` now. An end that went back is another log: everything known is forgotten. */
  sample(end: number, now: number): void {
    const last = this.#count - 1
    if (last >= 0 && end < this.#offset(last)) {
      this.#count = 0
      this.#skewed = false
    }
    const newest = this.#count - 1
    if (newest >= 0 && this.#offset(newest) === end && !this.#isExact(newest)) {
      this.#knots[newest * WIDTH + AT] = now
      return
    }
    if (this.#count >= CAPACITY) this.#thinOut(now)
    this.#insert(this.#count, end, now, now, false)
  }

  /**
   * The broker answered a question for the first record not older than `asked` with `offset` and its
   * timestamp. Without a question, as for the greatest timestamp, `asked` is that timestamp.
   */
  learn(offset: number, timestamp: number, asked: number, now: number): void {
    if (this.#skewed) return
    this.#askMiddle = !this.#askMiddle
    const at = this.#firstAfter(offset - 1)
    if (timestamp > now + SKEW || this.#contradicts(offset, timestamp)) {
      this.#skewed = true
      this.#keepSampled()
      return
    }
    for (let i = at; i < this.#count && this.#offset(i) === offset; i++) {
      if (!this.#isExact(i)) continue
      // The later of two questions with the same answer tells more of the records before it.
      this.#askedBefore(i, asked)
      return
    }
    if (this.#count >= CAPACITY) this.#thinOut(now)
    // Behind a sampled knot of the same offset, which is about the moment before the record came.
    let place = this.#firstAfter(offset)
    while (place > 0 && this.#offset(place - 1) === offset && this.#isExact(place - 1)) place--
    this.#insert(place, offset, Math.min(asked, timestamp), timestamp, true)
  }

  /** The broker knows no record that is not older than `asked`. */
  learnNone(asked: number): void {
    if (this.#skewed || this.#count === 0) return
    this.#askMiddle = !this.#askMiddle
    this.#askedBefore(this.#count - 1, asked)
  }

  /**
   * The timestamp to ask the broker for, so that the least known of the times that were read since the last
   * question is known better; undefined when all are known well enough, or cannot be. Each answer at least halves
   * what is open.
   */
  question(now: number, compacted: boolean): number | undefined {
    const offset = this.#worst
    if (Number.isNaN(offset)) return undefined
    this.#worst = Number.NaN
    this.#worstDoubt = 1
    if (this.#skewed || !this.#look(offset, compacted)) return undefined
    const doubt = doubtAt(now)
    if (doubt <= 1) return undefined
    if (doubt === Infinity) return ANY_RECORD
    const earliest = found[EARLIEST] ?? 0
    const latest = found[LATEST] ?? 0
    // In turn, after each answer: the middle halves the bracket; just past its start finds the next record, however far it is.
    const before = this.#before(this.#firstAfter(offset))
    const middle = (earliest + Math.min(before, latest)) / 2
    return Math.floor(this.#askMiddle ? middle : earliest + 1)
  }

  /**
   * When the first record at or after `offset` was written, between `earliest` and `latest`. Undefined before
   * the first sample and at or past the end. `earliest` is undefined below all that is known.
   * `compacted`: offsets may be missing, so that the first record after a gap stands for the whole gap.
   */
  timeOf(offset: number, compacted: boolean): Estimate | undefined {
    if (!this.#look(offset, compacted)) return undefined
    const [time = 0, earliest = 0, latest = 0] = found
    return { time, earliest: Number.isNaN(earliest) ? undefined : earliest, latest }
  }

  /**
   * The same time alone, NaN where there is none; where it is not known well enough, `question` will ask for it. Makes
   * no object: it is read for every pair of group and partition in every pass.
   */
  readTime(offset: number, now: number, compacted: boolean): number {
    if (!this.#look(offset, compacted)) return Number.NaN
    const doubt = doubtAt(now)
    if (doubt > this.#worstDoubt) {
      this.#worst = offset
      this.#worstDoubt = doubt
    }
    return found[TIME] ?? Number.NaN
  }

  /** Whether nothing is known of when the record at `offset` was written, but that it is older than all known. */
  isBefore(offset: number): boolean {
    return !this.#skewed && this.#count > 0 && offset < this.#offset(0) && !this.#knowsOldest()
  }

  /** The first knot is the oldest record: there is none between the start of the log and it, or only marks. */
  #knowsOldest(): boolean {
    return this.#isExact(0) && this.#before(0) <= ANY_RECORD
  }

  /** Puts what is known of the record into `found`; false where there is none. */
  #look(offset: number, compacted: boolean): boolean {
    const above = this.#firstAfter(offset)
    if (above >= this.#count) return false
    const before = this.#before(above)
    // In a gap that compaction left, the next record is the one after the gap.
    const latest = compacted && this.#isExact(above) ? this.#at(above) : before
    const lower = above - 1
    found[LATEST] = latest
    if (lower < 0) {
      if (this.#knowsOldest()) found.fill(this.#at(above))
      else {
        found[TIME] = latest
        found[EARLIEST] = Number.NaN
      }
      return true
    }
    const earliest = this.#at(lower)
    const isExact = this.#isExact(lower)
    const from = this.#offset(lower)
    found[EARLIEST] = earliest
    if (isExact && from === offset) {
      found[TIME] = earliest
      found[LATEST] = earliest
    } else if (latest > before && before - earliest <= 1) {
      // Nothing was written between the two.
      found[TIME] = latest
      found[EARLIEST] = latest
    } else if (latest <= earliest) {
      found[TIME] = earliest
      found[LATEST] = earliest
    } else {
      const first = isExact ? from : from - 1
      const last = this.#offset(above) - 1
      const share = last <= first ? 1 : (offset - first) / (last - first)
      found[TIME] = earliest + share * (latest - earliest)
    }
    return true
  }

  /** Index of the first knot past `offset`. */
  #firstAfter(offset: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#offset(middle) > offset) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Whether a record at `offset` of this time breaks what samples say by more than clocks may differ. */
  #contradicts(offset: number, timestamp: number): boolean {
    for (let i = this.#count - 1; i >= 0; i--) {
      if (this.#isExact(i)) continue
      if (this.#offset(i) <= offset) return timestamp < this.#at(i) - SKEW
      if (timestamp > this.#before(i) + SKEW) return true
    }
    return false
  }

  #keepSampled(): void {
    let kept = 0
    for (let i = 0; i < this.#count; i++) {
      if (this.#isExact(i)) continue
      this.#copy(i, kept++)
    }
    this.#count = kept
  }

  /** Drops the inner knot whose gap is smallest for its age, so that history gets coarser as it gets older. */
  #thinOut(now: number): void {
    let victim = 1
    let smallest = Infinity
    for (let i = 1; i < this.#count - 1; i++) {
      const gap = this.#before(i + 1) - this.#at(i - 1)
      const worth = gap / Math.max(1, now - this.#at(i))
      if (worth < smallest) {
        smallest = worth
        victim = i
      }
    }
    this.#knots.copyWithin(victim * WIDTH, (victim + 1) * WIDTH, this.#count * WIDTH)
    this.#count--
  }

  #insert(place: number, offset: number, before: number, time: number, exact: boolean): void {
    if (this.#count * WIDTH >= this.#knots.length) this.#grow()
    this.#knots.copyWithin((place + 1) * WIDTH, place * WIDTH, this.#count * WIDTH)
    const at = place * WIDTH
    this.#knots[at + OFFSET] = offset
    this.#knots[at + BEFORE] = before
    this.#knots[at + AT] = time
    this.#knots[at + EXACT] = Number(exact)
    this.#count++
  }

  #copy(from: number, to: number): void {
    this.#knots.copyWithin(to * WIDTH, from * WIDTH, (from + 1) * WIDTH)
  }

  #grow(): void {
    const wider = new Float64Array(Math.min(CAPACITY * WIDTH, this.#knots.length * 2))
    wider.set(this.#knots)
    this.#knots = wider
  }

  #offset(knot: number): number {
    return this.#knots[knot * WIDTH + OFFSET] ?? 0
  }

  #before(knot: number): number {
    return this.#knots[knot * WIDTH + BEFORE] ?? 0
  }

  #at(knot: number): number {
    return this.#knots[knot * WIDTH + AT] ?? 0
  }

  #isExact(knot: number): boolean {
    return this.#knots[knot * WIDTH + EXACT] === 1
  }

  /** Every record before the knot is older than `asked`, too. */
  #askedBefore(knot: number, asked: number): void {
    this.#knots[knot * WIDTH + BEFORE] = Math.min(this.#before(knot), asked)
  }
}

/** What the last look found; not in fields, where each number would be an object of its own. */
const found = new Float64Array(3)
const TIME = 0
/** NaN below all that is known. */
const EARLIEST = 1
const LATEST = 2

/** How wide the bracket that was found is for its age: above 1 a question would help. */
function doubtAt(now: number): number {
  const earliest = found[EARLIEST] ?? 0
  if (Number.isNaN(earliest)) return Infinity
  return ((found[LATEST] ?? 0) - earliest) / Math.max(WIDEST, (now - (found[TIME] ?? 0)) * WIDEST_SHARE)
}

/** The question for the oldest record that there still is: no record is older. */
export const ANY_RECORD = 1

/** Milliseconds since the epoch. */
export interface Estimate {
  readonly time: number
  readonly earliest: number | undefined
  readonly latest: number
}

/** Numbers of a knot, and where each is. */
const WIDTH = 4
const OFFSET = 0
const BEFORE = 1
const AT = 2
const EXACT = 3

const CAPACITY = 128
const FIRST_CAPACITY = 8

/** A bracket up to this, or to this share of the age, is good enough. */
const WIDEST = 30_000
const WIDEST_SHARE = 0.2

/** Clocks that differ by less than this are taken to agree. */
const SKEW = 60_000
