import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../clock.ts'
import { type FailureSummary, HEALING_RESULTS, type HealingSummary } from '../collection/collector.ts'
import { nextTime } from '../collection/schedule.ts'
import {
  type ConnectFleet,
  type HealingPolicy,
  type OperationResult,
  operate,
  planned,
} from './connect-operations.ts'
import type { OperationLog } from './operation-log.ts'
import { transaction } from './store.ts'

type OpenFailure = FailureSummary['open'][number]

const HOUR = 3_600_000

/** Of one cluster so many connectors are restarted at once; the others wait. */
const AT_ONCE = 4

/** What comes of a restart is watched as that of an operation over the API. */
const WATCHED = { within: 60_000, settle: 15_000 }

const ACTOR = { who: 'self-healing', from: 'daemon' } as const

interface Act {
  readonly target: string
  readonly abort: AbortController
  readonly ended: Promise<void>
}

/**
 * Restarts failed tasks by the policies of the clusters. A restart is written down before it is asked for, so that
 * its bound holds over kill -9; what cannot be written down is not done. It acts only when it is told what fails,
 * so a cluster that is switched off, that does not answer or whose workers rebalance is left alone.
 */
export class SelfHealing {
  readonly #database: DatabaseSync
  readonly #clock: Clock
  readonly #operations: OperationLog
  readonly #fleetOf: (target: string) => ConnectFleet | undefined
  readonly #secrets: () => readonly string[]
  readonly #onError: (error: unknown) => void
  /** By cluster and connector. */
  readonly #acts = new Map<string, Act>()
  readonly #counts = new Map<string, Record<(typeof HEALING_RESULTS)[number], number>>()
  /** Whether the database took what was last written down. */
  #works = true
  /** When there was nothing to restart after all: wall milliseconds. */
  readonly #skippedAt = new Map<string, number>()

  constructor(
    database: DatabaseSync,
    options: {
      readonly clock: Clock
      readonly operations: OperationLog
      /** As it is configured and switched now. */
      readonly fleetOf: (target: string) => ConnectFleet | undefined
      readonly secrets: () => readonly string[]
      readonly onError: (error: unknown) => void
    },
  ) {
    this.#database = database
    this.#clock = options.clock
    this.#operations = options.operations
    this.#fleetOf = options.fleetOf
    this.#secrets = options.secrets
    this.#onError = options.onError
    this.#auditUnended()
  }

  /** `open`: all that fails at the cluster now. Begins what is due and does not wait for it. */
  heal(target: string, open: readonly OpenFailure[]): ReadonlyMap<string, HealingSummary> | undefined {
    const fleet = this.#fleetOf(target)
    const policy = fleet?.selfHealing
    if (!fleet?.enabled || !policy) return undefined
    const summary = new Map<string, HealingSummary>()
    const covered = open.filter(({ connector }) =>
      policy.connectors.some((pattern) => pattern.test(connector)),
    )
    const failing = Map.groupBy(covered, ({ connector }) => connector)
    for (const [key, restarts] of this.#counts) {
      const [of, connector] = JSON.parse(key) as [string, string]
      if (of !== target) continue
      summary.set(connector, {
        state: this.#acts.has(key) ? 'restarting' : 'idle',
        restarts: { ...restarts },
      })
    }
    for (const [connector, failures] of failing) {
      let state: HealingSummary['state'] = 'waiting'
      try {
        state = this.#advance(fleet, policy, connector, failures)
        this.#works = true
      } catch (error) {
        if (this.#works) this.#onError(error)
        this.#works = false
      }
      summary.set(connector, { state, restarts: { ...this.#countsOf(target, connector) } })
    }
    return summary
  }

  /** Ends the watch over restarts of clusters that `isKept` denies; those that were not asked for yet are not. */
  async stop(isKept: (target: string) => boolean = () => false): Promise<void> {
    const gone = [...this.#acts.values()].filter(({ target }) => !isKept(target))
    for (const { abort } of gone) abort.abort(new Error('self-healing was switched off'))
    await Promise.all(gone.map(({ ended }) => ended))
  }

  /** What a daemon began that was killed meanwhile. */
  #auditUnended(): void {
    for (const row of this.#database.prepare('SELECT target, connector FROM healing WHERE ended = 0').all()) {
      const subject = {
        target: String(row.target),
        connector: String(row.connector),
        environment: '',
        team: '',
      }
      const detail = 'the daemon ended before it was watched to its end'
      this.#operations.record(
        { ...subject, operation: 'restart', result: 'failed', state: 'failed', detail },
        ACTOR,
      )
    }
    this.#database.exec('UPDATE healing SET ended = 1')
  }

  #advance(
    fleet: ConnectFleet,
    policy: HealingPolicy,
    connector: string,
    failures: readonly OpenFailure[],
  ): HealingSummary['state'] {
    const { target } = fleet
    const key = keyOf(target, connector)
    if (this.#acts.has(key)) return 'restarting'
    if (!failures.every((failure) => isHealed(failure, policy))) return 'excluded'
    const now = this.#clock.now()
    const done = this.#restartsSince(target, connector, policy.dryRun, now - HOUR)
    if (done.length >= policy.maxPerHour) return 'exhausted'
    if (policy.maintenanceWindows.some((window) => isWithin(window, now))) return 'suspended'
    const opened = Math.max(...failures.map(({ openedAt }) => openedAt))
    const from = Math.max(opened, ...done, this.#skippedAt.get(key) ?? -Infinity)
    if (now < from + Math.min(policy.backoff * 2 ** done.length, policy.maxBackoff)) return 'waiting'
    if ([...this.#acts.values()].filter((act) => act.target === target).length >= AT_ONCE) return 'waiting'

    const id = this.#writeDown(target, connector, policy.dryRun, now)
    if (policy.dryRun) {
      this.#ended(planned('restart', subjectOf(fleet, connector)))
      return 'waiting'
    }
    const abort = new AbortController()
    const ended = this.#restart(fleet, connector, id, abort.signal).finally(() => this.#acts.delete(key))
    this.#acts.set(key, { target, abort, ended })
    return 'restarting'
  }

  async #restart(fleet: ConnectFleet, connector: string, id: number, signal: AbortSignal): Promise<void> {
    const options = { ...WATCHED, clock: this.#clock, secrets: this.#secrets }
    const onResult = (result: OperationResult) => {
      if (result.result !== 'skipped') {
        this.#database.prepare('UPDATE healing SET ended = 1 WHERE id = ?').run(id)
        return this.#ended(result)
      }
      // Somebody was faster, or has paused it: no restart.
      this.#database.prepare('DELETE FROM healing WHERE id = ?').run(id)
      this.#skippedAt.set(keyOf(fleet.target, connector), this.#clock.now())
    }
    try {
      await operate('restart', [fleet], [subjectOf(fleet, connector)], options, signal, onResult)
    } catch (error) {
      if (!signal.aborted) this.#onError(error)
    }
  }

  #ended(result: OperationResult): void {
    const counts = this.#countsOf(result.target, result.connector)
    const known = HEALING_RESULTS.find((name) => name === result.result)
    if (known) counts[known]++
    this.#operations.record(result, ACTOR)
  }

  #countsOf(target: string, connector: string): Record<(typeof HEALING_RESULTS)[number], number> {
    const key = keyOf(target, connector)
    const counts = this.#counts.get(key) ?? { done: 0, unconfirmed: 0, failed: 0, planned: 0 }
    this.#counts.set(key, counts)
    return counts
  }

  /** Wall milliseconds of each; a dry run knows only what it would have done. */
  #restartsSince(target: string, connector: string, dryRun: boolean, since: number): number[] {
    return this.#database
      .prepare('SELECT at FROM healing WHERE target = ? AND connector = ? AND dry_run = ? AND at > ?')
      .all(target, connector, Number(dryRun), since)
      .map(({ at }) => Number(at))
  }

  #writeDown(target: string, connector: string, dryRun: boolean, now: number): number {
    return transaction(this.#database, () => {
      this.#database.prepare('DELETE FROM healing WHERE at <= ?').run(now - HOUR)
      const { lastInsertRowid } = this.#database
        .prepare('INSERT INTO healing (target, connector, at, dry_run, ended) VALUES (?, ?, ?, ?, ?)')
        .run(target, connector, now, Number(dryRun), Number(dryRun))
      return Number(lastInsertRowid)
    })
  }
}

const keyOf = (target: string, connector: string): string => JSON.stringify([target, connector])

const subjectOf = ({ target, environment }: ConnectFleet, connector: string) => ({
  ...{ target, environment, connector },
  team: '',
  state: 'failed',
})

/** A connector that has failed itself is mostly configured badly; what somebody has marked as resolved is theirs. */
function isHealed({ task, resolvedByHand, exceptionClass, rootClass }: OpenFailure, policy: HealingPolicy) {
  if (task === '' || resolvedByHand) return false
  const classes = policy.exceptionClasses
  return !classes || classes.some((pattern) => pattern.test(exceptionClass) || pattern.test(rootClass))
}

function isWithin({ schedule, duration }: HealingPolicy['maintenanceWindows'][number], now: number): boolean {
  return nextTime(schedule, now - duration) <= now
}
