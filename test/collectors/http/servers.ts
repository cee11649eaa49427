import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'

/** What Nest Terminus answers; its second form is that of a check that fails, with status 503. */
const TERMINUS = {
  up: { status: 'ok', info: { db: { status: 'up' } }, error: {}, details: { db: { status: 'up' } } },
  down: {
    status: 'error',
    info: { db: { status: 'up' } },
    error: { redis: { status: 'down', message: 'connect ECONNREFUSED' } },
    details: { db: { status: 'up' }, redis: { status: 'down', message: 'connect ECONNREFUSED' } },
  },
}

const SPRING = {
  status: 'DOWN',
  components: { db: { status: 'UP' }, disk: { status: 'OUT_OF_SERVICE' }, mail: { status: 'UNKNOWN' } },
}

/** Answers each path in its own way, some of them badly. */
const answers: RequestListener = async (incoming, outgoing) => {
  const { method = '', url = '', headers } = incoming
  const { pathname } = new URL(url, 'http://any')
  const [, first = '', second = ''] = pathname.split('/')
  const json = (status: number, value: unknown) => {
    outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  }
  switch (first) {
    case 'hello':
      outgoing.setHeader('last-modified', 'Tue, 01 Jan 2030 00:00:00 GMT')
      outgoing.setHeader('x-colour', ['red', 'green'])
      outgoing.setHeader('content-length', 5)
      outgoing.end('hello')
      break
    case 'chunked':
      outgoing.write('hel')
      outgoing.end('lo')
      break
    case 'packed':
      outgoing.setHeader('content-encoding', 'gzip')
      outgoing.end(gzipSync('hello '.repeat(1000)))
      break
    case 'mispacked':
      outgoing.setHeader('content-encoding', 'gzip')
      outgoing.end('hello')
      break
    case 'status':
      outgoing.writeHead(Number(second)).end()
      break
    case 'redirect':
      outgoing.writeHead(302, { location: second === '0' ? '/hello' : `/redirect/${Number(second) - 1}` })
      outgoing.end('elsewhere')
      break
    case 'to':
      outgoing.writeHead(second === 'again' ? 307 : 303, {
        location: new URL(url, 'http://any').search.slice(1),
      })
      outgoing.end()
      break
    case 'loop':
      outgoing.writeHead(302, { location: '/loop' }).end()
      break
    case 'lost':
      outgoing.writeHead(302, { location: 'ftp://127.0.0.1/' }).end()
      break
    case 'terminus':
      json(second === 'down' ? 503 : 200, second === 'down' ? TERMINUS.down : TERMINUS.up)
      break
    case 'spring':
      json(503, SPRING)
      break
    case 'many':
      json(200, {
        details: Object.fromEntries([...Array(150).keys()].map((i) => [`c${i}`, { status: 'up' }])),
      })
      break
    case 'echo':
      json(200, { method, headers, body: await text(incoming) })
      break
    case 'hang':
      break
    case 'half':
      outgoing.writeHead(200, { 'content-length': 100 })
      outgoing.write('half of it')
      setImmediate(() => outgoing.destroy())
      break
    case 'stalled':
      outgoing.writeHead(200, { 'content-length': 100 })
      outgoing.write('half of it')
      break
    case 'endless': {
      const more = () => {
        while (!outgoing.destroyed && outgoing.write('more and more '.repeat(100)));
      }
      outgoing.on('drain', more)
      more()
      break
    }
    default:
      outgoing.writeHead(404).end('not here')
  }
}

export interface TestServer {
  /** Without a slash at its end. */
  readonly url: string
  close(): Promise<void>
}

export const startHttp = (): Promise<TestServer> => listening(createServer(answers), 'http')

export const startHttps = (options: ServerOptions): Promise<TestServer> =>
  listening(createTlsServer(options, answers), 'https')

/** Does as it is told with each connection. */
export const startTcp = (scheme: string, serve: (socket: Socket) => void): Promise<TestServer> =>
  listening(createTcpServer(serve), scheme)

async function listening(server: Server | TcpServer, scheme: string): Promise<TestServer> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
