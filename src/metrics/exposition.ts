import { free } from '../memory.ts'
import type { InstanceSeries } from './batch.ts'
import type { Family } from './family.ts'
import { type Block, nextVersion, type Sample } from './family-series.ts'
import { Deflater, type Stretch, stitch } from './gzip.ts'

/** What one scrape gets. */
export interface Snapshot {
  /** One gzip member; gone when there is a newer one: to send it, `Exposition.readGzip` it. */
  readonly gzip: Buffer
  /** The same, plain, in order; a later pass writes it again in place: to send it, `Exposition.read` it. */
  readonly plain: readonly Buffer[]
  readonly plainLength: number
  readonly series: number
}

export interface GzipText {
  readonly gzip: Buffer
  readonly release: () => void
}

export interface PlainText {
  readonly plain: readonly Buffer[]
  readonly plainLength: number
  readonly release: () => void
}

/** Blocks are deflated together up to this size; a larger one alone. */
const PAGE_BYTES = 65_536

/** Deflating at once; libuv has four threads. */
const PARALLEL = 3

/**
 * The text exposition (format 0.0.4) of all instances, finished ahead of any scrape. Families are grouped
 * over instances under one HELP and TYPE. Only pages that changed since the last build are deflated again.
 */
export class Exposition {
  readonly #instances = new Set<InstanceSeries>()
  readonly #headers = new Map<string, Block>()
  #own: Block = { bytes: Buffer.alloc(0), version: 0 }
  #pages = new Map<string, Stretch>()
  #current: Snapshot = { gzip: stitch([]).gzip, plain: [], plainLength: 0, series: 0 }
  #readers = 0
  /** How many read each gzip form. */
  readonly #gzipReaders = new Map<Buffer, number>()
  readonly #rewrites = new Set<Rewrite>()
  #wanted = false
  #building: Promise<void> | undefined
  #deflaters = newDeflaters()

  /** The newest finished snapshot. */
  get current(): Snapshot {
    return this.#current
  }

  /** Whether nobody holds bytes of a snapshot, so that they may be written in place. */
  get unread(): boolean {
    return this.#readers === 0
  }

  /**
   * Runs `write`, which may change published bytes in place if it is told so: a second copy of every line
   * would double the memory. Publish afterwards; `read` waits until then.
   */
  async rewrite(write: (inPlace: boolean) => Promise<void>): Promise<void> {
    const rewrite: Rewrite = { ...Promise.withResolvers<void>(), isWritten: false }
    this.#rewrites.add(rewrite)
    try {
      await write(this.unread)
      rewrite.isWritten = true
    } catch (error) {
      this.#endRewrite(rewrite)
      throw error
    }
  }

  /**
   * The plain text, of all instances or of some, held until `release` is called. Waits for a pass that is
   * being rendered, so that the bytes are those of one moment.
   */
  async read(wanted?: (instance: InstanceSeries) => boolean): Promise<PlainText> {
    for (let [rewrite] = this.#rewrites; rewrite; [rewrite] = this.#rewrites) await rewrite.promise
    const release = this.#hold()
    if (!wanted) return { plain: this.#current.plain, plainLength: this.#current.plainLength, release }
    const plain = this.#blocks(wanted).flatMap((family) => family.map((block) => block.bytes))
    return { plain, plainLength: byteLength(plain), release }
  }

  /** The newest gzip form, there until `release` is called. Waits for nothing. */
  readGzip(): GzipText {
    const { gzip } = this.#current
    this.#gzipReaders.set(gzip, (this.#gzipReaders.get(gzip) ?? 0) + 1)
    let held = true
    const release = () => {
      if (!held) return
      held = false
      const left = (this.#gzipReaders.get(gzip) ?? 0) - 1
      if (left > 0) {
        this.#gzipReaders.set(gzip, left)
        return
      }
      this.#gzipReaders.delete(gzip)
      if (gzip !== this.#current.gzip) free(gzip)
    }
    return { gzip, release }
  }

  #endRewrite(rewrite: Rewrite): void {
    this.#rewrites.delete(rewrite)
    rewrite.resolve()
  }

  #hold(): () => void {
    this.#readers++
    let held = true
    return () => {
      if (held) this.#readers--
      held = false
    }
  }

  attach(instance: InstanceSeries): void {
    this.#instances.add(instance)
  }

  detach(instance: InstanceSeries): void {
    this.#instances.delete(instance)
  }

  /** What the instances that are shown last committed to the family called `name`. */
  samples(name: string): Sample[] {
    return [...this.#instances].flatMap((instance) => [...instance.samples(name)])
  }

  /** Families that are already text: the daemon's own, from prom-client. Empty for none. */
  setOwn(text: string): void {
    this.#own = { bytes: Buffer.from(text), version: nextVersion() }
  }

  /** Builds a new snapshot; resolves when one that holds all commits so far is current. */
  publish(): Promise<void> {
    this.#wanted = true
    this.#building ??= this.#buildWanted()
    return this.#building
  }

  async #buildWanted(): Promise<void> {
    const release = this.#hold()
    try {
      while (this.#wanted) {
        this.#wanted = false
        await this.#build()
      }
    } finally {
      this.#building = undefined
      release()
    }
  }

  async #build(): Promise<void> {
    const shown = [...this.#rewrites].filter(({ isWritten }) => isWritten)
    const pages = paginate([...this.#blocks(() => true), [this.#own]])
    const known = this.#pages
    const next = new Map<string, Stretch>()
    const fresh: Stretch[] = []
    const queue = pages.filter((page) => {
      const before = known.get(page.key)
      if (before) next.set(page.key, before)
      return before === undefined
    })
    const work = async (deflater: Deflater) => {
      for (let page = queue.shift(); page; page = queue.shift()) {
        const made = await stretched(page, deflater)
        next.set(page.key, made)
        fresh.push(made)
      }
    }
    try {
      await Promise.all(this.#deflaters.map(work))
    } catch (error) {
      // One has failed, and others may be at work still.
      this.#deflaters = newDeflaters()
      throw error
    }
    // From here on the stretches are parts of the new member; their own memory and the old member go.
    const { gzip, stretches } = stitch(pages.flatMap((page) => next.get(page.key) ?? []))
    this.#pages = new Map(pages.flatMap(({ key }, i) => (stretches[i] ? [[key, stretches[i]]] : [])))
    const plain = pages.flatMap((page) => page.blocks.map((block) => block.bytes))
    let series = 0
    for (const instance of this.#instances) series += instance.size
    const before = this.#current.gzip
    this.#current = {
      gzip,
      plain,
      plainLength: byteLength(plain),
      series,
    }
    for (const { deflated } of fresh) free(deflated)
    if (!this.#gzipReaders.has(before)) free(before)
    for (const rewrite of shown) this.#endRewrite(rewrite)
  }

  /** By family, in order of names: its HELP and TYPE, then the lines of each instance. */
  #blocks(wanted: (instance: InstanceSeries) => boolean): Block[][] {
    const byName = new Map<string, Block[]>()
    for (const instance of this.#instances) {
      if (!wanted(instance)) continue
      for (const series of instance.families) {
        const lines = series.blocks.filter((block) => block.bytes.length > 0)
        if (lines.length === 0) continue
        const blocks = byName.get(series.family.name) ?? [this.#header(series.family)]
        blocks.push(...lines)
        byName.set(series.family.name, blocks)
      }
    }
    return [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, blocks]) => blocks)
  }

  #header(family: Family): Block {
    const help = family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
    const bytes = Buffer.from(`# HELP ${family.name} ${help}\n# TYPE ${family.name} ${family.type}\n`)
    let header = this.#headers.get(family.name)
    // A family that the configuration declares may be another one after a reload.
    if (!header?.bytes.equals(bytes)) {
      header = { bytes, version: nextVersion() }
      this.#headers.set(family.name, header)
    }
    return header
  }
}

interface Rewrite extends PromiseWithResolvers<void> {
  /** Still to be shown by a build. */
  isWritten: boolean
}

interface Page {
  /** The versions of its blocks. */
  readonly key: string
  readonly blocks: readonly Block[]
}

/** Small families go together, a large block alone: what changes then costs no more than it must. */
function paginate(families: readonly (readonly Block[])[]): Page[] {
  const pages: Page[] = []
  let open: Block[] = []
  let size = 0
  const close = () => {
    if (open.length > 0) pages.push({ key: open.map((block) => block.version).join(), blocks: open })
    open = []
    size = 0
  }
  for (const block of families.flat()) {
    if (size + block.bytes.length > PAGE_BYTES) close()
    open.push(block)
    size += block.bytes.length
  }
  close()
  return pages
}

const newDeflaters = () => Array.from({ length: PARALLEL }, () => new Deflater())

async function stretched({ blocks }: Page, deflater: Deflater): Promise<Stretch> {
  const [first] = blocks
  if (first && blocks.length === 1) return await deflater.stretch(first.bytes)
  const bytes = blocks.map((block) => block.bytes)
  const joined = Buffer.allocUnsafeSlow(byteLength(bytes))
  let at = 0
  for (const part of bytes) at += part.copy(joined, at)
  try {
    return await deflater.stretch(joined)
  } finally {
    free(joined)
  }
}

function byteLength(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0)
}
