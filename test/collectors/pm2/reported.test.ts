import { renameSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pm2 } from '../../../src/collectors/pm2/index.ts'
import { type Pm2Part, startPm2 } from '../../testbed/parts/pm2.ts'
import { waitFor } from '../../testbed/process.ts'
import { collect, collecting } from '../collect.ts'

let daemon: Pm2Part

beforeAll(async () => {
  daemon = await startPm2()
})
afterAll(() => daemon?.remove())

function script(name: string, source: string): string {
  const path = join(daemon.home, `${name}.cjs`)
  writeFileSync(path, source)
  return path
}

/** Reports as @pm2/io does, again and again. */
const reporting = (data: unknown) =>
  `setInterval(() => process.send({ type: 'axm:monitor', data: ${JSON.stringify(data)} }), 50)`

describe('metrics of processes', () => {
  const gauge = (metric: string, unit?: string) => ({
    metric,
    unit,
    help: 'What the application says of itself.',
  })
  const custom_metrics = {
    'Jobs waiting': gauge('app_jobs_waiting'),
    'Orders booked': { metric: 'app_orders_total', type: 'counter', help: 'Orders that were booked.' },
    'Cache size': gauge('app_cache_bytes', 'bytes'),
    'Heap Usage': gauge('app_heap_ratio', 'ratio'),
    'Slowest query': gauge('app_slowest_query_seconds', 'seconds'),
    'Last sync': gauge('app_last_sync_age_seconds', 'seconds'),
    Mood: gauge('app_mood'),
    Requests: gauge('app_requests_seconds', 'seconds'),
  }
  const id = 'target="test",name="api \\"v2\\"",pm_id="0"'

  test('become series by the list of the configuration, in base units', async () => {
    const source = reporting({
      'Jobs waiting': { value: 7 },
      'Orders booked': 12,
      'Cache size': { value: '1.5', unit: 'MiB' },
      'Heap Usage': { value: 50, unit: '%' },
      'Slowest query': { value: '250ms' },
      'Last sync': { value: 90, unit: '' },
      Mood: { value: 'fine' },
      Requests: { value: 3, unit: 'req/min' },
      Unlisted: { value: 1 },
      'Event Loop Latency': { value: '250.00', unit: 'ms' },
      'Event Loop Latency p95': { value: '1.50', unit: 's' },
    })
    await daemon.startApp({ name: 'api "v2"', script: script('reporting', source), pmx: false })
    const collector = collecting(pm2, { home: daemon.home, custom_metrics })
    let lines: string[] = []
    await waitFor('its report', async () => {
      lines = (await collector.run()).filter((line) => /^app_|_event_loop_/.test(line))
      return lines.length > 0
    })
    expect(lines).toEqual([
      `app_cache_bytes{${id}} 1572864`,
      `app_heap_ratio{${id}} 0.5`,
      `app_jobs_waiting{${id}} 7`,
      `app_last_sync_age_seconds{${id}} 90`,
      `app_orders_total{${id}} 12`,
      `app_slowest_query_seconds{${id}} 0.25`,
      `pm2_process_event_loop_latency_p95_seconds{${id}} 1.5`,
      `pm2_process_event_loop_latency_seconds{${id}} 0.25`,
    ])
    expect(collector.failedParts.map(({ labels, cause }) => [labels, (cause as Error).message])).toEqual([
      [{ name: 'api "v2"', pm_id: '0' }, 'pm2: Requests of api "v2" is in req/min, not in seconds'],
    ])
  })

  test('go when it is stopped', async () => {
    await daemon.stopApp('api "v2"')
    const lines = await collect(pm2, { home: daemon.home, custom_metrics })
    expect(lines.filter((line) => /^app_|_event_loop_/.test(line))).toEqual([])
  })

  test('a process with the metrics of PM2 has the latency of its event loop', async () => {
    const plain = script('plain', 'setInterval(() => {}, 1000)')
    await daemon.startApp({ name: 'plain', script: plain })
    await waitFor('its report', async () => {
      const lines = await collect(pm2, { home: daemon.home })
      const families = lines.filter((line) => line.includes('name="plain"')).map((line) => line.split('{')[0])
      return ['pm2_process_event_loop_latency_seconds', 'pm2_process_event_loop_latency_p95_seconds'].every(
        (family) => families.includes(family),
      )
    })
  })

  test('two of them cannot have one name', () => {
    const input = { custom_metrics: { a: gauge('app_jobs'), b: gauge('app_jobs') } }
    expect(pm2.settings.safeParse(input).error?.issues).toMatchObject([
      { path: ['custom_metrics', 'b', 'metric'], message: '"a" has this name already' },
    ])
  })
})

describe('error logs', () => {
  // A hundred bytes at each signal.
  const complaining = `process.on('SIGUSR2', () => console.error('x'.repeat(99))); setInterval(() => {}, 1000)`

  /** Counts in one collector from its first run on. */
  async function watching(name: string) {
    const collector = collecting(pm2, { home: daemon.home })
    const bytes = async () => {
      const series = `pm2_error_log_bytes_total{target="test",name="${name}"} `
      const line = (await collector.run()).find((line) => line.startsWith(series))
      return line === undefined ? undefined : Number(line.slice(series.length))
    }
    await waitFor('its log', async () => (await bytes()) === 0)
    return {
      bytes,
      async complain() {
        process.kill(await daemon.pidOf(name), 'SIGUSR2')
      },
      async shows(expected: number) {
        await waitFor(`${expected} bytes`, async () => (await bytes()) === expected)
      },
    }
  }

  /** Starts it, and waits until it minds the signal, which would end it before. */
  async function start(app: Omit<Parameters<Pm2Part['startApp']>[0], 'script'>) {
    const ready = `${complaining}; process.send({ type: 'axm:monitor', data: { Ready: 1 } })`
    await daemon.startApp({ ...app, script: script(app.name, ready), pmx: false })
    const custom_metrics = { Ready: { metric: 'app_ready', help: 'Whether it minds signals.' } }
    await waitFor('all instances to be ready', async () => {
      const lines = await collect(pm2, { home: daemon.home, custom_metrics })
      return (
        lines.filter((line) => line.startsWith(`app_ready{target="test",name="${app.name}"`)).length ===
        (app.instances ?? 1)
      )
    })
  }

  test('what is appended is counted, over a log that is emptied and one that is moved away', async () => {
    await start({ name: 'noisy' })
    const log = join(daemon.home, 'logs', 'noisy-error.log')
    const { bytes, complain, shows } = await watching('noisy')
    await complain()
    await shows(100)
    await complain()
    await shows(200)

    truncateSync(log)
    expect(await bytes()).toBe(200)
    await complain()
    await shows(300)

    renameSync(log, `${log}.1`)
    expect(await bytes(), 'a file that is not there').toBeUndefined()
    await daemon.reloadLogs()
    await complain()
    await shows(400)
  })

  test('a log that all instances share counts once, and what it held before does not', async () => {
    writeFileSync(join(daemon.home, 'logs', 'shared-error.log'), 'from another day\n')
    await start({ name: 'shared', exec_mode: 'cluster', instances: 2, merge_logs: true })
    const { complain, shows } = await watching('shared')
    await complain()
    await shows(100)
  })
})
