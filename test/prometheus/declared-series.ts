import { readFileSync } from 'node:fs'
import { checkFamilies, runFamilies } from '../../src/collection/run-metrics.ts'
import { allKinds } from '../../src/collectors/index.ts'
import type { Family } from '../../src/metrics/family.ts'
import { ownMetrics } from '../../src/metrics/own.ts'
import { readExposition } from '../testbed/exposition-text.ts'
import { readExpression } from './promql.ts'
import { allRules, folder } from './rule-files.ts'

const collectorKinds = await allKinds()

/** Of a series that somebody gives: its label names, without those of the scrape and of the configuration. */
export type DeclaredSeries = ReadonlyMap<string, readonly string[]>

/** What Prometheus and the configuration put on any series. */
export const COMMON_LABELS = ['instance', 'job', 'target', 'environment', 'platform', 'team'] as const

function seriesOf({ name, type, labelNames }: Family): (readonly [string, readonly string[]])[] {
  if (type !== 'histogram') return [[name, labelNames]]
  return [
    [`${name}_bucket`, [...labelNames, 'le']],
    [`${name}_sum`, labelNames],
    [`${name}_count`, labelNames],
  ]
}

/** Series that the daemon declares: of its collectors, of its scheduler, and its own. */
export async function ofTheDaemon(): Promise<DeclaredSeries> {
  const families = collectorKinds.flatMap(({ families, up }) => [...families, ...(up ? [up] : [])])
  const own = ownMetrics(
    'test',
    () => [{ target: 'a', environment: 'b', platform: 'c', operation: 'd', result: 'e', count: 1 }],
    () => ({
      switches: [{ prometheus: 'a', ok: true, receivedAt: 0 }],
      notifications: [{ receiver: 'a', result: 'b', count: 1 }],
    }),
  )
  own.configLoaded(true, 0)
  const { samples } = readExposition(await own.text())
  return new Map([
    ...[...families, ...runFamilies, ...checkFamilies].flatMap(seriesOf),
    ...samples.map(({ name, labels }) => [name, Object.keys(labels)] as const),
  ])
}

/** Lines `name{a,b}` of a file of `prometheus/tests`. */
export function savedSeries(file: 'series.txt' | 'other-series.txt'): DeclaredSeries {
  const lines = readFileSync(`${folder('tests')}${file}`, 'utf8').split('\n')
  return new Map(
    lines
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const [, name, labels] = /^(\w+)\{([\w,]*)\}$/.exec(line) ?? []
        if (name === undefined || labels === undefined) throw new Error(`${file}: no series: ${line}`)
        return [name, labels.split(',').filter((label) => label !== '')] as const
      }),
  )
}

/** The label names of a series; undefined for a name that nobody gives. */
export type LabelsOf = (name: string) => readonly string[] | undefined

/** The same for series that rules record too: these may have the labels of all that they are made from. */
export function withRecorded(given: LabelsOf): LabelsOf {
  const labelsOf = (name: string, within: readonly string[]): readonly string[] | undefined => {
    const known = given(name)
    if (known) return known
    const rule = allRules.find(({ record }) => record === name)
    if (!rule || within.includes(name)) return undefined
    const { selectors } = readExpression(rule.expr)
    return selectors.flatMap((selector) => labelsOf(selector.name, [...within, name]) ?? [])
  }
  return (name) => labelsOf(name, [])
}
