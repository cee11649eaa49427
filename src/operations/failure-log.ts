import type { DatabaseSync } from 'node:sqlite'
import { readTrace } from '../clients/java-trace.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { FailureReporter, FailureSummary, ObservedFailure } from '../collection/collector.ts'
import { redact } from '../log.ts'
import { openStore, transaction } from './store.ts'

/** Of a Java trace a few kilobytes are usual; beyond this its middle is left out. */
const LONGEST_TRACE = 256 * 1024

export interface FailureBounds {
  /** Milliseconds after which a failure that is over is forgotten. */
  readonly maxAge: number
  /** Beyond this number the oldest are forgotten, those that are over first. */
  readonly maxFailures: number
}

/** The instance of the configuration that tells of failures. */
export interface FailureOrigin {
  readonly target: string
  /** All labels of its series. */
  readonly labels: Readonly<Record<string, string>>
}

/** How a failure came to be resolved: it is over, somebody said so, or another failure took its place. */
export type Resolution = 'recovery' | 'hand' | 'replaced'

export interface Failure {
  readonly id: number
  readonly target: string
  readonly environment: string
  readonly platform: string
  readonly connector: string
  /** Empty for the connector itself. */
  readonly task: string
  readonly team: string
  readonly labels: Readonly<Record<string, string>>
  readonly worker: string
  readonly exceptionClass: string
  readonly rootClass: string
  readonly rootCause: string
  /** Wall milliseconds. */
  readonly openedAt: number
  /** Until when it was seen; undefined while it persists. */
  readonly endedAt: number | undefined
  readonly resolvedAt: number | undefined
  readonly resolution: Resolution | undefined
  /** The person, where it was resolved by hand. */
  readonly resolvedBy: string | undefined
}

export interface FailureFilter {
  readonly target?: string | undefined
  readonly environment?: string | undefined
  readonly platform?: string | undefined
  readonly connector?: string | undefined
  readonly team?: string | undefined
  readonly exceptionClass?: string | undefined
  readonly state?: 'open' | 'resolved' | undefined
}

export interface Page {
  readonly limit: number
  readonly offset: number
}

/** How many failures there are by one of their properties. */
interface Count {
  readonly name: string
  readonly open: number
  readonly resolved: number
}

export interface FailureStatistics {
  readonly open: number
  readonly resolved: number
  readonly environments: readonly Count[]
  readonly platforms: readonly Count[]
  readonly teams: readonly Count[]
  readonly exceptionClasses: readonly Count[]
}

/** A connector of which failures are kept. */
export interface RememberedConnector {
  readonly target: string
  readonly connector: string
  /** As they were at its last failure. */
  readonly environment: string
  readonly team: string
  readonly failures: number
}

/** What `resolve` and `unresolve` came to. */
export type Marked = 'done' | 'already' | 'over' | 'absent'

const COLUMNS = `id, target, environment, platform, connector, task, team, labels, worker, exception_class,
  root_class, root_cause, opened_at, ended_at, resolved_at, resolution, resolved_by`

const FILTERS: Readonly<Record<keyof Omit<FailureFilter, 'state'>, string>> = {
  target: 'target',
  environment: 'environment',
  platform: 'platform',
  connector: 'connector',
  team: 'team',
  exceptionClass: 'exception_class',
}

/** Every failure of connectors and tasks that was seen, kept in the database of `openStore`. */
export class FailureLog {
  readonly #database: DatabaseSync
  readonly #clock: Clock
  readonly #bounds: () => FailureBounds
  readonly #secrets: () => readonly string[]

  constructor(
    database: DatabaseSync,
    options: {
      readonly clock: Clock
      /** Asked at each use: a reload may change them. */
      readonly bounds: () => FailureBounds
      /** Texts that no trace may show. */
      readonly secrets: () => readonly string[]
    },
  ) {
    this.#database = database
    this.#clock = options.clock
    this.#bounds = options.bounds
    this.#secrets = options.secrets
  }

  /**
   * Where one instance reports its failures. Where the database cannot be written the collection goes on
   * with what was known before; `onError` is told when that begins.
   */
  reporter(origin: FailureOrigin, onError: (error: unknown) => void): FailureReporter {
    let known: FailureSummary = { open: [], totals: new Map() }
    let works = true
    return {
      report: (open) => {
        try {
          known = this.#report(origin, open)
          works = true
        } catch (error) {
          if (works) onError(error)
          works = false
        }
        return known
      },
    }
  }

  #report({ target, labels }: FailureOrigin, open: readonly ObservedFailure[]): FailureSummary {
    const persisting = new Map(this.#persisting(target).map((failure) => [partOf(failure), failure]))
    const seen = new Map(
      open.map((failure) => [partOf(failure), { ...failure, facts: readTrace(failure.trace) }]),
    )
    const over: { failure: Failure; resolution: Resolution }[] = []
    const relabelled: { id: number; labels: Readonly<Record<string, string>> }[] = []
    const begun = new Map(seen)
    for (const [part, failure] of persisting) {
      const now = seen.get(part)
      // A task that fails with another exception was started anew in between.
      const isSame =
        now?.facts.exceptionClass === failure.exceptionClass && now.facts.rootClass === failure.rootClass
      if (now === undefined || !isSame) {
        over.push({ failure, resolution: now === undefined ? 'recovery' : 'replaced' })
        continue
      }
      begun.delete(part)
      const current = { ...labels, ...now.labels }
      if (!isEqual(current, failure.labels)) relabelled.push({ id: failure.id, labels: current })
    }
    if (over.length + begun.size + relabelled.length > 0) {
      transaction(this.#database, () => {
        for (const { failure, resolution } of over) this.#end(failure, resolution)
        for (const failure of begun.values()) this.#begin(target, { ...labels, ...failure.labels }, failure)
        for (const { id, labels } of relabelled) this.#label(id, labels)
        this.#forgetOld()
      })
    }
    return {
      open: this.#persisting(target).map(
        ({ connector, task, exceptionClass, rootClass, openedAt, resolvedAt }) => ({
          ...{ connector, task, exceptionClass, rootClass, openedAt },
          resolvedByHand: resolvedAt !== undefined,
        }),
      ),
      totals: this.#totals(target),
    }
  }

  /** The newest first. */
  list(filter: FailureFilter, { limit, offset }: Page): { items: Failure[]; total: number } {
    const { where, values } = conditions(filter)
    const rows = this.#database
      .prepare(`SELECT ${COLUMNS} FROM failures ${where} ORDER BY opened_at DESC, id DESC LIMIT ? OFFSET ?`)
      .all(...values, limit, offset)
    const count = this.#database.prepare(`SELECT count(*) AS n FROM failures ${where}`).get(...values)
    return { items: rows.map(failureOf), total: Number(count?.n) }
  }

  get(id: number): (Failure & { readonly trace: string }) | undefined {
    const row = this.#database
      .prepare(`SELECT ${COLUMNS}, trace FROM failures JOIN traces ON failure = id WHERE id = ?`)
      .get(id)
    return row && { ...failureOf(row), trace: String(row.trace) }
  }

  /** The other failures of the same connector or task, the newest first, at most `limit`. */
  history({ id, target, connector, task }: Failure, limit: number): Failure[] {
    return this.#database
      .prepare(
        `SELECT ${COLUMNS} FROM failures WHERE target = ? AND connector = ? AND task = ? AND id <> ?
         ORDER BY opened_at DESC, id DESC LIMIT ?`,
      )
      .all(target, connector, task, id, limit)
      .map(failureOf)
  }

  statistics(filter: FailureFilter): FailureStatistics {
    const by = (column: string) => this.#count(column, filter)
    const all = by("''")[0]
    return {
      open: all?.open ?? 0,
      resolved: all?.resolved ?? 0,
      environments: by('environment'),
      platforms: by('platform'),
      teams: by('team'),
      exceptionClasses: by('exception_class'),
    }
  }

  /** Marks as resolved what nobody has marked yet; it is not opened again while it persists. */
  resolve(id: number, by: string): Marked {
    return this.#mark(id, (failure) => {
      if (failure.resolvedAt !== undefined) return 'already'
      this.#database
        .prepare("UPDATE failures SET resolved_at = ?, resolution = 'hand', resolved_by = ? WHERE id = ?")
        .run(this.#clock.now(), by, id)
      return 'done'
    })
  }

  /** Opens again what was resolved by hand and persists; what is over stays so. */
  unresolve(id: number): Marked {
    return this.#mark(id, (failure) => {
      if (failure.resolvedAt === undefined) return 'already'
      if (failure.endedAt !== undefined) return 'over'
      this.#database
        .prepare('UPDATE failures SET resolved_at = NULL, resolution = NULL, resolved_by = NULL WHERE id = ?')
        .run(id)
      return 'done'
    })
  }

  /** The connectors of which failures are kept, in order of target and name. */
  remembered(): RememberedConnector[] {
    // SQLite takes the columns that are not grouped from the row that has the maximum.
    return this.#database
      .prepare(
        `SELECT target, connector, environment, team, count(*) AS failures, max(id) FROM failures
         GROUP BY target, connector ORDER BY target, connector`,
      )
      .all()
      .map(({ target, connector, environment, team, failures }) => ({
        target: String(target),
        connector: String(connector),
        environment: String(environment),
        team: String(team),
        failures: Number(failures),
      }))
  }

  /** Drops all that is kept of a connector, its totals too; tells how many failures that were. */
  forget(target: string, connector: string): number {
    return transaction(this.#database, () => {
      this.#database.prepare('DELETE FROM totals WHERE target = ? AND connector = ?').run(target, connector)
      const { changes } = this.#database
        .prepare('DELETE FROM failures WHERE target = ? AND connector = ?')
        .run(target, connector)
      return Number(changes)
    })
  }

  #mark(id: number, change: (failure: Failure) => Marked): Marked {
    return transaction(this.#database, () => {
      const failure = this.get(id)
      return failure ? change(failure) : 'absent'
    })
  }

  #persisting(target: string): Failure[] {
    return this.#database
      .prepare(`SELECT ${COLUMNS} FROM failures WHERE target = ? AND ended_at IS NULL`)
      .all(target)
      .map(failureOf)
  }

  #totals(target: string): Map<string, { failures: number; recoveries: number }> {
    const rows = this.#database
      .prepare('SELECT connector, failures, recoveries FROM totals WHERE target = ?')
      .all(target)
    return new Map(
      rows.map(({ connector, failures, recoveries }) => [
        String(connector),
        { failures: Number(failures), recoveries: Number(recoveries) },
      ]),
    )
  }

  #begin(
    target: string,
    labels: Readonly<Record<string, string>>,
    failure: ObservedFailure & { readonly facts: ReturnType<typeof readTrace> },
  ): void {
    const { connector, task, worker, trace, facts } = failure
    const secrets = [...this.#secrets(), ...failure.secrets]
    const { lastInsertRowid } = this.#database
      .prepare(
        `INSERT INTO failures (target, environment, platform, connector, task, team, labels, worker,
           exception_class, root_class, root_cause, opened_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        target,
        labels.environment ?? '',
        labels.platform ?? '',
        connector,
        task,
        labels.team ?? '',
        JSON.stringify(labels),
        worker,
        facts.exceptionClass,
        facts.rootClass,
        shortened(withoutSecrets(facts.rootCause, secrets)),
        this.#clock.now(),
      )
    this.#database
      .prepare('INSERT INTO traces (failure, trace) VALUES (?, ?)')
      .run(lastInsertRowid, shortened(withoutSecrets(trace, secrets)))
    this.#add(target, connector, { failures: 1, recoveries: 0 })
  }

  #end({ id, target, connector }: Failure, resolution: Resolution): void {
    const now = this.#clock.now()
    // Resolved by hand, it stays so.
    this.#database
      .prepare(
        `UPDATE failures SET ended_at = ?, resolved_at = coalesce(resolved_at, ?),
           resolution = coalesce(resolution, ?) WHERE id = ?`,
      )
      .run(now, now, resolution, id)
    if (resolution === 'recovery') this.#add(target, connector, { failures: 0, recoveries: 1 })
  }

  #label(id: number, labels: Readonly<Record<string, string>>): void {
    this.#database
      .prepare('UPDATE failures SET environment = ?, platform = ?, team = ?, labels = ? WHERE id = ?')
      .run(labels.environment ?? '', labels.platform ?? '', labels.team ?? '', JSON.stringify(labels), id)
  }

  #add(target: string, connector: string, more: { failures: number; recoveries: number }): void {
    this.#database
      .prepare(
        `INSERT INTO totals (target, connector, failures, recoveries, changed_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET failures = failures + excluded.failures,
           recoveries = recoveries + excluded.recoveries, changed_at = excluded.changed_at`,
      )
      .run(target, connector, more.failures, more.recoveries, this.#clock.now())
  }

  #forgetOld(): void {
    const { maxAge, maxFailures } = this.#bounds()
    const oldest = this.#clock.now() - maxAge
    this.#database.prepare('DELETE FROM failures WHERE ended_at < ?').run(oldest)
    this.#database
      .prepare(
        `DELETE FROM failures WHERE id IN (
           SELECT id FROM failures ORDER BY ended_at IS NULL DESC, opened_at DESC, id DESC LIMIT -1 OFFSET ?)`,
      )
      .run(maxFailures)
    // Of a connector that has not failed for so long the counter begins anew.
    this.#database
      .prepare(
        `DELETE FROM totals WHERE changed_at < ? AND NOT EXISTS (
           SELECT 1 FROM failures WHERE target = totals.target AND connector = totals.connector)`,
      )
      .run(oldest)
  }

  #count(column: string, filter: FailureFilter): Count[] {
    const { where, values } = conditions(filter)
    return this.#database
      .prepare(
        `SELECT ${column} AS name, count(*) FILTER (WHERE resolved_at IS NULL) AS open,
           count(*) FILTER (WHERE resolved_at IS NOT NULL) AS resolved
         FROM failures ${where} GROUP BY 1 ORDER BY open DESC, resolved DESC, name LIMIT 1000`,
      )
      .all(...values)
      .map(({ name, open, resolved }) => ({
        name: String(name),
        open: Number(open),
        resolved: Number(resolved),
      }))
  }
}

function partOf({ connector, task }: { readonly connector: string; readonly task: string }): string {
  return JSON.stringify([connector, task])
}

function isEqual(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}

function conditions({ state, ...equal }: FailureFilter): { where: string; values: string[] } {
  const terms: string[] = []
  const values: string[] = []
  for (const [key, column] of Object.entries(FILTERS) as [keyof typeof equal, string][]) {
    const value = equal[key]
    if (value === undefined) continue
    terms.push(`${column} = ?`)
    values.push(value)
  }
  if (state !== undefined) terms.push(`resolved_at IS ${state === 'open' ? '' : 'NOT '}NULL`)
  return { where: terms.length === 0 ? '' : `WHERE ${terms.join(' AND ')}`, values }
}

function failureOf(row: Readonly<Record<string, unknown>>): Failure {
  const text = (column: string) => String(row[column])
  const number = (column: string) => (row[column] === null ? undefined : Number(row[column]))
  return {
    id: Number(row.id),
    target: text('target'),
    environment: text('environment'),
    platform: text('platform'),
    connector: text('connector'),
    task: text('task'),
    team: text('team'),
    labels: JSON.parse(text('labels')) as Record<string, string>,
    worker: text('worker'),
    exceptionClass: text('exception_class'),
    rootClass: text('root_class'),
    rootCause: text('root_cause'),
    openedAt: Number(row.opened_at),
    endedAt: number('ended_at'),
    resolvedAt: number('resolved_at'),
    resolution: row.resolution === null ? undefined : (text('resolution') as Resolution),
    resolvedBy: row.resolved_by === null ? undefined : text('resolved_by'),
  }
}

/** `password=x` and `"token": "x"` too, as Kafka and drivers quote their settings in messages. */
const NAMED_SECRET =
  /((?:passw\w*|passwd|pwd|passphrase|secret|token|credentials?|api[._-]?key|jaas\.config)["']?\s*(?:=|(?<=["'])\s*:)\s*)("[^"]*"|'[^']*'|[^\s,;&)}\]]+)/gi

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return redact(text, secrets).replace(NAMED_SECRET, '$1[redacted]')
}

/** Both ends stay: what failed stands at the beginning, the root cause at the end. */
function shortened(text: string): string {
  if (text.length <= LONGEST_TRACE) return text
  const half = LONGEST_TRACE / 2
  return `${text.slice(0, half)}\n… ${text.length - LONGEST_TRACE} characters are left out …\n${text.slice(-half)}`
}

/** For one run outside the daemon: what it reports is forgotten with it. */
export function reporterInMemory(origin: FailureOrigin): FailureReporter {
  const bounds = { maxAge: Number.MAX_SAFE_INTEGER, maxFailures: Number.MAX_SAFE_INTEGER }
  const log = new FailureLog(openStore(undefined), {
    clock: systemClock,
    bounds: () => bounds,
    secrets: () => [],
  })
  return log.reporter(origin, (error) => {
    throw error
  })
}
