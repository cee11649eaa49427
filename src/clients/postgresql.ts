import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import type * as pg from 'pg'
import { backendAt, call } from './call.ts'

// Loaded by the first connection: a configuration without this kind does not pay its memory.
const load = createRequire(import.meta.url)
const library = (): typeof pg => load('pg')

export interface PostgresqlAddress {
  /** `postgresql://user:password@host:port/database`, with libpq's parameters. */
  readonly url: string
  /** Milliseconds after which the server itself gives a statement up. */
  readonly statementTimeout: number
}

/** Values as PostgreSQL prints them, so that no bigint, numeric or timestamp loses a digit; null for NULL. */
type PostgresqlRow = Readonly<Record<string, string | null>>

export interface PostgresqlReader {
  /** Runs one statement in a read-only session; `$1` is the first of `params`. One at a time. */
  query(sql: string, params: readonly unknown[], signal: AbortSignal): Promise<readonly PostgresqlRow[]>
  close(): void
}

interface Session {
  readonly client: pg.Client
  readonly socket: Socket
}

/**
 * Reads from one PostgreSQL database over one connection, which is opened by the first query and anew by the
 * first one after it was lost. `address` is asked for each connection, so that a rotated secret counts.
 */
export function connectPostgresql(address: () => PostgresqlAddress): PostgresqlReader {
  let session: Session | undefined
  let backend = 'postgresql'

  /** Ends the connection at once, without a word to a server that does not listen. */
  function drop(): void {
    session?.socket.destroy()
    session = undefined
  }

  async function connected(signal: AbortSignal): Promise<pg.Client> {
    if (session) return session.client
    const given = address()
    backend = backendAt('postgresql', given.url)
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
    async query(sql, params, signal) {
      const client = await connected(signal)
      const request = sql.trim().split(/\s+/).slice(0, 8).join(' ')
      return await call({ backend, request, signal, release: drop }, async () => {
        const { rows } = await client.query<PostgresqlRow>({ text: sql, values: [...params], types: AS_TEXT })
        return rows
      })
    },
    close() {
      session?.client.end().catch(() => {})
      // A server that hangs would keep a connection that waits for its goodbye.
      session?.socket.destroySoon()
      session = undefined
    },
  }
}

/** A name as SQL wants it, whatever is in it. */
export const quoteIdentifier = (name: string): string => library().escapeIdentifier(name)

const AS_TEXT = { getTypeParser: () => (text: string) => text }

function newSession({ url, statementTimeout }: PostgresqlAddress): Session {
  const connection = new URL(url)
  // Last, so that the URL's own options cannot take them back.
  const options = [
    connection.searchParams.get('options'),
    '-c default_transaction_read_only=on',
    `-c statement_timeout=${statementTimeout}`,
    // A timestamp without time zone means UTC: that is how Debezium reads it.
    '-c TimeZone=UTC',
  ]
  connection.searchParams.set('options', options.filter(Boolean).join(' '))
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
