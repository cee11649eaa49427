import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

// Below Linux's ephemeral range, so that no outgoing connection ever takes one of these.
const FIRST = 21_000
const LAST = 31_999
// One folder a user: what root made, others could not write to.
const LOCKS = join(tmpdir(), `cdc-testbed-ports-${userInfo().uid}`)

const held = new Set<string>()
process.once('exit', () => {
  for (const lock of held) rmSync(lock, { force: true })
})

/** A loopback port that no other testbed of this user has or gets while this process lives. */
export async function reservePort(): Promise<number> {
  mkdirSync(LOCKS, { recursive: true })
  const start = FIRST + Math.floor(Math.random() * (LAST - FIRST))
  for (let i = 0; i <= LAST - FIRST; i++) {
    const port = FIRST + ((start - FIRST + i) % (LAST - FIRST + 1))
    if (takeLock(port) && (await isFree(port))) return port
  }
  throw new Error(`no free port between ${FIRST} and ${LAST}`)
}

function takeLock(port: number): boolean {
  const lock = join(LOCKS, String(port))
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' })
  } catch {
    if (ownerLives(lock)) return false
    rmSync(lock, { force: true })
    return false
  }
  held.add(lock)
  return true
}

function ownerLives(lock: string): boolean {
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}
