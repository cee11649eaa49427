import type { Clock } from '../clock.ts'
import { type FailedPart, InstanceSeries, type RunBatch } from '../metrics/batch.ts'
import type { Exposition } from '../metrics/exposition.ts'
import type { Family } from '../metrics/family.ts'
import { BackgroundChecks, type LastChecks } from './background-checks.ts'
import type { CheckResult } from './checks.ts'
import {
  type Alarm,
  type Collector,
  type CollectorKind,
  type FailureReporter,
  type Finding,
  familiesOf,
  type KeptState,
} from './collector.ts'
import { type Health, LastRun } from './health.ts'
import { stateInMemory } from './kept-state.ts'
import * as metrics from './run-metrics.ts'
import { nextTime, phase, type Schedule } from './schedule.ts'

/** A configured target of a kind, as the configuration gives it. Times in milliseconds. */
export interface InstanceSettings {
  readonly kind: CollectorKind
  readonly target: string
  readonly enabled: boolean
  /** `target` first, then environment, platform and the instance's own. */
  readonly labels: Readonly<Record<string, string>>
  /** Between the starts of two runs, or the times at which they start. */
  readonly interval: number | Schedule
  readonly timeout: number
  /** Between two looks at what can be checked; undefined for none. */
  readonly checkInterval?: number | undefined
  readonly maxSeries: number
  /** What the kind's `settings` made of the configuration. */
  readonly settings: unknown
}

export type FailureReason = 'error' | 'timeout' | 'overrun' | 'partial'

/** What is known of an instance's runs. Times are wall-clock milliseconds. */
export interface InstanceState {
  readonly running: boolean
  /** Undefined before the first run has ended. */
  readonly success: boolean | undefined
  readonly lastRunAt: number | undefined
  readonly lastSuccessAt: number | undefined
  readonly nextRunAt: number | undefined
  /** Of the last run that ended, and of the last that succeeded. */
  readonly lastDuration: number | undefined
  readonly lastSuccessDuration: number | undefined
  /** Why the last run failed, with its causes; secrets are not yet taken out. */
  readonly error: unknown
  /** Parts that the last successful run could not read. */
  readonly failedParts: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly cause: unknown
  }[]
}

/** Hears of changes, not of every run. */
export interface InstanceEvents {
  failed(instance: Instance, reason: FailureReason, error: unknown): void
  recovered(instance: Instance): void
  partsFailed(instance: Instance, parts: InstanceState['failedParts']): void
  /** It alarms for the first time, or of something else than before; or it does no more. */
  found?(instance: Instance, labels: Finding['labels'], alarm: Alarm, isOver: boolean): void
  /** An item of the background checks begins to fail, or has failed and is good again. */
  checked?(instance: Instance, result: CheckResult): void
  /** Samples of a run were not taken, and those of the run before were. By family. */
  seriesDropped(instance: Instance, byFamily: ReadonlyMap<string, number>): void
}

const FIFTEEN_MINUTES = 15 * 60_000

/** Timers of Node end at 24 days, and wall time may be set meanwhile. */
const LONGEST_SLEEP = 3_600_000

/**
 * Runs one collector at its interval and owns what happens to its series: a run that ends well replaces
 * them all at once; after a failed one they stay for `staleAfter` from the first failure, and then go. A run
 * that ignores its signal is given up, but waited for: there are never two.
 */
export class Instance {
  readonly settings: InstanceSettings
  readonly #clock: Clock
  readonly #exposition: Exposition
  readonly #events: InstanceEvents
  readonly #collector: Collector
  readonly #own: InstanceSeries
  /** `…_up` and the run metrics: written by the engine alone. */
  readonly #engine: InstanceSeries
  readonly #checks: BackgroundChecks | undefined
  readonly #stop = new AbortController()
  #loop: Promise<void> | undefined
  #started = false
  /** A run that went on after its time-out. */
  #abandoned = false
  #forget: AbortController | undefined
  /** Its series have outlived the stale window and are no longer shown. */
  #expired = false
  readonly #partsSince = new Map<string, number>()
  #asked: PromiseWithResolvers<void> | undefined
  /** Ends the sleep until the next run. */
  #wake = new AbortController()
  #interval: number
  #runs = 0
  readonly #failures: Record<FailureReason, number> = { error: 0, timeout: 0, overrun: 0, partial: 0 }
  #isDropping = false
  readonly #dropped = { limit: 0, duplicate: 0, invalid: 0 }
  #findings: readonly Finding[] = []
  /** By the labels of a finding, as JSON. */
  #alarms: ReadonlyMap<string, { readonly labels: Finding['labels']; readonly alarm: Alarm }> = new Map()
  #health: Health = { details: undefined, problems: [] }
  #state: InstanceState = {
    running: false,
    success: undefined,
    lastRunAt: undefined,
    lastSuccessAt: undefined,
    nextRunAt: undefined,
    lastDuration: undefined,
    lastSuccessDuration: undefined,
    error: undefined,
    failedParts: [],
  }

  constructor(
    settings: InstanceSettings,
    clock: Clock,
    exposition: Exposition,
    events: InstanceEvents,
    failures: FailureReporter,
    state: KeptState = stateInMemory(),
  ) {
    const { kind, target, labels, timeout, maxSeries } = settings
    this.settings = settings
    const { interval } = settings
    this.#interval = typeof interval === 'number' ? interval : nextTime(interval, clock.now()) - clock.now()
    this.#clock = clock
    this.#exposition = exposition
    this.#events = events
    this.#collector = kind.create(settings.settings, {
      target,
      clock,
      timeout,
      samples: (name) => exposition.samples(name),
      failures,
      state,
    })
    this.#own = new InstanceSeries(kind.kind, familiesOf(kind, settings.settings), labels, maxSeries)
    const engineFamilies = kind.up ? [kind.up, ...metrics.runFamilies] : metrics.runFamilies
    this.#engine = new InstanceSeries(kind.kind, engineFamilies, labels, Number.POSITIVE_INFINITY)
    const { checkInterval, enabled } = settings
    if (enabled && kind.checks && checkInterval !== undefined) {
      this.#checks = new BackgroundChecks(
        { ...settings, interval: checkInterval },
        kind.checks,
        clock,
        exposition,
        (result) => events.checked?.(this, result),
      )
    }
  }

  get state(): InstanceState {
    return this.#state
  }

  /** What the last run that ended well knew beyond its series, for as long as these are shown. */
  get findings(): readonly Finding[] {
    return this.#expired ? [] : this.#findings
  }

  /** What the last run said of its backend, beyond that it answers; undefined unless that ended well. */
  get health(): Health | undefined {
    return this.#state.success ? this.#health : undefined
  }

  /** What its background checks last found. */
  get checks(): LastChecks {
    return this.#checks?.last ?? { results: [], at: undefined }
  }

  /** Series that it exposes now. */
  get series(): number {
    return this.#expired ? 0 : this.#own.size
  }

  /** Milliseconds from one run to the next: for a schedule, from the last time that was due to the next. */
  get interval(): number {
    return this.#interval
  }

  /** How long its series outlive the first failed run. */
  get staleAfter(): number {
    return Math.min(3 * this.#interval, FIFTEEN_MINUTES)
  }

  /** Runs it once more, now, and resolves when that run has ended: see `state`. A run that is under way is
   * waited for, and whoever asks meanwhile gets the same next run. Rejects when it is off, or stopped. */
  collectNow(): Promise<void> {
    if (!this.#loop || this.#stop.signal.aborted) return Promise.reject(new Error('the collector is off'))
    this.#asked ??= Promise.withResolvers()
    this.#wake.abort()
    return this.#asked.promise
  }

  /** Shows the instance in the exposition and, if it is enabled, begins to run it. Nothing after `stop`. */
  async start(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#exposition.attach(this.#own)
    this.#exposition.attach(this.#engine)
    await this.#writeEngineSeries()
    if (this.settings.enabled) this.#loop = this.#runForEver()
    this.#checks?.start()
  }

  /** Takes its series away, ends the run that is under way, and closes the collector. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the exporter is stopping'))
    this.#forget?.abort()
    // First: a run that ignores its signal may take long, and another instance may have its labels by then.
    this.#exposition.detach(this.#own)
    this.#exposition.detach(this.#engine)
    await Promise.all([this.#checks?.stop(), this.#loop])
    await this.#collector.stop?.()
  }

  async #runForEver(): Promise<void> {
    const signal = this.#stop.signal
    let due = this.#firstTime()
    try {
      while (!signal.aborted) {
        this.#update({ nextRunAt: due })
        const asked = await this.#sleepUntil(due)
        if (this.#clock.now() >= due) {
          due = this.#timeAfter(due)
          this.#update({ nextRunAt: due })
        }
        if (this.#abandoned) await this.#fail('overrun', new Error('the last run has not ended yet'))
        else await this.#run()
        if (signal.aborted) asked?.reject(new Error('the collector is off'))
        else asked?.resolve()
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      this.#asked?.reject(new Error('the collector is off'))
    }
  }

  #firstTime(): number {
    const { kind, target, interval } = this.settings
    const now = this.#clock.now()
    return typeof interval === 'number'
      ? now + phase(`${kind.kind}/${target}`, interval)
      : nextTime(interval, now)
  }

  /** Times that passed meanwhile are left out, so that a slow backend is not asked twice in a row. */
  #timeAfter(due: number): number {
    const { interval } = this.settings
    const now = this.#clock.now()
    if (typeof interval === 'number') return due + interval * Math.max(1, Math.ceil((now - due) / interval))
    const next = nextTime(interval, now)
    this.#interval = next - due
    return next
  }

  /** Answers who asked for a run before that time, if anybody did. */
  async #sleepUntil(due: number): Promise<PromiseWithResolvers<void> | undefined> {
    const signal = this.#stop.signal
    while (!this.#asked) {
      const left = due - this.#clock.now()
      this.#wake = new AbortController()
      try {
        const wakeUp = AbortSignal.any([signal, this.#wake.signal])
        await this.#clock.sleep(Math.min(Math.max(0, left), LONGEST_SLEEP), wakeUp)
      } catch (error) {
        if (!this.#wake.signal.aborted) throw error
      }
      if (left <= LONGEST_SLEEP && this.#clock.now() >= due) break
    }
    signal.throwIfAborted()
    const asked = this.#asked
    this.#asked = undefined
    return asked
  }

  async #run(): Promise<void> {
    const startedAt = this.#clock.now()
    const from = this.#clock.monotonic()
    const batch = this.#own.begin()
    const timeout = new AbortController()
    const runEnd = new AbortController()
    const signal = AbortSignal.any([this.#stop.signal, timeout.signal])
    const timeoutError = new Error(`no answer within ${this.settings.timeout} ms`)
    this.#update({ running: true })
    const work = this.#collect(batch, signal)
    const timer = this.#clock
      .sleep(this.settings.timeout, AbortSignal.any([this.#stop.signal, runEnd.signal]))
      .then(
        () => {
          timeout.abort(timeoutError)
          throw timeoutError
        },
        () => work,
      )
    let failure: { reason: FailureReason; error: unknown } | undefined
    try {
      await Promise.race([work, timer])
    } catch (error) {
      failure = timeout.signal.aborted
        ? { reason: 'timeout', error: timeoutError }
        : { reason: 'error', error }
    }
    runEnd.abort()
    timer.catch(() => {})
    if (timeout.signal.aborted) {
      this.#abandoned = true
      const ended = () => {
        this.#abandoned = false
      }
      work.then(ended, ended)
    }
    if (this.#stop.signal.aborted) {
      batch.discard()
      return
    }
    const lastDuration = this.#clock.monotonic() - from
    this.#runs++
    this.#update({ running: false, lastRunAt: startedAt, lastDuration })
    if (failure) {
      batch.discard()
      await this.#fail(failure.reason, failure.error)
    } else {
      await this.#succeed(batch, startedAt, lastDuration)
    }
  }

  async #collect(batch: RunBatch, signal: AbortSignal): Promise<void> {
    if (!this.#started) {
      await this.#collector.start?.(signal)
      this.#started = true
    }
    await this.#collector.collect(batch, signal)
  }

  async #succeed(batch: RunBatch, startedAt: number, duration: number): Promise<void> {
    this.#forget?.abort()
    this.#forget = undefined
    const kept = this.#expired ? [] : this.#partsToKeep(batch)
    await this.#exposition.rewrite((inPlace) => batch.commit(kept, inPlace))
    this.#expired = false
    if (!this.#stop.signal.aborted) this.#exposition.attach(this.#own)
    for (const reason of ['limit', 'duplicate', 'invalid'] as const)
      this.#dropped[reason] += batch.dropped[reason]
    if (batch.droppedByFamily.size > 0 && !this.#isDropping) {
      this.#events.seriesDropped(this, batch.droppedByFamily)
    }
    this.#isDropping = batch.droppedByFamily.size > 0
    const before = this.#state
    if (batch.failedParts.length > 0) this.#failures.partial++
    this.#update({
      success: true,
      error: undefined,
      lastSuccessAt: startedAt,
      lastSuccessDuration: duration,
      failedParts: batch.failedParts,
    })
    this.#takeFindings(this.#collector.findings?.() ?? [])
    this.#takeHealth()
    if (before.success === false) this.#events.recovered(this)
    if (batch.failedParts.length > 0 && before.failedParts.length === 0) {
      this.#events.partsFailed(this, batch.failedParts)
    }
    await this.#writeEngineSeries()
  }

  #takeFindings(findings: readonly Finding[]): void {
    const before = this.#alarms
    const alarms = new Map<string, { readonly labels: Finding['labels']; readonly alarm: Alarm }>()
    for (const { labels, alarm } of findings) {
      if (!alarm) continue
      const key = JSON.stringify(labels)
      alarms.set(key, { labels, alarm })
      const isNew = JSON.stringify(before.get(key)?.alarm.about) !== JSON.stringify(alarm.about)
      if (isNew) this.#events.found?.(this, labels, alarm, false)
    }
    this.#findings = findings
    this.#alarms = alarms
    for (const [key, { labels, alarm }] of before) {
      if (!alarms.has(key)) this.#events.found?.(this, labels, alarm, true)
    }
  }

  #takeHealth(): void {
    const last = new LastRun((family, value) => this.#own.of(family, value))
    const { details, problems = [] } = this.#collector.health?.(last) ?? {}
    const found = [...this.#alarms.values()].map(({ alarm }) => alarm.problem)
    this.#health = { details, problems: [...problems, ...found] }
  }

  async #fail(reason: FailureReason, error: unknown): Promise<void> {
    this.#failures[reason]++
    const before = this.#state.success
    this.#update({ success: false, error })
    if (before !== false) {
      this.#events.failed(this, reason, error)
      this.#forgetLater()
    }
    await this.#writeEngineSeries()
  }

  #forgetLater(): void {
    const forget = new AbortController()
    this.#forget = forget
    this.#clock.sleep(this.staleAfter, forget.signal).then(
      () => {
        this.#expired = true
        this.#exposition.detach(this.#own)
        return this.#writeEngineSeries()
      },
      () => {}, // It recovered, or the exporter stops.
    )
  }

  /** Failed parts whose samples have not outlived the stale window. */
  #partsToKeep(batch: RunBatch): FailedPart[] {
    const now = this.#clock.now()
    const key = ({ labels, families }: FailedPart) =>
      JSON.stringify([labels, families?.map(({ name }) => name)])
    const failed = new Map(batch.failedParts.map((part) => [key(part), part]))
    for (const key of this.#partsSince.keys()) if (!failed.has(key)) this.#partsSince.delete(key)
    return [...failed].flatMap(([key, part]) => {
      const since = this.#partsSince.get(key) ?? now
      this.#partsSince.set(key, since)
      return now - since < this.staleAfter ? [part] : []
    })
  }

  #update(change: Partial<InstanceState>): void {
    this.#state = { ...this.#state, ...change }
  }

  async #writeEngineSeries(): Promise<void> {
    const { kind, enabled } = this.settings
    const { success, lastRunAt, lastSuccessAt, nextRunAt, lastDuration } = this.#state
    const collector = kind.kind
    const batch = this.#engine.begin()
    const add = (family: Family<'collector'>, value: number | undefined) => {
      if (value !== undefined) batch.add(family, { collector }, value)
    }
    if (kind.up && success !== undefined) batch.add(kind.up, {}, Number(success))
    add(metrics.enabled, Number(enabled))
    add(metrics.interval, this.#interval / 1000)
    add(metrics.staleAfter, this.staleAfter / 1000)
    add(metrics.success, success === undefined ? undefined : Number(success))
    add(metrics.duration, lastDuration === undefined ? undefined : Math.round(lastDuration * 1000) / 1e6)
    add(metrics.lastRun, lastRunAt === undefined ? undefined : lastRunAt / 1000)
    add(metrics.lastSuccess, lastSuccessAt === undefined ? undefined : lastSuccessAt / 1000)
    add(metrics.nextRun, nextRunAt === undefined ? undefined : nextRunAt / 1000)
    add(metrics.series, this.series)
    add(metrics.runs, this.#runs)
    for (const [reason, count] of Object.entries(this.#failures)) {
      batch.add(metrics.failures, { collector, reason }, count)
    }
    for (const [reason, count] of Object.entries(this.#dropped)) {
      batch.add(metrics.dropped, { collector, reason }, count)
    }
    batch.commitNow()
    await this.#exposition.publish()
  }
}
