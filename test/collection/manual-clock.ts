import type { Clock } from '../../src/clock.ts'

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

/** Time that moves only when it is told to. */
export class ManualClock implements Clock {
  #now: number
  readonly #sleepers = new Set<Sleeper>()

  /** `now`: wall time in milliseconds. */
  constructor(now: number) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const onAbort = () => {
        this.#sleepers.delete(sleeper)
        reject(signal.reason)
      }
      const sleeper = {
        until: this.#now + ms,
        wake: () => {
          signal.removeEventListener('abort', onAbort)
          this.#sleepers.delete(sleeper)
          resolve()
        },
      }
      this.#sleepers.add(sleeper)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** How long each sleeper has yet to wait, in milliseconds. */
  get waits(): readonly number[] {
    return [...this.#sleepers].map(({ until }) => until - this.#now)
  }

  /** Wakes everybody whose time comes, one after the other; `settle` waits until what that starts is done. */
  async advance(ms: number, settle: () => Promise<void>): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (let next = this.#nextUntil(end); next; next = this.#nextUntil(end)) {
      this.#now = Math.max(this.#now, next.until)
      next.wake()
      await settle()
    }
    this.#now = end
    await settle()
  }

  /** The machine slept: the time is another at once, and whoever should have been woken meanwhile is late. */
  async leap(ms: number, settle: () => Promise<void>): Promise<void> {
    this.#now += ms
    await this.advance(0, settle)
  }

  #nextUntil(end: number): Sleeper | undefined {
    return [...this.#sleepers].filter((sleeper) => sleeper.until <= end).sort((a, b) => a.until - b.until)[0]
  }
}
