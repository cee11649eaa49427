import { closeSync, mkdirSync, openSync, readdirSync, statSync, unlinkSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { createStream, type RotatingFileStream } from 'rotating-file-stream'
import { type Clock, systemClock } from './clock.ts'
import type { LogFileSettings } from './config/load.ts'

/** After a fault of the disk the file is opened anew this often. */
const AGAIN_AFTER_MS = 30_000

/**
 * Lines into a file that rotates by size and by time (UTC), compressed and deleted as the settings say. Lines
 * that come while it rotates wait in memory. Where the file cannot be written, `onError` hears of it once, the
 * lines are lost to it, and it is opened anew half a minute later.
 */
export class LogFile {
  readonly #settings: LogFileSettings
  readonly #onError: (error: unknown) => void
  readonly #clock: Clock
  readonly #closing = new AbortController()
  #stream: RotatingFileStream | undefined

  /** Throws where the file cannot be opened for writing. */
  constructor(settings: LogFileSettings, onError: (error: unknown) => void, clock: Clock = systemClock) {
    this.#settings = settings
    this.#onError = onError
    this.#clock = clock
    try {
      mkdirSync(dirname(settings.path), { recursive: true })
      closeSync(openSync(settings.path, 'a'))
    } catch (cause) {
      throw new Error('log.file.path cannot be written', { cause })
    }
    this.#open()
    this.#prune()
  }

  write(line: string): void {
    this.#stream?.write(line)
  }

  /** Resolves when every line is in the file. */
  async close(): Promise<void> {
    this.#closing.abort()
    const stream = this.#stream
    this.#stream = undefined
    if (stream) await new Promise<void>((resolve) => stream.end(resolve))
  }

  #open(): void {
    const { path, maxSize, every, compress } = this.#settings
    const name = basename(path)
    const stream = createStream((time, index) => (time ? this.#doneName(index) : name), {
      path: dirname(path),
      size: `${maxSize}B`,
      interval: every,
      // A file of an earlier day that is found at the start is done.
      initialRotation: true,
      intervalBoundary: true,
      intervalUTC: true,
      ...(compress ? { compress: 'gzip' } : {}),
    })
    stream.on('rotated', () => this.#prune())
    stream.once('error', (error) => {
      if (this.#stream === stream) this.#stream = undefined
      this.#onError(error)
      this.#clock.sleep(AGAIN_AFTER_MS, this.#closing.signal).then(
        () => this.#open(),
        () => {},
      )
    })
    this.#stream = stream
  }

  /** Sorts as time does: `cdc-exporter-20261121T160000.123Z-1.log.gz`. */
  #doneName(index = 1): string {
    const { path, compress } = this.#settings
    const extension = extname(path)
    const stamp = new Date(this.#clock.now()).toISOString().replaceAll(/[-:]/g, '')
    return `${basename(path, extension)}-${stamp}-${index}${extension}${compress ? '.gz' : ''}`
  }

  /** Deletes files that are done, beyond their number or age. */
  #prune(): void {
    const { path, maxFiles, maxAge } = this.#settings
    const folder = dirname(path)
    const extension = extname(path)
    const start = `${basename(path, extension)}-`
    const isDone = (name: string) =>
      name.startsWith(start) &&
      /^\d{8}T\d{6}\.\d{3}Z-\d+/.test(name.slice(start.length)) &&
      (name.endsWith(extension) || name.endsWith(`${extension}.gz`))
    try {
      const newestFirst = readdirSync(folder).filter(isDone).toSorted().toReversed()
      for (const [index, name] of newestFirst.entries()) {
        const file = join(folder, name)
        if (index >= maxFiles || this.#clock.now() - statSync(file).mtimeMs > maxAge) unlinkSync(file)
      }
    } catch (error) {
      this.#onError(error)
    }
  }
}
