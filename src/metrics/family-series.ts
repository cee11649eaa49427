import { free } from '../memory.ts'
import { type Family, isHistogram } from './family.ts'
import { SlotIndex } from './slot-index.ts'

/** Slots of one chunk at the most: rendering and comparing one stays well under ten milliseconds. */
const CHUNK_SLOTS = 4096
/** Holds any integer up to 2^53 and most decimals; a chunk with a longer value is laid out wide. */
const NARROW = 17
/** The longest text of a double, such as `-0.0000010444961525939881`, has 25 characters. */
const WIDE = 25
const SPACE = 0x20
const POINT = 0x2e
/** Up to here a number of thousandths has one shortest text, its own: 15 digits. */
const MOST_THOUSANDTHS = 1e15

/** In the place of a bound: the sum of a histogram, and the number of its observations. No text of a number is one. */
export const SUM = 'sum'
export const COUNT = 'count'

/** A run of finished lines of one family and one instance. `version` changes when its bytes do. */
export interface Block {
  readonly bytes: Buffer
  readonly version: number
}

/** One series and its value. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

let lastVersion = 0
/** Versions are unique in the process, so that equal versions mean equal bytes. */
export const nextVersion = (): number => ++lastVersion

interface Chunk {
  /** Above 0, and never that of another chunk. */
  readonly id: number
  /** The first `length` count. */
  slots: Uint32Array<ArrayBuffer>
  length: number
  /** Values as the bytes have them. */
  rendered: Float64Array
  /** Where each value's place begins. */
  offsets: Uint32Array
  width: number
  /** What a scrape sees. */
  block: Block
  /** Rendered, and not yet published. */
  next: Block | undefined
  /** Its slots are no longer those of its bytes. */
  relaid: boolean
}

/**
 * The series of one family and one instance, kept from run to run. A collector that writes them in the
 * order of its last run finds each slot by one comparison of labels; another order costs a lookup each.
 * What a run writes is pending until `commit`, and invisible until `publish`.
 */
export class FamilySeries {
  readonly family: Family
  readonly #constLabels: string
  /** Those of the family; of a histogram, the bound as well. */
  readonly #names: readonly string[]
  #labels: string[] = []
  #values = new Float64Array(0)
  #pending = new Float64Array(0)
  /** The number of the run that last wrote the slot. */
  #writtenIn = new Uint32Array(0)
  /** The id of the chunk that holds the slot; 0 for one that is free or not yet committed. */
  #chunkOf = new Uint32Array(0)
  /** Slots that there are, free ones included. */
  #slots = 0
  #free: number[] = []
  #created: number[] = []
  #order = new Uint32Array(0)
  /** What the run has written so far; none while that is the beginning of `#order`, up to the cursor. */
  #nextOrder: number[] | undefined
  /** Slot → its place in `#order`. */
  #position = new Uint32Array(0)
  #cursor = 0
  #index: SlotIndex | undefined
  #indexUsed = false
  /** What `isInStepWith` found last, and for which orders: each is a list of its own. */
  #step: { readonly order: Uint32Array; readonly theirs: Uint32Array; readonly isSame: boolean } | undefined
  #run = 0
  #chunks: Chunk[] = []

  /** `constLabels`: the instance's labels, already escaped, such as `target="erp"`. */
  constructor(family: Family, constLabels: string) {
    this.family = family
    this.#constLabels = constLabels
    this.#names = isHistogram(family) ? [...family.labelNames, 'le'] : family.labelNames
  }

  /** Series after the last commit. */
  get size(): number {
    return this.#order.length
  }

  /** What a scrape sees. */
  get blocks(): readonly Block[] {
    return this.#chunks.map((chunk) => chunk.block)
  }

  /** Of the last commit, those called `name`, or only those of this value; without the instance's labels. */
  *samples(name: string, only?: number): Generator<Sample> {
    if (!name.startsWith(this.family.name)) return
    const suffix = name.slice(this.family.name.length)
    for (const slot of this.#order) {
      const value = this.#values[slot] ?? 0
      if ((only !== undefined && value !== only) || this.#suffixOf(slot) !== suffix) continue
      const labels = this.#labelsOf(slot)
      if (suffix === '_sum' || suffix === '_count') delete labels.le
      yield { labels, value }
    }
  }

  begin(run: number): void {
    this.#run = run
    this.#cursor = 0
    this.#nextOrder = undefined
    this.#indexUsed = false
  }

  /** What a series has a value for, in the order of `writeRow`'s texts. */
  get names(): readonly string[] {
    return this.#names
  }

  /** False when the run has written this series already. */
  write(labels: Readonly<Record<string, string>>, value: number): boolean {
    const expected = this.#order[this.#cursor]
    const isNext = expected !== undefined && this.matches(expected, labels)
    const slot = isNext ? this.#goOn(expected) : this.#turnTo(labels)
    if (!this.#claim(slot)) return false
    this.#pending[slot] = value
    return true
  }

  /**
   * The same of `values[at]`, with the values of the labels as `texts` too, in the order of `names`: of labels that
   * several families share each is looked up once. A number by itself would be made an object on its way here.
   */
  writeRow(
    labels: Readonly<Record<string, string>>,
    texts: readonly (string | undefined)[],
    values: Float64Array,
    at: number,
  ): boolean {
    const expected = this.#order[this.#cursor]
    const isNext = expected !== undefined && this.#has(expected, texts)
    const slot = isNext ? this.#goOn(expected) : this.#turnTo(labels)
    if (!this.#claim(slot)) return false
    this.#pending[slot] = values[at] ?? 0
    return true
  }

  /** Where in the order of the last run this one is. */
  get cursor(): number {
    return this.#cursor
  }

  /** As `writeRow`, to the series that is next in order, whose labels the caller knows. */
  writeNext(values: Float64Array, at: number): boolean {
    const slot = this.#goOn(this.#order[this.#cursor] ?? 0)
    if (!this.#claim(slot)) return false
    this.#pending[slot] = values[at] ?? 0
    return true
  }

  /** Whether both have the same series in the same order, but for the family. Compared once for each order. */
  isInStepWith(first: FamilySeries): boolean {
    const known = this.#step
    if (known?.order === this.#order && known.theirs === first.#order) return known.isSame
    const isSame = this.#order.length === first.#order.length && this.#hasLabelsOf(first)
    this.#step = { order: this.#order, theirs: first.#order, isSame }
    return isSame
  }

  #hasLabelsOf(first: FamilySeries): boolean {
    const { length } = this.#names
    for (let i = 0; i < this.#order.length; i++) {
      const own = (this.#order[i] ?? 0) * length
      const theirs = (first.#order[i] ?? 0) * length
      for (let k = 0; k < length; k++) {
        if (this.#labels[own + k] !== first.#labels[theirs + k]) return false
      }
    }
    return true
  }

  #goOn(slot: number): number {
    this.#cursor++
    return slot
  }

  /** To a series that is not the one after the last. */
  #turnTo(labels: Readonly<Record<string, string>>): number {
    this.#nextOrder ??= Array.from(this.#order.subarray(0, this.#cursor))
    return this.#lookUp(labels)
  }

  /** False when the run has written the slot already. */
  #claim(slot: number): boolean {
    if (this.#writtenIn[slot] === this.#run) return false
    this.#writtenIn[slot] = this.#run
    this.#nextOrder?.push(slot)
    return true
  }

  /** Forgets what the run wrote. */
  discard(): void {
    for (const slot of this.#created) this.#release(slot)
    this.#created = []
    this.#nextOrder = undefined
  }

  /**
   * Makes what the run wrote the truth. A series that it did not write goes, unless `keep` wants it kept
   * with its last value. Returns the renderings that this calls for, each short.
   */
  commit(keep?: (labels: Readonly<Record<string, string>>) => boolean): ((inPlace: boolean) => void)[] {
    if (this.#nextOrder !== undefined || this.#cursor < this.#order.length) this.#reorder(keep)
    // By index: an iterator may make an object for each of a hundred thousand steps.
    for (let i = 0; i < this.#order.length; i++) {
      const slot = this.#order[i] ?? 0
      if (this.#writtenIn[slot] === this.#run) this.#values[slot] = this.#pending[slot] ?? 0
    }
    this.#created = []
    // Steady series need no index; one that was asked for may well be asked for again.
    if (!this.#indexUsed) this.#index = undefined
    return this.#chunks
      .filter((chunk) => this.#isChanged(chunk))
      .map((chunk) => (inPlace) => this.#render(chunk, inPlace))
  }

  /** Takes over what the run wrote and what is kept, and lets go of the rest. */
  #reorder(keep?: (labels: Readonly<Record<string, string>>) => boolean): void {
    const next = this.#nextOrder ?? Array.from(this.#order.subarray(0, this.#cursor))
    const gone: number[] = []
    for (let i = 0; i < this.#order.length; i++) {
      const slot = this.#order[i] ?? 0
      if (this.#writtenIn[slot] === this.#run) continue
      if (keep?.(this.#labelsOf(slot))) next.push(slot)
      else gone.push(slot)
    }
    this.#remove(gone)
    for (let i = 0; i < next.length; i++) {
      const slot = next[i] ?? 0
      if (!this.#chunkOf[slot]) this.#place(slot)
      this.#position[slot] = i
    }
    this.#order = Uint32Array.from(next)
    this.#nextOrder = undefined
  }

  /** Shows what was rendered. */
  publish(): void {
    for (const chunk of this.#chunks) {
      if (!chunk.next) continue
      chunk.block = chunk.next
      chunk.next = undefined
    }
    this.#chunks = this.#chunks.filter((chunk) => chunk.length > 0)
  }

  matches(slot: number, labels: Readonly<Record<string, string>>): boolean {
    const names = this.#names
    const base = slot * names.length
    for (let i = 0; i < names.length; i++) {
      if (this.#labels[base + i] !== labels[names[i] ?? '']) return false
    }
    return true
  }

  #has(slot: number, texts: readonly (string | undefined)[]): boolean {
    const { length } = this.#names
    const base = slot * length
    for (let i = 0; i < length; i++) {
      if (this.#labels[base + i] !== texts[i]) return false
    }
    return true
  }

  #labelsOf(slot: number): Record<string, string> {
    const names = this.#names
    const labels: Record<string, string> = {}
    for (let i = 0; i < names.length; i++)
      labels[names[i] ?? ''] = this.#labels[slot * names.length + i] ?? ''
    return labels
  }

  /** What a line of the family has behind its name. */
  #suffixOf(slot: number): '' | '_bucket' | '_sum' | '_count' {
    if (this.#names === this.family.labelNames) return ''
    const bound = this.#labels[(slot + 1) * this.#names.length - 1]
    return bound === SUM ? '_sum' : bound === COUNT ? '_count' : '_bucket'
  }

  #lookUp(labels: Readonly<Record<string, string>>): number {
    this.#indexUsed = true
    this.#index ??= new SlotIndex(this, this.#order)
    const known = this.#index.find(this.#hash(labels), labels)
    if (known !== undefined) {
      // Go on from where the collector went on last time.
      if (this.#chunkOf[known]) this.#cursor = (this.#position[known] ?? 0) + 1
      return known
    }
    const names = this.#names
    for (const name of names) {
      if (typeof labels[name] !== 'string')
        throw new TypeError(`${this.family.name}: label ${name} has no value`)
    }
    const slot = this.#allocate()
    for (let i = 0; i < names.length; i++)
      this.#labels[slot * names.length + i] = labels[names[i] ?? ''] ?? ''
    this.#index.add(slot)
    this.#created.push(slot)
    return slot
  }

  hashOf(slot: number): number {
    const { length } = this.#names
    let hash = 0
    for (let i = 0; i < length; i++) hash = mixed(hash, this.#labels[slot * length + i] ?? '')
    return hash
  }

  #hash(labels: Readonly<Record<string, string>>): number {
    let hash = 0
    for (const name of this.#names) hash = mixed(hash, labels[name] ?? '')
    return hash
  }

  #allocate(): number {
    const slot = this.#free.pop() ?? this.#slots++
    if (slot >= this.#values.length) {
      const capacity = Math.max(16, this.#values.length * 2)
      this.#values = grown(this.#values, new Float64Array(capacity))
      this.#pending = grown(this.#pending, new Float64Array(capacity))
      this.#writtenIn = grown(this.#writtenIn, new Uint32Array(capacity))
      this.#position = grown(this.#position, new Uint32Array(capacity))
      this.#chunkOf = grown(this.#chunkOf, new Uint32Array(capacity))
    }
    return slot
  }

  #release(slot: number): void {
    this.#index?.remove(slot)
    this.#writtenIn[slot] = 0
    this.#chunkOf[slot] = 0
    this.#free.push(slot)
  }

  #place(slot: number): void {
    let chunk = this.#chunks.at(-1)
    if (!chunk || chunk.length >= CHUNK_SLOTS) {
      chunk = {
        id: (chunk?.id ?? 0) + 1,
        slots: new Uint32Array(0),
        length: 0,
        rendered: new Float64Array(0),
        offsets: new Uint32Array(0),
        width: NARROW,
        block: { bytes: Buffer.alloc(0), version: 0 },
        next: undefined,
        relaid: true,
      }
      this.#chunks.push(chunk)
    }
    if (chunk.length === chunk.slots.length) {
      chunk.slots = grown(chunk.slots, new Uint32Array(Math.max(16, chunk.length * 2)))
    }
    chunk.slots[chunk.length++] = slot
    chunk.relaid = true
    this.#chunkOf[slot] = chunk.id
  }

  #remove(gone: readonly number[]): void {
    const touched = new Set<number>()
    for (const slot of gone) {
      touched.add(this.#chunkOf[slot] ?? 0)
      this.#release(slot)
    }
    for (const chunk of this.#chunks) {
      if (!touched.has(chunk.id)) continue
      chunk.slots = chunk.slots.filter((slot, i) => i < chunk.length && this.#chunkOf[slot] === chunk.id)
      chunk.length = chunk.slots.length
      chunk.relaid = true
    }
  }

  #isChanged(chunk: Chunk): boolean {
    if (chunk.relaid) return true
    const { slots, length, rendered } = chunk
    for (let i = 0; i < length; i++) {
      if (rendered[i] !== this.#values[slots[i] ?? 0]) return true
    }
    return false
  }

  #render(chunk: Chunk, inPlace: boolean): void {
    if (chunk.relaid) {
      this.#layOut(chunk, NARROW)
      return
    }
    const { slots, length, rendered, offsets, width, block } = chunk
    const bytes = inPlace ? block.bytes : copied(block.bytes)
    for (let i = 0; i < length; i++) {
      const value = this.#values[slots[i] ?? 0] ?? 0
      if (rendered[i] === value) continue
      if (!writeValue(bytes, offsets[i] ?? 0, width, value)) {
        this.#layOut(chunk, WIDE)
        return
      }
      rendered[i] = value
    }
    chunk.next = { bytes, version: nextVersion() }
  }

  #layOut(chunk: Chunk, width: number): void {
    const { slots, length: count } = chunk
    const offsets = new Uint32Array(count)
    const rendered = new Float64Array(count)
    let length = 0
    for (let i = 0; i < count; i++) {
      const slot = slots[i] ?? 0
      const suffix = this.#suffixOf(slot)
      const names = suffix === '' || suffix === '_bucket' ? this.#names : this.family.labelNames
      length = put(this.family.name, length)
      length = put(suffix, length)
      let isFirst = true
      if (this.#constLabels !== '') {
        length = put('{', length)
        length = put(this.#constLabels, length)
        isFirst = false
      }
      for (let k = 0; k < names.length; k++) {
        length = put(isFirst ? '{' : ',', length)
        length = put(names[k] ?? '', length)
        length = put('="', length)
        length = put(escapeLabelValue(this.#labels[slot * this.#names.length + k] ?? ''), length)
        length = put('"', length)
        isFirst = false
      }
      length = put(isFirst ? ' ' : '} ', length)
      reserveDraft(length, width + 1)
      offsets[i] = length
      length += width
      draft[length++] = LINE_FEED
    }
    const bytes = copied(draft.subarray(0, length))
    for (let i = 0; i < count; i++) {
      const value = this.#values[slots[i] ?? 0] ?? 0
      if (!writeValue(bytes, offsets[i] ?? 0, width, value)) {
        this.#layOut(chunk, WIDE)
        return
      }
      rendered[i] = value
    }
    chunk.offsets = offsets
    chunk.rendered = rendered
    chunk.width = width
    chunk.relaid = false
    chunk.next = { bytes, version: nextVersion() }
  }
}

const DRAFT_BYTES = 65_536
/** Where lines are put together before their length is known; one for all, as none is under way for longer than a call. */
let draft = Buffer.allocUnsafeSlow(DRAFT_BYTES)
const LINE_FEED = 0x0a
const NOT_ASCII = 0x80
/** Of UTF-8, for one character of a JavaScript string. */
const MOST_BYTES_A_CHARACTER = 3

/**
 * Writes the text into the draft at `at`, and gives where it ends. Letter by letter: lines that are put together as
 * texts first leave several times their length behind.
 */
function put(text: string, at: number): number {
  const { length } = text
  reserveDraft(at, length * MOST_BYTES_A_CHARACTER)
  const bytes = draft
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code >= NOT_ASCII) return at + bytes.write(text, at)
    bytes[at + i] = code
  }
  return at + length
}

/** Gives back what laying out many lines took: a steady pass lays out none. */
export function releaseDraft(): void {
  if (draft.length <= DRAFT_BYTES) return
  free(draft)
  draft = Buffer.allocUnsafeSlow(DRAFT_BYTES)
}

function reserveDraft(used: number, more: number): void {
  if (used + more <= draft.length) return
  const wider = Buffer.allocUnsafeSlow((used + more) * 2)
  draft.copy(wider, 0, 0, used)
  draft = wider
}

/** The hash of a sequence of texts, one by one (FNV-1a; the mark between keeps ('a', 'bc') and ('ab', 'c') apart). */
function mixed(hash: number, text: string): number {
  let mix = hash ^ 0x811c9dc5
  for (let i = 0; i < text.length; i++) mix = Math.imul(mix ^ text.charCodeAt(i), 0x01000193)
  return Math.imul(mix ^ (mix >>> 15), 0x2c1b3c6d)
}

function copied(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}

/** Right-aligned in its place; false when it does not fit. */
function writeValue(bytes: Buffer, offset: number, width: number, value: number): boolean {
  let end = offset + width
  const thousandths = Math.round(value * 1000)
  if (Number.isSafeInteger(value) && value >= 0) {
    end = writeDigits(bytes, end, value, 1)
  } else if (value > 0 && thousandths < MOST_THOUSANDTHS && thousandths / 1000 === value) {
    // Seconds of whole milliseconds, which are most of what is not whole: without a text for each.
    const whole = Math.floor(thousandths / 1000)
    let fraction = thousandths - whole * 1000
    let digits = 3
    for (; fraction % 10 === 0; digits--) fraction /= 10
    end = writeDigits(bytes, end, fraction, digits)
    bytes[--end] = POINT
    end = writeDigits(bytes, end, whole, 1)
  } else {
    const text = value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value)
    if (text.length > width) return false
    end -= text.length
    bytes.write(text, end, 'latin1')
  }
  while (end > offset) bytes[--end] = SPACE
  return true
}

/** Ends before `end`; gives where it begins. */
function writeDigits(bytes: Buffer, end: number, value: number, least: number): number {
  let at = end
  let rest = value
  for (let digits = 0; rest > 0 || digits < least; digits++) {
    const tenth = Math.floor(rest / 10)
    bytes[--at] = 0x30 + (rest - tenth * 10)
    rest = tenth
  }
  return at
}

/** As the text format wants it: backslash, quote and line feed escaped. */
export function escapeLabelValue(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
    : value
}

function grown<A extends Float64Array | Uint32Array>(from: A, to: A): A {
  to.set(from)
  return to
}
