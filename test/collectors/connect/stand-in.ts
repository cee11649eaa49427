import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What stands in for a fleet: it speaks Connect's REST interface and runs nothing. */
export interface StandIn {
  readonly url: string
  /** Paths that were asked for, in the order of their arrival. */
  readonly requests: string[]
  /** What `GET /connectors` answers, by name. */
  connectors: Record<string, unknown>
  /** Answers of other paths; undefined for those that it makes up. */
  answer: (path: string) => { readonly status: number; readonly body: unknown } | undefined
  close(): Promise<void>
}

/** As Connect tells of one connector. */
export function connectorNamed(name: string, config: Readonly<Record<string, string>> = {}) {
  const worker_id = '127.0.0.1:8083'
  return {
    info: {
      name,
      type: 'source',
      config: {
        'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
        'slot.name': name,
        'database.dbname': 'erp',
        ...config,
      },
      tasks: [{ connector: name, task: 0 }],
    },
    status: {
      name,
      connector: { state: 'RUNNING', worker_id },
      tasks: [{ id: 0, state: 'RUNNING', worker_id }],
    },
  }
}

export async function startStandIn(): Promise<StandIn> {
  const requests: string[] = []
  const handler: RequestListener = (request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    const { status, body } = standIn.answer(path) ?? { status: 200, body: made(path, standIn.connectors) }
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
  const server = createServer(handler)
  const standIn: StandIn = {
    url: await listening(server),
    requests,
    connectors: {},
    answer: () => undefined,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return standIn
}

function made(path: string, connectors: Record<string, unknown>): unknown {
  const [, , name = '', of = ''] = path.split('/')
  if (path === '/') return { version: '4.3.1', commit: 'c', kafka_cluster_id: 'k' }
  if (path === '/connector-plugins') return []
  if (path.startsWith('/connectors?')) return connectors
  if (of === 'topics') return { [name]: { topics: [`${name}.rows`] } }
  return { offsets: [{ partition: { server: name }, offset: { lsn: 1000 + name.length } }] }
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
