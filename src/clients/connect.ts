import { isIP } from 'node:net'
import { type ConnectionOptions, checkServerIdentity } from 'node:tls'
import type { Agent } from 'undici'
import { z } from 'zod'
import { isSecretName } from '../log.ts'
import { backendAt, call, reasonOf } from './call.ts'
import { undici } from './undici.ts'

export interface ConnectAddress {
  /** Workers of one cluster: any of them answers for all. */
  readonly urls: readonly string[]
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** A bearer token; wins over user name and password. */
  readonly token?: string | undefined
  readonly tls?: ConnectTls | undefined
}

/** Texts are PEM; without `ca` it is the authorities that Node trusts. */
interface ConnectTls {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** Expected in the worker's certificate in place of the URL's host. */
  readonly serverName?: string | undefined
  readonly insecureSkipVerify: boolean
}

interface Worker {
  readonly version: string
  readonly commit: string
  readonly clusterId: string
}

/** A connector or one of its tasks, as its worker told of it. */
interface Running {
  /** In lower case: `running`, `failed`. */
  readonly state: string
  /** Host and port. */
  readonly worker: string
  /** Of its last failure: it stays while the part is restarted, so the state alone tells whether it fails. */
  readonly trace: string
}

export interface Connector extends Running {
  readonly name: string
  readonly kind: 'source' | 'sink'
  /** The name of its Java class, or an alias of it. */
  readonly class: string
  /** How many tasks it was last configured with; none while it is stopped. */
  readonly configuredTasks: number
  /** Those that a worker has told of. */
  readonly tasks: readonly (Running & { readonly id: number })[]
  /** What a sink is set to read by name: its `topics`, not `topics.regex`. */
  readonly consumes: readonly string[]
  /** Whether a sink is set to read by `topics.regex`. */
  readonly consumesByPattern: boolean
  /** What a source is set to write by name. */
  readonly produces: readonly string[]
  /** Where a sink is set to write what it cannot. */
  readonly deadLetters: string | undefined
  /** `postgresql` of `jdbc:postgresql://…`, of connectors that are given a URL. */
  readonly urlScheme: string | undefined
  /** Of Debezium for PostgreSQL. */
  readonly slot: { readonly name: string; readonly database: string } | undefined
  /** Texts of its configuration that no one may see. */
  readonly secrets: readonly string[]
}

interface Plugin {
  readonly class: string
  readonly type: string
  readonly version: string
}

export interface ConnectReading {
  readonly worker: Worker
  /** Undefined while the workers share out the connectors anew and so tell nothing of them. */
  readonly connectors: readonly Connector[] | undefined
  /** By name of the connector: what was told of it makes no sense. */
  readonly unreadable: ReadonlyMap<string, Error>
}

export interface ConnectReader {
  /** What one worker, the first that answers, knows of itself and of every connector of the cluster. */
  read(signal: AbortSignal): Promise<ConnectReading>
  /** Of the worker that answered last. */
  plugins(signal: AbortSignal): Promise<readonly Plugin[]>
  /** What a connector has read from or written to, sorted; undefined where Connect keeps no account of it. */
  activeTopics(connector: string, signal: AbortSignal): Promise<readonly string[] | undefined>
  /**
   * Up to where a source has read, in bytes of what it reads; of several the least. Undefined where the plugin
   * counts in something else, nothing was read yet, or Connect does not tell (before Kafka 3.6).
   */
  position(connector: string, signal: AbortSignal): Promise<number | undefined>
  close(): void
}

/** Beyond any real cluster: 10,000 connectors with their configurations are some 40 MB. */
const LARGEST_ANSWER = 64 * 1024 * 1024

/** Requests to one worker that are under way at once. */
const CONNECTIONS = 10

const workerAnswer = z
  .object({ version: z.string(), commit: z.string(), kafka_cluster_id: z.string() })
  .transform(({ version, commit, kafka_cluster_id }) => ({ version, commit, clusterId: kafka_cluster_id }))

const running = {
  state: z.string().transform((text) => text.toLowerCase()),
  worker_id: z.string().default(''),
  trace: z.string().default(''),
}

const connectorsAnswer = z.record(z.string(), z.unknown())

const connectorAnswer = z.object({
  info: z.object({
    type: z.enum(['source', 'sink']),
    config: z.looseObject({ 'connector.class': z.string() }),
    tasks: z.array(z.unknown()),
  }),
  status: z.object({
    connector: z.object(running),
    tasks: z.array(z.object({ id: z.int(), ...running })),
  }),
})

const pluginsAnswer = z.array(
  z.object({ class: z.string(), type: z.string().default(''), version: z.string().nullish() }),
)

const topicsAnswer = z.record(z.string(), z.object({ topics: z.array(z.string()) }))

const offsetsAnswer = z.object({
  offsets: z.array(z.object({ offset: z.record(z.string(), z.unknown()).nullish() })),
})

/** An answer that is not 200. */
class StatusError extends Error {
  readonly status: number

  constructor(status: number, text: string) {
    super(`status ${status}: ${text}`)
    this.status = status
  }
}

const REBALANCING = 409

/** Whether the workers only asked to be asked later. */
export const isRebalance = (error: unknown): boolean => hasStatus(error, REBALANCING)

const hasStatus = (error: unknown, ...statuses: readonly number[]): boolean =>
  error instanceof Error && error.cause instanceof StatusError && statuses.includes(error.cause.status)

/**
 * Reads the REST interface of one Kafka Connect cluster over kept connections. `address` is asked at each
 * read, so that a rotated secret counts.
 */
export function connectKafkaConnect(address: () => ConnectAddress): ConnectReader {
  const agents = new Agents()
  // The worker to begin with: one that hung until the run's end is not the next run's first.
  let first = 0

  async function get<T>(
    { urls, tls, ...credentials }: ConnectAddress,
    path: string,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const url = urls[first % urls.length] ?? ''
    const target = {
      backend: backendAt('kafka connect', url),
      request: `GET ${path}`,
      signal,
      release: () => {},
    }
    return await call(target, async () => {
      const headers = { accept: 'application/json', ...authorization(credentials) }
      const answer = await undici().request(`${url}${path}`, { dispatcher: agents.get(tls), headers, signal })
      if (answer.statusCode !== 200) {
        throw new StatusError(answer.statusCode, (await answer.body.text()).slice(0, 200))
      }
      const parsed = schema.safeParse(await answer.body.json())
      if (!parsed.success) throw new Error(`unexpected answer: ${z.prettifyError(parsed.error)}`)
      return parsed.data
    })
  }

  /** Undefined where the answer is one of these statuses. */
  async function getUnless<T>(
    statuses: readonly number[],
    path: string,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    try {
      return await get(address(), path, schema, signal)
    } catch (error) {
      if (hasStatus(error, ...statuses)) return undefined
      throw error
    }
  }

  return {
    async read(signal) {
      const given = address()
      const failures: unknown[] = []
      for (let tried = 0; tried < given.urls.length && !signal.aborted; tried++) {
        try {
          const worker = await get(given, '/', workerAnswer, signal)
          return { worker, ...(await readConnectors(given, signal)) }
        } catch (error) {
          failures.push(error)
          first++
        }
      }
      throw failures.length === 1
        ? failures[0]
        : new Error(failures.map(reasonOf).join('; '), { cause: new AggregateError(failures) })
    },
    async plugins(signal) {
      const plugins = await get(address(), '/connector-plugins', pluginsAnswer, signal)
      // Java writes the version of a plugin that has none as these words.
      const isVersion = (text: string) => !['', 'null', 'undefined', 'unknown'].includes(text)
      return plugins.flatMap(({ version, ...plugin }) =>
        version && isVersion(version) ? [{ ...plugin, version }] : [],
      )
    },
    async activeTopics(connector, signal) {
      // 403: topic.tracking.enable is false. 404: the connector is gone.
      const answer = await getUnless([403, 404], pathOf(connector, 'topics'), topicsAnswer, signal)
      return answer?.[connector]?.topics.toSorted()
    },
    async position(connector, signal) {
      const answer = await getUnless([404, 405], pathOf(connector, 'offsets'), offsetsAnswer, signal)
      const positions = (answer?.offsets ?? []).flatMap(({ offset }) => bytesOf(offset ?? {}) ?? [])
      return positions.length > 0 ? Math.min(...positions) : undefined
    },
    close() {
      agents.close()
    },
  }

  async function readConnectors(
    given: ConnectAddress,
    signal: AbortSignal,
  ): Promise<Pick<ConnectReading, 'connectors' | 'unreadable'>> {
    const unreadable = new Map<string, Error>()
    let answer: Readonly<Record<string, unknown>>
    try {
      answer = await get(given, '/connectors?expand=status&expand=info', connectorsAnswer, signal)
    } catch (error) {
      if (isRebalance(error)) return { connectors: undefined, unreadable }
      throw error
    }
    const connectors: Connector[] = []
    for (const [name, told] of Object.entries(answer)) {
      const parsed = connectorAnswer.safeParse(told)
      if (parsed.success) connectors.push(connectorOf(name, parsed.data))
      else {
        const reason = `unexpected answer for connector ${name}: ${z.prettifyError(parsed.error)}`
        unreadable.set(name, new Error(reason))
      }
    }
    return { connectors, unreadable }
  }
}

const pathOf = (connector: string, of: string) => `/connectors/${encodeURIComponent(connector)}/${of}`

/** Connections for one form of TLS: a rotated certificate is used by new ones. */
export class Agents {
  #agent: Agent | undefined
  #key = ''

  get(tls: ConnectTls | undefined): Agent {
    const key = JSON.stringify(tls ?? null)
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

function tlsOptions({ ca, cert, key, serverName, insecureSkipVerify }: ConnectTls) {
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && expected(serverName)),
    rejectUnauthorized: !insecureSkipVerify,
  }
}

/** TLS has no place for an address where the name of a server is sent (RFC 6066): it is only expected. */
function expected(name: string): Pick<ConnectionOptions, 'checkServerIdentity' | 'servername'> {
  return isIP(name)
    ? { checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate) }
    : { servername: name }
}

export function authorization({
  username,
  password,
  token,
}: Omit<ConnectAddress, 'urls'>): Record<string, string> {
  if (token !== undefined) return { authorization: `Bearer ${token}` }
  if (username === undefined) return {}
  return { authorization: `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}` }
}

/** `info.config` holds passwords: what is wanted of it is picked here, and the rest goes no further. */
function connectorOf(name: string, { info, status }: z.output<typeof connectorAnswer>): Connector {
  const of = (key: string): string | undefined => {
    const value = info.config[key]
    return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined
  }
  const isSink = info.type === 'sink'
  return {
    name,
    ...runningOf(status.connector),
    kind: info.type,
    class: info.config['connector.class'],
    configuredTasks: info.tasks.length,
    tasks: status.tasks.map((task) => ({ id: task.id, ...runningOf(task) })),
    consumes: isSink ? listed(of('topics')) : [],
    consumesByPattern: isSink && of('topics.regex') !== undefined,
    produces: isSink ? [] : [of('topic') ?? of('kafka.topic') ?? []].flat(),
    deadLetters: isSink ? of('errors.deadletterqueue.topic.name') : undefined,
    urlScheme: schemeOf(of('connection.url') ?? of('jdbc.url')),
    slot: slotOf(info.config['connector.class'], of),
    secrets: secretsOf(info.config),
  }
}

const runningOf = ({ state, worker_id, trace }: z.output<z.ZodObject<typeof running>>): Running => ({
  state,
  worker: worker_id,
  trace,
})

/** Items between commas, each once. */
function listed(text: string | undefined): string[] {
  const items = (text ?? '').split(',').map((item) => item.trim())
  return [...new Set(items)].filter((item) => item !== '')
}

function schemeOf(url: string | undefined): string | undefined {
  return /^(?:jdbc:(?:jtds:|tc:)?)?([a-z][a-z0-9]*)[:+]/i.exec(url ?? '')?.[1]?.toLowerCase()
}

function slotOf(className: string, of: (key: string) => string | undefined): Connector['slot'] {
  if (!/debezium.*postgres|^Postgres(Connector|CdcSource)/i.test(className)) return undefined
  const name = of('slot.name') ?? 'debezium'
  const database = of('database.dbname')
  // What a worker fills in from a file or a vault is not known here.
  return database === undefined || `${name}${database}`.includes('${') ? undefined : { name, database }
}

/** Values of keys that are called like secrets, and passwords within other values. */
export function secretsOf(config: Readonly<Record<string, unknown>>): string[] {
  const found = new Set<string>()
  for (const [key, value] of Object.entries(config)) {
    if (typeof value !== 'string') continue
    if (isSecretName(key)) found.add(value)
    for (const [, quoted, bare] of value.matchAll(/passw(?:or)?d\s*=\s*(?:"([^"]*)"|([^\s&;,"]+))/gi)) {
      found.add(quoted ?? bare ?? '')
    }
    const inUrl = /:\/\/[^:@/\s]*:([^@\s]+)@/.exec(value)?.[1]
    if (inUrl !== undefined) found.add(inUrl)
  }
  // A switch is no secret, though its name may say so, nor is the place where the worker finds one.
  return [...found].filter((text) => text !== '' && !/^(true|false|\$\{[^}]*\})$/.test(text))
}

/** Of Debezium for PostgreSQL, for MySQL and MariaDB, and of Kafka's file source. */
const BYTE_POSITIONS = ['lsn', 'pos', 'position']

function bytesOf(offset: Readonly<Record<string, unknown>>): number | undefined {
  for (const key of BYTE_POSITIONS) {
    const value = offset[key]
    if (typeof value === 'number' && value >= 0) return value
  }
  return undefined
}
