import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { Kafka, logLevel } from 'kafkajs'
import { kafkaClassPath, kafkaFormat, kafkaJava } from '../java.ts'
import type { Part } from '../part.ts'
import { reservePort } from '../ports.ts'
import { ANSWER_MS, TestbedProcess } from '../process.ts'
import { type DataFolder, dataFolder, type ProcessPart, processPart } from '../process-part.ts'

const run = promisify(execFile)

export interface KafkaOptions {
  /** Existing folder for its data; a temporary one where absent. */
  readonly folder?: string
  /** Brokers, each of them a KRaft controller too; 1 where absent. */
  readonly nodes?: number
  /** Of each broker, such as `1g`, with the compiler and collector that Java itself chooses; small and cheap where absent. */
  readonly heap?: string
  /** By name, in lower case. */
  readonly secured?: Readonly<Record<string, SecuredListener>>
  /** Users of SCRAM, as `kafka-storage.sh format --add-scram` takes them. */
  readonly scramUsers?: readonly string[]
  /** Options of Java for each broker, besides those of every part. */
  readonly java?: readonly string[]
  /** Kafka's settings of each broker, besides those of every part. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A listener beside the plain one. */
interface SecuredListener {
  readonly protocol: 'SSL' | 'SASL_SSL' | 'SASL_PLAINTEXT'
  /** What clients are told to connect to: `localhost` or `127.0.0.1`; at another address nobody listens. */
  readonly host: string
  /** Kafka's settings of it, without the prefix `listener.name.<name>.`. */
  readonly settings: Readonly<Record<string, string | number>>
}

export interface KafkaPart extends Part {
  /** `host:port` of every broker's plain listener, separated by commas. */
  readonly bootstrap: string
  /** The same for each secured listener, by its name. */
  readonly secured: ReadonlyMap<string, string>
  /** One part for each node, in the order of node ids from 1. */
  readonly brokers: readonly ProcessPart[]
  /** Where all it writes is. */
  readonly folder: string
  /** Standard output of Kafka's own `kafka-consumer-groups.sh` with these arguments; `--bootstrap-server` is added. */
  consumerGroups(args: readonly string[]): Promise<string>
  /** Stops it and deletes its data, unless the caller gave the folder. */
  remove(): Promise<void>
}

interface Node {
  readonly id: number
  readonly port: number
  readonly controllerPort: number
  /** By the listener's name. */
  readonly securedPorts: ReadonlyMap<string, number>
}

/** Kafka in KRaft mode on loopback. Topics are not created by writing to them. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaPart> {
  const { folder, nodes: count = 1, secured = {} } = options
  const data = dataFolder('kafka', folder)
  const nodes: Node[] = []
  for (let id = 1; id <= count; id++) {
    const securedPorts = new Map<string, number>()
    for (const name of Object.keys(secured)) securedPorts.set(name, await reservePort())
    nodes.push({ id, port: await reservePort(), controllerPort: await reservePort(), securedPorts })
  }
  const bootstrap = nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')
  const clusterId = randomId()
  await Promise.all(nodes.map((node) => format(node, nodes, data, clusterId, options)))
  const brokers = nodes.map((node) => brokerPart(node, data, count, options))
  const all = async (action: (broker: ProcessPart) => Promise<void>) => {
    await Promise.all(brokers.map(action))
  }

  const part: KafkaPart = {
    name: 'kafka',
    bootstrap,
    secured: new Map(
      Object.entries(secured).map(([name, { host }]) => [
        name,
        nodes.map(({ securedPorts }) => `${host}:${securedPorts.get(name)}`).join(','),
      ]),
    ),
    brokers,
    folder: data.path,
    logFile: join(data.path, 'kafka-1.log'),
    start: () => all((broker) => broker.start()),
    stop: () => all((broker) => broker.stop()),
    kill: () => all((broker) => broker.kill()),
    freeze: () => brokers.forEach((broker) => void broker.freeze()),
    thaw: () => brokers.forEach((broker) => void broker.thaw()),
    async remove() {
      await part.stop()
      data.remove()
    },
    async consumerGroups(args) {
      const { stdout } = await java([
        'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
        ...['--bootstrap-server', bootstrap],
        ...args,
      ])
      return stdout
    },
  }
  try {
    await part.start()
  } catch (error) {
    await all((broker) => broker.kill())
    throw error
  }
  return part
}

function java(args: readonly string[]): Promise<{ stdout: string }> {
  return run('java', [...kafkaJava(), ...args])
}

function nodeFolder(id: number, data: DataFolder): string {
  return join(data.path, `node-${id}`)
}

/** Writes the node's settings and makes its log folder, which keeps the identity of the cluster. */
async function format(
  node: Node,
  nodes: readonly Node[],
  data: DataFolder,
  clusterId: string,
  { secured = {}, scramUsers = [], settings: more = {} }: KafkaOptions,
) {
  const folder = nodeFolder(node.id, data)
  const file = join(folder, 'server.properties')
  const logs = join(folder, 'logs')
  const meta = join(logs, 'meta.properties')
  mkdirSync(folder, { recursive: true })
  writeFileSync(file, properties({ ...settings(node, nodes, logs, secured), ...more }))
  if (existsSync(meta)) return
  if (scramUsers.length > 0 || !existsSync(kafkaFormat)) {
    await java([
      ...['kafka.tools.StorageTool', 'format', `--cluster-id=${clusterId}`, '-c', file],
      ...scramUsers.flatMap((user) => ['--add-scram', user]),
    ])
    return
  }
  // As the tool does it, without another Java.
  mkdirSync(logs, { recursive: true })
  copyFileSync(kafkaFormat, join(logs, basename(kafkaFormat)))
  const identity = { 'cluster.id': clusterId, 'node.id': node.id, 'directory.id': randomId() }
  writeFileSync(meta, properties({ version: 1, ...identity }))
}

const randomId = () => randomBytes(16).toString('base64url')

function settings(
  { id, port, controllerPort, securedPorts }: Node,
  nodes: readonly Node[],
  logs: string,
  secured: NonNullable<KafkaOptions['secured']>,
) {
  const replicas = Math.min(nodes.length, 3)
  const listeners = Object.entries(secured).map(([name, listener]) => ({
    ...listener,
    name,
    label: name.toUpperCase(),
    port: securedPorts.get(name),
  }))
  return {
    'node.id': id,
    'process.roles': 'broker,controller',
    'controller.quorum.voters': nodes.map((node) => `${node.id}@127.0.0.1:${node.controllerPort}`).join(','),
    'controller.listener.names': 'CONTROLLER',
    listeners: [
      `PLAINTEXT://127.0.0.1:${port}`,
      `CONTROLLER://127.0.0.1:${controllerPort}`,
      ...listeners.map((listener) => `${listener.label}://127.0.0.1:${listener.port}`),
    ].join(','),
    'advertised.listeners': [
      `PLAINTEXT://127.0.0.1:${port}`,
      ...listeners.map((listener) => `${listener.label}://${listener.host}:${listener.port}`),
    ].join(','),
    'listener.security.protocol.map': [
      'PLAINTEXT:PLAINTEXT',
      'CONTROLLER:PLAINTEXT',
      ...listeners.map(({ label, protocol }) => `${label}:${protocol}`),
    ].join(','),
    'inter.broker.listener.name': 'PLAINTEXT',
    ...Object.fromEntries(
      listeners.flatMap(({ name, settings }) =>
        Object.entries(settings).map(([key, value]) => [`listener.name.${name}.${key}`, value]),
      ),
    ),
    'log.dirs': logs,
    'auto.create.topics.enable': false,
    'default.replication.factor': replicas,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.num.partitions': 1,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    // A consumer of the new protocol that was killed is gone after 45 s by default.
    'group.consumer.min.session.timeout.ms': 5_000,
    'group.consumer.session.timeout.ms': 6_000,
    'group.consumer.min.heartbeat.interval.ms': 1_000,
    'group.consumer.heartbeat.interval.ms': 1_000,
    'broker.heartbeat.interval.ms': 500,
    // The default wants 128 MB, which is half of the heap.
    'log.cleaner.dedupe.buffer.size': 4_194_304,
  }
}

/** The text of a Java properties file. */
export function properties(settings: Readonly<Record<string, string | number | boolean>>): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

function brokerPart(
  { id, port }: Node,
  data: DataFolder,
  count: number,
  { heap, java: options = [] }: KafkaOptions,
): ProcessPart {
  return processPart(
    new TestbedProcess({
      name: `kafka-${id}`,
      command: 'java',
      args: [
        ...(heap === undefined ? kafkaJava() : [`-Xmx${heap}`, '-Dlog4j2.level=WARN', '-cp', kafkaClassPath]),
        ...options,
        ...['kafka.Kafka', join(nodeFolder(id, data), 'server.properties')],
      ],
      logFile: join(data.path, `kafka-${id}.log`),
      ready: () => knowsBrokers(`127.0.0.1:${port}`, count),
    }),
    { path: nodeFolder(id, data), remove: () => {} },
  )
}

/** Whether this broker answers a metadata request with more than half of the brokers: one may be down. */
async function knowsBrokers(broker: string, count: number): Promise<boolean> {
  const kafka = new Kafka({
    clientId: 'testbed',
    brokers: [broker],
    logLevel: logLevel.NOTHING,
    connectionTimeout: ANSWER_MS,
    requestTimeout: ANSWER_MS,
    retry: { retries: 0 },
  })
  const admin = kafka.admin()
  try {
    await admin.connect()
    const { brokers } = await admin.describeCluster()
    return brokers.length > count / 2 && brokers.some(({ host, port }) => `${host}:${port}` === broker)
  } finally {
    await admin.disconnect()
  }
}
