import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { descendants } from '../testbed/process.ts'

const KILL_AFTER_MS = 5_000

/**
 * Ends all that was started, whatever moment it is: what is half started has no handle that could stop it.
 * Each process gets what Ctrl-C in a terminal would send it, and kill -9 when it is still there after five
 * seconds. `starting` settles when nothing is started any more; where it hangs on a part that is gone, the
 * same five seconds are enough.
 */
export async function endProcesses(folder: string, starting: Promise<void>): Promise<void> {
  let started = false
  void starting.then(() => {
    started = true
  })
  const asked = new Set<number>()
  const killAt = performance.now() + KILL_AFTER_MS
  for (;;) {
    const late = performance.now() >= killAt
    const pids = processesOf(folder)
    if (pids.length === 0 && (started || late)) return
    for (const pid of pids) {
      if (late) send(pid, 'SIGKILL')
      else if (!asked.has(pid)) send(pid, 'SIGINT')
      asked.add(pid)
    }
    await delay(50)
  }
}

/** Our descendants, and those whose environment names the folder: what PM2 starts outlives PM2. */
function processesOf(folder: string): number[] {
  const pids = new Set(descendants(process.pid))
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry)
    if (Number.isNaN(pid) || pid === process.pid) continue
    try {
      if (readFileSync(`/proc/${pid}/environ`, 'utf8').includes(folder)) pids.add(pid)
    } catch {
      // It has ended meanwhile, or is another user's.
    }
  }
  return [...pids]
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}
