import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { startMeasuredDaemon } from './daemon.ts'

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

test('the benchmark measures the daemon and a peer on a small work, one object a line', async () => {
  const size = ['--partitions', '20', '--groups', '4']
  const work = spawn(process.execPath, [main, 'work', ...size], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const [bootstrap = ''] = String(await once(work.stdout, 'data')).split('\n')
    // The daemon is an exporter like any other.
    const peer = await startMeasuredDaemon({ brokers: bootstrap, granularity: 'partition' }, 2000)
    try {
      const args = ['kafka', '--json', ...size, '--bootstrap', bootstrap, '--no-growth', '--scrapes', '3']
      // Longer than a pass and its reading on a busy machine: a pass belongs to one interval.
      args.push('--passes', '2', '--interval', '2000')
      args.push('--peer', `${peer.url}/metrics`, '--pid', String(peer.pid))
      const { stdout } = await run(process.execPath, [main, ...args])
      expectMeasures(stdout)
    } finally {
      await peer.remove()
    }
  } finally {
    if (work.exitCode === null) {
      work.kill('SIGINT')
      await once(work, 'exit')
    }
  }
})

function expectMeasures(stdout: string): void {
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
  expect(values.get('partition.peer.series')).toBeGreaterThan(160)
  const beside = measures.find(({ name }) => name === 'partition.scrape.to_peer')
  expect(beside?.ratio_to).toBe('peer, measured')
  expect(beside?.ratio).toBeGreaterThan(0)
  // Goals and other exporters' numbers are for the reference work alone.
  expect(measures.filter(({ goal }) => goal !== null)).toEqual([])
}
