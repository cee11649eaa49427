import type { CollectorContext } from '../../collection/collector.ts'
import { type NamedTable, tableByRule } from '../../config/kafka.ts'
import type { SyncSettings } from './config.ts'
import { type Ledger, nameOf } from './ledger.ts'

type Sample = ReturnType<CollectorContext['samples']>[number]

/** What is a job, by the series of the collectors that know it. All of a job's states are to be active. */
const JOBS = [
  {
    collector: 'connect',
    up: 'kafka_connect_up',
    states: ['kafka_connect_connector_state', 'kafka_connect_task_state'],
    name: ({ labels }: Sample) => labels.connector ?? '',
    active: ['running'],
    error: ['failed'],
  },
  {
    collector: 'flink',
    up: 'flink_up',
    states: ['flink_job_state'],
    name: ({ labels }: Sample) => labels.job ?? '',
    active: ['running'],
    error: ['failing', 'failed', 'restarting'],
  },
  {
    collector: 'starrocks',
    up: 'starrocks_up',
    states: ['starrocks_routine_load_state'],
    name: ({ labels }: Sample) => `${labels.database}.${labels.job}`,
    active: ['running', 'need_schedule'],
    error: ['paused', 'unstable', 'cancelled'],
  },
]

/** A connector, a Flink job or a routine load. */
interface Job {
  readonly collector: string
  readonly target: string
  readonly job: string
  /** Of several, as of a connector and its tasks, the worst. */
  readonly state: string
  readonly isActive: boolean
  readonly isWrong: boolean
  /** As far as the rules of the configuration know them. */
  readonly tables: readonly NamedTable[]
}

export interface Jobs {
  readonly all: readonly Job[]
  /** False while one of the collectors fails: its jobs are left out. */
  readonly isWhole: boolean
}

/** The two counters of checkpoints, and what becomes of them. */
const CHECKPOINTS = [
  { from: 'flink_job_checkpoints_completed_total', to: 'completed' },
  { from: 'flink_job_checkpoints_failed_total', to: 'failed' },
] as const

const LAG = 'kafka_consumergroup_lag_seconds_max'
const CONNECTOR_TOPICS = 'kafka_connect_connector_topic_info'

/** What other collectors of the same pipeline have found out. */
export class Others {
  readonly #settings: Pick<SyncSettings, 'jobs' | 'topics'>
  readonly #targets: readonly string[]
  readonly #samples: CollectorContext['samples']

  constructor(
    settings: Pick<SyncSettings, 'jobs' | 'targets' | 'topics'>,
    { target, samples }: Pick<CollectorContext, 'target' | 'samples'>,
  ) {
    this.#settings = settings
    this.#targets = settings.targets ?? [target]
    this.#samples = samples
  }

  #of(family: string): Sample[] {
    return this.#samples(family).filter(({ labels }) => this.#targets.includes(labels.target ?? ''))
  }

  /** Topics that a sink connector names for its dead letters. */
  deadLetterTopics(): ReadonlySet<string> {
    const named = this.#of(CONNECTOR_TOPICS).filter(({ labels }) => labels.role === 'dead_letter')
    return new Set(named.map(({ labels }) => labels.topic ?? ''))
  }

  /** Seconds, by group and topic. */
  lags(): (group: string, topic: string) => number | undefined {
    const known = new Map(
      this.#of(LAG).map(({ labels, value }) => [JSON.stringify([labels.consumergroup, labels.topic]), value]),
    )
    return (group, topic) => known.get(JSON.stringify([group, topic]))
  }

  /** Each job of which something is known; undefined where no collector of jobs is among the targets. */
  jobs(): Jobs | undefined {
    const tables = this.#tablesOfConnectors()
    const all: Job[] = []
    let isAny = false
    let isWhole = true
    for (const source of JOBS) {
      const up = this.#of(source.up)
      const down = new Set(up.filter(({ value }) => value === 0).map(({ labels }) => labels.target))
      isAny ||= up.length > 0
      isWhole &&= down.size === 0
      const now = source.states
        .flatMap((family) => this.#of(family))
        .filter(({ labels, value }) => value === 1 && !down.has(labels.target))
      const jobs = Map.groupBy(now, (sample) => JSON.stringify([sample.labels.target, source.name(sample)]))
      for (const [key, samples] of jobs) {
        const [target, job]: [string, string] = JSON.parse(key)
        const states = samples.map(({ labels }) => labels.state ?? '')
        const wrong = states.find((state) => source.error.includes(state))
        const idle = states.find((state) => !source.active.includes(state))
        all.push({
          collector: source.collector,
          target,
          job,
          state: wrong ?? idle ?? states[0] ?? '',
          isActive: idle === undefined,
          isWrong: wrong !== undefined,
          tables: source.collector === 'connect' ? (tables.get(key) ?? []) : this.#tablesOf(job),
        })
      }
    }
    return isAny ? { all, isWhole } : undefined
  }

  /** Takes note of the checkpoints since the last run. Gives the tables whose jobs are known now. */
  countCheckpoints(ledger: Ledger): NamedTable[] {
    const tables = new Map<string, NamedTable>()
    for (const { from, to } of CHECKPOINTS) {
      for (const sample of this.#of(from)) {
        const written = this.#tablesOf(sample.labels.job ?? '')
        if (written.length === 0) continue
        const more = ledger.grown(counterName(from, sample), sample.value)
        for (const table of written) {
          tables.set(nameOf(table), table)
          if (more > 0 || !ledger.find(table)) ledger.table(table).checkpoints[to] += more
        }
      }
    }
    return [...tables.values()]
  }

  /** Counters that `countCheckpoints` knows now. */
  counters(): ReadonlySet<string> {
    return new Set(
      CHECKPOINTS.flatMap(({ from }) => this.#of(from).map((sample) => counterName(from, sample))),
    )
  }

  /** By target and connector, as JSON. */
  #tablesOfConnectors(): ReadonlyMap<string, readonly NamedTable[]> {
    const tables = new Map<string, NamedTable[]>()
    for (const { labels } of this.#of(CONNECTOR_TOPICS)) {
      const found = labels.role !== 'dead_letter' && tableByRule(this.#settings.topics, labels.topic ?? '')
      if (!found) continue
      const key = JSON.stringify([labels.target, labels.connector])
      const known = tables.get(key) ?? []
      tables.set(key, known)
      known.push(found)
    }
    return tables
  }

  #tablesOf(job: string): NamedTable[] {
    const found = tableByRule(this.#settings.jobs, job)
    if (!found) return []
    const { rule, tenant, table } = found
    return rule.tables.length === 0
      ? [{ tenant, table }]
      : rule.tables.map((each) => ({ tenant, table: each }))
  }
}

const counterName = (family: string, { labels }: Sample): string =>
  `${family} ${JSON.stringify([labels.target, labels.job])}`
