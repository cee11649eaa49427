import { z } from 'zod'
import { isSecretName } from '../log.ts'
import { connectRest, hasStatus, type RestAddress } from './rest.ts'

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

const REBALANCING = 409

/** Whether the workers only asked to be asked later. */
export const isRebalance = (error: unknown): boolean => hasStatus(error, REBALANCING)

/**
 * Reads the REST interface of one Kafka Connect cluster over kept connections. `address` is asked at each
 * read, so that a rotated secret counts.
 */
export function connectKafkaConnect(address: () => RestAddress): ConnectReader {
  const rest = connectRest('kafka connect', address)

  /** Undefined where the answer is one of these statuses. */
  async function getUnless<T>(
    statuses: readonly number[],
    path: string,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    try {
      return await rest.get(path, schema, signal)
    } catch (error) {
      if (hasStatus(error, ...statuses)) return undefined
      throw error
    }
  }

  return {
    async read(signal) {
      return await rest.anywhere(async () => {
        const worker = await rest.get('/', workerAnswer, signal)
        return { worker, ...(await readConnectors(signal)) }
      }, signal)
    },
    async plugins(signal) {
      const plugins = await rest.get('/connector-plugins', pluginsAnswer, signal)
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
      rest.close()
    },
  }

  async function readConnectors(
    signal: AbortSignal,
  ): Promise<Pick<ConnectReading, 'connectors' | 'unreadable'>> {
    const unreadable = new Map<string, Error>()
    let answer: Readonly<Record<string, unknown>>
    try {
      answer = await rest.get('/connectors?expand=status&expand=info', connectorsAnswer, signal)
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
