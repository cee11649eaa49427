import { type CommittedOffsets, NOTHING_COMMITTED } from './committed.ts'
import { AnsweredError, type BrokerAddress, BrokerConnection, errorName, type Request } from './connection.ts'
import { fetchRecords } from './records.ts'
import {
  DESCRIBE_LOG_DIRS,
  DESCRIBE_QUORUM,
  type DescribedGroup,
  describeConfigs,
  describeConsumerGroups,
  describeGroups,
  describeShareGroups,
  EARLIEST,
  type GroupCommits,
  type KnownMetadata,
  LATEST,
  LIST_GROUPS,
  type ListedGroup,
  type LogSize,
  listOffsets,
  type Metadata,
  metadataAfter,
  type OffsetQuestion,
  offsetFetch,
  type Quorum,
  type TopicConfig,
} from './requests.ts'
import type { Security } from './security.ts'

export interface KafkaSettings {
  readonly seeds: readonly BrokerAddress[]
  readonly security: Security
  /** Milliseconds for each request to a broker, and for connecting to it. */
  readonly brokerTimeout: number
}

export interface GroupReading {
  readonly group: string
  readonly coordinator: number
  /** classic, consumer (KIP-848), share; undefined where the broker does not tell. */
  readonly type: string | undefined
  /** As Kafka writes it, such as Stable or PreparingRebalance. */
  readonly state: string | undefined
  /** Undefined where the coordinator could not tell. */
  readonly members: number | undefined
  readonly committed: CommittedOffsets
}

export interface GroupsReading {
  /** In order of names. */
  readonly groups: readonly GroupReading[]
  /** Groups that exist, or did a moment ago, and whose offsets could not be read. */
  readonly failed: ReadonlyMap<string, unknown>
}

export interface GroupList {
  /** By name. */
  readonly listed: ReadonlyMap<string, KnownGroup>
  /** Those of the last pass that are listed no longer. */
  readonly unlisted: readonly KnownGroup[]
}

/** By topic, then by partition; NaN where it is unknown. */
export type Offsets = ReadonlyMap<string, Float64Array>

/** `start`, `end`: of the log; `stable`: the last stable offset, where a reader of committed records ends. */
export type OffsetKind = 'start' | 'end' | 'stable'

/** Questions to the leaders of partitions, each partition at most once: lists of numbers, and no object for each. */
export class OffsetQuestions {
  readonly #byLeader = new Map<number, Map<string, PartitionQuestions>>()
  #last: PartitionQuestions | undefined
  #lastLeader = -1
  #size = 0

  get size(): number {
    return this.#size
  }

  /** By leader. */
  *entries(): Generator<[leader: number, questions: OffsetQuestion[]]> {
    for (const [leader, topics] of this.#byLeader) yield [leader, [...topics.values()]]
  }

  /** `timestamp`: in milliseconds, or `LATEST`, `EARLIEST`, `GREATEST`. A partition without a leader is not asked for. */
  add(topic: string, partition: number, leader: number, timestamp: number): void {
    if (leader < 0) return
    if (this.#last?.topic !== topic || this.#lastLeader !== leader) {
      this.#last = this.#listOf(topic, leader)
      this.#lastLeader = leader
    }
    this.#last.partitions.push(partition)
    this.#last.timestamps.push(timestamp)
    this.#size++
  }

  #listOf(topic: string, leader: number): PartitionQuestions {
    const topics = this.#byLeader.get(leader) ?? new Map<string, PartitionQuestions>()
    this.#byLeader.set(leader, topics)
    const list = topics.get(topic) ?? { topic, partitions: [], timestamps: [] }
    topics.set(topic, list)
    return list
  }
}

interface PartitionQuestions extends OffsetQuestion {
  readonly partitions: number[]
  readonly timestamps: number[]
}

interface ConnectionSlot {
  readonly opening: Promise<BrokerConnection>
  connection: BrokerConnection | undefined
  failed: boolean
}

interface KnownGroup extends ListedGroup {
  readonly coordinator: number
}

/** One OffsetFetch or describe request asks for this many groups. */
const GROUPS_A_REQUEST = 50

/** One DescribeConfigs request asks for this many topics. */
const TOPICS_A_REQUEST = 1000

/** https://kafka.apache.org/protocol#protocol_error_codes */
const TOPIC_AUTHORIZATION_FAILED = 29

/**
 * The groups' coordinators load, or have moved: their groups are neither listed nor gone.
 * COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
 */
const COORDINATOR_BUSY = [14, 15, 16]
const NOT_COORDINATOR = 16

/**
 * Nobody leads the controllers, or not who was asked. LEADER_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT,
 * BROKER_NOT_AVAILABLE, NOT_CONTROLLER.
 */
const WITHOUT_LEADER = [5, 6, 7, 8, 41]

/**
 * Reads a cluster's offsets and groups with few requests and no group of its own. DESCRIBE on topics, groups
 * and cluster is all it needs; DESCRIBE_CONFIGS on topics for their retention.
 */
export class KafkaReader {
  readonly #settings: KafkaSettings
  readonly #connections = new Map<string, ConnectionSlot>()
  #known: Metadata['brokers'] = []
  #metadataKnown: KnownMetadata | undefined
  /** Addresses that had not answered when they were left, if only because the pass was over; the last tried is last. */
  readonly #silent = new Set<string>()
  /** As of the last pass. */
  #groups: ReadonlyMap<string, KnownGroup> = new Map()

  constructor(settings: KafkaSettings) {
    this.#settings = settings
  }

  /** Begins a pass with the cluster's metadata. Rejects when no broker answers. */
  async pass(signal: AbortSignal): Promise<KafkaPass> {
    const { metadata, failed } = await this.#metadata(signal)
    return new KafkaPass({
      metadata,
      failedBefore: failed,
      groupsBefore: this.#groups,
      rememberGroups: (groups) => {
        this.#groups = groups
      },
      connect: (address) => this.#connect(address, signal),
      signal,
    })
  }

  close(): void {
    for (const slot of this.#connections.values()) closeWhenOpen(slot)
    this.#connections.clear()
  }

  /** One connection to each broker, however many ask for it at once. */
  #connect(address: BrokerAddress, signal: AbortSignal): Promise<BrokerConnection> {
    const key = `${address.host}:${address.port}`
    const current = this.#connections.get(key)
    if (current && !current.failed && (current.connection?.usable ?? true)) {
      if (!current.connection?.nearsItsEnd) return current.opening
      current.connection.retire()
    }
    const { security, brokerTimeout } = this.#settings
    const slot: ConnectionSlot = {
      opening: BrokerConnection.open(address, security, brokerTimeout, signal),
      connection: undefined,
      failed: false,
    }
    slot.opening.then(
      (connection) => {
        slot.connection = connection
      },
      () => {
        slot.failed = true
      },
    )
    this.#connections.set(key, slot)
    return slot.opening
  }

  /**
   * From the first broker that answers: those known, then the seeds; last those that did not answer before, or
   * enough of them would take up every pass, and of these first who has not been asked for longest, or one that was slow
   * once would never be asked again. `failed`: why others did not, by address.
   */
  async #metadata(
    signal: AbortSignal,
  ): Promise<{ readonly metadata: Metadata; readonly failed: ReadonlyMap<string, unknown> }> {
    const tried = new Set<string>()
    const failed = new Map<string, unknown>()
    const candidates = [...this.#known, ...this.#settings.seeds].map(
      (address) => [`${address.host}:${address.port}`, address] as const,
    )
    const silent = [...this.#silent]
    candidates.sort(([a], [b]) => silent.indexOf(a) - silent.indexOf(b))
    for (const [key, address] of candidates) {
      if (tried.has(key)) continue
      tried.add(key)
      this.#silent.delete(key)
      this.#silent.add(key)
      try {
        const connection = await this.#connect(address, signal)
        this.#metadataKnown = await connection.send(metadataAfter(this.#metadataKnown), signal)
        const { metadata } = this.#metadataKnown
        this.#silent.delete(key)
        // The one that answered is asked first next time.
        this.#known = metadata.brokers.toSorted((a, b) => Number(isAt(b, address)) - Number(isAt(a, address)))
        this.#closeAllBut(metadata.brokers)
        return { metadata, failed }
      } catch (error) {
        signal.throwIfAborted()
        failed.set(key, error)
      }
    }
    const errors = [...failed.values()]
    throw new AggregateError(errors, `no broker answered; tried ${[...tried].join(', ')}`, {
      cause: errors[0],
    })
  }

  #closeAllBut(brokers: Metadata['brokers']): void {
    const wanted = new Set([...brokers, ...this.#settings.seeds].map(({ host, port }) => `${host}:${port}`))
    for (const [key, slot] of this.#connections) {
      if (wanted.has(key)) continue
      closeWhenOpen(slot)
      this.#connections.delete(key)
    }
    for (const key of this.#silent) if (!wanted.has(key)) this.#silent.delete(key)
  }
}

/** The requests of one pass. A broker that fails is left alone for the rest of it. */
export class KafkaPass {
  readonly metadata: Metadata
  /** By broker id. */
  readonly failedBrokers = new Map<number, unknown>()
  /** By id those that answer, and could not list all of their groups. */
  readonly incompleteLists = new Map<number, unknown>()
  readonly #groupsBefore: ReadonlyMap<string, KnownGroup>
  readonly #rememberGroups: (groups: ReadonlyMap<string, KnownGroup>) => void
  readonly #openConnection: (address: BrokerAddress) => Promise<BrokerConnection>
  readonly #brokers: ReadonlyMap<number, BrokerAddress>
  readonly #signal: AbortSignal

  constructor(from: {
    readonly metadata: Metadata
    /** Brokers that did not tell the metadata, by `host:port`: they are not tried again. */
    readonly failedBefore: ReadonlyMap<string, unknown>
    readonly groupsBefore: ReadonlyMap<string, KnownGroup>
    readonly rememberGroups: (groups: ReadonlyMap<string, KnownGroup>) => void
    readonly connect: (address: BrokerAddress) => Promise<BrokerConnection>
    readonly signal: AbortSignal
  }) {
    this.metadata = from.metadata
    this.#groupsBefore = from.groupsBefore
    this.#rememberGroups = from.rememberGroups
    this.#openConnection = from.connect
    this.#brokers = new Map(from.metadata.brokers.map((broker) => [broker.id, broker]))
    this.#signal = from.signal
    for (const { id, host, port } of from.metadata.brokers) {
      const error = from.failedBefore.get(`${host}:${port}`)
      if (error !== undefined) this.failedBrokers.set(id, error)
    }
  }

  /** Every wanted group with what it has committed. */
  async groups(wanted: (group: string) => boolean): Promise<GroupsReading> {
    return await this.readGroups(await this.listGroups(wanted))
  }

  /** Every wanted group. Each broker lists the groups that it coordinates. */
  async listGroups(wanted: (group: string) => boolean): Promise<GroupList> {
    const known = new Map<string, KnownGroup>()
    await Promise.all(
      [...this.#brokers.keys()].map(async (coordinator) => {
        const { error, groups } = (await this.ask(coordinator, LIST_GROUPS)) ?? { error: 0, groups: [] }
        if (error !== 0) {
          this.incompleteLists.set(coordinator, new AnsweredError(error, 'ListGroups'))
        }
        for (const group of groups) {
          if (!isOfConsumers(group) || !wanted(group.group)) continue
          // The same text object as before: it is in labels, which are then compared at a glance.
          const name = this.#groupsBefore.get(group.group)?.group ?? group.group
          known.set(name, { ...group, group: name, coordinator })
        }
      }),
    )
    // A coordinator that has just started lists nothing for some seconds. Whether a group that it no longer
    // lists is gone, or only not loaded yet, is what OffsetFetch tells.
    const unlisted = [...this.#groupsBefore.values()].filter(
      ({ group }) => !known.has(group) && wanted(group),
    )
    return { listed: known, unlisted }
  }

  /** What they have committed, how they are, and how many members they have. */
  async readGroups({ listed, unlisted }: GroupList): Promise<GroupsReading> {
    const known = new Map(listed)
    const failed = new Map<string, unknown>()
    const readings: GroupReading[] = []
    const byCoordinator = Map.groupBy([...known.values(), ...unlisted], (group) => group.coordinator)
    await Promise.all(
      [...byCoordinator].map(async ([coordinator, all]) => {
        const groups = all.toSorted(byName)
        const [described, committed] = await Promise.all([
          this.#describe(coordinator, groups),
          this.#committed(
            coordinator,
            groups.filter(({ type }) => type !== 'share'),
          ),
        ])
        for (const group of groups) {
          const { group: name, type } = group
          const answer = type === 'share' ? { error: 0, committed: NOTHING_COMMITTED } : committed.get(name)
          const isListed = listed.has(name)
          if (answer === undefined || COORDINATOR_BUSY.includes(answer.error)) {
            const cause =
              this.failedBrokers.get(coordinator) ?? `OffsetFetch: ${errorName(answer?.error ?? -1)}`
            failed.set(name, cause instanceof Error ? cause : new Error(String(cause)))
            // Where nobody lists it, it may have moved and been deleted since: another broker knows.
            const hasMoved = answer?.error === NOT_COORDINATOR || !this.#brokers.has(coordinator)
            known.set(name, hasMoved ? { ...group, coordinator: this.#brokerAfter(coordinator) } : group)
          } else if (answer.error !== 0) {
            if (isListed) failed.set(name, new Error(`OffsetFetch: ${errorName(answer.error)}`))
          } else if (isListed || answer.committed.topics.length > 0) {
            const { members, state = group.state } = described.get(name) ?? {}
            readings.push({ group: name, coordinator, type, state, members, committed: answer.committed })
            known.set(name, group)
          }
        }
      }),
    )
    this.#rememberGroups(known)
    return { groups: readings.sort(byName), failed }
  }

  /** One request to each leader. */
  async offsets(wanted: (topic: string) => boolean, kind: OffsetKind): Promise<Offsets> {
    const timestamp = kind === 'start' ? EARLIEST : LATEST
    const offsets = new Map<string, Float64Array>()
    const questions = new OffsetQuestions()
    for (const { name, error, partitions } of this.metadata.topics) {
      if (error !== 0 || !wanted(name)) continue
      offsets.set(name, new Float64Array(partitions.length).fill(Number.NaN))
      for (const { partition, leader } of partitions) questions.add(name, partition, leader, timestamp)
    }
    await this.answers(
      questions,
      (topic, partition, offset) => {
        const list = offsets.get(topic)
        if (list) list[partition] = offset
      },
      kind === 'stable',
    )
    return offsets
  }

  /**
   * What the leaders answer: the offset, -1 where there is no such record, and the timestamp of the record found. A
   * leader that does not answer is among the failed. `committed`: up to the last stable offset only.
   */
  async answers(
    questions: OffsetQuestions,
    take: (topic: string, partition: number, offset: number, timestamp: number) => void,
    committed = false,
  ): Promise<void> {
    await Promise.all(
      [...questions.entries()].map(([leader, list]) =>
        this.ask(
          leader,
          listOffsets(list, committed, (topic, partition, error, offset, timestamp) => {
            if (error === 0) take(topic, partition, offset, timestamp)
          }),
        ),
      ),
    )
  }

  /** Bytes on disk of every replica, of the brokers that answer. */
  async logSizes(): Promise<ReadonlyMap<number, readonly LogSize[]>> {
    const sizes = new Map<number, readonly LogSize[]>()
    await Promise.all(
      [...this.#brokers.keys()].map(async (broker) => {
        const answer = await this.#askIfAllowed(broker, DESCRIBE_LOG_DIRS)
        if (answer) sizes.set(broker, answer)
      }),
    )
    return sizes
  }

  /**
   * Undefined where the cluster has none, or does not tell us; `unanswered`, and why, where it did not answer this time.
   * Only the leader of the controllers does, so without one nobody does. The broker passes the question on to the
   * controller and answers nothing else on the connection meanwhile, so ask it last: a controller that hangs
   * is no fault of the broker's.
   */
  async quorum(): Promise<Quorum | { readonly unanswered: unknown } | undefined> {
    const [broker] = this.#answering()
    const connection = broker === undefined ? undefined : await this.#connect(broker)
    if (!connection || connection.version(DESCRIBE_QUORUM) === undefined) return undefined
    try {
      return await connection.send(DESCRIBE_QUORUM, this.#signal)
    } catch (error) {
      this.#signal.throwIfAborted()
      const answer = error instanceof Error ? error.cause : undefined
      const isRefused = answer instanceof AnsweredError && !WITHOUT_LEADER.includes(answer.code)
      return isRefused ? undefined : { unanswered: error }
    }
  }

  /**
   * Settings of topics by name; undefined for those that may not be read. A topic of which the broker could say
   * nothing this time is absent: it may, right after the broker's start.
   */
  async topicConfigs(
    topics: readonly string[],
    keys: readonly string[],
  ): Promise<Map<string, TopicConfig['settings'] | undefined>> {
    const [broker] = this.#answering()
    const connection = broker === undefined ? undefined : await this.#connect(broker)
    if (broker === undefined || !connection) return new Map()
    const requests = chunks(topics, TOPICS_A_REQUEST).map((chunk) => describeConfigs(chunk, keys))
    if (requests.some((request) => connection.version(request) === undefined)) {
      return new Map(topics.map((topic) => [topic, undefined]))
    }
    const answers = await Promise.all(requests.map((request) => this.#askIfAllowed(broker, request)))
    return new Map(
      answers
        .flatMap((answer) => answer ?? [])
        .filter(({ error }) => error === 0 || error === TOPIC_AUTHORIZATION_FAILED)
        .map(({ topic, error, settings }) => [topic, error === 0 ? settings : undefined]),
    )
  }

  /** Those of these topics whose records the user may not read; of a topic that has no leader nothing is known. */
  async unreadable(topics: readonly string[]): Promise<string[]> {
    const wanted = new Set(topics)
    const firsts = this.metadata.topics.flatMap(({ name, partitions: [first] }) =>
      wanted.has(name) && first && first.leader >= 0
        ? [{ topic: name, partition: first.partition, leader: first.leader, offset: 0 }]
        : [],
    )
    const answers = await Promise.all(
      [...Map.groupBy(firsts, ({ leader }) => leader)].map(
        async ([leader, list]) =>
          (await this.ask(leader, fetchRecords(list, { partitionBytes: 1, totalBytes: 1 }))) ?? [],
      ),
    )
    return answers
      .flat()
      .filter(({ error }) => error === TOPIC_AUTHORIZATION_FAILED)
      .map(({ topic }) => topic)
      .sort()
  }

  /** Undefined, and the broker is among the failed, when it does not answer or has failed before. */
  async ask<T>(broker: number, request: Request<T>): Promise<T | undefined> {
    const connection = await this.#connect(broker)
    return connection && (await this.#askOn(connection, broker, request))
  }

  async #askOn<T>(connection: BrokerConnection, broker: number, request: Request<T>): Promise<T | undefined> {
    try {
      return await connection.send(request, this.#signal)
    } catch (error) {
      this.#fail(broker, error)
      return undefined
    }
  }

  /** Undefined too where the broker lacks the request or refuses it: less is known, and nothing has failed. */
  async #askIfAllowed<T>(broker: number, request: Request<T>): Promise<T | undefined> {
    const connection = await this.#connect(broker)
    if (!connection || connection.version(request) === undefined) return undefined
    try {
      return await connection.send(request, this.#signal)
    } catch (error) {
      if (!connection.usable) this.#fail(broker, error)
      return undefined
    }
  }

  /** Of all brokers the one with the next id, after the last the first. */
  #brokerAfter(broker: number): number {
    const ids = [...this.#brokers.keys()].sort((a, b) => a - b)
    return ids.find((id) => id > broker) ?? ids[0] ?? broker
  }

  #answering(): number[] {
    return [...this.#brokers.keys()].filter((broker) => !this.failedBrokers.has(broker))
  }

  async #committed(coordinator: number, groups: readonly KnownGroup[]): Promise<Map<string, GroupCommits>> {
    const connection = await this.#connect(coordinator)
    if (!connection) return new Map()
    const size = (connection.version(offsetFetch([])) ?? 0) >= 8 ? GROUPS_A_REQUEST : 1
    const answers = await Promise.all(
      chunks(groups, size).map((chunk) =>
        this.#askOn(connection, coordinator, offsetFetch(chunk.map(({ group }) => group))),
      ),
    )
    return new Map(
      answers.flatMap((answer) => (answer ?? []).map((committed) => [committed.group, committed])),
    )
  }

  async #describe(coordinator: number, groups: readonly KnownGroup[]): Promise<Map<string, DescribedGroup>> {
    const described = new Map<string, DescribedGroup>()
    const byType = Map.groupBy(groups, ({ type }) =>
      type === 'consumer' ? describeConsumerGroups : type === 'share' ? describeShareGroups : describeGroups,
    )
    const requests = [...byType].flatMap(([request, list]) =>
      chunks(list, GROUPS_A_REQUEST).map((chunk) => request(chunk.map(({ group }) => group))),
    )
    await Promise.all(
      requests.map(async (request) => {
        for (const group of (await this.#askIfAllowed(coordinator, request)) ?? []) {
          if (group.error === 0) described.set(group.group, group)
        }
      }),
    )
    return described
  }

  async #connect(broker: number): Promise<BrokerConnection | undefined> {
    if (this.failedBrokers.has(broker)) return undefined
    const address = this.#brokers.get(broker)
    if (!address) {
      this.#fail(broker, new Error(`broker ${broker} is not in the cluster's metadata`))
      return undefined
    }
    try {
      return await this.#openConnection(address)
    } catch (error) {
      this.#fail(broker, error)
      return undefined
    }
  }

  #fail(broker: number, error: unknown): void {
    this.#signal.throwIfAborted()
    if (!this.failedBrokers.has(broker)) this.failedBrokers.set(broker, error)
  }
}

/** Connect workers and the like are listed too, and have no offsets. */
function isOfConsumers({ protocolType, type }: ListedGroup): boolean {
  return protocolType === 'consumer' || protocolType === '' || type === 'consumer' || type === 'share'
}

const byName = (a: { readonly group: string }, b: { readonly group: string }): number =>
  a.group < b.group ? -1 : a.group > b.group ? 1 : 0

const isAt = (a: BrokerAddress, b: BrokerAddress): boolean => a.host === b.host && a.port === b.port

function closeWhenOpen({ opening }: ConnectionSlot): void {
  opening.then(
    (open) => open.close(),
    () => {},
  )
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  const result: T[][] = []
  for (let i = 0; i < items.length; i += size) result.push(items.slice(i, i + size))
  return result
}
