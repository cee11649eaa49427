import { lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

/** What another terminal needs to know of the demo that runs. */
export interface RunningDemo {
  readonly pid: number
  /** With user and password. */
  readonly postgresUrl: string
  readonly clickhouseUrl: string
  readonly connectUrl: string
  readonly prometheusUrl: string
  readonly redisPid: number
  /** PM2_HOME. */
  readonly pm2Home: string
}

// Before the demo makes its own folder the temporary one.
const FILE = join(tmpdir(), `cdc-demo-${userInfo().uid}.json`)
let published = false

/** Lets other terminals of this user find the demo. It holds a password: nobody else may read it. */
export function publishDemo(demo: RunningDemo): void {
  rmSync(FILE, { force: true })
  writeFileSync(FILE, JSON.stringify(demo), { mode: 0o600, flag: 'wx' })
  published = true
}

export function forgetDemo(): void {
  if (published) rmSync(FILE, { force: true })
}

/** Undefined where none runs. A file that another user laid there is not believed. */
export function runningDemo(): RunningDemo | undefined {
  try {
    const { uid, mode } = lstatSync(FILE)
    if (uid !== userInfo().uid || (mode & 0o077) !== 0) return undefined
    const demo = JSON.parse(readFileSync(FILE, 'utf8')) as RunningDemo
    process.kill(demo.pid, 0)
    return demo
  } catch {
    return undefined
  }
}
