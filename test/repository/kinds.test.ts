import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { checkFamilies, runFamilies } from '../../src/collection/run-metrics.ts'
import { allKinds, collectorKinds as kindsByName } from '../../src/collectors/index.ts'
import type { Family } from '../../src/metrics/family.ts'
import { startDaemon } from '../commands/daemon.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { waitFor } from '../testbed/process.ts'

const collectorKinds = await allKinds()
const names = collectorKinds.map(({ kind }) => kind)

const folders = (path: string) =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)

test('the list of kinds is the list of folders, in the order of the alphabet', () => {
  expect(Object.keys(kindsByName)).toEqual(names)
  expect(names).toEqual(folders('src/collectors').toSorted())
})

test('every kind is exported by its own name from the index of its folder, and has a folder of tests', async () => {
  for (const kind of collectorKinds) {
    const module = (await import(resolve('src/collectors', kind.kind, 'index.ts'))) as Record<string, unknown>
    expect(module[kind.kind]).toBe(kind)
    expect(existsSync(`test/collectors/${kind.kind}/${kind.kind}.test.ts`), kind.kind).toBe(true)
  }
})

test('no two kinds have a family of the same name, nor is one the engine’s', () => {
  const all = [...collectorKinds.flatMap(({ families }) => families), ...runFamilies, ...checkFamilies]
  const byName = new Map<string, Set<Family>>()
  for (const family of all) byName.set(family.name, (byName.get(family.name) ?? new Set()).add(family))
  expect([...byName].filter(([, families]) => families.size > 1).map(([name]) => name)).toEqual([])
})

test('no two kinds have the same key in /health', () => {
  const keys = collectorKinds.map(({ health }) => health.key)
  expect(new Set(keys).size).toBe(keys.length)
})

test('every name of a family is a literal in the metrics.ts of its kind', () => {
  for (const { kind, families } of collectorKinds) {
    const text = readFileSync(`src/collectors/${kind}/metrics.ts`, 'utf8')
    expect(families.filter(({ name }) => !text.includes(`'${name}'`)).map(({ name }) => name)).toEqual([])
  }
})

const EXAMPLE = `
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { defineCollector, seconds } from '../../collection/collector.ts'
import { settings } from '../../config/fields.ts'
import { counter, gauge } from '../../metrics/family.ts'

const up = gauge('example_up', 'Whether the example answered the last background run.')
const items = gauge('example_items', 'Items of the example, from its settings.', ['item'])
const reads = counter('example_reads_total', 'Times that the example was read since the daemon started.')

export const example = defineCollector({
  kind: 'example',
  health: { key: 'example', title: 'Example' },
  settings: settings({ items: z.array(z.string()) }),
  families: [up, items, reads],
  up,
  defaults: { interval: seconds(1), timeout: seconds(1) },
  create({ items: names }) {
    let count = 0
    return {
      async collect(batch, signal) {
        await delay(1, undefined, { signal })
        for (const [i, item] of names.entries()) batch.add(items, { item }, i)
        batch.add(reads, {}, ++count)
      },
    }
  },
})
`

test('a new kind takes one folder and one line, and the daemon scrapes it', async () => {
  const copy = temporaryFolder('example')
  cpSync('src', join(copy.path, 'src'), { recursive: true })
  cpSync('package.json', join(copy.path, 'package.json'))
  symlinkSync(resolve('node_modules'), join(copy.path, 'node_modules'))

  mkdirSync(join(copy.path, 'src/collectors/example'))
  writeFileSync(join(copy.path, 'src/collectors/example/index.ts'), EXAMPLE)
  const index = join(copy.path, 'src/collectors/index.ts')
  const before = readFileSync(index, 'utf8')
  writeFileSync(index, registered(before))

  const daemon = await startDaemon(
    [{ kind: 'example', target: 'first', items: ['a', 'b'], interval: '1h', timeout: '1m' }],
    { entry: join(copy.path, 'src/main.ts') },
  )
  try {
    await waitFor('its first run', async () => (await daemon.sample('example_up{target="first"}')) === 1)
    expect(await daemon.sample('example_items{target="first",item="b"}')).toBe(1)
    expect(await daemon.sample('example_reads_total{target="first"}')).toBeGreaterThan(0)
    expect(JSON.parse(await daemon.get('/health'))).toMatchObject({
      checks: { example: { status: 'healthy' } },
    })
  } finally {
    await daemon.stop()
    copy.remove()
  }
})

/** With the example among the kinds. */
function registered(index: string): string {
  const line = "  example: async () => (await import('./example/index.ts')).example,\n"
  const text = index.replace(/(?=^ {2}kafka: )/m, line)
  expect(text).toContain(line)
  return text
}
