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

/** The event loop is held no longer than this by those that take turns. */
const TURN_MS = 2

let turnBegan = performance.now()
const waiting: (() => void)[] = []

/**
 * For long loops: whether the turn is over, and the loop ought to `await nextTurn()`. A loop that begins after
 * the last one, as with an answer from the network, is told so at once.
 */
export const isTurnOver = (): boolean => performance.now() - turnBegan >= TURN_MS

/**
 * Lets the event loop answer others. Of several that wait one goes on each time round: the turns of all that is under
 * way at once would otherwise add up.
 */
export function nextTurn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  waiting.push(resolve)
  if (waiting.length === 1) setImmediate(beginTurn)
  return promise
}

function beginTurn(): void {
  turnBegan = performance.now()
  waiting.shift()?.()
  if (waiting.length > 0) setImmediate(beginTurn)
}
