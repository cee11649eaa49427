/** A run may begin a little earlier than the one before did. */
const SHARE = 0.95

/** Whether what was last begun at `last` may be begun again; in milliseconds by a monotonic clock. */
export const isDue = (last: number | undefined, every: number, now: number): boolean =>
  last === undefined || now - last >= every * SHARE
