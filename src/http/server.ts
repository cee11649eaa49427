import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Clock } from '../clock.ts'
import type { Instance } from '../collection/instance.ts'
import type { Exposition } from '../metrics/exposition.ts'
import { createServer } from '../node-http.ts'
import { type ApiInput, api } from './api.ts'
import { detailedHealthOf, healthOf } from './health.ts'
import type { HostUsage } from './host.ts'
import { landingPage } from './landing.ts'
import { collect, type LifecycleInput, reload } from './lifecycle.ts'

export interface HttpInput {
  readonly version: string
  readonly clock: Clock
  readonly exposition: Exposition
  readonly instances: () => readonly Instance[]
  /** An error and its causes as one line without secrets. */
  readonly describe: (error: unknown) => string
  /** Takes secrets out of a text. */
  readonly clean: (text: string) => string
  /** The machine as it was last read. */
  readonly host: () => HostUsage
  readonly api: ApiInput
  readonly lifecycle: LifecycleInput
}

const TEXT_FORMAT = 'text/plain; version=0.0.4; charset=utf-8'

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => void | Promise<void>

/** Every path that the daemon answers. None of them asks a backend. */
export function httpServer(input: HttpInput): Server {
  const { clock, exposition, instances, describe, clean, version } = input
  const startedAt = clock.monotonic()
  const answerApi = api(input.api)

  const routes: Readonly<Record<string, Handler>> = {
    '/': (_, response) =>
      send(response, 200, 'text/html; charset=utf-8', landingPage(version, instances(), describe)),

    '/metrics': async (request, response, url) => {
      const collectors = url.searchParams.getAll('collector')
      const targets = url.searchParams.getAll('target')
      if (collectors.length > 0 || targets.length > 0) {
        const wanted = (kind: string, target: string) =>
          (collectors.length === 0 || collectors.includes(kind)) &&
          (targets.length === 0 || targets.includes(target))
        const known = instances().map(({ settings }) => [settings.kind.kind, settings.target] as const)
        if (!known.some(([kind, target]) => wanted(kind, target))) {
          const have = known.map(([kind, target]) => `${kind}/${target}`).join(', ')
          return send(
            response,
            400,
            'text/plain; charset=utf-8',
            `no such collector or target; have: ${have}\n`,
          )
        }
        return await sendPlain(response, ({ kind, target }) => wanted(kind, target))
      }
      if (!acceptsGzip(request)) return await sendPlain(response)
      const { gzip, release } = exposition.readGzip()
      response.once('close', release)
      response.writeHead(200, {
        'Content-Type': TEXT_FORMAT,
        'Content-Encoding': 'gzip',
        'Content-Length': gzip.length,
        Vary: 'Accept-Encoding',
      })
      response.end(gzip)
    },

    '/health': (_, response) =>
      sendJson(response, 200, healthOf({ instances: instances(), now: clock.now(), describe, clean })),

    // That it answers shows that the event loop turns.
    '/health/live': (_, response) => sendJson(response, 200, { status: 'alive' }),

    '/health/ready': (_, response) => {
      const waiting = instances()
        // One that runs at 6 in the morning is no reason to be unready until then.
        .filter(({ settings: { enabled, interval } }) => enabled && typeof interval === 'number')
        .filter(({ state }) => state.success === undefined)
        .map(({ settings }) => `${settings.kind.kind}/${settings.target}`)
      if (waiting.length === 0) sendJson(response, 200, { status: 'ready' })
      else sendJson(response, 503, { status: 'not ready', waiting_for: waiting })
    },

    '/health/detailed': (_, response) => {
      const answer = detailedHealthOf({
        instances: instances(),
        now: clock.now(),
        describe,
        clean,
        version,
        uptimeSeconds: (clock.monotonic() - startedAt) / 1000,
        series: exposition.current.series,
        host: input.host(),
      })
      sendJson(response, 200, answer)
    },
  }

  async function sendPlain(
    response: ServerResponse,
    wanted?: (instance: { readonly kind: string; readonly target: string }) => boolean,
  ): Promise<void> {
    const { plain, plainLength, release } = await exposition.read(wanted)
    try {
      response.writeHead(200, {
        'Content-Type': TEXT_FORMAT,
        'Content-Length': plainLength,
        Vary: 'Accept-Encoding',
      })
      await pipeline(Readable.from(plain), response)
    } finally {
      release()
    }
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = URL.parse(request.url ?? '/', 'http://localhost')
    if (url?.pathname.startsWith('/api/v1/')) return await answerApi(request, response, url)
    // Nobody else reads a body, so none is taken.
    request.resume()
    if (url?.pathname === '/-/collect' || url?.pathname === '/-/reload') {
      if (request.method !== 'POST') {
        response.setHeader('Allow', 'POST')
        return send(response, 405, 'text/plain; charset=utf-8', `${url.pathname} answers POST only\n`)
      }
      const { status, body } =
        url.pathname === '/-/reload'
          ? await reload(input.lifecycle)
          : await collect(input.lifecycle, url.searchParams)
      return sendJson(response, status, body)
    }
    const handler = url && Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined
    if (!url || !handler) {
      const paths = Object.keys(routes).join(' ')
      return send(response, 404, 'text/plain; charset=utf-8', `no such path; have: ${paths}\n`)
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD')
      return send(response, 405, 'text/plain; charset=utf-8', `${url.pathname} answers GET and HEAD only\n`)
    }
    await handler(request, response, url)
  }

  const server = createServer(
    // Slow and idle clients may not hold connections for ever.
    { maxHeaderSize: 16_384, headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 65_000 },
    (request, response) => {
      handle(request, response).catch((error: unknown) => {
        // A client that left in the middle is no fault of ours.
        if (response.headersSent || response.destroyed) response.destroy()
        else send(response, 500, 'text/plain; charset=utf-8', `${describe(error)}\n`)
      })
    },
  )
  server.maxConnections = 1000
  return server
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) })
  response.end(text)
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, 'application/json; charset=utf-8', `${JSON.stringify(body)}\n`)
}

/** By RFC 9110, 12.5.3: a coding's own weight goes before that of `*`, and q=0 refuses. */
function acceptsGzip(request: IncomingMessage): boolean {
  const weights = new Map<string, number>()
  for (const item of String(request.headers['accept-encoding'] ?? '').split(',')) {
    const [coding = '', ...parameters] = item.split(';').map((text) => text.trim().toLowerCase())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    weights.set(coding, weight === undefined ? 1 : Number(weight.slice(2)))
  }
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}
