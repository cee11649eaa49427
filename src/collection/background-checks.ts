import type { Clock } from '../clock.ts'
import { InstanceSeries } from '../metrics/batch.ts'
import type { Exposition } from '../metrics/exposition.ts'
import { type CheckResult, type KindChecks, runChecks } from './checks.ts'
import * as metrics from './run-metrics.ts'
import { phase } from './schedule.ts'

export interface BackgroundChecksSettings {
  readonly kind: { readonly kind: string; readonly checks?: KindChecks }
  readonly target: string
  /** Of its series. */
  readonly labels: Readonly<Record<string, string>>
  /** Milliseconds between the starts of two looks. */
  readonly interval: number
  readonly timeout: number
  readonly maxSeries: number
  /** What the kind's `settings` made of the configuration. */
  readonly settings: unknown
}

/** What the last look found, and when it began, in wall milliseconds; undefined before there was one. */
export interface LastChecks {
  readonly results: readonly CheckResult[]
  readonly at: number | undefined
}

/** Milliseconds after the start of the daemon, whose first collections come before. */
const FIRST_AFTER = 5_000

/**
 * Runs the checks of one instance again and again, beside its collections and without a part in them: over their own
 * connections, never two at once, each within the timeout. Their series are those of the last look.
 */
export class BackgroundChecks {
  readonly #settings: BackgroundChecksSettings
  readonly #checks: KindChecks
  readonly #clock: Clock
  readonly #exposition: Exposition
  readonly #changed: (result: CheckResult) => void
  readonly #series: InstanceSeries
  readonly #stop = new AbortController()
  #loop: Promise<void> | undefined
  #last: LastChecks = { results: [], at: undefined }

  /** `changed` hears of an item that begins to fail, and of one that failed and is good again. */
  constructor(
    settings: BackgroundChecksSettings,
    checks: KindChecks,
    clock: Clock,
    exposition: Exposition,
    changed: (result: CheckResult) => void,
  ) {
    this.#settings = settings
    this.#checks = checks
    this.#clock = clock
    this.#exposition = exposition
    this.#changed = changed
    const { kind, labels, maxSeries } = settings
    this.#series = new InstanceSeries(kind.kind, metrics.checkFamilies, labels, maxSeries)
  }

  get last(): LastChecks {
    return this.#last
  }

  start(): void {
    this.#exposition.attach(this.#series)
    this.#loop = this.#runForEver()
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the exporter is stopping'))
    this.#exposition.detach(this.#series)
    await this.#loop
  }

  async #runForEver(): Promise<void> {
    const { signal } = this.#stop
    const { kind, target, interval, timeout, settings } = this.#settings
    let due =
      this.#clock.monotonic() + Math.min(interval, FIRST_AFTER) + phase(`${kind.kind}/${target}`, interval)
    let isBusy = false
    try {
      for (;;) {
        await this.#clock.sleep(Math.max(0, due - this.#clock.monotonic()), signal)
        due = this.#clock.monotonic() + interval
        // One that does not heed its signal is waited for: there are never two.
        if (isBusy) continue
        isBusy = true
        const at = this.#clock.now()
        const { results, idle } = runChecks(this.#checks, settings, {
          clock: this.#clock,
          timeout,
          signal,
          collectors: this.#collectors(),
        })
        void idle.then(() => {
          isBusy = false
        })
        await this.#take(await results, at)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  /** Those of the daemon that are on, as their series say. */
  #collectors(): { kind: string; target: string }[] {
    return this.#exposition
      .samples(metrics.enabled.name)
      .filter(({ value }) => value === 1)
      .map(({ labels: { collector: kind = '', target = '' } }) => ({ kind, target }))
  }

  async #take(results: readonly CheckResult[], at: number): Promise<void> {
    const failed = (results: readonly CheckResult[]) =>
      new Map(results.filter(({ ok }) => ok === false).map((result) => [keyOf(result), result]))
    const before = failed(this.#last.results)
    this.#last = { results, at }
    for (const result of results) {
      if (result.ok === undefined) continue
      if (result.ok !== !before.has(keyOf(result))) this.#changed(result)
    }
    const collector = this.#settings.kind.kind
    const batch = this.#series.begin()
    for (const { check, subject, ok } of results) {
      if (ok === undefined) continue
      batch.add(metrics.checkOk, { collector, check: check.name, subject, level: check.level }, Number(ok))
    }
    batch.add(metrics.checkTime, { collector }, at / 1000)
    batch.commitNow()
    await this.#exposition.publish()
  }
}

const keyOf = ({ check, subject }: CheckResult): string => JSON.stringify([check.name, subject])
