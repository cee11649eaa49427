import { COMMIT_LOG } from '../../clients/kafka/commit-log.ts'
import { parseAddress } from '../../clients/kafka/connection.ts'
import { DEAD_LETTER_HEADERS, readDeadLetter } from '../../clients/kafka/dead-letter.ts'
import { type GroupsReading, type KafkaPass, KafkaReader, type Offsets } from '../../clients/kafka/reader.ts'
import { securityOf } from '../../clients/kafka/security.ts'
import type { Clock } from '../../clock.ts'
import {
  type CollectorContext,
  defineCollector,
  type SampleBatch,
  seconds,
} from '../../collection/collector.ts'
import type { Health, LastRun } from '../../collection/health.ts'
import { type NamedTable, tableByRule } from '../../config/kafka.ts'
import { Distribution } from '../../metrics/distribution.ts'
import { checks } from './checks.ts'
import { Commits } from './commits.ts'
import { type SyncSettings, syncSettings } from './config.ts'
import { readEnvelope, UNKNOWN } from './envelope.ts'
import { ErrorRates } from './error-rates.ts'
import { errorTypeOf } from './error-types.ts'
import { details, healthOf } from './health.ts'
import { Ledger, nameOf, type Table } from './ledger.ts'
import { type Bounds, type Portion, readLogs, type Stretch } from './logs.ts'
import * as metrics from './metrics.ts'
import { type Jobs, Others } from './others.ts'

/** What of the changes in Kafka has reached the sink, table by table. Joins no group, commits nothing. */
export const sync = defineCollector({
  kind: 'sync',
  health: { key: 'sync_jobs', title: 'Sync', details },
  settings: syncSettings,
  families: Object.values(metrics),
  defaults: { interval: seconds(15), timeout: seconds(10) },
  checks,
  create(settings, context) {
    const { clock, timeout } = context
    const reader = new KafkaReader({
      seeds: settings.brokers.map(parseAddress),
      security: securityOf(settings, settings.broker_timeout, clock),
      brokerTimeout: settings.broker_timeout,
    })
    const work = new Sync(settings, context)
    return {
      start: async () => work.load(),
      async collect(batch, signal) {
        const until = clock.monotonic() + timeout / 2
        await work.run(batch, await reader.pass(signal), () => clock.monotonic() > until)
      },
      health: (last) => work.health(last),
      stop: async () => reader.close(),
    }
  },
})

/** A topic that is read, and whose it is. */
interface Followed extends NamedTable {
  readonly name: string
  readonly id: string
  /** By partition; -1 for none. */
  readonly leaders: readonly number[]
  readonly isDeadLetters: boolean
}

/** How far the group that is behind most has come in a partition. */
interface Committed {
  readonly group: string
  readonly offset: number
}

/** What one pass found before it reads. */
interface Reading {
  readonly pass: KafkaPass
  readonly groups: GroupsReading
  readonly topics: readonly Followed[]
  readonly starts: Offsets
  /** Where records end whose transactions are decided. */
  readonly ends: Offsets
  isLate(): boolean
}

/** The operations that a table has from the beginning, so that their first increase is seen. */
const USUAL_OPERATIONS = ['insert', 'update', 'delete']

const DEAD_LETTER_BOUNDS = { records: 1_000, bytes: 4 * 1024 * 1024 }
const COMMIT_BOUNDS = { records: 100_000, bytes: 4 * 1024 * 1024 }

class Sync {
  readonly #settings: SyncSettings
  readonly #clock: Clock
  readonly #ledger: Ledger
  readonly #commits = new Commits()
  readonly #others: Others
  readonly #errorRates = new ErrorRates()
  /** As of the last run. */
  #jobs: Jobs | undefined
  /** By table: how many were processed at the last run that could tell. */
  readonly #rates = new Map<string, { total: number; at: number }>()

  constructor(settings: SyncSettings, context: CollectorContext) {
    this.#settings = settings
    this.#clock = context.clock
    this.#ledger = new Ledger(context.state, settings.topics.map(({ match }) => match.source).join('\n'))
    this.#others = new Others(settings, context)
  }

  load(): void {
    this.#ledger.load()
  }

  async run(batch: SampleBatch, pass: KafkaPass, isLate: () => boolean): Promise<void> {
    const topics = this.#follow(batch, pass)
    const names = new Set([...topics.map(({ name }) => name), COMMIT_LOG])
    const groups = await pass.groups((group) => this.#settings.groups.some((match) => match.test(group)))
    // Ends are read after commits: the commit log then has what was committed.
    const [starts, ends] = await Promise.all([
      pass.offsets((topic) => names.has(topic), 'start'),
      pass.offsets((topic) => names.has(topic), 'stable'),
    ])
    const reading: Reading = { pass, groups, topics, starts, ends, isLate }
    const doubtful = new Set<string>()

    await this.#readCommits(batch, reading)
    await this.#countProcessed(batch, reading, doubtful)
    await this.#countFailed(batch, reading)
    const withCheckpoints = this.#others.countCheckpoints(this.#ledger)
    this.#forget(reading, withCheckpoints)
    // What is shown is kept before: no count goes back by a crash.
    this.#ledger.save()

    const tables = new Map(
      topics.filter((topic) => !topic.isDeadLetters).map((topic) => [nameOf(topic), topic]),
    )
    for (const topic of tables.values()) {
      const table = this.#ledger.find(topic)
      if (table) this.#writeTable(batch, table, doubtful.has(nameOf(table)))
    }
    const followed = new Set([...topics, NO_TABLE].map(nameOf))
    for (const table of this.#ledger.tables) {
      if (!followed.has(nameOf(table))) continue
      const { tenant, table: name } = table
      for (const [error_type, count] of table.failed) {
        batch.add(metrics.failed, { table: name, tenant, error_type }, count)
      }
    }
    for (const named of withCheckpoints) {
      const { tenant, table, checkpoints } = this.#ledger.table(named)
      batch.add(metrics.checkpointsCompleted, { table, tenant }, checkpoints.completed)
      batch.add(metrics.checkpointsFailed, { table, tenant }, checkpoints.failed)
    }
    this.#writeLags(batch, reading)
    this.#jobs = this.#others.jobs()
    if (this.#jobs?.isWhole) {
      batch.add(metrics.activeJobs, {}, this.#jobs.all.filter(({ isActive }) => isActive).length)
      batch.add(metrics.errorJobs, {}, this.#jobs.all.filter(({ isWrong }) => isWrong).length)
    }
    this.#errorRates.observe(this.#ledger.tables, this.#clock.monotonic())
  }

  health(last: LastRun): Health {
    return healthOf(last, this.#jobs, (tables) => this.#errorRates.of(new Set(tables.map(nameOf))))
  }

  /** Topics of tables and of dead letters, in the order of the metadata. */
  #follow(batch: SampleBatch, { metadata }: KafkaPass): Followed[] {
    const named = this.#others.deadLetterTopics()
    return metadata.topics.flatMap(({ name, id = '', error, partitions }) => {
      if (name.startsWith('__')) return []
      const byName = tableByRule(this.#settings.dead_letters, name)
      const isDeadLetters = byName !== undefined || named.has(name)
      const found = isDeadLetters ? (byName ?? NO_TABLE) : tableByRule(this.#settings.topics, name)
      if (!found) return []
      const { tenant, table } = found
      if (error !== 0) {
        batch.partFailed(
          { tenant, table },
          new Error(`Metadata gives no partitions of ${name} (error ${error})`),
        )
        return []
      }
      const leaders = partitions.map(({ leader }) => leader)
      return [{ name, id, tenant, table, leaders, isDeadLetters }]
    })
  }

  async #readCommits(batch: SampleBatch, reading: Reading): Promise<void> {
    const { pass, groups, topics, starts, ends } = reading
    const tables = new Map(
      topics.filter(({ isDeadLetters }) => !isDeadLetters).map((topic) => [topic.name, topic]),
    )
    const names = new Set(groups.groups.map(({ group }) => group))
    const move = (partition: number, offset: number) => this.#ledger.move(COMMIT_LOG, partition, offset)
    const stretches = this.#commits.stretches(
      pass,
      [...names],
      ends,
      (partitions, id) => this.#ledger.position(COMMIT_LOG, id, partitions).next,
      move,
    )
    await this.#commits.read(pass, starts, stretches, bounded(COMMIT_BOUNDS, reading), {
      wants: (group, topic) => names.has(group) && tables.has(topic),
      stepped: (topic, offsets) => {
        const named = tables.get(topic)
        if (named) this.#ledger.table(named).batchSize.observe(offsets)
      },
      moved: move,
      failed: (_, cause) =>
        batch.partFailed({ topic: COMMIT_LOG }, cause, [metrics.latency, metrics.batchSize]),
    })
  }

  /** `doubtful` takes the tables of which not all that was committed could be counted. */
  async #countProcessed(batch: SampleBatch, reading: Reading, doubtful: Set<string>): Promise<void> {
    const { pass, groups, starts } = reading
    const topics = new Map(
      reading.topics.filter(({ isDeadLetters }) => !isDeadLetters).map((topic) => [topic.name, topic]),
    )
    const fail = (topic: Followed, cause: unknown) => {
      doubtful.add(nameOf(topic))
      const { tenant, table } = topic
      batch.partFailed({ tenant, table }, cause, [metrics.throughput])
    }
    const [failedGroup] = groups.failed
    if (failedGroup) {
      // It may be the one that is behind most.
      const [consumergroup, cause] = failedGroup
      batch.partFailed({ consumergroup }, cause, [metrics.throughput])
      for (const topic of topics.values()) doubtful.add(nameOf(topic))
      return
    }
    if (groups.groups.length === 0) return
    const committed = slowest(groups)
    const stretches: Stretch[] = []
    for (const topic of topics.values()) {
      if (!this.#ledger.find(topic)) this.#ledger.table(topic)
      const unknown = this.#toRead(topic, reading, committed.get(topic.name) ?? [], stretches)
      if (unknown !== undefined) fail(topic, unknown)
    }
    const failed = ({ topic: name }: Stretch, cause: unknown) => {
      const topic = topics.get(name)
      if (topic) fail(topic, cause)
    }
    const bounds = bounded(this.#settings.read, reading)
    for await (const portion of readLogs(pass, starts, stretches, NO_HEADERS, bounds, failed)) {
      const topic = topics.get(portion.topic)
      const group = committed.get(portion.topic)?.[portion.partition]?.group ?? ''
      if (topic) this.#countPortion(topic, portion, group)
    }
    for (const { topic, partition, to } of stretches) {
      const group = committed.get(topic)?.[partition]?.group ?? ''
      const next = this.#ledger.position(topic, topics.get(topic)?.id ?? '', 0).next[partition] ?? to
      this.#commits.drop(group, topic, partition, next)
    }
  }

  /** Adds what the groups have committed of the topic and was not counted; why something of it is unknown. */
  #toRead(
    { name, id, leaders }: Followed,
    { starts, ends }: Reading,
    committed: readonly (Committed | undefined)[],
    stretches: Stretch[],
  ): unknown {
    const { next } = this.#ledger.position(name, id, leaders.length)
    let unknown: unknown
    for (const [partition, leader] of leaders.entries()) {
      const start = starts.get(name)?.[partition] ?? Number.NaN
      const end = ends.get(name)?.[partition] ?? Number.NaN
      const { offset } = committed[partition] ?? {}
      if (Number.isNaN(start) || Number.isNaN(end)) {
        unknown = new Error(`the end of partition ${partition} of ${name} is unknown`)
        continue
      }
      // From here on it is counted: what was committed before is not, and nothing was where there is no commit.
      const known = next[partition] ?? offset ?? start
      // A position past the end: a leader was lost, and records with it.
      const from = Math.min(known, end)
      this.#ledger.move(name, partition, from)
      const to = Math.min(offset ?? from, end)
      if (from < to) stretches.push({ topic: name, partition, leader, from, to })
    }
    return unknown
  }

  #countPortion(topic: Followed, { partition, to, records, count }: Portion, group: string): void {
    const table = this.#ledger.table(topic)
    const add = (operation: string, more: number) =>
      table.processed.set(operation, (table.processed.get(operation) ?? 0) + more)
    if (!records && count > 0) add(UNKNOWN, count)
    for (const { offset, value } of records ?? []) {
      // A tombstone, which follows each delete.
      if (!value) continue
      const { operation, committedAt } = readEnvelope(value)
      add(operation, 1)
      const arrivedAt = this.#commits.timeOf(group, topic.name, partition, offset)
      if (committedAt === undefined || arrivedAt === undefined) continue
      const known = table.latency.get(operation) ?? new Distribution(metrics.latency.buckets)
      table.latency.set(operation, known)
      // Of two clocks: the source's and the broker's.
      known.observe(Math.max(0, arrivedAt - committedAt) / 1000)
    }
    this.#ledger.move(topic.name, partition, to)
  }

  async #countFailed(batch: SampleBatch, reading: Reading): Promise<void> {
    const { pass, starts, ends } = reading
    const topics = new Map(
      reading.topics.filter(({ isDeadLetters }) => isDeadLetters).map((topic) => [topic.name, topic]),
    )
    const fail = (topic: string, cause: unknown) => batch.partFailed({ topic }, cause, [metrics.failed])
    const stretches = [...topics.values()].flatMap(({ name, id, leaders }): Stretch[] => {
      const { next } = this.#ledger.position(name, id, leaders.length)
      return leaders.flatMap((leader, partition) => {
        const to = ends.get(name)?.[partition] ?? Number.NaN
        if (Number.isNaN(to)) {
          fail(name, new Error(`the end of partition ${partition} of ${name} is unknown`))
          return []
        }
        const from = Math.min(next[partition] ?? to, to)
        this.#ledger.move(name, partition, from)
        return from < to ? [{ topic: name, partition, leader, from, to }] : []
      })
    })
    const bounds = bounded(DEAD_LETTER_BOUNDS, reading)
    const failed = ({ topic }: Stretch, cause: unknown) => fail(topic, cause)
    const portions = readLogs(pass, starts, stretches, DEAD_LETTER_HEADERS, bounds, failed)
    for await (const { topic, partition, to, records, count } of portions) {
      const named = topics.get(topic) ?? NO_TABLE
      if (!records && count > 0) addFailed(this.#ledger.table(named), UNKNOWN, count)
      for (const { headers } of records ?? []) {
        const letter = readDeadLetter(headers)
        const table = letter.topic === '' ? named : tableByRule(this.#settings.topics, letter.topic)
        // Of another pipeline, which shares the topic.
        if (!table) continue
        addFailed(this.#ledger.table(table), errorTypeOf(letter.exceptionClass), 1)
      }
      this.#ledger.move(topic, partition, to)
    }
  }

  #forget({ topics, groups }: Reading, withCheckpoints: readonly NamedTable[]): void {
    const names = new Set([...topics.map(({ name }) => name), COMMIT_LOG])
    const tables = new Set([...topics, ...withCheckpoints, NO_TABLE].map(nameOf))
    const counters = this.#others.counters()
    this.#ledger.sweep(
      {
        topic: (name) => names.has(name),
        table: (table) => tables.has(nameOf(table)),
        counter: (name) => counters.has(name),
      },
      this.#clock.now(),
    )
    this.#commits.forget(
      (group, topic) =>
        names.has(topic) &&
        (groups.failed.has(group) || groups.groups.some((known) => known.group === group)),
    )
    for (const name of this.#rates.keys()) if (!tables.has(name)) this.#rates.delete(name)
  }

  #writeTable(batch: SampleBatch, { tenant, table, ...counted }: Table, isDoubtful: boolean): void {
    const labels = { table, tenant }
    for (const operation of new Set([...USUAL_OPERATIONS, ...counted.processed.keys()])) {
      batch.add(metrics.processed, { ...labels, operation }, counted.processed.get(operation) ?? 0)
    }
    for (const [operation, latency] of counted.latency) {
      batch.addHistogram(metrics.latency, { ...labels, operation }, latency)
    }
    if (counted.batchSize.cumulative().at(-1))
      batch.addHistogram(metrics.batchSize, labels, counted.batchSize)
    if (isDoubtful) return
    const total = [...counted.processed.values()].reduce((sum, count) => sum + count, 0)
    const at = this.#clock.monotonic()
    const before = this.#rates.get(nameOf(labels))
    this.#rates.set(nameOf(labels), { total, at })
    if (before && at > before.at) {
      batch.add(metrics.throughput, labels, ((total - before.total) * 1000) / (at - before.at))
    }
  }

  /** Of the tables whose topics are all known to the kafka collector, as far as the groups read them. */
  #writeLags(batch: SampleBatch, { groups, topics }: Reading): void {
    const lagOf = this.#others.lags()
    const followed = new Map(
      topics.filter(({ isDeadLetters }) => !isDeadLetters).map((topic) => [topic.name, topic]),
    )
    const worst = new Map<string, NamedTable & { seconds: number }>()
    for (const { group, committed } of groups.groups) {
      for (const name of committed.topics) {
        const topic = followed.get(name)
        if (!topic) continue
        const { tenant, table } = topic
        const known = worst.get(nameOf(topic)) ?? { tenant, table, seconds: 0 }
        worst.set(nameOf(topic), known)
        known.seconds = Math.max(known.seconds, lagOf(group, name) ?? Number.NaN)
      }
    }
    if (groups.failed.size > 0) return
    for (const { tenant, table, seconds } of worst.values()) {
      if (!Number.isNaN(seconds)) batch.add(metrics.lag, { table, tenant }, seconds)
    }
  }
}

const NO_HEADERS: ReadonlySet<string> = new Set()
const NO_TABLE: NamedTable = { tenant: '', table: '' }

const bounded = (bounds: Pick<Bounds, 'records' | 'bytes'>, { isLate }: Reading): Bounds => ({
  ...bounds,
  isLate,
})

function addFailed(table: Table, type: string, more: number): void {
  table.failed.set(type, (table.failed.get(type) ?? 0) + more)
}

/** By topic, then by partition: the least that a group has committed. */
function slowest({ groups }: GroupsReading): Map<string, (Committed | undefined)[]> {
  const least = new Map<string, (Committed | undefined)[]>()
  for (const { group, committed } of groups) {
    for (const [index, topic] of committed.topics.entries()) {
      const list = least.get(topic) ?? []
      least.set(topic, list)
      for (const [partition, offset] of committed.of(index)) {
        if (offset < (list[partition]?.offset ?? Number.POSITIVE_INFINITY))
          list[partition] = { group, offset }
      }
    }
  }
  return least
}
