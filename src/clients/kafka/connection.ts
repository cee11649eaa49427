import type { Logger } from 'kafkajs'
import Connection from 'kafkajs/src/network/connection.js'
import Encoder from 'kafkajs/src/protocol/encoder.js'
import kafkajsError from 'kafkajs/src/protocol/error.js'
import { freeAnswer, gatherFrames } from './frames.ts'
import { RENEW_AFTER, type Security } from './security.ts'
import { socketTo } from './socket.ts'
import { Reader, Writer } from './wire.ts'

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

/** One request of the protocol, in the versions that this client speaks. */
export interface Request<T> {
  readonly name: string
  readonly key: number
  /** The versions spoken here, lowest and highest. */
  readonly min: number
  readonly max: number
  /** The first version with compact lengths and tag buffers. */
  readonly flexibleFrom: number
  /** What it gives are parts of the answer, whose memory then stays. */
  readonly givesParts?: true
  write(writer: Writer, version: number): void
  /** A long answer is read in turns. */
  read(reader: Reader, version: number): T | Promise<T>
}

const silent: Logger = {
  namespace: () => silent,
  setLogLevel: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
}

const API_VERSIONS: Request<Map<number, { min: number; max: number }>> = {
  name: 'ApiVersions',
  key: 18,
  min: 0,
  max: 0,
  flexibleFrom: 3,
  write: () => {},
  read: (reader) => {
    failOn(reader.int16(), 'ApiVersions')
    return new Map(reader.array(() => [reader.int16(), { min: reader.int16(), max: reader.int16() }]))
  },
}

/** The name of an error code, such as `NOT_COORDINATOR_FOR_GROUP`. */
export function errorName(code: number): string {
  const { type } = kafkajsError.createErrorFromCode(code)
  return type === 'KAFKAJS_UNKNOWN_ERROR_CODE' ? `error code ${code}` : type
}

/** The broker answered, with a code of Kafka's protocol that is not 0. */
export class AnsweredError extends Error {
  readonly code: number

  constructor(code: number, request: string) {
    super(`Kafka answered ${request} with ${errorName(code)}`)
    this.code = code
  }
}

export function failOn(code: number, request: string): void {
  if (code !== 0) throw new AnsweredError(code, request)
}

/**
 * A connection to one broker over kafkajs's transport (framing, TLS, SASL), which is used for nothing else.
 * Requests on it go out without waiting for one another. After a time-out or a broken socket it is closed
 * for good: open a new one.
 */
export class BrokerConnection {
  readonly address: BrokerAddress
  readonly #connection: Connection
  #versions = new Map<number, { min: number; max: number }>()
  #closed = false
  /** Monotonic milliseconds. */
  #renewAt = Number.POSITIVE_INFINITY

  private constructor(address: BrokerAddress, connection: Connection) {
    this.address = address
    this.#connection = connection
  }

  /** Connects, asks for versions and authenticates. `timeout` in milliseconds bounds every later request too. */
  static async open(
    address: BrokerAddress,
    security: Security,
    timeout: number,
    signal: AbortSignal,
  ): Promise<BrokerConnection> {
    let opened: BrokerConnection | undefined
    try {
      const connection = connectionTo(address, security, timeout)
      opened = new BrokerConnection(address, connection)
      await opened.#unlessAborted(signal, connection.connect())
      opened.#versions = await opened.send(API_VERSIONS, signal)
      const versions = Object.fromEntries(
        [...opened.#versions].map(([key, { min, max }]) => [key, { minVersion: min, maxVersion: max }]),
      )
      connection.setVersions(versions)
      connection.setSupportAuthenticationProtocol(true)
      await opened.#unlessAborted(signal, connection.authenticate())
      const lifetime = Number(connection.sessionLifetime.toString())
      // 0: the broker sets no end.
      if (lifetime > 0) opened.#renewAt = performance.now() + lifetime * RENEW_AFTER
      return opened
    } catch (error) {
      opened?.close()
      throw new Error(`cannot connect to broker ${hostPort(address)}`, { cause: error })
    }
  }

  get usable(): boolean {
    return !this.#closed && this.#connection.isConnected()
  }

  /** Whether the broker will soon end the session: another connection has to take over. */
  get nearsItsEnd(): boolean {
    return performance.now() >= this.#renewAt
  }

  /** The version of the request that both sides speak; undefined when there is none. */
  version(request: Request<unknown>): number | undefined {
    if (request.key === API_VERSIONS.key) return 0
    const theirs = this.#versions.get(request.key)
    if (!theirs) return undefined
    const version = Math.min(request.max, theirs.max)
    return version < Math.max(request.min, theirs.min) ? undefined : version
  }

  async send<T>(request: Request<T>, signal: AbortSignal): Promise<T> {
    const apiVersion = this.version(request)
    if (apiVersion === undefined) {
      const theirs = this.#versions.get(request.key)
      const spoken = theirs ? `${theirs.min} to ${theirs.max}` : 'none'
      throw new Error(
        `broker ${hostPort(this.address)} speaks versions of ${request.name}: ${spoken}; needed: ${request.min} to ${request.max}`,
      )
    }
    const flexible = apiVersion >= request.flexibleFrom
    try {
      const { value } = await this.#unlessAborted(
        signal,
        this.#connection.send({
          request: {
            apiKey: request.key,
            apiVersion,
            apiName: request.name,
            encode: async () => {
              const writer = new Writer(flexible)
              // A flexible request's header ends in a tag buffer.
              writer.tags()
              request.write(writer, apiVersion)
              return new Encoder().writeBuffer(writer.bytes)
            },
          },
          response: {
            decode: async (payload) => {
              const reader = new Reader(payload, flexible)
              reader.tags()
              const value = await request.read(reader, apiVersion)
              if (!request.givesParts) freeAnswer(payload)
              return { value }
            },
            parse: async (decoded) => decoded,
          },
          logResponseError: false,
        }),
      )
      return value
    } catch (error) {
      // What came in time and could be read leaves the connection in order; anything else does not.
      if (!(error instanceof AnsweredError)) this.close()
      throw new Error(`${request.name} to broker ${hostPort(this.address)} failed`, { cause: error })
    }
  }

  /** Closes it when nothing can be under way any more: for one that is not asked anything from now on. */
  retire(): void {
    setTimeout(() => this.close(), this.#connection.requestTimeout)
  }

  /** Drops the socket at once; requests under way fail. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#connection.rejectRequests(new Error('the connection was closed'))
    this.#connection.socket?.destroy()
    this.#connection.disconnect().catch(() => {})
  }

  async #unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
    // It fails later, when nobody waits any more: an unhandled rejection would end the process.
    work.catch(() => {})
    signal.throwIfAborted()
    const { promise, reject } = Promise.withResolvers<never>()
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([work, promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

function connectionTo({ host, port }: BrokerAddress, { tls, sasl }: Security, timeout: number): Connection {
  const connection = new Connection({
    host,
    port,
    clientId: 'cdc-exporter',
    logger: silent,
    socketFactory: socketTo,
    ssl: tls?.() ?? null,
    sasl: sasl?.() ?? null,
    connectionTimeout: timeout,
    requestTimeout: timeout,
    // It would authenticate again in place: with the secrets of the first time, before every request of a
    // session shorter than its threshold of 10 s, and a broker refuses to do so twice in a second. A
    // connection whose session nears its end is replaced instead.
    reauthenticationThreshold: Number.MIN_SAFE_INTEGER,
  })
  checkOnlyWhatWaits(connection)
  gatherFrames(connection)
  return connection
}

/**
 * After every answer kafkajs looks for requests that wait, at a time long past where none does and the broker
 * does not throttle: a timer each, of which Node says on standard error that it is negative.
 */
function checkOnlyWhatWaits({ requestQueue }: Connection): void {
  const schedule = requestQueue.scheduleCheckPendingRequests.bind(requestQueue)
  requestQueue.scheduleCheckPendingRequests = () => {
    if (requestQueue.pending.length > 0 || requestQueue.throttledUntil > Date.now()) schedule()
  }
}

function hostPort({ host, port }: BrokerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** `host:port` or `[ipv6]:port`, as the configuration has checked it. */
export function parseAddress(text: string): BrokerAddress {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}
