import { stat } from 'node:fs/promises'
import { call } from '../../clients/call.ts'
import type { Pm2Process } from '../../clients/pm2.ts'

/** A file as it was when it was last reached. */
interface LogFile {
  /** Device and inode: a file that took the place of another has its own. */
  readonly identity: string
  /** Bytes. */
  readonly size: bigint
}

/**
 * Counts what is appended to the error logs of processes. Their paths come from PM2; of a file nothing is looked
 * at but its size. What was in it before it was first seen is not counted.
 */
export function countErrorLogs(home: string) {
  let files = new Map<string, LogFile>()
  let totals = new Map<string, bigint>()

  /**
   * Bytes so far by name of a process. A file that several of its instances write to counts once; a name is
   * missing while one of its files cannot be reached. Names that are not given any more are forgotten.
   */
  return async function count(
    processes: readonly Pm2Process[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, number>> {
    const pathsOf = new Map<string, Set<string>>()
    for (const { name, errorLog } of processes) {
      if (errorLog !== undefined) pathsOf.set(name, (pathsOf.get(name) ?? new Set()).add(errorLog))
    }
    const paths = [...new Set([...pathsOf.values()].flatMap((paths) => [...paths]))]
    const backend = `pm2 in ${home}`
    const found = await call(
      { backend, request: 'size of error logs', signal, release: () => {} },
      async () => new Map(await Promise.all(paths.map(async (path) => [path, await look(path)] as const))),
    )
    const growth = new Map(paths.map((path) => [path, grownBy(files.get(path), found.get(path))]))
    files = new Map(
      paths.flatMap((path) => {
        const file = found.get(path) ?? files.get(path)
        return file === undefined ? [] : [[path, file]]
      }),
    )
    totals = new Map(
      [...pathsOf].map(([name, own]) => {
        const appended = [...own].reduce((sum, path) => sum + (growth.get(path) ?? 0n), 0n)
        return [name, (totals.get(name) ?? 0n) + appended]
      }),
    )
    const reached = [...pathsOf].filter(([, own]) => [...own].every((path) => found.get(path)))
    return new Map(reached.map(([name]) => [name, Number(totals.get(name))]))
  }
}

/** Undefined for what cannot be reached, or is no file, such as /dev/null. */
async function look(path: string): Promise<LogFile | undefined> {
  try {
    const found = await stat(path, { bigint: true })
    return found.isFile() ? { identity: `${found.dev}:${found.ino}`, size: found.size } : undefined
  } catch {
    // It does not exist, or its folder is another user's.
    return undefined
  }
}

/** A file that is new at its path, or was emptied, was written from its beginning. */
function grownBy(before: LogFile | undefined, now: LogFile | undefined): bigint {
  if (before === undefined || now === undefined) return 0n
  const isSame = before.identity === now.identity && now.size >= before.size
  return isSame ? now.size - before.size : now.size
}
