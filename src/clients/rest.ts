import type { Agent } from 'undici'
import { z } from 'zod'
import { backendAt, call, reasonOf } from './call.ts'
import { type TlsSettings, tlsOptions } from './tls.ts'
import { undici } from './undici.ts'

export interface RestAddress {
  /** Any of them answers for all. */
  readonly urls: readonly string[]
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** A bearer token; wins over user name and password. */
  readonly token?: string | undefined
  readonly tls?: TlsSettings | undefined
}

export interface RestReader {
  /** What the present address answers to a GET; anything but 200 and the schema's shape is an error. */
  get<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T>
  /** Does the work with the present address; where that fails with the next, until each has failed once. */
  anywhere<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>
  close(): void
}

/** Beyond any real answer: 10,000 connectors with their configurations are some 40 MB. */
const LARGEST_ANSWER = 64 * 1024 * 1024

/** Requests to one server that are under way at once. */
const CONNECTIONS = 10

/** An answer that is not 200. */
class StatusError extends Error {
  readonly status: number

  constructor(status: number, text: string) {
    super(`status ${status}: ${text}`)
    this.status = status
  }
}

/** Whether a request was answered, with one of these. */
export const hasStatus = (error: unknown, ...statuses: readonly number[]): boolean =>
  error instanceof Error && error.cause instanceof StatusError && statuses.includes(error.cause.status)

/**
 * Reads JSON over kept connections. `name` of the backend is for messages; `address` is asked at each request, so
 * that a rotated secret counts.
 */
export function connectRest(name: string, address: () => RestAddress): RestReader {
  const agents = new Agents()
  // The one to begin with: one that hung until the run's end is not the next run's first.
  let first = 0
  return {
    async get(path, schema, signal) {
      const { urls, tls, ...credentials } = address()
      const url = urls[first % urls.length] ?? ''
      const target = { backend: backendAt(name, url), request: `GET ${path}`, signal, release: () => {} }
      return await call(target, async () => {
        const headers = { accept: 'application/json', ...authorization(credentials) }
        const answer = await undici().request(`${url}${path}`, {
          dispatcher: agents.get(tls),
          headers,
          signal,
        })
        const { statusCode: status, body } = answer
        if (status !== 200) throw new StatusError(status, (await body.text()).slice(0, 200))
        const parsed = schema.safeParse(await body.json())
        if (!parsed.success) throw new Error(`unexpected answer: ${z.prettifyError(parsed.error)}`)
        return parsed.data
      })
    },
    async anywhere(work, signal) {
      signal.throwIfAborted()
      const { length } = address().urls
      const failures: unknown[] = []
      for (let tried = 0; tried < length && !signal.aborted; tried++) {
        try {
          return await work()
        } catch (error) {
          failures.push(error)
          first++
        }
      }
      throw failures.length === 1
        ? failures[0]
        : new Error(failures.map(reasonOf).join('; '), { cause: new AggregateError(failures) })
    },
    close: () => agents.close(),
  }
}

/** Connections for one form of TLS: a rotated certificate is used by new ones. */
export class Agents {
  #agent: Agent | undefined
  #key = ''

  get(tls: TlsSettings | undefined): Agent {
    const texts = [tls?.ca, tls?.cert, tls?.key].map((each) => each?.reveal() ?? null)
    const key = JSON.stringify([...texts, tls?.server_name ?? null, tls?.insecure_skip_verify ?? null])
    if (this.#agent && key === this.#key) return this.#agent
    // Requests that are under way end first.
    this.#agent?.close().catch(() => {})
    this.#key = key
    this.#agent = new (undici().Agent)({
      connections: CONNECTIONS,
      maxResponseSize: LARGEST_ANSWER,
      ...(tls && { connect: tlsOptions(tls) }),
    })
    return this.#agent
  }

  close(): void {
    this.#agent?.destroy().catch(() => {})
    this.#agent = undefined
  }
}

export function authorization({
  username,
  password,
  token,
}: Omit<RestAddress, 'urls' | 'tls'>): Record<string, string> {
  if (token !== undefined) return { authorization: `Bearer ${token}` }
  if (username === undefined) return {}
  return { authorization: `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}` }
}
