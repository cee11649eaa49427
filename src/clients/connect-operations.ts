import { z } from 'zod'
import { backendAt, call, reasonOf } from './call.ts'
import { Agents, authorization, type RestAddress } from './rest.ts'
import { undici } from './undici.ts'

/** A connector (no task) or one of its tasks. */
export interface ConnectorPart {
  readonly task: number | undefined
  /** In lower case: `running`, `failed`. */
  readonly state: string
  /** Of its last failure, which it keeps while it is restarted; empty for none. */
  readonly trace: string
}

export interface ConnectorNow {
  readonly config: Readonly<Record<string, string>>
  readonly configuredTasks: number
  /** The connector first, then its tasks. */
  readonly parts: readonly [ConnectorPart, ...ConnectorPart[]]
}

export type ConnectOperation = 'restart' | 'pause' | 'resume' | 'stop' | 'delete'

/** Changes connectors of one cluster. Each rejects with an error that names the worker and the request. */
export interface ConnectOperator {
  /** As it is now; undefined where there is no such connector. A rebalance is waited for, here and below. */
  look(connector: string, signal: AbortSignal): Promise<ConnectorNow | undefined>
  /**
   * Up to where it has read, in a form that is good only to be compared: of a source in its own terms, of a sink
   * in offsets of its topics. Undefined where Connect does not tell (before Kafka 3.6).
   */
  progress(connector: string, signal: AbortSignal): Promise<string | undefined>
  /**
   * Asks for it; Connect answers before it is done. `allTasks`: restarts those too that have not failed.
   */
  ask(operation: ConnectOperation, connector: string, allTasks: boolean, signal: AbortSignal): Promise<void>
  close(): void
}

const part = {
  state: z.string().transform((text) => text.toLowerCase()),
  trace: z.string().default(''),
}
const info = z.object({
  config: z.record(z.string(), z.string().nullish().transform(String)),
  tasks: z.array(z.unknown()),
})
const status = z.object({
  connector: z.object(part),
  tasks: z.array(z.object({ id: z.int(), ...part })),
})

const offsets = z.object({ offsets: z.array(z.unknown()) })

/** What each is in Connect REST. */
const REQUESTS: Readonly<Record<ConnectOperation, readonly ['POST' | 'PUT' | 'DELETE', string]>> = {
  restart: ['POST', '/restart'],
  pause: ['PUT', '/pause'],
  resume: ['PUT', '/resume'],
  stop: ['PUT', '/stop'],
  delete: ['DELETE', ''],
}

const REBALANCING = 409
const REBALANCE_POLL_MS = 500

/** Like `connectKafkaConnect`, for what changes something. Requests may be repeated: each is idempotent. */
export function connectOperator(address: () => RestAddress): ConnectOperator {
  const agents = new Agents()
  let first = 0

  /** Asks the next worker where one does not answer. */
  async function request(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, signal: AbortSignal) {
    const { urls, tls, ...credentials } = address()
    const headers = { accept: 'application/json', ...authorization(credentials) }
    const failures: unknown[] = []
    for (let tried = 0; tried < urls.length && !signal.aborted; tried++) {
      const url = urls[first % urls.length] ?? ''
      const target = {
        backend: backendAt('kafka connect', url),
        request: `${method} ${path}`,
        signal,
        release: () => {},
      }
      try {
        return await call(target, async () => {
          const dispatcher = agents.get(tls)
          const answer = await undici().request(`${url}${path}`, { dispatcher, method, headers, signal })
          const text = await answer.body.text()
          return { status: answer.statusCode, text, what: `${target.backend}: ${target.request}` }
        })
      } catch (error) {
        failures.push(error)
        first++
      }
    }
    signal.throwIfAborted()
    throw failures.length === 1
      ? failures[0]
      : new Error(failures.map(reasonOf).join('; '), { cause: new AggregateError(failures) })
  }

  /** Waits for a rebalance to end, during which workers answer nothing else. */
  async function patientRequest(...[method, path, signal]: Parameters<typeof request>) {
    for (;;) {
      const answer = await request(method, path, signal)
      if (answer.status !== REBALANCING) return answer
      await new Promise((resolve) => setTimeout(resolve, REBALANCE_POLL_MS))
    }
  }

  /** Undefined where there is no such connector, or nothing is known of it yet. */
  async function get<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T | undefined> {
    const { status, text, what } = await patientRequest('GET', path, signal)
    if (status === 404 || status === 405) return undefined
    if (status !== 200) throw new Error(`${what}: status ${status}: ${text.slice(0, 200)}`)
    const parsed = schema.safeParse(JSON.parse(text))
    if (!parsed.success) throw new Error(`${what}: unexpected answer: ${z.prettifyError(parsed.error)}`)
    return parsed.data
  }

  return {
    async look(connector, signal) {
      const path = `/connectors/${encodeURIComponent(connector)}`
      const about = await get(path, info, signal)
      if (!about) return undefined
      const now = await get(`${path}/status`, status, signal)
      const own = now?.connector ?? { state: 'unassigned', trace: '' }
      return {
        config: about.config,
        configuredTasks: about.tasks.length,
        parts: [
          { task: undefined, ...own },
          ...(now?.tasks ?? []).map(({ id, ...rest }) => ({ task: id, ...rest })),
        ],
      }
    },
    async progress(connector, signal) {
      const path = `/connectors/${encodeURIComponent(connector)}/offsets`
      const answer = await get(path, offsets, signal)
      // Connect lists them in no order.
      return answer && JSON.stringify(answer.offsets.map((each) => JSON.stringify(each)).sort())
    },
    async ask(operation, connector, allTasks, signal) {
      const [method, suffix] = REQUESTS[operation]
      const query = operation === 'restart' ? `?includeTasks=true&onlyFailed=${!allTasks}` : ''
      const path = `/connectors/${encodeURIComponent(connector)}${suffix}${query}`
      const { status, text, what } = await patientRequest(method, path, signal)
      if (status < 300 || (status === 404 && operation === 'delete')) return
      throw new Error(`${what}: status ${status}: ${text.slice(0, 200)}`)
    },
    close: () => agents.close(),
  }
}
