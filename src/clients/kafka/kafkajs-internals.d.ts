// The few internals of kafkajs 2.2.4 (pinned exactly; its releases have ended) that are used as transport.
declare module 'kafkajs/src/network/connection.js' {
  import type { Socket } from 'node:net'
  import type { Logger } from 'kafkajs'

  interface Versions {
    [apiKey: number]: { readonly minVersion: number; readonly maxVersion: number }
  }
  interface RequestQueue {
    readonly pending: readonly unknown[]
    /** Wall milliseconds; -1 where the broker never throttled. */
    readonly throttledUntil: number
    scheduleCheckPendingRequests(): void
  }
  interface Request {
    readonly apiKey: number
    readonly apiVersion: number
    readonly apiName: string
    encode(): Promise<unknown>
  }
  interface Response<T> {
    decode(payload: Buffer): Promise<T>
    parse(decoded: T): Promise<T>
  }
  export default class Connection {
    constructor(options: {
      readonly host: string
      readonly port: number
      readonly clientId: string
      readonly logger: Logger
      readonly socketFactory: unknown
      readonly ssl: unknown
      readonly sasl: unknown
      readonly connectionTimeout: number
      readonly requestTimeout: number
      readonly reauthenticationThreshold: number
    })
    readonly socket: Socket | undefined
    readonly requestQueue: RequestQueue
    readonly requestTimeout: number
    /** Milliseconds from authentication; 0 for no end. */
    readonly sessionLifetime: { toString(): string }
    /** While it waits for a step of the authentication. */
    readonly authHandlers: unknown
    /** What came of answers that are not whole yet. */
    chunks: Buffer[]
    bytesBuffered: number
    processData(chunk: Buffer): void
    connect(): Promise<boolean>
    authenticate(): Promise<void>
    isConnected(): boolean
    setVersions(versions: Versions): void
    setSupportAuthenticationProtocol(supported: boolean): void
    send<T extends object>(exchange: {
      readonly request: Request
      readonly response: Response<T>
      readonly logResponseError: boolean
    }): Promise<T>
    rejectRequests(error: Error): void
    disconnect(): Promise<boolean>
  }
}

declare module 'kafkajs/src/network/socketFactory.js' {
  import type { Socket } from 'node:net'
  export default function createSocketFactory(): (to: {
    readonly host: string
    readonly port: number
    /** Options of a TLS connection; null for none. */
    readonly ssl: unknown
    readonly onConnect: () => void
  }) => Socket
}

declare module 'kafkajs/src/protocol/encoder.js' {
  export default class Encoder {
    writeBuffer(bytes: Buffer): this
  }
}

declare module 'kafkajs/src/protocol/error.js' {
  const error: { createErrorFromCode(code: number): Error & { readonly type: string } }
  export default error
}
