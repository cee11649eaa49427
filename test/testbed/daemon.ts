import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { readExposition, type Sample } from './exposition-text.ts'
import { etlApp, type Pipeline } from './pipeline.ts'
import { reservePort } from './ports.ts'
import { TestbedProcess } from './process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from './process-part.ts'

export interface DaemonOptions {
  /** The configuration as an object; `web.listen` is added. */
  readonly config: Readonly<Record<string, unknown>>
  /** Existing folder for the configuration and the log; a temporary one where absent. */
  readonly folder?: string
}

export interface DaemonPart extends ProcessPart {
  readonly url: string
  /** The YAML file that it runs on. */
  readonly configFile: string
  /** `GET /metrics`, read whole. */
  scrape(): Promise<readonly Sample[]>
  /** `GET /health`. */
  health(): Promise<Health>
}

interface Health {
  readonly status: 'healthy' | 'degraded' | 'unhealthy'
  readonly checks: Readonly<Record<string, { readonly status: string; readonly message: string }>>
}

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** `cdc-exporter run` in a process of its own. Resolves when `/health/ready` says so. */
export async function startDaemon({ config, folder }: DaemonOptions): Promise<DaemonPart> {
  const data = dataFolder('daemon', folder)
  const url = `http://127.0.0.1:${await reservePort()}`
  const configFile = join(data.path, 'cdc-exporter.yaml')
  writeFileSync(configFile, stringify({ ...config, web: { ...webOf(config), listen: new URL(url).host } }))
  const daemon = new TestbedProcess({
    name: 'cdc-exporter',
    command: process.execPath,
    args: [main, 'run', '--config', configFile],
    cwd: data.path,
    logFile: join(data.path, 'cdc-exporter.log'),
    ready: async (signal) => (await fetch(`${url}/health/ready`, { signal })).ok,
  })
  const part = await startProcessPart(daemon, data)
  return {
    ...part,
    url,
    configFile,
    scrape: async () => readExposition(await (await get(`${url}/metrics`)).text()).samples,
    health: async () => (await (await get(`${url}/health`)).json()) as Health,
  }
}

function webOf({ web }: Readonly<Record<string, unknown>>): object {
  return typeof web === 'object' && web !== null ? web : {}
}

async function get(address: string): Promise<Response> {
  const response = await fetch(address, { signal: AbortSignal.timeout(60_000) })
  if (!response.ok) throw new Error(`${address} answered ${response.status}: ${await response.text()}`)
  return response
}

/** A collector's entry for each part of the pipeline; what is common to them (`interval`) goes into `defaults`. */
export function collectorsOf(pipeline: Pipeline): readonly Readonly<Record<string, unknown>>[] {
  const { kafka, connect, postgres, clickhouse, redis, pm2 } = pipeline
  return [
    { kind: 'kafka', target: 'erp', brokers: kafka.bootstrap },
    { kind: 'connect', target: 'erp', urls: connect.url },
    { kind: 'postgresql', target: 'erp', url: postgres.url('erp') },
    { kind: 'clickhouse', target: 'erp', url: clickhouse.url, database: 'erp' },
    { kind: 'redis', target: 'erp', url: redis.url, queues: ['votes'] },
    { kind: 'pm2', target: 'erp', home: pm2.home, expect: { [etlApp]: 1 } },
  ]
}
