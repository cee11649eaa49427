import { type Part, temporaryFolder } from './part.ts'
import type { TestbedProcess } from './process.ts'

/** A part that is one process of ours and one data folder. */
export interface ProcessPart extends Part {
  readonly process: TestbedProcess
  /** Where all it writes is. */
  readonly folder: string
  /** Stops it and deletes its data, unless the caller gave the folder. It cannot be started again. */
  remove(): Promise<void>
}

/** The caller's folder, or a new one that `remove` deletes. */
export interface DataFolder {
  readonly path: string
  remove(): void
}

export function dataFolder(name: string, given: string | undefined): DataFolder {
  return given === undefined ? temporaryFolder(name) : { path: given, remove: () => {} }
}

/** Starts it and waits until it is ready. One that does not come leaves no folder behind. */
export async function startProcessPart(process: TestbedProcess, folder: DataFolder): Promise<ProcessPart> {
  const part = processPart(process, folder)
  try {
    await part.start()
  } catch (error) {
    folder.remove()
    throw error
  }
  return part
}

export function processPart(process: TestbedProcess, folder: DataFolder): ProcessPart {
  return {
    name: process.options.name,
    logFile: process.options.logFile,
    process,
    folder: folder.path,
    start: () => process.start(),
    stop: () => process.stop(),
    kill: () => process.kill(),
    freeze: () => process.freeze(),
    thaw: () => process.thaw(),
    async remove() {
      await process.stop()
      folder.remove()
    },
  }
}
