import { type Answer, type Command, type RedisReader, RedisRefusal } from '../../clients/redis.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import type { Family } from '../../metrics/family.ts'
import * as metrics from './metrics.ts'

type Fields = ReadonlyMap<string, string>

const CONFIG = {
  maxclients: metrics.configMaxClients,
  maxmemory: metrics.configMaxMemory,
  'io-threads': metrics.configIoThreads,
} as const

/** What is asked beside INFO, and the families that are not known without it. */
const PARTS: readonly { readonly command: Command; readonly families: readonly Family[] }[] = [
  ...Object.entries(CONFIG).map(([name, family]) => ({
    command: ['CONFIG', 'GET', name] as const,
    families: [family],
  })),
  // Tells which databases there are beside those with keys.
  { command: ['CONFIG', 'GET', 'databases'], families: [metrics.dbKeys, metrics.dbKeysExpiring] },
  { command: ['SLOWLOG', 'LEN'], families: [metrics.slowlogLength] },
  { command: ['SLOWLOG', 'GET', '1'], families: [metrics.slowlogLastId, metrics.lastSlowDuration] },
  { command: ['LATENCY', 'LATEST'], families: [metrics.latencySpikeLast, metrics.latencySpikeDuration] },
]

const CLUSTER = {
  command: ['CLUSTER', 'INFO'] as const,
  families: metrics.clusterFields.map(({ family }) => family),
}

/** What one look at a server gave. */
export interface ServerReading {
  readonly info: Fields
  /** By the words of the command; none where the server does not have it. */
  readonly answers: ReadonlyMap<string, Answer>
  readonly refused: readonly {
    readonly request: string
    readonly cause: Error
    readonly families: readonly Family[]
  }[]
}

/** All that is known of the server, in one round trip. Rejects when it does not answer INFO. */
export async function readServer(redis: RedisReader, signal: AbortSignal): Promise<ServerReading> {
  const [all, ...others] = await redis.askServer(
    [['INFO', 'all'], ...PARTS.map(({ command }) => command)],
    signal,
  )
  if (all instanceof RedisRefusal) throw all
  const info = fieldsOf(String(all))
  const asked = [...PARTS]
  if (info.get('cluster_enabled') === '1') {
    asked.push(CLUSTER)
    others.push(...(await redis.askServer([CLUSTER.command], signal)))
  }
  const answers = new Map<string, Answer>()
  const refused: { request: string; cause: Error; families: readonly Family[] }[] = []
  for (const [i, { command, families }] of asked.entries()) {
    const answer = others[i]
    const request = command.join(' ')
    if (!(answer instanceof RedisRefusal)) answers.set(request, answer ?? null)
    // A server may do without the command, as many that are rented do.
    else if (!/unknown (sub)?command/i.test(answer.message))
      refused.push({ request, cause: answer, families })
  }
  return { info, answers, refused }
}

export function addServer(batch: SampleBatch, { info, answers, refused }: ServerReading): void {
  for (const { request, cause, families } of refused) batch.partFailed({ request }, cause, families)
  addFields(batch, info, metrics.infoFields)
  addFields(batch, fieldsOf(String(answers.get('CLUSTER INFO') ?? '')), metrics.clusterFields)
  addIdentity(batch, info)
  addReplication(batch, info)
  addDatabases(batch, info, configOf(answers, 'databases'))
  addCommands(batch, info)
  for (const [name, family] of Object.entries(CONFIG)) {
    const value = configOf(answers, name)
    if (value !== undefined) batch.add(family, {}, value)
  }
  addSlowlog(batch, answers)
  for (const spike of listOf(answers.get('LATENCY LATEST'))) {
    const [name, last, latest] = listOf(spike)
    batch.add(metrics.latencySpikeLast, { event_name: String(name) }, Number(last))
    batch.add(metrics.latencySpikeDuration, { event_name: String(name) }, Number(latest) / 1000)
  }
}

/** The lines `field:value` of INFO and CLUSTER INFO. */
export function fieldsOf(answer: string): Fields {
  const fields = new Map<string, string>()
  for (const [, name = '', value = ''] of answer.matchAll(/^([^#:\r\n]+):(.*?)\r?$/gm))
    fields.set(name, value)
  return fields
}

function addFields(batch: SampleBatch, fields: Fields, families: typeof metrics.infoFields): void {
  for (const { field, family, per } of families) {
    const value = numberOf(fields.get(field))
    if (value !== undefined) batch.add(family, {}, value / per)
  }
}

/** A number, or `ok` and `err` as 1 and 0; undefined for any other text. */
function numberOf(text: string | undefined): number | undefined {
  if (text === 'ok') return 1
  if (text === 'err' || text === 'fail') return 0
  const value = text === undefined || text === '' ? Number.NaN : Number(text)
  return Number.isNaN(value) ? undefined : value
}

function addIdentity(batch: SampleBatch, info: Fields): void {
  const text = (field: string) => info.get(field) ?? ''
  batch.add(
    metrics.instanceInfo,
    {
      role: text('role'),
      redis_version: text('redis_version'),
      redis_build_id: text('redis_build_id'),
      redis_mode: text('redis_mode'),
      os: text('os'),
      maxmemory_policy: text('maxmemory_policy'),
      tcp_port: text('tcp_port'),
      run_id: text('run_id'),
      process_id: text('process_id'),
    },
    1,
  )
  const now = numberOf(info.get('server_time_usec'))
  const uptime = numberOf(info.get('uptime_in_seconds'))
  if (now !== undefined && uptime !== undefined)
    batch.add(metrics.startTime, {}, Math.floor(now / 1e6) - uptime)
}

function addReplication(batch: SampleBatch, info: Fields): void {
  const master = { master_host: info.get('master_host') ?? '', master_port: info.get('master_port') ?? '' }
  const link = info.get('master_link_status')
  if (info.get('role') === 'slave')
    batch.add(metrics.slaveInfo, { ...master, read_only: info.get('slave_read_only') ?? '' }, 1)
  if (link !== undefined) batch.add(metrics.masterLinkUp, master, Number(link === 'up'))
  for (const [field, family] of Object.entries(metrics.masterFields)) {
    const value = numberOf(info.get(field))
    if (value !== undefined) batch.add(family, master, value)
  }
  for (const [field, line] of info) {
    if (!/^slave\d+$/.test(field)) continue
    const { ip, port, state, offset, lag } = pairsOf(line)
    const replica = { slave_ip: ip ?? '', slave_port: port ?? '', slave_state: state ?? '' }
    if (offset !== undefined) batch.add(metrics.connectedSlaveOffset, replica, Number(offset))
    if (lag !== undefined && Number(lag) >= 0) batch.add(metrics.connectedSlaveLag, replica, Number(lag))
  }
}

function addDatabases(batch: SampleBatch, info: Fields, count: number | undefined): void {
  const withKeys = [...info].filter(([field]) => /^db\d+$/.test(field))
  for (const [db, line] of withKeys) {
    const { keys, expires, avg_ttl: ttl } = pairsOf(line)
    batch.add(metrics.dbKeys, { db }, Number(keys))
    batch.add(metrics.dbKeysExpiring, { db }, Number(expires))
    if (ttl !== undefined) batch.add(metrics.dbAvgTtl, { db }, Number(ttl) / 1000)
  }
  const databases = info.get('cluster_enabled') === '1' ? 1 : (count ?? 0)
  for (let i = 0; i < databases; i++) {
    const db = `db${i}`
    if (info.has(db)) continue
    batch.add(metrics.dbKeys, { db }, 0)
    batch.add(metrics.dbKeysExpiring, { db }, 0)
  }
}

function addCommands(batch: SampleBatch, info: Fields): void {
  for (const [field, line] of info) {
    const [, kind, name = ''] = /^(cmdstat|errorstat|latency_percentiles_usec)_(.+)$/.exec(field) ?? []
    if (!kind) continue
    const values = pairsOf(line)
    if (kind === 'errorstat') batch.add(metrics.errors, { err: name }, Number(values.count))
    else if (kind === 'cmdstat') addCommand(batch, name, values)
    else {
      for (const [percentile, value] of Object.entries(values)) {
        const labels = { cmd: name, quantile: percentile.replace(/^p/, '') }
        batch.add(metrics.latencyPercentiles, labels, Number(value))
      }
    }
  }
}

function addCommand(batch: SampleBatch, cmd: string, values: Readonly<Record<string, string>>): void {
  const { calls, usec, rejected_calls: rejected, failed_calls: failed } = values
  batch.add(metrics.commands, { cmd }, Number(calls))
  batch.add(metrics.commandsDuration, { cmd }, Number(usec) / 1e6)
  // Since Redis 6.2.
  if (rejected !== undefined) batch.add(metrics.commandsRejected, { cmd }, Number(rejected))
  if (failed !== undefined) batch.add(metrics.commandsFailed, { cmd }, Number(failed))
}

function addSlowlog(batch: SampleBatch, answers: ReadonlyMap<string, Answer>): void {
  const length = answers.get('SLOWLOG LEN')
  if (typeof length === 'number') batch.add(metrics.slowlogLength, {}, length)
  const entries = answers.get('SLOWLOG GET 1')
  if (entries === undefined) return
  const [id, , microseconds] = listOf(listOf(entries)[0])
  batch.add(metrics.slowlogLastId, {}, Number(id ?? 0))
  batch.add(metrics.lastSlowDuration, {}, Number(microseconds ?? 0) / 1e6)
}

/** Of an answer to CONFIG GET: name and value by turns. */
function configOf(answers: ReadonlyMap<string, Answer>, name: string): number | undefined {
  const [, value] = listOf(answers.get(`CONFIG GET ${name}`))
  return value === undefined ? undefined : numberOf(String(value))
}

/** `keys=7,expires=1` → its pairs. */
function pairsOf(line: string): Readonly<Record<string, string>> {
  return Object.fromEntries(line.split(',').map((pair) => pair.split('=', 2)))
}

const listOf = (answer: Answer | undefined): readonly Answer[] => (Array.isArray(answer) ? answer : [])
