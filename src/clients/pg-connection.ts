import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import type * as pg from 'pg'
import { backendAt, call } from './call.ts'

// Loaded by the first connection: a configuration without this kind does not pay its memory.
const load = createRequire(import.meta.url)
export const library = (): typeof pg => load('pg')

/** Values as the server prints them. */
export const AS_TEXT = { getTypeParser: () => (text: string) => text }

/** The server has answered, and refused a statement or given it up; the connection goes on. */
export class StatementError extends Error {}

/** One connection that speaks PostgreSQL's protocol, opened by the first use and anew by the first after a loss. */
export interface PgConnection {
  /** `request` is for messages. Errors name the backend and the request; a refusal is a `StatementError`. */
  run<T>(request: string, signal: AbortSignal, work: (client: pg.Client) => Promise<T>): Promise<T>
  /** Ends the connection at once, without a word to a server that may not listen. */
  drop(): void
  close(): void
}

interface Session {
  readonly client: pg.Client
  readonly socket: Socket
}

/** `url` is asked for each connection, so that a rotated secret counts. `name`: of the backend, for messages. */
export function pgConnection(name: string, url: () => string): PgConnection {
  let session: Session | undefined
  let backend = name

  function drop(): void {
    session?.socket.destroy()
    session = undefined
  }

  async function connected(signal: AbortSignal): Promise<pg.Client> {
    if (session) return session.client
    const given = url()
    backend = backendAt(name, given)
    const opening = newSession(given)
    session = opening
    // Emitted whenever the connection ends, even between two runs; without a listener it would end the process.
    opening.client.on('error', () => {
      if (session === opening) drop()
    })
    try {
      await call({ backend, request: 'connect', signal, release: drop }, () => opening.client.connect())
    } catch (error) {
      drop()
      throw error
    }
    return opening.client
  }

  return {
    async run(request, signal, work) {
      const client = await connected(signal)
      try {
        return await call({ backend, request, signal, release: drop }, () => work(client))
      } catch (error) {
        if (error instanceof Error && isRefusal(error.cause)) {
          throw new StatementError(error.message, { cause: error.cause })
        }
        throw error
      }
    },
    drop,
    close() {
      session?.client.end().catch(() => {})
      // A server that hangs would keep a connection that waits for its goodbye.
      session?.socket.destroySoon()
      session = undefined
    },
  }
}

// Class 57P is said to all of a server's connections, when it ends them.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
const isRefusal = (cause: unknown): boolean =>
  cause instanceof library().DatabaseError && !cause.code?.startsWith('57P')

function newSession(url: string): Session {
  const connection = new URL(url)
  if (!connection.searchParams.has('application_name')) {
    connection.searchParams.set('application_name', 'cdc-exporter')
  }
  const socket = new Socket()
  const client = new (library().Client)({
    connectionString: connection.href,
    stream: () => socket,
    keepAlive: true,
  })
  return { client, socket }
}
