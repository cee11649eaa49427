import { systemClock } from '../clock.ts'
import { addEach, type Collector, type SampleBatch } from '../collection/collector.ts'
import { stateInMemory } from '../collection/kept-state.ts'
import type { InstanceConfig } from '../config/load.ts'
import type { Family } from '../metrics/family.ts'
import { reporterInMemory } from '../operations/failure-log.ts'

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** What one run wrote, by name of the family. */
export interface Collected {
  readonly samples: ReadonlyMap<string, readonly Sample[]>
  readonly failedParts: readonly {
    readonly labels: Readonly<Record<string, string>>
    readonly cause: unknown
  }[]
  /** Wall milliseconds at the end of the run. */
  readonly at: number
}

/** A collector of the configuration without the daemon around it: each `run` is one collection. */
export interface OneOff {
  readonly target: string
  run(signal: AbortSignal): Promise<Collected>
  stop(): Promise<void>
}

export function oneOff({ kind, target, labels, settings, timeout }: InstanceConfig): OneOff {
  const collector: Collector = kind.create(settings, {
    target,
    clock: systemClock,
    timeout,
    // There are no others.
    samples: () => [],
    failures: reporterInMemory({ target, labels }),
    state: stateInMemory(),
  })
  let started = false
  return {
    target,
    async run(signal) {
      const samples = new Map<string, Sample[]>()
      const failedParts: { labels: Readonly<Record<string, string>>; cause: unknown }[] = []
      const batch: SampleBatch = {
        add(family: Family, labels, value) {
          const list = samples.get(family.name)
          if (list) list.push({ labels, value })
          else samples.set(family.name, [{ labels, value }])
        },
        addRow: (families, labels, values) => addEach(batch, families, labels, values),
        // No table shows one.
        addHistogram: () => {},
        partFailed: (labels, cause) => void failedParts.push({ labels, cause }),
      }
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeout)])
      if (!started) await collector.start?.(bounded)
      started = true
      await collector.collect(batch, bounded)
      return { samples, failedParts, at: systemClock.now() }
    },
    stop: async () => {
      await collector.stop?.()
    },
  }
}
