/** Time as every other module sees it; tests hand in their own. */
export interface Clock {
  /** Wall time in milliseconds since the epoch. */
  now(): number
  /** Monotonic milliseconds; only differences mean something. */
  monotonic(): number
  /** Resolves after `ms` milliseconds, or rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      signal.addEventListener('abort', onAbort, { once: true })
    }),
}

/**
 * For long loops: a function that tells, each time it is asked, whether the loop has held the event loop for
 * `ms` milliseconds and ought to `await nextTurn()`.
 */
export function turnTimer(ms = 5): () => boolean {
  let since = performance.now()
  return () => {
    const now = performance.now()
    if (now - since < ms) return false
    // The turn that the caller now waits for begins later than this; the difference is small.
    since = now
    return true
  }
}

/** Lets the event loop answer others. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
