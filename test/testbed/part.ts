import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One real part of the pipeline, running on loopback with its own data folder. */
export interface Part {
  readonly name: string
  /** Starts it again on the same ports and data, after `stop` or `kill`. */
  start(): Promise<void>
  stop(): Promise<void>
  /** kill -9. */
  kill(): Promise<void>
  /** SIGSTOP to it and its children. */
  freeze(): void
  thaw(): void
  /** The log of the part, for messages. */
  readonly logFile: string
}

const folders = new Set<string>()
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A new folder that goes when `remove` is called, or when the process ends. World-readable: PostgreSQL does not run as root. */
export function temporaryFolder(name: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `cdc-${name}-`))
  chmodSync(path, 0o755)
  folders.add(path)
  return {
    path,
    remove() {
      rmSync(path, { recursive: true, force: true })
      folders.delete(path)
    },
  }
}
