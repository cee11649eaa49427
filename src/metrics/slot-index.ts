/** What an index knows of the slots that it holds. */
export interface Slots {
  /** The same for equal labels, always. */
  hashOf(slot: number): number
  matches(slot: number, labels: Readonly<Record<string, string>>): boolean
}

const EMPTY = -1
const REMOVED = -2
const SMALLEST = 64

/**
 * Finds a slot by its labels: a hash table of slot numbers alone, with open addressing. A Map would want a key of
 * its own for every series, and at the first pass those keys would take more memory than the series themselves.
 */
export class SlotIndex {
  readonly #slots: Slots
  #table = new Int32Array(SMALLEST).fill(EMPTY)
  /** Places that are not empty; removed ones count, they lengthen a search as well. */
  #taken = 0

  constructor(slots: Slots, known: ArrayLike<number>) {
    this.#slots = slots
    this.#rebuild(known)
  }

  /** The slot of these labels, whose hash it is; undefined where there is none. */
  find(hash: number, labels: Readonly<Record<string, string>>): number | undefined {
    const mask = this.#table.length - 1
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const slot = this.#table[place] ?? EMPTY
      if (slot === EMPTY) return undefined
      if (slot !== REMOVED && this.#slots.matches(slot, labels)) return slot
    }
  }

  /** One that is not in it yet. */
  add(slot: number): void {
    // At most half full, so that a search stays short.
    if ((this.#taken + 1) * 2 > this.#table.length) this.#rebuild(this.#table)
    this.#put(slot)
  }

  remove(slot: number): void {
    const mask = this.#table.length - 1
    for (let place = this.#slots.hashOf(slot) & mask; ; place = (place + 1) & mask) {
      const found = this.#table[place] ?? EMPTY
      if (found === EMPTY) return
      if (found !== slot) continue
      this.#table[place] = REMOVED
      return
    }
  }

  #put(slot: number): void {
    const mask = this.#table.length - 1
    let place = this.#slots.hashOf(slot) & mask
    while (this.#table[place] !== EMPTY) place = (place + 1) & mask
    this.#table[place] = slot
    this.#taken++
  }

  /** From slots, and places that hold none. */
  #rebuild(known: ArrayLike<number>): void {
    let count = 0
    // By index, here and below: an iterator makes an object for each step.
    for (let i = 0; i < known.length; i++) if ((known[i] ?? EMPTY) >= 0) count++
    let size = SMALLEST
    // Twice what half full wants: it does not have to grow again at once.
    while (size < count * 4) size *= 2
    this.#table = new Int32Array(size).fill(EMPTY)
    this.#taken = 0
    for (let i = 0; i < known.length; i++) {
      const slot = known[i] ?? EMPTY
      if (slot >= 0) this.#put(slot)
    }
  }
}
