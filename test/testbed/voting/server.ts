import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { Counter, Histogram, register } from 'prom-client'

/** What a route answers: a status and a JSON value. */
interface Answer {
  readonly status: number
  readonly body: unknown
}

/** By `POST /vote`; each gets the body of the request. */
type Routes = Readonly<Record<string, (body: string) => Promise<Answer>>>

const labelNames = ['method', 'route', 'status'] as const
const requests = new Counter({
  name: 'http_requests_total',
  help: 'Requests that were answered.',
  labelNames,
})
const durations = new Histogram({
  name: 'http_request_duration_seconds',
  help: 'Time from a request to its answer.',
  labelNames,
})

/** Serves the routes, and its own `/metrics`, on loopback. `stop` runs after SIGTERM, when the last answer is out. */
export function serve(port: string | undefined, routes: Routes, stop: () => Promise<void>): void {
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/metrics') {
      response.setHeader('content-type', register.contentType).end(await register.metrics())
      return
    }
    const { method = '', url = '' } = request
    const handle = routes[`${method} ${url}`]
    const stopTimer = durations.startTimer()
    const { status, body } = handle
      ? await handle(await text(request)).catch((error) => ({ status: 500, body: String(error) }))
      : { status: 404, body: 'no such route' }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const labels = { method, route: handle ? url : 'unknown', status: String(status) }
    stopTimer(labels)
    requests.inc(labels)
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  server.listen(Number(port), '127.0.0.1')
  process.once('SIGTERM', () => {
    server.close(() => void stop())
    server.closeIdleConnections()
  })
}
