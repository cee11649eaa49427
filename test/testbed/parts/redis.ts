import { readFileSync } from 'node:fs'
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
  /** A configuration that it may rewrite: it is a Sentinel. */
  readonly sentinelFile?: string
  /** It is a node of a cluster: its bus gets a port of its own, where its default would be anybody's. */
  readonly cluster?: boolean
  /** As in `redis.conf`, by their names. */
  readonly settings?: Readonly<Record<string, string>>
  /** Files in PEM. It takes connections over TLS only, of clients with a certificate of `ca`. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string }
}

export interface RedisPart extends ProcessPart {
  readonly port: number
  /** Of the cluster's bus, for CLUSTER MEET; undefined where it is no node of a cluster. */
  readonly busPort: number | undefined
  /** With the password in it. */
  readonly url: string
}

/** Debian's Redis on loopback. Nothing is kept on disk: after a restart it is empty. */
export async function startRedis({
  folder,
  password,
  settings,
  sentinelFile,
  cluster = false,
  tls,
}: RedisOptions = {}): Promise<RedisPart> {
  const data = dataFolder('redis', folder)
  const port = await reservePort()
  const busPort = cluster ? await reservePort() : undefined
  const credentials = password === undefined ? '' : `:${encodeURIComponent(password)}@`
  const url = `redis${tls ? 's' : ''}://${credentials}127.0.0.1:${port}`
  const ports: Record<string, string> = tls
    ? {
        port: '0',
        'tls-port': String(port),
        'tls-ca-cert-file': tls.ca,
        'tls-cert-file': tls.cert,
        'tls-key-file': tls.key,
      }
    : { port: String(port) }
  const bus: Record<string, string> =
    busPort === undefined ? {} : { 'cluster-enabled': 'yes', 'cluster-port': String(busPort) }
  const process = new TestbedProcess({
    name: 'redis',
    command: 'redis-server',
    args: [
      ...(sentinelFile === undefined ? [] : [sentinelFile, '--sentinel']),
      ...['--bind', '127.0.0.1', '--dir', data.path, '--daemonize', 'no', '--save', '', '--appendonly', 'no'],
      ...Object.entries({ ...ports, ...bus, ...settings }).flatMap(([name, value]) => [`--${name}`, value]),
      ...(password === undefined ? [] : ['--requirepass', password]),
    ],
    logFile: join(data.path, 'redis.log'),
    ready: () => answersPing(url, tls),
  })
  const part = await startProcessPart(process, data)
  return { ...part, port, busPort, url }
}

async function answersPing(url: string, tls: RedisOptions['tls']): Promise<boolean> {
  const certificates = tls && {
    tls: true as const,
    ca: readFileSync(tls.ca),
    cert: readFileSync(tls.cert),
    key: readFileSync(tls.key),
    checkServerIdentity: () => undefined,
  }
  const client = createClient({
    url,
    socket: { reconnectStrategy: false, socketTimeout: ANSWER_MS, ...certificates },
  })
  // Without a listener the client throws what `connect` rejects with anyway.
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.ping()) === 'PONG'
  } finally {
    client.destroy()
  }
}
