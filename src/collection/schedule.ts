import { Cron } from 'croner'

/** When runs are due: at times of the day by a cron expression. */
export interface Schedule {
  /** Five fields: minute, hour, day of the month, month, day of the week. */
  readonly cron: string
  /** An IANA name such as `Asia/Jakarta`; the machine's own where undefined. */
  readonly timezone: string | undefined
}

/**
 * The first time after `after`, both wall milliseconds. Throws an Error for an expression or a time zone that
 * is not one, and for an expression that no day fits, such as 30 February.
 */
export function nextTime({ cron, timezone }: Schedule, after: number): number {
  const options = { mode: '5-part' as const, ...(timezone === undefined ? {} : { timezone }) }
  const next = new Cron(cron, options).nextRun(new Date(after))
  if (!next) throw new Error('there is no such time')
  return next.getTime()
}

const LONGEST_PHASE = 2_000

/**
 * Milliseconds: where in its first interval an instance begins. The same at every start, and different from the
 * others', so that they do not all run in the same instant.
 */
export function phase(id: string, interval: number): number {
  let hash = 2166136261
  for (const char of id) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 16777619)
  return ((hash >>> 0) / 2 ** 32) * Math.min(interval, LONGEST_PHASE)
}
