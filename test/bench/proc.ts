import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

const TICKS_A_SECOND = 100

/** User and system CPU of a process so far, in seconds, to a hundredth. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // After the command's name, which may hold blanks: state is the first field, utime and stime the 12th and 13th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND
}

/** Resident memory in bytes: now, and the most there ever was. */
export function residentBytes(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const read = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024
  return { now: read('VmRSS'), peak: read('VmHWM') }
}

/** Such as `AMD EPYC, 2 cores`. */
export function machine(): string {
  const all = cpus()
  return `${all[0]?.model.trim() ?? 'unknown CPU'}, ${all.length} cores`
}
