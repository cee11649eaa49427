import { statfs } from 'node:fs/promises'
import { cpus, freemem, loadavg, totalmem } from 'node:os'

/** How busy and how full the machine is; ratios from 0 to 1. */
export interface HostUsage {
  /** `usageRatio`: over the last stretch between two readings; undefined before the second. */
  readonly cpu: { count: number; usageRatio: number | undefined; loadAverage: number[] }
  readonly memory: { totalBytes: number; availableBytes: number }
  readonly disk: { path: string; sizeBytes: number; availableBytes: number }
  readonly process: { residentBytes: number; heapUsedBytes: number; cpuSeconds: number }
}

interface CpuTimes {
  readonly busy: number
  readonly total: number
}

/** Reads the machine's state; each reading's CPU ratio is that since the reading before it. */
export function hostReader(path: string): () => Promise<HostUsage> {
  let last: CpuTimes | undefined
  return async () => {
    const now = cpuTimes()
    const usageRatio =
      last === undefined || now.total === last.total
        ? undefined
        : (now.busy - last.busy) / (now.total - last.total)
    last = now
    const disk = await statfs(path)
    const own = process.memoryUsage()
    const cpu = process.cpuUsage()
    return {
      cpu: { count: cpus().length, usageRatio, loadAverage: loadavg() },
      memory: { totalBytes: totalmem(), availableBytes: freemem() },
      disk: { path, sizeBytes: disk.blocks * disk.bsize, availableBytes: disk.bavail * disk.bsize },
      process: {
        residentBytes: own.rss,
        heapUsedBytes: own.heapUsed,
        cpuSeconds: (cpu.user + cpu.system) / 1e6,
      },
    }
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
