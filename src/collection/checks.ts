import type { Clock } from '../clock.ts'

/** One thing that `cdc-exporter check` looks at, declared once: docs, series and API know it by its name. */
export interface Check {
  /** snake_case, one literal: the label `check`. */
  readonly name: string
  /** required: without it something does not work. advised: it works, but worse; it fails nothing. */
  readonly level: 'required' | 'advised'
  /** What is looked at one by one, such as `table` or `slot`; undefined for the target as a whole. */
  readonly each: string | undefined
  /** What is expected, as a sentence for the documentation. */
  readonly expects: string
}

/** What was found. */
export interface Verdict {
  /** Undefined where it could not be found out. What does not apply is not told at all. */
  readonly ok: boolean | undefined
  /** What was found, and where it is not what is expected, what is. For people, in one line, without secrets. */
  readonly message: string
  /** What to do, with the exact statement or command where there is one; only where it is not ok. */
  readonly remedy?: string | undefined
}

export interface CheckResult extends Verdict {
  readonly check: Check
  /** The object it is about; empty for the target as a whole. */
  readonly subject: string
}

/** Where a kind writes what it found; each check once for each subject. */
export interface CheckReport {
  add(check: Check, verdict: Verdict, subject?: string): void
  /**
   * Adds what `look` finds, or nothing where that is undefined. Where it throws, the item is unknown, and so the
   * whole is not complete; the items after it are still looked at. Rejects only when the time is over.
   */
  ask(check: Check, look: () => Promise<Verdict | undefined>, subject?: string): Promise<void>
}

export interface CheckContext {
  readonly clock: Clock
  /** Milliseconds after which the signal aborts: what a backend is asked for should end before. */
  readonly timeout: number
  readonly signal: AbortSignal
  /** Each collector of the configuration that is on. */
  readonly collectors: readonly { readonly kind: string; readonly target: string }[]
}

/** What can be checked of a kind. */
export interface KindChecks<Settings = unknown> {
  readonly items: readonly Check[]
  /**
   * Looks at all of them, read only, over connections of its own, and closes these whatever happens: a collection
   * that runs meanwhile must not notice. A backend that is away is told as not `reachable`, and ends it.
   */
  run(settings: Settings, report: CheckReport, context: CheckContext): Promise<void>
}

export const required = (name: string, expects: string, each?: string): Check => ({
  name,
  level: 'required',
  each,
  expects,
})

export const advised = (name: string, expects: string, each?: string): Check => ({
  name,
  level: 'advised',
  each,
  expects,
})

export const reachable = required('reachable', 'The backend answers at its address.')
export const authenticated = required('authenticated', 'The backend accepts the user and its credentials.')
export const versionSupported = required(
  'version_supported',
  'The backend is of a version that the collector can read.',
)

/** Of a backend that has several addresses, any of which is enough. */
export const addressAnswers = advised(
  'address_answers',
  'Of several addresses each answers: while one does not, the others are asked.',
  'address',
)

/** Written by the engine for every kind that has checks. */
export const completed = required('completed', 'Every item could be looked at, within the timeout.')

/**
 * Runs the checks of a kind once. `timeout` in milliseconds: what was found until then counts. Rejects only when
 * `signal` aborts. `idle` resolves when the kind has let go of its work too, which it may do later.
 */
export function runChecks(
  checks: KindChecks,
  settings: unknown,
  { clock, timeout, signal, collectors }: CheckContext,
): { readonly results: Promise<readonly CheckResult[]>; readonly idle: Promise<void> } {
  const results: CheckResult[] = []
  const late = new AbortController()
  const end = new AbortController()
  const bounded = AbortSignal.any([signal, late.signal])
  const unknown: string[] = []

  const add = (check: Check, verdict: Verdict, subject = '') => {
    // What goes on after its time-out tells nobody.
    if (end.signal.aborted) return
    if (!checks.items.includes(check))
      throw new TypeError(`${check.name} is not among the checks of its kind`)
    results.push({ check, subject, ...verdict, message: oneLine(verdict.message) })
  }
  const report: CheckReport = {
    add,
    async ask(check, look, subject = '') {
      try {
        const verdict = await look()
        if (verdict) add(check, verdict, subject)
      } catch (error) {
        add(check, { ok: undefined, message: textOf(error) }, subject)
        bounded.throwIfAborted()
        unknown.push(subject === '' ? check.name : `${check.name} of ${subject}`)
      }
    },
  }

  const work = Promise.resolve().then(() =>
    checks.run(settings, report, { clock, timeout, signal: bounded, collectors }),
  )
  const idle = work.catch(() => {})

  async function bounds(): Promise<readonly CheckResult[]> {
    const ended = AbortSignal.any([signal, end.signal])
    const timer = clock.sleep(timeout, ended).then(async () => {
      late.abort(new Error(`no answer within ${timeout} ms`))
      // What heeds the signal tells what it waited for.
      await Promise.race([idle, clock.sleep(GRACE, ended)])
      throw late.signal.reason
    })
    let whole: Verdict
    try {
      await Promise.race([work, timer])
      late.signal.throwIfAborted()
      whole =
        unknown.length === 0
          ? { ok: true, message: `${looks(results.length)} looked at` }
          : { ok: false, message: `could not find out: ${unknown.join(', ')}`, remedy: AGAIN }
    } catch (error) {
      signal.throwIfAborted()
      const asked = `${looks(results.length)} looked at before`
      const message = `${textOf(late.signal.aborted ? late.signal.reason : error)}; ${asked}`
      whole = { ok: false, message, remedy: late.signal.aborted ? LATE : AGAIN }
    } finally {
      timer.catch(() => {})
      end.abort()
    }
    return [...results, { check: completed, subject: '', ...whole, message: oneLine(whole.message) }]
  }

  return { results: bounds(), idle }
}

const looks = (items: number): string => `${items} ${items === 1 ? 'item was' : 'items were'}`

/** Milliseconds after the time-out. */
const GRACE = 1_000

const AGAIN = 'see what it says, and check again'
const LATE = 'look whether the backend hangs or waits for a lock; else give the collector a longer timeout'

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim()

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The first request to a backend, which tells whether it can be reached at all. */
interface FirstRequest<T> {
  /** Of several backends the one that is meant. */
  readonly subject?: string
  ask(): Promise<T>
  /** Whether the backend has answered, and does not accept who asks. */
  isRefusal(error: unknown): boolean
  readonly remedy: { readonly reachable: string; readonly authenticated: string }
}

/** Tells whether the backend is `reachable` and `authenticated`; its answer, undefined where it gave none. */
export async function firstAnswer<T>(
  report: CheckReport,
  signal: AbortSignal,
  { subject, ask, isRefusal, remedy }: FirstRequest<T>,
): Promise<T | undefined> {
  try {
    const answer = await ask()
    report.add(reachable, { ok: true, message: 'it answers' }, subject)
    report.add(authenticated, { ok: true, message: 'it accepts the user' }, subject)
    return answer
  } catch (error) {
    const message = textOf(error)
    if (isRefusal(error)) {
      report.add(reachable, { ok: true, message: 'it answers' }, subject)
      report.add(authenticated, { ok: false, message, remedy: remedy.authenticated }, subject)
    } else {
      report.add(reachable, { ok: false, message, remedy: remedy.reachable }, subject)
    }
    signal.throwIfAborted()
    return undefined
  }
}

/** The same request to each of several addresses of one backend. */
interface FirstRequests<T> extends Pick<FirstRequest<T>, 'isRefusal' | 'remedy'> {
  readonly addresses: readonly string[]
  ask(address: string): Promise<T>
}

/**
 * As `firstAnswer`, where one address that answers is enough; the others are told as `addressAnswers`. The answers
 * by address, in their order; none where none answers.
 */
export async function anyAnswer<T>(
  report: CheckReport,
  signal: AbortSignal,
  { addresses, ask, isRefusal, remedy }: FirstRequests<T>,
): Promise<ReadonlyMap<string, T>> {
  const distinct = [...new Set(addresses)]
  const asked = await Promise.allSettled(distinct.map((address) => ask(address)))
  const answers = new Map<string, T>()
  const failures = new Map<string, unknown>()
  for (const [i, address] of distinct.entries()) {
    const each = asked[i]
    if (each?.status === 'fulfilled') answers.set(address, each.value)
    else failures.set(address, each?.reason)
  }
  await firstAnswer(report, signal, {
    async ask() {
      if (answers.size > 0) return
      const causes = [...failures.values()]
      throw causes.find(isRefusal) ?? new Error(causes.map(textOf).join('; '))
    },
    isRefusal,
    remedy,
  })
  if (answers.size === 0 || distinct.length === 1) return answers
  for (const address of distinct) {
    const cause = failures.get(address)
    report.add(
      addressAnswers,
      answers.has(address)
        ? { ok: true, message: 'it answers' }
        : {
            ok: false,
            message: textOf(cause),
            remedy: isRefusal(cause) ? remedy.authenticated : remedy.reachable,
          },
      address,
    )
  }
  return answers
}

/** What `versionSupported` finds. */
export const versionVerdict = (found: string, isSupported: boolean, oldest: string): Verdict =>
  isSupported
    ? { ok: true, message: `version ${found}` }
    : {
        ok: false,
        message: `version ${found}; ${oldest} or later is expected`,
        remedy: 'upgrade it; what an older one lacks is not collected',
      }

/** Of a version such as `7.6.0-ccs` whether it is `[7, 6]` or later. */
export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [itsMajor = 0, itsMinor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  return itsMajor > major || (itsMajor === major && itsMinor >= minor)
}

/** Names for a message: the first ones, and how many more there are. */
export const named = (names: readonly string[], most = 10): string =>
  names.length <= most
    ? names.join(', ')
    : `${names.slice(0, most).join(', ')} and ${names.length - most} more`
