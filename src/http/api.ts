import type { IncomingMessage, ServerResponse } from 'node:http'
import { anonymous, type Caller, hasRole, type Role } from '../operations/access.ts'
import type { Audit } from '../operations/audit.ts'
import type { Page } from '../operations/failure-log.ts'

/** One path of the API. Give it to `Api` in `routes`; of several that fit a path the first counts. */
export interface ApiRoute {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** `/api/v1/failures/{id}`: a name in braces stands for one or more characters other than a slash. */
  readonly path: string
  /** The least role. Without tokens in the configuration only what `viewer` may GET is answered. */
  readonly role: Role
  /** What it is called in the audit where it is refused: `failures resolve`. */
  readonly operation: string
  /** Query parameters that it knows, those of `PAGED` for a list; any other is a fault. */
  readonly query: readonly string[]
  /** A throw of `ApiError` is answered as it says, any other with 500. */
  handle(request: ApiRequest): ApiAnswer | Promise<ApiAnswer>
}

export interface ApiRequest {
  /** By the names in the path's braces, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** From `limit` and `offset`. */
  readonly page: Page
  /** The JSON that was sent; undefined for none. */
  readonly body: unknown
  readonly caller: Caller
  /** The address that asks. */
  readonly from: string
}

interface ApiAnswer {
  readonly status: number
  /** Becomes JSON; may hold no secret. */
  readonly body: unknown
}

/** Answered as `{"error": message}`. A 403 is audited as refused, with `object` for what it was about. */
export class ApiError extends Error {
  readonly status: number
  readonly object: string | undefined

  constructor(status: number, message: string, object?: string) {
    super(message)
    this.status = status
    this.object = object
  }
}

const PAGE = { limit: { default: 50, max: 500 } } as const

/** The query parameters of a list. */
export const PAGED = ['limit', 'offset'] as const

const LARGEST_BODY = 64 * 1024

const NO_TOKENS = 'this needs an API token, and none are configured: set api.tokens_file (see docs/api.md)'

export interface ApiInput {
  readonly routes: readonly ApiRoute[]
  /** Who the header `Authorization` says it is; undefined for nobody known. */
  readonly callerOf: (authorization: string | undefined) => Caller | undefined
  /** Whether there are any tokens. */
  readonly hasTokens: () => boolean
  readonly audit: Audit
}

/** Answers whatever is asked below `/api/v1/`: JSON, errors too. */
export function api(
  input: ApiInput,
): (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> {
  const { routes, callerOf, hasTokens, audit } = input
  const patterns = routes.map((route) => ({ route, pattern: patternOf(route.path) }))

  async function answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<ApiAnswer> {
    const fitting = patterns.flatMap(({ route, pattern }) => {
      const match = pattern.exec(url.pathname)
      return match ? [{ route, params: match.groups ?? {} }] : []
    })
    if (fitting.length === 0) throw new ApiError(404, 'no such path; see docs/api.md')
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const found = fitting.find(({ route }) => route.method === method)
    if (!found) {
      const allowed = [...new Set(fitting.map(({ route }) => route.method))].join(', ')
      response.setHeader('Allow', allowed)
      throw new ApiError(405, `${url.pathname} answers ${allowed} only`)
    }
    const { route } = found
    const from = request.socket.remoteAddress ?? 'unknown'
    const caller = hasTokens() ? callerOf(request.headers.authorization) : anonymous
    try {
      return await route.handle({
        caller: admitted(route, caller),
        params: decoded(found.params),
        query: checkedQuery(url.searchParams, route.query),
        page: pageOf(url.searchParams),
        body: await bodyOf(request),
        from,
      })
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        audit.record({
          who: caller?.name ?? 'unknown',
          from,
          operation: route.operation,
          object: error.object ?? url.pathname,
          result: 'refused',
          detail: error.message,
        })
      }
      throw error
    }
  }

  function admitted({ method, role }: ApiRoute, caller: Caller | undefined): Caller {
    if (!caller) throw new ApiError(401, 'this needs a valid token in the header Authorization: Bearer …')
    if (!hasTokens() && (method !== 'GET' || !hasRole(caller, role))) throw new ApiError(403, NO_TOKENS)
    if (!hasRole(caller, role)) {
      throw new ApiError(403, `this needs the role ${role}; ${caller.name} is ${caller.role}`)
    }
    return caller
  }

  return async (request, response, url) => {
    try {
      const { status, body } = await answer(request, response, url)
      send(response, status, body)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.status === 401) response.setHeader('WWW-Authenticate', 'Bearer realm="cdc-exporter"')
      // What was not read of a body that is too long would be taken for the next request.
      if (error.status === 413) response.setHeader('Connection', 'close')
      send(response, error.status, { error: error.message })
    }
  }
}

/** A literal path or one with names in braces, as an expression with groups of those names. */
function patternOf(path: string): RegExp {
  const source = path
    .split(/(\{\w+\})/)
    .map((part, index) =>
      index % 2 === 1 ? `(?<${part.slice(1, -1)}>[^/]+)` : part.replace(/[.*+?^$()|[\]\\]/g, '\\$&'),
    )
    .join('')
  return new RegExp(`^${source}$`)
}

function decoded(params: Readonly<Record<string, string>>): Record<string, string> {
  try {
    return Object.fromEntries(
      Object.entries(params).map(([name, value]) => [name, decodeURIComponent(value)]),
    )
  } catch {
    throw new ApiError(400, 'the path is not percent-encoded as it should be')
  }
}

function checkedQuery(query: URLSearchParams, known: readonly string[]): URLSearchParams {
  for (const name of query.keys()) {
    if (known.includes(name)) {
      if (query.getAll(name).length > 1) throw new ApiError(400, `${name} is given more than once`)
      continue
    }
    const have = known.length === 0 ? 'there are none' : `have: ${known.join(', ')}`
    throw new ApiError(400, `unknown query parameter ${JSON.stringify(name)}; ${have}`)
  }
  return query
}

function pageOf(query: URLSearchParams): Page {
  const { max, default: usual } = PAGE.limit
  return {
    limit: wholeNumber(query, 'limit', 1, max) ?? usual,
    offset: wholeNumber(query, 'offset', 0, Number.MAX_SAFE_INTEGER) ?? 0,
  }
}

function wholeNumber(query: URLSearchParams, name: string, min: number, max: number): number | undefined {
  const text = query.get(name)
  if (text === null) return undefined
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new ApiError(400, `${name}: expected a whole number from ${min} to ${max}`)
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > LARGEST_BODY) throw new ApiError(413, `the body is longer than ${LARGEST_BODY} bytes`)
    chunks.push(chunk)
  }
  if (length === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    throw new ApiError(400, 'the body is no JSON')
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
  })
  response.end(text)
}
