import { type Command, type RedisReader, RedisRefusal, type Shard } from '../../clients/redis.ts'
import type { Clock } from '../../clock.ts'
import type { ScanBounds } from './config.ts'

/** How far one master has been looked through. */
interface Progress {
  /** Where SCAN goes on; undefined between two looks. */
  cursor: string | undefined
  /** Of the look under way. */
  found: Set<string>
  /** Of the last whole look; undefined before it. */
  known: ReadonlySet<string> | undefined
  /** Monotonic milliseconds of the next look. */
  next: number
}

export interface Found {
  readonly keys: readonly string[]
  /** Every key was looked at, and no bound left one out. */
  readonly complete: boolean
  /** Why not all are there. */
  readonly cut: Error | undefined
}

/**
 * The keys that match one pattern, by SCAN, never by KEYS. One look at all keys may go over many runs: each does
 * what its time allows and the next one goes on. Between two looks the keys found last are told.
 */
export class KeySearch {
  readonly #pattern: string
  readonly #types: ReadonlySet<string>
  readonly #bounds: ScanBounds
  readonly #clock: Clock
  #progress = new Map<string, Progress>()

  /** `types`: as TYPE tells them; other keys are passed over. */
  constructor(pattern: string, types: readonly string[], bounds: ScanBounds, clock: Clock) {
    this.#pattern = pattern
    this.#types = new Set(types)
    this.#bounds = bounds
    this.#clock = clock
  }

  /** Rejects when the connection fails. */
  async keys(redis: RedisReader, signal: AbortSignal): Promise<Found> {
    const shards = await redis.shards(signal)
    const before = this.#progress
    this.#progress = new Map(shards.map(({ name }) => [name, before.get(name) ?? unseen()]))
    const end = this.#clock.monotonic() + this.#bounds.max_time
    const refusals = await Promise.all(shards.map((shard) => this.#advance(shard, end, signal)))

    const looks = [...this.#progress.values()]
    const all = new Set(looks.flatMap(({ known, found }) => [...(known ?? []), ...found]))
    const keys = [...all].sort().slice(0, this.#bounds.max_keys)
    const refusal = refusals.find((each) => each !== undefined)
    const unseenYet = looks.some(({ known }) => known === undefined)
    return {
      keys,
      complete: !unseenYet && all.size <= this.#bounds.max_keys,
      cut: refusal ?? this.#cut(all.size, unseenYet),
    }
  }

  #cut(count: number, unseenYet: boolean): Error | undefined {
    const { max_keys, max_time } = this.#bounds
    if (count > max_keys)
      return new Error(
        `redis: more than ${max_keys} keys match ${this.#pattern}: others are not counted (scan.max_keys)`,
      )
    if (!unseenYet) return undefined
    return new Error(
      `redis: SCAN for ${this.#pattern} has not seen all keys within ${max_time} ms (scan.max_time): the next run goes on`,
    )
  }

  /** Returns why Redis refused to go on. */
  async #advance(shard: Shard, end: number, signal: AbortSignal): Promise<RedisRefusal | undefined> {
    const progress = this.#progress.get(shard.name) ?? unseen()
    if (progress.cursor === undefined) {
      if (this.#clock.monotonic() < progress.next) return undefined
      progress.cursor = '0'
      progress.found = new Set()
    }
    do {
      const scan: Command = [
        ...(['SCAN', progress.cursor] as const),
        ...['MATCH', this.#pattern, 'COUNT', String(this.#bounds.count)],
      ]
      const [answer] = await shard.ask([scan], signal)
      if (answer instanceof RedisRefusal) return answer
      const [cursor, batch] = (answer ?? []) as readonly [string, readonly string[]]
      const types = await shard.ask(
        batch.map((key) => ['TYPE', key]),
        signal,
      )
      for (const [i, key] of batch.entries()) {
        const type = types[i]
        if (type instanceof RedisRefusal) return type
        if (this.#types.has(String(type))) progress.found.add(key)
      }
      progress.cursor = cursor
      // One more than are told: then there are more.
      if (cursor === '0' || progress.found.size > this.#bounds.max_keys) {
        progress.known = progress.found
        progress.found = new Set()
        progress.cursor = undefined
        progress.next = this.#clock.monotonic() + this.#bounds.interval
        return undefined
      }
    } while (this.#clock.monotonic() < end)
    return undefined
  }
}

const unseen = (): Progress => ({ cursor: undefined, found: new Set(), known: undefined, next: 0 })

/** So that a text stands for itself in a pattern. */
export const literally = (text: string): string => text.replace(/[*?[\]^\\]/g, '\\$&')
