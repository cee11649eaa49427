import { isDeepStrictEqual } from 'node:util'
import {
  type Connector,
  type ConnectReader,
  type ConnectReading,
  isRebalance,
} from '../../clients/connect.ts'
import type { Clock } from '../../clock.ts'

/** Of all that is asked connector by connector, in one pass. */
const REQUESTS = 50
const AT_ONCE = 10

/** Milliseconds that a pass waits for them: the states do not wait for a worker that is slow with these. */
const WITHIN = 2_000

/** Milliseconds after which what hardly changes is asked again. */
const TOPICS_EVERY = 5 * 60_000
const PLUGINS_EVERY = 10 * 60_000

/** A position that can no longer be read is shown for as long. */
const POSITION_KEPT = 60_000

interface Answer<T> {
  /** Monotonic milliseconds. */
  readonly askedAt: number
  readonly answeredAt: number
  readonly value: T | undefined
  /** Whether it may be kept for long: not while there is nothing yet, nor while it still grows. */
  readonly isSettled: boolean
  /** Why the last request had no answer. */
  readonly error: unknown
}

interface Question {
  /** -Infinity for one that was never asked. */
  readonly askedAt: number
  ask(signal: AbortSignal): Promise<void>
}

/**
 * What takes a request for each connector. A pass asks at most `REQUESTS` of them, those first that were not
 * asked for the longest time, so that on a large fleet an answer is some passes old.
 */
export class Details {
  readonly #reader: ConnectReader
  readonly #clock: Clock
  readonly #topics = new Map<string, Answer<readonly string[]>>()
  readonly #positions = new Map<string, Answer<number>>()
  #plugins: { readonly askedAt: number; readonly worker: string; readonly list: Plugins } | undefined

  constructor(reader: ConnectReader, clock: Clock) {
    this.#reader = reader
    this.#clock = clock
  }

  /** Resolves when all have answered or the time is over. */
  async refresh(
    connectors: readonly Connector[],
    isThere: (connector: string) => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    for (const answers of [this.#topics, this.#positions]) {
      for (const name of answers.keys()) if (!isThere(name)) answers.delete(name)
    }
    const questions = connectors
      .flatMap((connector) => this.#questionsOn(connector))
      .sort((a, b) => a.askedAt - b.askedAt || 0)
      .slice(0, REQUESTS)
    const end = new AbortController()
    const late = this.#clock.sleep(WITHIN, end.signal).then(
      () => end.abort(new Error(`no answer within ${WITHIN} ms`)),
      () => {},
    )
    const either = AbortSignal.any([signal, end.signal])
    const ask = async () => {
      for (let next = questions.shift(); next && !either.aborted; next = questions.shift()) {
        await next.ask(either)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, ask))
    end.abort()
    await late
    signal.throwIfAborted()
  }

  #questionsOn({ name, kind, consumesByPattern }: Connector): Question[] {
    const questions: Question[] = []
    const topics = this.#topics.get(name)
    const isFresh = topics?.isSettled && this.#clock.monotonic() - topics.askedAt < TOPICS_EVERY
    if ((kind === 'source' || consumesByPattern) && !isFresh) {
      questions.push(this.#question(this.#topics, name, (signal) => this.#reader.activeTopics(name, signal)))
    }
    if (kind === 'source') {
      questions.push(this.#question(this.#positions, name, (signal) => this.#reader.position(name, signal)))
    }
    return questions
  }

  #question<T>(
    answers: Map<string, Answer<T>>,
    name: string,
    request: (signal: AbortSignal) => Promise<T | undefined>,
  ): Question {
    const before = answers.get(name)
    const askedAt = before?.askedAt ?? -Infinity
    return {
      askedAt,
      ask: async (signal) => {
        const now = this.#clock.monotonic()
        try {
          const value = await request(signal)
          const isSettled = value === undefined || isLasting(value, before?.value)
          answers.set(name, { askedAt: now, answeredAt: now, value, isSettled, error: undefined })
        } catch (error) {
          const known = before ?? { answeredAt: -Infinity, value: undefined }
          const cause = isRebalance(error) ? undefined : error
          answers.set(name, { ...known, askedAt: now, isSettled: false, error: cause })
        }
      },
    }
  }

  activeTopics(connector: string): readonly string[] {
    return this.#topics.get(connector)?.value ?? []
  }

  position(connector: string): number | undefined {
    const answer = this.#positions.get(connector)
    if (answer === undefined) return undefined
    const isLost = answer.error !== undefined && this.#clock.monotonic() - answer.answeredAt >= POSITION_KEPT
    return isLost ? undefined : answer.value
  }

  /** What was asked last and not answered, by connector. */
  *failed(): Generator<readonly [connector: string, request: 'topics' | 'offsets', cause: unknown]> {
    for (const [name, { error }] of this.#topics) if (error !== undefined) yield [name, 'topics', error]
    for (const [name, { error }] of this.#positions) if (error !== undefined) yield [name, 'offsets', error]
  }

  /** The versions of these classes, asked for seldom. Rejects where that fails. */
  async pluginVersions(
    { version, commit }: ConnectReading['worker'],
    classes: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<readonly PluginVersion[]> {
    const now = this.#clock.monotonic()
    const worker = `${version} ${commit}`
    if (this.#plugins?.worker !== worker || now - this.#plugins.askedAt >= PLUGINS_EVERY) {
      this.#plugins = { askedAt: now, worker, list: await this.#reader.plugins(signal) }
    }
    const found = new Map<string, PluginVersion>()
    for (const className of classes) {
      for (const plugin of this.#plugins.list) {
        if (!isNamed(plugin.class, className)) continue
        const { type, version } = plugin
        found.set(JSON.stringify([className, type, version]), { class: className, type, version })
      }
    }
    return [...found.values()]
  }
}

/** One that has just been made has no topics yet, and then one after the other. */
const isLasting = (value: unknown, before: unknown): boolean =>
  !(Array.isArray(value) && value.length === 0) && isDeepStrictEqual(value, before)

type Plugins = Awaited<ReturnType<ConnectReader['plugins']>>
type PluginVersion = Plugins[number]

/** A configuration may leave out the package of a class, and the word Connector at its end. */
const isNamed = (fullName: string, name: string): boolean =>
  fullName === name || fullName.endsWith(`.${name}`) || fullName.endsWith(`.${name}Connector`)
