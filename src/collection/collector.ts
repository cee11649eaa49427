import type { ZodType } from 'zod'
import type { Clock } from '../clock.ts'
import type { Distribution } from '../metrics/distribution.ts'
import type { Family, Histogram } from '../metrics/family.ts'
import type { Sample } from '../metrics/family-series.ts'
import type { KindChecks } from './checks.ts'
import type { Health, KindHealth, LastRun } from './health.ts'

/** Where one run of a collector writes the present truth. */
export interface SampleBatch {
  /** One sample. The instance's own labels (`target`, `environment`, …) are added by the engine. */
  add<L extends string>(family: Family<L>, labels: Readonly<Record<L, string>>, value: number): void
  /**
   * One sample of each family, all with the same labels, for what is written a hundred thousand times a run:
   * `values[i]` is that of `families[i]`, and NaN leaves it out. The families have the same labels in the same order,
   * and come in the same list every time. Keeps neither labels nor values.
   */
  addRow<L extends string>(
    families: readonly Family<L>[],
    labels: Readonly<Record<L, string>>,
    values: Float64Array,
  ): void
  /** One histogram, of all that was observed since its collector began. */
  addHistogram<L extends string>(
    family: Histogram<L>,
    labels: Readonly<Record<L, string>>,
    value: Distribution,
  ): void
  /**
   * One part of the backend could not be read; the other samples stay valid. `part` names it by labels:
   * of the last run's samples, those that carry these labels and are not written in this run stay for the
   * stale window. Say it once for each set of labels that the part's series carry.
   *
   * `families`: the part is in these alone. Of its labels those that a family has not are there for people.
   */
  partFailed(part: Readonly<Record<string, string>>, cause: unknown, families?: readonly Family[]): void
}

/** What `addRow` does, one sample after the other: for a batch that has no shorter way. */
export function addEach<L extends string>(
  batch: Pick<SampleBatch, 'add'>,
  families: readonly Family<L>[],
  labels: Readonly<Record<L, string>>,
  values: Float64Array,
): void {
  for (const [i, family] of families.entries()) {
    const value = values[i] ?? Number.NaN
    if (!Number.isNaN(value)) batch.add(family, { ...labels }, value)
  }
}

/** One configured target of one kind. Owns its connection; owns no timer, no logger, no registry. */
export interface Collector {
  /** Opens connections; a rejection is a failed run and is tried again at the next tick. */
  start?(signal: AbortSignal): Promise<void>
  /** Writes the whole present truth; a series that is not written ceases to exist. Throws with `cause`. */
  collect(batch: SampleBatch, signal: AbortSignal): Promise<void>
  /** What is known beyond the series after the last run that ended well. */
  findings?(): readonly Finding[]
  /** For `/health`, after the findings of each run that ended well. Asks nobody, throws never, and costs little. */
  health?(last: LastRun): Health
  /** Closes connections. May be called twice, and before `start`. */
  stop?(): Promise<void>
}

/** What no series can hold, such as the keys of rows. */
export interface Finding {
  /** Which part of the backend it is about; no two findings have the same. */
  readonly labels: Readonly<Record<string, string>>
  /** For the API, as JSON. */
  readonly details: Readonly<Record<string, unknown>>
  /** Undefined where nothing is wrong. */
  readonly alarm: Alarm | undefined
}

/** A finding that is a problem: a line in the log when it begins, changes and ends, and the check is degraded. */
export interface Alarm {
  /** In one line, for `/health`. */
  readonly problem: string
  /** What the log says when it begins or changes, and when it is over. */
  readonly words: { readonly begins: string; readonly ends: string }
  /** For the log, as JSON, beside the labels. */
  readonly about: Readonly<Record<string, unknown>>
}

export interface CollectorContext {
  /** The instance's name in the configuration, the `target` label of its series. */
  readonly target: string
  readonly clock: Clock
  /** Milliseconds after which a run's signal aborts: what a backend is asked for should end before. */
  readonly timeout: number
  /**
   * What every instance of this configuration, of any kind, says of the series called `name`: its last good
   * run, for as long as a scrape sees it. For a collector that builds on what others found out; a copy.
   */
  samples(name: string): readonly Sample[]
  /** Keeps the failures of this instance over runs and restarts. */
  readonly failures: FailureReporter
  /** Of this instance alone: for counts that a restart must not set back. */
  readonly state: KeptState
}

/**
 * What an instance keeps over restarts of the daemon, in `state_dir`: JSON, by keys of its own. Without that
 * folder it is gone with the daemon.
 */
export interface KeptState {
  /** Everything, as it was saved. Throws where it cannot be read. */
  load(): ReadonlyMap<string, unknown>
  /**
   * Keeps these, all or none of them, over kill -9 too; what is undefined is dropped. Costs by what changes. Never
   * throws: what cannot be written now is written with the next changes.
   */
  save(changes: ReadonlyMap<string, unknown>): void
}

/** A connector or a task that is in a failed state now. */
export interface ObservedFailure {
  readonly connector: string
  /** Empty for the connector itself. */
  readonly task: string
  readonly worker: string
  /** The whole stack trace as the backend gives it. */
  readonly trace: string
  /** `team`, `business_cluster`, `dbms` and the like, as the rules give them now. */
  readonly labels: Readonly<Record<string, string>>
  /** Texts of the connector's own configuration that no one may see: taken out before anything is kept. */
  readonly secrets: readonly string[]
}

export interface FailureReporter {
  /**
   * `open`: the whole truth of one pass. What is told for the first time is a new failure; what was told
   * before and is not any more has recovered. A run that could not read everything reports nothing.
   */
  report(open: readonly ObservedFailure[]): FailureSummary
}

/** What is kept of one target. */
export interface FailureSummary {
  /** Each failure that was reported, in no order. */
  readonly open: readonly {
    readonly connector: string
    readonly task: string
    /** Of the first line of the trace: `org.apache.kafka.connect.errors.ConnectException`; `unknown` without one. */
    readonly exceptionClass: string
    /** Of the last cause in it. */
    readonly rootClass: string
    /** Wall milliseconds of the pass that saw it first. */
    readonly openedAt: number
    /** Somebody has marked it as resolved, and it fails still. */
    readonly resolvedByHand: boolean
  }[]
  /** By connector, over restarts; a connector that never failed has none. */
  readonly totals: ReadonlyMap<string, { readonly failures: number; readonly recoveries: number }>
  /** By connector, what is done about them; a connector about which nothing is or was done has none. Undefined
   * where nobody may do anything. */
  readonly healing?: ReadonlyMap<string, HealingSummary> | undefined
}

/**
 * idle: nothing of it fails. waiting: until its next restart. restarting: one is watched. exhausted: it was
 * restarted as often as it may be within an hour. suspended: by a maintenance window. excluded: it fails in a way
 * that is left to people.
 */
export const HEALING_STATES = ['idle', 'waiting', 'restarting', 'exhausted', 'suspended', 'excluded'] as const

export interface HealingSummary {
  readonly state: (typeof HEALING_STATES)[number]
  /** Restarts since the daemon began, by what came of them: see `HEALING_RESULTS`. */
  readonly restarts: Readonly<Record<(typeof HEALING_RESULTS)[number], number>>
}

/** planned: of a dry run. */
export const HEALING_RESULTS = ['done', 'unconfirmed', 'failed', 'planned'] as const

/** A family that the configuration names. */
export interface DeclaredFamily {
  readonly family: Family
  /** Of the key in the kind's own settings that gives its name. */
  readonly path: readonly (string | number)[]
}

export interface CollectorKind<Settings = unknown> {
  /** The same as the folder's name. */
  readonly kind: string
  readonly health: KindHealth
  /** The kind's own keys in the configuration, strict. */
  readonly settings: ZodType<Settings>
  /** Milliseconds that a run of these settings may spend waiting: its timeout has to be longer. */
  longestWait?(settings: Settings): number
  /** Milliseconds. */
  readonly defaults: { readonly interval: number; readonly timeout: number }
  readonly families: readonly Family[]
  /** What the settings of an instance declare besides; the kind's own names and those of other kinds are taken. */
  declared?(settings: Settings): readonly DeclaredFamily[]
  /** The `…_up` series of the kind; the engine alone writes it. */
  readonly up?: Family<never>
  /** What `cdc-exporter check` looks at, and the engine in the background; see docs/checks.md. */
  readonly checks?: KindChecks<Settings>
  /** Pure: opens nothing. */
  create(settings: Settings, context: CollectorContext): Collector
}

/**
 * How to load each kind, by its name: kinds that a configuration does not have cost no memory. Where it names
 * families of its own, all are loaded, to see whose the names are.
 */
export type CollectorKinds = Readonly<Record<string, () => Promise<CollectorKind>>>

export function defineCollector<Settings>(kind: CollectorKind<Settings>): CollectorKind<Settings> {
  return kind
}

/** All families of an instance but the engine's. */
export function familiesOf<Settings>(kind: CollectorKind<Settings>, settings: Settings): readonly Family[] {
  return [...kind.families, ...(kind.declared?.(settings) ?? []).map(({ family }) => family)]
}

export const seconds = (n: number): number => n * 1000
export const minutes = (n: number): number => n * 60_000
