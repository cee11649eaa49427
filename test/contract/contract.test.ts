import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import {
  addEach,
  type Collector,
  type CollectorKind,
  familiesOf,
  type SampleBatch,
} from '../../src/collection/collector.ts'
import { Instance } from '../../src/collection/instance.ts'
import { stateInMemory } from '../../src/collection/kept-state.ts'
import { allKinds } from '../../src/collectors/index.ts'
import type { Distribution } from '../../src/metrics/distribution.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import type { Family } from '../../src/metrics/family.ts'
import { reporterInMemory } from '../../src/operations/failure-log.ts'
import { keptNames } from '../repository/kept-names.ts'
import { PATIENCE_MS, waitFor } from '../testbed/process.ts'
import { type Backend, backends } from './backends.ts'

const collectorKinds = await allKinds()

test('every kind has a backend here, and every backend a kind', () => {
  expect(Object.keys(backends).toSorted()).toEqual(collectorKinds.map(({ kind }) => kind).toSorted())
})

/** A hang would otherwise be the test's own time-out, which says less. */
const HANGS_AFTER_MS = PATIENCE_MS

interface Sample {
  readonly family: Family
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** A batch that takes note of everything and judges nothing. */
class Recording implements SampleBatch {
  readonly samples: Sample[] = []
  readonly failedParts: unknown[] = []

  add(family: Family, labels: Readonly<Record<string, string>>, value: number): void {
    this.samples.push({ family, labels: { ...labels }, value })
  }

  addRow(families: readonly Family[], labels: Readonly<Record<string, string>>, values: Float64Array): void {
    addEach(this, families, labels, values)
  }

  addHistogram(family: Family, labels: Readonly<Record<string, string>>, value: Distribution): void {
    this.samples.push({ family, labels: { ...labels }, value: value.sum })
  }

  partFailed(_: Readonly<Record<string, string>>, cause: unknown): void {
    this.failedParts.push(cause)
  }
}

const seriesOf = ({ family, labels }: Sample): string =>
  `${family.name}{${family.labelNames.map((name) => `${name}="${labels[name]}"`).join()}}`

async function collectOnce(collector: Collector, signal: AbortSignal): Promise<Recording> {
  const batch = new Recording()
  await collector.start?.(signal)
  await collector.collect(batch, signal)
  return batch
}

/** How a promise ended: it has to, whatever the backend does. */
async function outcomeOf(work: Promise<unknown>): Promise<'resolved' | 'rejected' | 'hangs'> {
  const end = new AbortController()
  const outcome = await Promise.race([
    work.then(
      () => 'resolved' as const,
      () => 'rejected' as const,
    ),
    systemClock.sleep(HANGS_AFTER_MS, end.signal).then(() => 'hangs' as const),
  ])
  end.abort()
  return outcome
}

describe.each(collectorKinds.map((kind) => [kind.kind, kind] as const))('%s', (name, kind) => {
  let backend: Backend
  const open: Collector[] = []

  let settings: unknown

  const create = (): Collector => {
    const collector = kind.create(settings, {
      target: 'test',
      clock: systemClock,
      timeout: HANGS_AFTER_MS,
      samples: () => [],
      failures: reporterInMemory({ target: 'test', labels: { target: 'test' } }),
      state: stateInMemory(),
    })
    open.push(collector)
    return collector
  }
  const within = () => AbortSignal.timeout(HANGS_AFTER_MS)

  /** A run that read every part: a backend that has just started may be slow with some of them. */
  async function whole(collector: Collector): Promise<Recording> {
    let run = new Recording()
    const done = waitFor('a run without a failed part', async () => {
      run = await collectOnce(collector, within())
      return run.failedParts.length === 0
    })
    await done.catch((error: unknown) => expect(run.failedParts, String(error)).toEqual([]))
    return run
  }

  beforeAll(async () => {
    const start = backends[name]
    if (!start) throw new Error(`no backend for ${name}`)
    backend = await start()
    settings = kind.settings.parse(backend.settings)
  })
  afterAll(() => backend?.remove())
  afterEach(async () => {
    for (const collector of open.splice(0)) await collector.stop?.()
  })

  test('its families are named as they should be', () => {
    const kept = keptNames()
    const families = familiesOf(kind, settings)
    const faults = families.flatMap((family) => faultsOf(family, kept))
    expect(faults).toEqual([])
    expect(new Set(families.map((family) => family.name)).size).toBe(families.length)
    if (kind.up) expect(kind.families).toContain(kind.up)
  })

  test('a run writes declared families with the labels declared, each series once, and not the one of up', async () => {
    const { samples } = await whole(create())
    expect(samples.length).toBeGreaterThan(0)
    for (const { family, labels, value } of samples) {
      expect(familiesOf(kind, settings), family.name).toContain(family)
      expect(family, 'the engine writes it').not.toBe(kind.up)
      expect(Object.keys(labels).toSorted(), family.name).toEqual([...family.labelNames].toSorted())
      for (const text of Object.values(labels)) expect(typeof text, family.name).toBe('string')
      expect(typeof value === 'number' && !Number.isNaN(value), family.name).toBe(true)
    }
    const series = samples.map(seriesOf)
    expect(series.filter((line, i) => series.indexOf(line) !== i)).toEqual([])
  })

  test('what is removed from the backend is gone from the next run', async ({ expect }) => {
    const { entity } = backend
    if (!entity) {
      expect(['canary', 'drift', 'redis'], 'kinds that watch only what the configuration names').toContain(
        name,
      )
      return
    }
    const collector = create()
    const seriesWithIt = async () =>
      (await collectOnce(collector, within())).samples
        .map(seriesOf)
        .filter((line) => line.includes(entity.label))
    expect((await seriesWithIt()).length).toBeGreaterThan(0)
    await entity.remove()
    expect(await seriesWithIt()).toEqual([])
  })

  test('stop may come before start, twice, and after a run', async () => {
    const [fresh, used] = [create(), create()]
    expect((await collectOnce(used, within())).samples.length).toBeGreaterThan(0)
    for (const collector of [fresh, used]) {
      await collector.stop?.()
      await collector.stop?.()
    }
  })

  test('two instances share each HELP and TYPE, and neither’s series are the other’s', async () => {
    const { exposition, stop } = await running(kind, backend, ['one', 'two'])
    try {
      await waitFor('both to have run', () =>
        ['one', 'two'].every((target) => sample(exposition, success(name, target)) === 1),
      )
      const text = textOf(exposition)
      const heads = text.filter((line) => line.startsWith('# '))
      expect(heads.length).toBe(new Set(heads).size)
      // The lines of a family stand together, under its HELP and TYPE.
      let family = ''
      for (const line of text) {
        if (line.startsWith('# ')) family = line.split(' ')[2] ?? ''
        else expect(line.startsWith(family) && line.slice(family.length), line).toMatch(SERIES_OF_A_FAMILY)
      }
      const of = (target: string) =>
        textOf(exposition)
          .filter((line) => !line.startsWith('cdc_collector') && line.includes(`target="${target}"`))
          .map((line) => line.replace(/ .*/, '').replace(`target="${target}"`, ''))
          .toSorted()
      let series = { one: of('one'), two: of('two') }
      // One may have run when the backend had more to tell.
      await waitFor('both to tell the same', () => {
        series = { one: of('one'), two: of('two') }
        return isDeepStrictEqual(series.one, series.two)
      }).catch(() => {})
      expect(series.one.length).toBeGreaterThan(0)
      expect(series.two).toEqual(series.one)
    } finally {
      await stop()
    }
  })

  describe('the signal', () => {
    afterEach(() => backend.part.thaw())

    test('aborted before: the run rejects', async () => {
      expect(await outcomeOf(collectOnce(create(), AbortSignal.abort(new Error('no'))))).toBe('rejected')
    })

    test('aborted in the middle: the run rejects, or had ended, and the next one works', async () => {
      const collector = create()
      const abort = new AbortController()
      const outcome = outcomeOf(collectOnce(collector, abort.signal))
      await setImmediate()
      abort.abort(new Error('enough'))
      expect(await outcome).not.toBe('hangs')
      expect((await collectOnce(collector, within())).samples.length).toBeGreaterThan(0)
    })

    test('aborted while the backend is frozen: the run rejects, connected or not, and the next one works', async () => {
      const connected = create()
      await collectOnce(connected, within())
      const fresh = create()
      backend.part.freeze()
      const outcomes = await Promise.all(
        [connected, fresh].map((collector) => {
          const abort = new AbortController()
          const work = collectOnce(collector, abort.signal)
          setTimeout(() => abort.abort(new Error('enough')), 200)
          return outcomeOf(work)
        }),
      )
      expect(outcomes).toEqual(['rejected', 'rejected'])
      backend.part.thaw()
      for (const collector of [connected, fresh]) {
        await waitFor(
          'the run after it',
          async () => (await collectOnce(collector, within())).samples.length > 0,
        )
      }
    })
  })

  // The last one: it takes the backend down.
  test('a dead backend is success 0 and up 0, never an exception; and 1 again when it is back', async () => {
    const { exposition, stop } = await running(kind, backend, ['test'])
    const { finding } = backend
    const found = (value: number) =>
      textOf(exposition).some((line) => line.startsWith(`${finding}{`) && line.endsWith(` ${value}`))
    const shows = (value: number) => () =>
      (finding === undefined || found(value)) &&
      sample(exposition, success(name, 'test')) === (finding === undefined ? value : 1) &&
      (!kind.up || sample(exposition, `${kind.up.name}{target="test"}`) === value)
    try {
      await waitFor('the backend to be up', shows(1))
      await backend.part.kill()
      await waitFor('the backend to be down', shows(0))
      await backend.part.start()
      await waitFor('the backend to be up again', shows(1))
    } finally {
      await stop()
    }
  })
})

/** What follows the name of its family: that of a histogram has three sorts. */
const SERIES_OF_A_FAMILY = /^(_(bucket|sum|count))?[{ ]/

const success = (kind: string, target: string) =>
  `cdc_collector_success{target="${target}",collector="${kind}"}`

/** Instances under the scheduler, in one exposition, at a pace that suits a test. */
async function running(kind: CollectorKind, backend: Backend, targets: readonly string[]) {
  const exposition = new Exposition()
  const ignore = () => {}
  const instances = targets.map(
    (target) =>
      new Instance(
        {
          kind,
          target,
          enabled: true,
          labels: { target },
          interval: 1_000,
          timeout: Math.min(kind.defaults.timeout, 10_000),
          maxSeries: 100_000,
          settings: kind.settings.parse(backend.settings),
        },
        systemClock,
        exposition,
        { failed: ignore, recovered: ignore, partsFailed: ignore, seriesDropped: ignore },
        reporterInMemory({ target, labels: { target } }),
      ),
  )
  await Promise.all(instances.map((instance) => instance.start()))
  return {
    exposition,
    async stop() {
      await Promise.all(instances.map((instance) => instance.stop()))
    },
  }
}

const textOf = (exposition: Exposition): string[] =>
  Buffer.concat(exposition.current.plain)
    .toString()
    .split('\n')
    .filter((line) => line !== '')

function sample(exposition: Exposition, series: string): number | undefined {
  const line = textOf(exposition).find((line) => line.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

function faultsOf({ name, type, help, labelNames }: Family, kept: ReadonlySet<string>): string[] {
  const faults: string[] = []
  if (!/^[a-z][a-z0-9_]*[a-z0-9]$/.test(name)) faults.push('is not snake case')
  if (type === 'counter' && !name.endsWith('_total')) faults.push('is a counter without _total')
  if (type === 'gauge' && name.endsWith('_total')) faults.push('is a gauge with _total')
  if (/_(ms|millis|milliseconds|minutes|hours|kb|mb|percent)(_|$)/.test(name))
    faults.push('is not in a base unit')
  if (/_(sum|count|bucket)$/.test(name)) faults.push('has a suffix of histograms')
  for (const label of labelNames) {
    if (['le', 'quantile'].includes(label)) faults.push(`has the label ${label}, which is Prometheus's`)
  }
  const known = kept.has(name) ? [] : faults
  if (!/[.:]$/.test(help) || help.length < 20) known.push('has a HELP that is no sentence')
  for (const label of labelNames) {
    if (!/^[a-z][a-z0-9_]*$/.test(label)) known.push(`has the label ${label}, which is not snake case`)
    if (['target', 'collector', 'environment', 'platform'].includes(label))
      known.push(`has the label ${label}, which is the engine's`)
  }
  return known.map((fault) => `${name} ${fault}`)
}
