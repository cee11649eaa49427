import { createRequire } from 'node:module'
import type * as redis from 'redis'
import { call, reasonOf } from './call.ts'
import { type TlsSettings, tlsOptions } from './tls.ts'

// Loaded by the first connection: a configuration without this kind does not pay its memory.
const load = createRequire(import.meta.url)
const library = (): typeof redis => load('redis')

interface Credentials {
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly tls?: TlsSettings | undefined
}

export interface RedisAddress extends Credentials {
  /** `redis[s]://[[username][:password]@]host[:port][/database]`; what it holds wins over the other fields. */
  readonly url?: string | undefined
  /** In place of a URL: the master is asked for at each connection. */
  readonly sentinel?: SentinelAddress | undefined
  readonly database?: number | undefined
}

interface SentinelAddress extends Credentials {
  /** The name that the sentinels know the master by. */
  readonly master: string
  /** `host:port` of each sentinel. */
  readonly addresses: readonly string[]
}

/** What Redis answers to a command. */
export type Answer = string | number | null | readonly Answer[]

/** As on the wire: its name, and what follows. */
export type Command = readonly [string, ...string[]]

/** One answer for each command, in their order. Where Redis refused one, the error is in its place. */
type Ask = (commands: readonly Command[], signal: AbortSignal) => Promise<readonly (Answer | RedisRefusal)[]>

export interface RedisReader {
  /** Asks the server. Rejects when the connection fails. */
  readonly askServer: Ask
  /**
   * Asks for keys: each command has its one key in its second place, that of `XINFO` in its third. In a cluster
   * it goes to the master that has the key, and one that does not answer is an error in place of its answers.
   */
  readonly askKeys: Ask
  /** The masters among which the keys are spread: the server alone, unless it is a node of a cluster. */
  shards(signal: AbortSignal): Promise<readonly Shard[]>
  /** The number of the database that is read. Known once it was connected. */
  readonly database: number
  /** The next request opens new connections. */
  close(): void
}

export interface Shard {
  readonly name: string
  readonly ask: Ask
}

/** Redis did not do one command. Its message names the server and the command, and the right that it lacks. */
export class RedisRefusal extends Error {
  /** The first word of the answer: `NOPERM`, `WRONGTYPE`, `LOADING`, `ERR`. */
  readonly code: string
  /** The right that its user lacks, as `ACL SETUSER` takes it: `+llen`, `%R~votes`; undefined where it is none. */
  readonly lacks: string | undefined

  constructor(message: string, code: string, cause: unknown, lacks?: string) {
    super(message, { cause })
    this.code = code
    this.lacks = lacks
  }
}

/** The address of one server, whole. */
interface Server extends Credentials {
  readonly host: string
  readonly port: number
  readonly database: number
  readonly encrypted: boolean
}

type Client = ReturnType<typeof newClient>
type Cluster = ReturnType<typeof newCluster>

/**
 * Reads from Redis over one connection, and one to each master of a cluster, which are opened by the first
 * request and anew by the first one after they were lost. Commands that are asked for together go out together.
 * `address` is asked for each connection, so that a rotated secret counts. `isCluster`: the keys are spread over
 * a cluster, of which the server is a node.
 */
export function connectRedis(address: () => RedisAddress, isCluster: boolean): RedisReader {
  let client: Client | undefined
  let cluster: Cluster | undefined
  let server: Server | undefined
  let backend = 'redis'

  function close(): void {
    client?.destroy()
    client = undefined
    closeCluster()
  }

  function closeCluster(): void {
    cluster?.destroy()
    cluster = undefined
  }

  async function connected(signal: AbortSignal): Promise<Client> {
    if (client?.isReady) return client
    close()
    const given = address()
    const found = given.sentinel ? await master(given, given.sentinel, signal) : serverOf(given)
    server = found
    backend = nameOf('redis', found)
    const opening = newClient(found)
    client = opening
    await call({ backend, request: 'connect', signal, release: close }, async () => {
      await opening.connect()
      // Closed while it was opening, which `destroy` does not see to then.
      if (client !== opening) opening.destroy()
    })
    return opening
  }

  async function connectedCluster(signal: AbortSignal): Promise<Cluster> {
    await connected(signal)
    if (cluster || !server) return cluster as Cluster
    const opening = newCluster(server)
    cluster = opening
    await call({ backend, request: 'CLUSTER SLOTS', signal, release: close }, async () => {
      await opening.connect()
      if (cluster !== opening) opening.destroy()
    })
    return opening
  }

  const askServer: Ask = async (commands, signal) => {
    const open = await connected(signal)
    return await together(backend, commands, signal, close, (command) => open.sendCommand([...command]))
  }

  const askCluster: Ask = async (commands, signal) => {
    const open = await connectedCluster(signal)
    let lost = false
    const answers = await together(backend, commands, signal, close, async (command) => {
      try {
        return await open.sendCommand(keyOf(command), true, [...command])
      } catch (error) {
        if (error instanceof library().ErrorReply) throw error
        // The other masters have answered: what is theirs stays true.
        lost = true
        return new RedisRefusal(`${backend}: ${textOf(command)}: ${reasonOf(error)}`, 'CLUSTER', error)
      }
    })
    if (lost) closeCluster()
    return answers
  }

  return {
    askServer,
    askKeys: isCluster ? askCluster : askServer,
    async shards(signal) {
      if (!isCluster) return [{ name: '', ask: askServer }]
      const open = await connectedCluster(signal)
      return open.masters.map((node) => {
        const name = `redis at ${node.address}`
        return {
          name,
          async ask(commands, signal) {
            const opening = async () => await open.nodeClient(node)
            const connection = await call(
              { backend: name, request: 'connect', signal, release: close },
              opening,
            )
            return await together(name, commands, signal, close, (command) =>
              connection.sendCommand([...command]),
            )
          },
        }
      })
    },
    get database() {
      return server?.database ?? 0
    },
    close,
  }
}

const keyOf = (command: Command): string => command[command[0] === 'XINFO' ? 2 : 1] ?? ''

/** As messages show it: `LLEN votes`. */
const textOf = (command: Command): string => command.slice(0, 3).join(' ')

/** Sends all and waits for all; a lost connection rejects. */
async function together(
  backend: string,
  commands: readonly Command[],
  signal: AbortSignal,
  release: () => void,
  send: (command: Command) => Promise<unknown>,
): Promise<readonly (Answer | RedisRefusal)[]> {
  const [first] = commands
  if (!first) return []
  const { ErrorReply } = library()
  const request = commands.length === 1 ? textOf(first) : `${textOf(first)} and ${commands.length - 1} more`
  return await call({ backend, request, signal, release }, () =>
    Promise.all(
      commands.map(async (command) => {
        try {
          return (await send(command)) as Answer | RedisRefusal
        } catch (error) {
          if (error instanceof ErrorReply) return refusal(backend, command, error)
          throw error
        }
      }),
    ),
  )
}

function refusal(backend: string, command: Command, cause: Error): RedisRefusal {
  const code = cause.message.split(' ', 1)[0] ?? ''
  const lacks = code === 'NOPERM' ? rightFor(command, cause.message) : undefined
  const orBefore = lacks?.startsWith('%') ? ', or ~ before Redis 7' : ''
  const hint =
    lacks !== undefined
      ? ` (the user lacks ${lacks}${orBefore})`
      : code === 'NOAUTH'
        ? ' (give a username and a password)'
        : ''
  return new RedisRefusal(`${backend}: ${textOf(command)}: ${cause.message}${hint}`, code, cause, lacks)
}

/** What the administrator of an ACL has to add. */
function rightFor(command: Command, message: string): string {
  if (/\bkeys?\b/.test(message)) return `%R~${keyOf(command)}`
  const [name, subcommand] = command
  const isContainer = ['CONFIG', 'SLOWLOG', 'LATENCY', 'CLUSTER', 'XINFO'].includes(name)
  return `+${isContainer ? `${name}|${subcommand}` : name}`.toLowerCase()
}

/** Whether a server has answered, and does not do what a connection begins with. */
export function isRedisRefusal(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Of several sentinels.
  if (error instanceof AggregateError) return error.errors.some(isRedisRefusal)
  const { ErrorReply } = library()
  return error instanceof RedisRefusal || error instanceof ErrorReply || isRedisRefusal(error.cause)
}

/** Asks all sentinels where the master is; the first that knows has said it. */
async function master(
  { username, password, tls, database = 0 }: RedisAddress,
  sentinel: SentinelAddress,
  signal: AbortSignal,
): Promise<Server> {
  const end = new AbortController()
  const limited = AbortSignal.any([signal, end.signal])
  try {
    const { host, port } = await Promise.any(
      sentinel.addresses.map((address) => masterBy(address, sentinel, limited)),
    )
    return { host, port, database, encrypted: tls !== undefined, username, password, tls }
  } catch (cause) {
    throw new Error(reasonOf(cause), { cause })
  } finally {
    end.abort()
  }
}

/** Where one sentinel says that the master is. Rejects where it does not know it. */
export async function masterBy(
  address: string,
  { master: name, addresses: _, ...credentials }: SentinelAddress,
  signal: AbortSignal,
): Promise<{ readonly host: string; readonly port: number }> {
  const url = new URL(`redis://${address}`)
  const at = { host: bare(url.hostname), port: Number(url.port), database: 0 }
  const sentinel = newClient({ ...credentials, ...at, encrypted: credentials.tls !== undefined })
  const release = () => sentinel.destroy()
  const target = { backend: `redis sentinel at ${address}`, request: `master ${name}`, signal, release }
  return await call(target, async () => {
    try {
      await sentinel.connect()
      signal.throwIfAborted()
      const answer = await sentinel.sendCommand(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name])
      if (!Array.isArray(answer)) throw new Error(`it knows no master ${name}`)
      const [host, port] = answer.map(String)
      return { host: host ?? '', port: Number(port) }
    } finally {
      // Once more, as `release` does not see to one that was still connecting.
      sentinel.destroy()
    }
  })
}

function serverOf({ url: text = '', username, password, database, tls }: RedisAddress): Server {
  if (!URL.canParse(text)) throw new Error('redis: its url is not a URL')
  const url = new URL(text)
  if (!['redis:', 'rediss:'].includes(url.protocol))
    throw new Error('redis: its url is not one of redis or rediss')
  const path = url.pathname.replace(/^\//, '')
  if (!/^\d*$/.test(path)) throw new Error('redis: the path of its url is not the number of a database')
  const server = {
    host: bare(url.hostname) || 'localhost',
    port: url.port === '' ? 6379 : Number(url.port),
    database: path === '' ? (database ?? 0) : Number(path),
    username: decodeURIComponent(url.username) || username,
    password: decodeURIComponent(url.password) || password,
    encrypted: url.protocol === 'rediss:',
    tls,
  }
  if (tls && !server.encrypted) throw new Error(`${nameOf('redis', server)}: tls needs a url of rediss`)
  return server
}

/** Without the brackets of an IPv6 address. */
const bare = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1')

function nameOf(kind: string, { host, port }: Pick<Server, 'host' | 'port'>): string {
  return `${kind} at ${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What every connection has, to a server, a sentinel or a node of a cluster. */
const connectionOptions = ({ username, password, encrypted, tls }: Credentials & { encrypted: boolean }) => ({
  ...(username === undefined ? {} : { username }),
  ...(password === undefined ? {} : { password }),
  // Every version speaks it, and needs no HELLO.
  RESP: 2 as const,
  // Redis before 7.2 does not know CLIENT SETINFO.
  disableClientInfo: true,
  disableOfflineQueue: true,
  socket: {
    // The next run opens a new connection; the client must not try on its own meanwhile.
    reconnectStrategy: false as const,
    ...(encrypted ? { tls: true as const, ...(tls && tlsOptions(tls)) } : {}),
  },
})

function newClient(server: Server) {
  const { socket, ...options } = connectionOptions(server)
  const { host, port, database } = server
  const client = library().createClient({ ...options, database, socket: { ...socket, host, port } })
  // The request under way rejects with the same error; without a listener it would end the process.
  client.on('error', () => {})
  return client
}

function newCluster(server: Server) {
  const options = connectionOptions(server)
  const { host, port } = server
  const cluster = library().createCluster({
    rootNodes: [{ socket: { ...options.socket, host, port } }],
    defaults: options,
    RESP: 2,
    minimizeConnections: true,
  })
  cluster.on('error', () => {})
  return cluster
}
