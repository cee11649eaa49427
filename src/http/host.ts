import { statfs } from 'node:fs/promises'
import { cpus, freemem, loadavg, totalmem } from 'node:os'

/** How busy and how full the machine is; ratios from 0 to 1. */
export interface HostUsage {
  /** `usageRatio`: over the last stretch between two readings; undefined before the second. */
  readonly cpu: { count: number; usageRatio: number | undefined; loadAverage: number[] }
  readonly memory: { totalBytes: number; availableBytes: number }
  /** Undefined where it cannot be read. */
  readonly disk: { path: string; sizeBytes: number; availableBytes: number } | undefined
  readonly process: { residentBytes: number; heapUsedBytes: number; cpuSeconds: number }
}

interface CpuTimes {
  readonly busy: number
  readonly total: number
}

/** Reads the machine's state, and the disk of `path`; each reading's CPU ratio is that since the reading before it. */
export function hostReader(path: string): () => Promise<HostUsage> {
  let last: CpuTimes | undefined
  return async () => {
    const now = cpuTimes()
    const usageRatio =
      last === undefined || now.total === last.total
        ? undefined
        : (now.busy - last.busy) / (now.total - last.total)
    last = now
    const own = process.memoryUsage()
    const cpu = process.cpuUsage()
    return {
      cpu: { count: cpus().length, usageRatio, loadAverage: loadavg() },
      memory: { totalBytes: totalmem(), availableBytes: freemem() },
      disk: await readDisk(path),
      process: {
        residentBytes: own.rss,
        heapUsedBytes: own.heapUsed,
        cpuSeconds: (cpu.user + cpu.system) / 1e6,
      },
    }
  }
}

async function readDisk(path: string): Promise<HostUsage['disk']> {
  try {
    const { blocks, bavail, bsize } = await statfs(path)
    return { path, sizeBytes: blocks * bsize, availableBytes: bavail * bsize }
  } catch {
    return undefined
  }
}

function cpuTimes(): CpuTimes {
  let busy = 0
  let total = 0
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq
    total += times.user + times.nice + times.sys + times.irq + times.idle
  }
  return { busy, total }
}
