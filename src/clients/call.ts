import type { Clock } from '../clock.ts'

interface Call {
  /** For messages: `redis at localhost:6379`. Holds no secret. */
  readonly backend: string
  /** For messages: `INFO`, `GET /connectors`. */
  readonly request: string
  readonly signal: AbortSignal
  /** Frees what the work holds, a socket above all, when the signal aborts: a frozen backend never answers. */
  readonly release: () => void
}

/**
 * Settles as `work` does, or rejects as soon as the signal aborts, whatever `work` does then. An error names
 * the backend and the request, and has what went wrong as its cause.
 */
export async function call<T>(
  { backend, request, signal, release }: Call,
  work: () => Promise<T>,
): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => {
    reject(signal.reason)
    release()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([aborted, work()])
  } catch (cause) {
    throw new Error(`${backend}: ${request}: ${reasonOf(cause)}`, { cause })
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Settles as `work` does; its signal aborts with the one given, or after `ms` milliseconds. */
export async function within<T>(
  ms: number,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const end = new AbortController()
  clock.sleep(ms, AbortSignal.any([signal, end.signal])).then(
    () => late.abort(new Error(`no answer within ${ms} ms`)),
    () => {},
  )
  try {
    return await work(AbortSignal.any([signal, late.signal]))
  } finally {
    end.abort()
  }
}

/** The text of an error; of each address that was tried where it is one of several, whose own text is empty. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}

/** Why a server will not run a statement, now or later: what it names is not there, the user may not, it says no sense. */
export type Refusal = 'absent' | 'rights' | 'statement'

/** What a backend itself said, without what it had been asked for. */
export function rootReason(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? rootReason(error.cause) : reasonOf(error)
}

/** The first of an error and its causes that is one of a class. */
export function causeOf<E extends Error>(
  error: unknown,
  type: abstract new (...given: never[]) => E,
): E | undefined {
  for (let next = error; next instanceof Error; next = next.cause) {
    if (next instanceof type) return next
  }
  return undefined
}

/** The name of a backend for messages, `redis at localhost:6379`: without the credentials in its URL. */
export function backendAt(name: string, url: string): string {
  if (!URL.canParse(url)) throw new Error(`${name}: its url is not a URL`)
  return `${name} at ${new URL(url).host}`
}
