import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Daemon, startDaemon } from '../commands/daemon.ts'
import { panelsOf, shipped } from '../grafana/shipped.ts'
import { folder as prometheusFolder } from '../prometheus/rule-files.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { type RedisPart, startRedis } from '../testbed/parts/redis.ts'
import { waitFor } from '../testbed/process.ts'
import { filledInForAll, stepOf } from './fill-in.ts'
import { complaintsOf, lookAt, type Seen } from './look.ts'
import { pageOf } from './page.ts'
import { prometheusAt, type TimeRange } from './prometheus.ts'
import { written } from './units.ts'

const WAITING = 1_234
/** Seconds, of a range of ten minutes. */
const STEP = 15

const folder = temporaryFolder('preview-test')
let redis: RedisPart
let daemon: Daemon
let prometheus: PrometheusPart
/** What has been: whatever happens to scrapes on a busy machine, it does not change any more. */
let range: TimeRange

beforeAll(async () => {
  redis = await startRedis()
  const client = createClient({ url: redis.url })
  await client.connect()
  await client.lPush(
    'votes',
    Array.from({ length: WAITING }, (_, vote) => String(vote)),
  )
  client.destroy()
  daemon = await startDaemon([{ kind: 'redis', target: 'erp', url: redis.url, queues: ['votes'] }])
  prometheus = await startPrometheus({
    config: {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [`${prometheusFolder('rules')}*.yml`],
      scrape_configs: [
        {
          job_name: 'cdc-exporter',
          honor_labels: true,
          static_configs: [{ targets: [new URL(daemon.url).host] }],
        },
      ],
    },
  })
  await waitFor('Prometheus to have the queue at the end of a step', async () => {
    const end = Math.floor(Date.now() / 1000 / STEP) * STEP
    const { instant } = prometheusAt(prometheus.url)
    const read = await instant(`redis_queue_length == ${WAITING} and on () cdc_collector_success == 1`, end)
    range = { from: end - 600, to: end }
    return read.length === 1
  })
})
afterAll(async () => {
  await prometheus?.remove()
  await daemon?.stop()
  await redis?.remove()
  folder.remove()
})

const pictures = new Map<string, ReturnType<typeof draw>>()

/** A dashboard and its picture, made once. */
function drawn(uid: string) {
  const picture = pictures.get(uid) ?? draw(uid)
  pictures.set(uid, picture)
  return picture
}

async function draw(uid: string) {
  const dashboard = shipped.find((each) => each.uid === uid)
  if (!dashboard) throw new Error(`there is no dashboard ${uid}`)
  const page = await pageOf(dashboard, prometheusAt(prometheus.url), range)
  return { dashboard, page, seen: await lookAt(page, join(folder.path, `${uid}.png`)) }
}

function textOf({ panels }: Seen, title: string): string {
  return Object.values(panels).find((panel) => panel.title === title)?.text ?? ''
}

test.each(shipped.map(({ uid = '' }) => uid))(
  '%s is drawn as its panels stand, and nothing is cut',
  async (uid) => {
    const { dashboard, page, seen } = await drawn(uid)
    expect(complaintsOf(dashboard, page, seen)).toEqual([])
  },
)

test('a picture tells what Prometheus has, and what it has not', async () => {
  const { page, seen } = await drawn('cdc-queues')
  expect(page.html).toContain('Not Grafana')
  expect(textOf(seen, 'Longest queue')).toBe('1.23 K')
  expect(textOf(seen, 'Items waiting')).toContain('erp votes')
  expect(textOf(seen, 'Redis servers')).toMatch(/erp.*up$/)
  expect(textOf(seen, 'Oldest item')).toBe('no queue whose items have a time')
  const overview = (await drawn('cdc-overview')).seen
  expect(textOf(overview, 'Backends that fail')).toBe('0')
  expect(textOf(overview, 'Dead letters')).toBe('no such topic')
  expect(textOf(overview, 'Each backend now')).toMatch(/Last read ?– ?redis ?erp ?up ?.+ ago/)
})

test('what is wrong with a picture is found', async () => {
  const overview = shipped.find(({ uid }) => uid === 'cdc-overview')
  const broken = structuredClone(overview)
  const [stat, , , , , , , , graph] = broken ? panelsOf(broken) : []
  if (!broken || !stat?.gridPos || !graph) throw new Error('there is no overview')
  stat.title = 'A title that nobody can read in so narrow a panel'
  graph.targets = [{ ...graph.targets?.[0], expr: 'sum(' } as never]
  const page = await pageOf(broken, prometheusAt(prometheus.url), range)
  const seen = await lookAt(page, join(folder.path, 'broken.png'))
  stat.gridPos.x += 1
  expect(complaintsOf(broken, page, seen)).toEqual([
    expect.stringMatching(/^cdc-overview: Records into Kafka: .*parse error/),
    `cdc-overview: ${stat.title}: ${stat.title}`,
    `cdc-overview: ${stat.title}: it is not in its place`,
  ])
})

describe('the command', () => {
  const run = (...args: readonly string[]) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      const main = fileURLToPath(new URL('main.ts', import.meta.url))
      // Its own temporary folder: whoever runs a demo by hand is not asked.
      const env = { ...process.env, TMPDIR: folder.path }
      execFile(process.execPath, [main, ...args], { env }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
      )
    })

  test('draws into a folder', async () => {
    const out = join(folder.path, 'pictures')
    const result = await run('--prometheus', prometheus.url, '--out', out, '--from', '10m', 'cdc-topics')
    expect(result).toEqual({ code: 0, stdout: `${join(out, 'cdc-topics.png')}\n`, stderr: '' })
    expect(existsSync(join(out, 'cdc-topics.png'))).toBe(true)
  })

  test('says what it lacks', async () => {
    expect(await run()).toMatchObject({ code: 1, stderr: expect.stringContaining('npm run demo') })
    const nobody = await run('--prometheus', 'http://127.0.0.1:1')
    expect(nobody).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no Prometheus answers at http://127.0.0.1:1'),
    })
    expect(await run('--prometheus', daemon.url)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is no Prometheus'),
    })
    expect(await run('nothing')).toMatchObject({ code: 2, stderr: expect.stringContaining('cdc-overview') })
  })
})

test.each([
  [0.0123, 's', '12.3 ms'],
  [100, 's', '1.67 mins'],
  [3_600, 's', '1 hour'],
  [1_234, 'short', '1.23 K'],
  [1_234, 'none', '1234'],
  [1_234, 'bytes', '1.21 KiB'],
  [0.5, 'percentunit', '50%'],
  [99.99, 'cps', '100.0 c/s'],
])('%d in %s is written %s', (value, unit, text) => {
  expect(written(value, unit)).toBe(text)
})

test('a query is filled in as Grafana does for all', () => {
  const [overview] = shipped.filter(({ uid }) => uid === 'cdc-overview')
  if (!overview) throw new Error('there is no overview')
  const range = { from: 1_000_000, to: 1_021_600 }
  const step = stepOf(range, 700, '1m')
  expect(step).toBe(60)
  expect(stepOf(range, 700, undefined)).toBe(60)
  expect(stepOf({ from: 0, to: 900 }, 700, undefined)).toBe(15)
  expect(
    filledInForAll(
      'rate(a{b=~"$environment"}[$__rate_interval]) + increase(c[$__range]) + $__interval',
      overview,
      {
        range,
        step,
        interval: '1m',
      },
    ),
  ).toBe('rate(a{b=~".*"}[240s]) + increase(c[21600s]) + 60s')
  const filling = { range, step, interval: undefined }
  expect(() => filledInForAll('a{b="$nobody"}', overview, filling)).toThrow('the variable nobody')
})
