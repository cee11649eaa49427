import { createRequire } from 'node:module'
import type * as redis from 'redis'
import { backendAt, call } from './call.ts'

// Loaded by the first connection: a configuration without this kind does not pay its memory.
const load = createRequire(import.meta.url)
const library = (): typeof redis => load('redis')

export interface RedisAddress {
  /** `redis[s]://[[username][:password]@]host[:port][/database]`; what it holds wins over the fields below. */
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
}

export interface RedisReader {
  /** The fields of `INFO`, as text. */
  info(signal: AbortSignal): Promise<ReadonlyMap<string, string>>
  /**
   * How many items each key holds, in the order of the keys: of a list, sorted set, set or stream; 0 where
   * the key does not exist. An error in place of the number where a key is of another type or Redis refuses
   * to tell.
   */
  lengths(keys: readonly string[], signal: AbortSignal): Promise<readonly (number | Error)[]>
  close(): void
}

const LENGTH_COMMANDS: Readonly<Record<string, string>> = {
  list: 'LLEN',
  zset: 'ZCARD',
  set: 'SCARD',
  stream: 'XLEN',
}

type Client = ReturnType<typeof newClient>

/**
 * Reads from one Redis server over one connection, which is opened by the first request and anew by the
 * first one after it was lost. `address` is asked for each connection, so that a rotated secret counts.
 */
export function connectRedis(address: () => RedisAddress): RedisReader {
  let client: Client | undefined
  let backend = 'redis'

  function close(): void {
    client?.destroy()
    client = undefined
  }

  async function connected(signal: AbortSignal): Promise<Client> {
    if (client?.isReady) return client
    close()
    const given = address()
    backend = backendAt('redis', given.url)
    const opening = newClient(given)
    client = opening
    await call({ backend, request: 'connect', signal, release: close }, async () => {
      await opening.connect()
      // Closed while it was opening, which `destroy` does not see to then.
      if (client !== opening) opening.destroy()
    })
    return opening
  }

  async function request<T>(
    name: string,
    signal: AbortSignal,
    work: (open: Client) => Promise<T>,
  ): Promise<T> {
    const open = await connected(signal)
    return await call({ backend, request: name, signal, release: close }, () => work(open))
  }

  return {
    info: (signal) =>
      request('INFO', signal, async (open) => parseInfo(await open.sendCommand<string>(['INFO']))),
    lengths: (keys, signal) =>
      request('TYPE', signal, (open) => Promise.all(keys.map((key) => lengthOf(open, key)))),
    close,
  }
}

function newClient({ url, username, password }: RedisAddress) {
  const client = library().createClient({
    url,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    // Every version speaks it, and needs no HELLO.
    RESP: 2,
    // Redis before 7.2 does not know CLIENT SETINFO.
    disableClientInfo: true,
    disableOfflineQueue: true,
    // The next run opens a new connection; the client must not try on its own meanwhile.
    socket: { reconnectStrategy: false },
  })
  // The request under way rejects with the same error; without a listener it would end the process.
  client.on('error', () => {})
  return client
}

async function lengthOf(client: Client, key: string): Promise<number | Error> {
  try {
    const type = await client.sendCommand<string>(['TYPE', key])
    if (type === 'none') return 0
    const command = LENGTH_COMMANDS[type]
    if (!command) return new Error(`redis: key ${key} is a ${type}, not a list, zset, set or stream`)
    return await client.sendCommand<number>([command, key])
  } catch (error) {
    // An answer for this key alone, such as NOPERM; any other error is the connection's.
    if (error instanceof library().ErrorReply)
      return new Error(`redis: key ${key}: ${error.message}`, { cause: error })
    throw error
  }
}

function parseInfo(answer: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const [, name, value] of answer.matchAll(/^([^#:\r\n]+):(.*?)\r?$/gm)) {
    fields.set(name ?? '', value ?? '')
  }
  return fields
}
