import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the testbed keeps what it downloads: `.testbed/` in the root of the repository. */
export const testbedFolder = fileURLToPath(new URL('../../.testbed', import.meta.url))

/**
 * Makes `.testbed/<name>` by `fill`, unless it is there already and was made from the same `sources`
 * (paths of files). It appears whole or not at all, also when two processes install at once.
 */
export async function installFolder(
  name: string,
  sources: readonly string[],
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const target = join(testbedFolder, name)
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}`)
  for (const source of sources) hash.update(readFileSync(source))
  const wanted = hash.digest('hex')
  if (marker(target) === wanted) return

  const fresh = `${target}.new-${process.pid}`
  const old = `${target}.old-${process.pid}`
  rmSync(fresh, { recursive: true, force: true })
  mkdirSync(fresh, { recursive: true })
  try {
    await fill(fresh)
    writeFileSync(join(fresh, MARKER), wanted)
    if (marker(target) === wanted) return
    try {
      renameSync(target, old)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    try {
      renameSync(fresh, target)
    } catch (error) {
      // Another process was faster with the same.
      if (marker(target) !== wanted) throw error
    }
  } finally {
    rmSync(fresh, { recursive: true, force: true })
    rmSync(old, { recursive: true, force: true })
  }
}

const MARKER = '.installed'

function marker(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, MARKER), 'utf8')
  } catch {
    return undefined
  }
}
