import { join } from 'node:path'
import { createClient } from 'redis'
import { reservePort } from '../ports.ts'
import { ANSWER_MS, TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

export interface RedisOptions {
  /** Existing folder for its data; a temporary one where absent. */
  readonly folder?: string
  /** Asked of every client; none where absent. */
  readonly password?: string
}

export interface RedisPart extends ProcessPart {
  readonly port: number
  /** With the password in it. */
  readonly url: string
}

/** Debian's Redis on loopback. Nothing is kept on disk: after a restart it is empty. */
export async function startRedis({ folder, password }: RedisOptions = {}): Promise<RedisPart> {
  const data = dataFolder('redis', folder)
  const port = await reservePort()
  const url = `redis://${password === undefined ? '' : `:${encodeURIComponent(password)}@`}127.0.0.1:${port}`
  const process = new TestbedProcess({
    name: 'redis',
    command: 'redis-server',
    args: [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', data.path, '--daemonize', 'no'],
      ...['--save', '', '--appendonly', 'no'],
      ...(password === undefined ? [] : ['--requirepass', password]),
    ],
    logFile: join(data.path, 'redis.log'),
    ready: () => answersPing(url),
  })
  const part = await startProcessPart(process, data)
  return { ...part, port, url }
}

async function answersPing(url: string): Promise<boolean> {
  const client = createClient({ url, socket: { reconnectStrategy: false, socketTimeout: ANSWER_MS } })
  // Without a listener the client throws what `connect` rejects with anyway.
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.ping()) === 'PONG'
  } finally {
    client.destroy()
  }
}
