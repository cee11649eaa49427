import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { z } from 'zod'

const run = promisify(execFile)
const main = fileURLToPath(new URL('main.ts', import.meta.url))

const measure = z.strictObject({
  name: z.string().regex(/^[a-z0-9_.A-Z]+$/),
  value: z.number(),
  unit: z.string().min(1),
  ratio_to: z.string().nullable(),
  ratio: z.number().nullable(),
  goal: z.string().nullable(),
  reached: z.boolean().nullable(),
})

test('the benchmark measures the daemon on a small work, one object a line', async () => {
  const { stdout } = await run(process.execPath, [
    main,
    'kafka',
    '--json',
    ...[
      '--partitions',
      '20',
      '--groups',
      '4',
      '--passes',
      '2',
      '--interval',
      // Longer than a pass and its reading on a busy machine: a pass belongs to one interval.
      '2000',
      '--scrapes',
      '3',
      '--no-growth',
    ],
  ])
  const measures = stdout
    .trimEnd()
    .split('\n')
    .map((line) => measure.parse(JSON.parse(line)))
  const values = new Map(measures.map(({ name, value }) => [name, value]))
  expect(values.size, 'every name once').toBe(measures.length)
  // Four groups, two topics of ten partitions.
  expect(values.get('partition.lag_pairs')).toBe(80)
  expect(values.get('partition.lag_pairs_with_seconds')).toBe(80)
  expect(values.get('topic.lag_pairs')).toBe(8)
  expect(values.get('topic.lag_pairs_with_seconds')).toBe(8)
  for (const granularity of ['partition', 'topic']) {
    for (const name of ['pass_wall', 'pass_cpu_inside', 'rss', 'scrape_median', 'live_wait_worst']) {
      expect(values.get(`${granularity}.${name}`), `${granularity}.${name}`).toBeGreaterThan(0)
    }
    expect(values.get(`${granularity}.requests.OffsetFetch`)).toBeGreaterThanOrEqual(1)
  }
  expect(values.get('naive.series')).toBeGreaterThan(160)
  // Goals and other exporters' numbers are for the reference work alone.
  expect(measures.filter(({ goal }) => goal !== null)).toEqual([])
})
