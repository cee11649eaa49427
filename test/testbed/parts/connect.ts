import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jdbcSinkPath, kafkaJava, pluginPath } from '../java.ts'
import { reservePort } from '../ports.ts'
import { PATIENCE_MS, TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, processPart } from '../process-part.ts'
import { properties } from './kafka.ts'

export interface ConnectOptions {
  /** The `bootstrap` of a Kafka part. */
  readonly bootstrap: string
  /** Name of the Connect cluster, where one Kafka serves several; `connect` where absent. */
  readonly cluster?: string
  /** With Debezium's JDBC sink too. */
  readonly jdbcSink?: boolean
  /** How long a worker that has gone is waited for before others get its work: milliseconds; 0 where absent. */
  readonly rebalanceDelay?: number
  /** Options of Java, besides those of every part. */
  readonly java?: readonly string[]
  /** Existing folder for its log and settings; a temporary one where absent. */
  readonly folder?: string
}

/** `GET /connectors/{name}/status`. */
interface ConnectorStatus {
  readonly name: string
  readonly connector: { readonly state: string; readonly worker_id: string; readonly trace?: string }
  readonly tasks: readonly {
    readonly id: number
    readonly state: string
    readonly worker_id: string
    readonly trace?: string
  }[]
  readonly type: 'source' | 'sink'
}

export interface ConnectPart extends ProcessPart {
  /** Base URL of its REST interface. */
  readonly url: string
  /** Creates the connector, or changes it. */
  putConnector(name: string, config: Readonly<Record<string, string>>): Promise<void>
  deleteConnector(name: string): Promise<void>
  /** One request of Connect REST on a connector, such as `PUT` `/pause`; repeated while a rebalance is under way. */
  operate(name: string, method: 'POST' | 'PUT' | 'DELETE', path: string): Promise<void>
  /** Undefined while Connect does not know the connector, or not yet. */
  status(name: string): Promise<ConnectorStatus | undefined>
}

/** One distributed worker of Kafka Connect, with Debezium for PostgreSQL and Kafka's file connectors. */
export async function startConnect(options: ConnectOptions): Promise<ConnectPart> {
  const { folder } = options
  const data = dataFolder('connect', folder)
  const port = await reservePort()
  const url = `http://127.0.0.1:${port}`
  const file = join(data.path, 'connect.properties')
  writeFileSync(file, properties(settings(options, port)))
  const process = new TestbedProcess({
    name: 'connect',
    command: 'java',
    args: [
      ...kafkaJava(),
      ...(options.java ?? []),
      ...['org.apache.kafka.connect.cli.ConnectDistributed', file],
    ],
    logFile: join(data.path, 'connect.log'),
    ready: async (signal) => (await fetch(`${url}/connectors`, { signal })).ok,
  })
  await process.start()
  return {
    ...processPart(process, data),
    url,
    async putConnector(name, config) {
      await request('PUT', `${url}/connectors/${encodeURIComponent(name)}/config`, config)
    },
    async deleteConnector(name) {
      await request('DELETE', `${url}/connectors/${encodeURIComponent(name)}`)
    },
    async operate(name, method, path) {
      await request(method, `${url}/connectors/${encodeURIComponent(name)}${path}`)
    },
    async status(name) {
      const response = await fetch(`${url}/connectors/${encodeURIComponent(name)}/status`)
      if (response.status === 404) return undefined
      if (!response.ok) throw new Error(`Connect answered ${response.status} to the status of ${name}`)
      return (await response.json()) as ConnectorStatus
    },
  }
}

function settings(
  { bootstrap, cluster = 'connect', jdbcSink = false, rebalanceDelay = 0 }: ConnectOptions,
  port: number,
) {
  return {
    'bootstrap.servers': bootstrap,
    'group.id': cluster,
    'config.storage.topic': `${cluster}-configs`,
    'config.storage.replication.factor': 1,
    'offset.storage.topic': `${cluster}-offsets`,
    'offset.storage.partitions': 1,
    'offset.storage.replication.factor': 1,
    'status.storage.topic': `${cluster}-status`,
    'status.storage.partitions': 1,
    'status.storage.replication.factor': 1,
    'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'key.converter.schemas.enable': false,
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter.schemas.enable': false,
    // A worker that was killed holds its connectors until its session is over; the default is 10 s.
    'session.timeout.ms': 6_000,
    'heartbeat.interval.ms': 1_500,
    'offset.flush.interval.ms': 1_000,
    'scheduled.rebalance.max.delay.ms': rebalanceDelay,
    listeners: `http://127.0.0.1:${port}`,
    'rest.advertised.host.name': '127.0.0.1',
    'plugin.path': [pluginPath, ...(jdbcSink ? [jdbcSinkPath] : [])].join(','),
    'plugin.discovery': 'service_load',
  }
}

/** Repeats while a rebalance is under way, which Connect answers with 409. */
async function request(method: string, url: string, body?: unknown): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const response = await fetch(url, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (response.ok) return
    if (response.status !== 409 || performance.now() > deadline)
      throw new Error(`Connect answered ${response.status} to ${method} ${url}: ${text}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
