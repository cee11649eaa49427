import { expect } from 'vitest'
import { z } from 'zod'
import { type Clock, systemClock } from '../../src/clock.ts'
import {
  type CollectorKind,
  type Finding,
  familiesOf,
  type KeptState,
} from '../../src/collection/collector.ts'
import { type Health, LastRun } from '../../src/collection/health.ts'
import { stateInMemory } from '../../src/collection/kept-state.ts'
import { InstanceSeries } from '../../src/metrics/batch.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { reporterInMemory } from '../../src/operations/failure-log.ts'
import { PATIENCE_MS } from '../testbed/process.ts'

/** A collector outside the scheduler: each `run` is one collection, and gives what a scrape would see. */
export interface Collecting {
  /**
   * Sample lines `name{labels} value`, sorted. Rejects as the collector does; `timeout` in milliseconds, that of
   * patience where absent.
   */
  run(timeout?: number): Promise<string[]>
  /** What the last run said of parts that failed. */
  readonly failedParts: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly cause: unknown
  }[]
  /** What it knows beyond its series. */
  findings(): readonly Finding[]
  /** What the last run says for `/health`; fits the shape that the kind declares, or throws. */
  health(): Health
  stop(): Promise<void>
}

/**
 * `exposition`: where the collector finds what others collected; one of its own where absent. `state`: what it
 * kept before, if it did.
 */
export function collecting<S>(
  kind: CollectorKind<S>,
  input: unknown,
  exposition = new Exposition(),
  clock: Clock = systemClock,
  state: KeptState = stateInMemory(),
): Collecting {
  const settings = kind.settings.parse(input)
  const collector = kind.create(settings, {
    target: 'test',
    clock,
    timeout: kind.defaults.timeout,
    samples: (name) => exposition.samples(name),
    failures: reporterInMemory({ target: 'test', labels: { target: 'test' } }),
    state,
  })
  const instance = new InstanceSeries(kind.kind, familiesOf(kind, settings), { target: 'test' }, 1_000_000)
  exposition.attach(instance)
  let started = false
  let failedParts: Collecting['failedParts'] = []
  return {
    get failedParts() {
      return failedParts
    },
    async run(timeout = PATIENCE_MS) {
      const signal = AbortSignal.timeout(timeout)
      const batch = instance.begin()
      try {
        if (!started) await collector.start?.(signal)
        started = true
        await collector.collect(batch, signal)
      } catch (error) {
        batch.discard()
        throw error
      }
      failedParts = batch.failedParts
      if (batch.dropped.duplicate > 0) throw new Error(`${batch.dropped.duplicate} samples written twice`)
      await batch.commit([], exposition.unread)
      await exposition.publish()
      const { plain, release } = await exposition.read((each) => each === instance)
      release()
      return Buffer.concat(plain)
        .toString()
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
        .map((line) => line.replace(/ +/g, ' '))
        .sort()
    },
    findings: () => collector.findings?.() ?? [],
    health() {
      const last = new LastRun((family, value) => instance.of(family, value))
      const { details, problems = [] } = collector.health?.(last) ?? {}
      const shape = kind.health.details ?? z.undefined()
      // As it is in the answer: what is undefined is not there.
      const answered = details === undefined ? undefined : JSON.parse(JSON.stringify(details))
      expect(shape.parse(answered)).toEqual(answered)
      return { details: answered, problems }
    },
    stop: async () => {
      await collector.stop?.()
    },
  }
}

/** One collection from start to stop. */
export async function collect<S>(kind: CollectorKind<S>, input: unknown): Promise<string[]> {
  const it = collecting(kind, input)
  try {
    return await it.run()
  } finally {
    await it.stop()
  }
}
