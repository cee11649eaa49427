import { execFile } from 'node:child_process'
import { get as httpGet } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual, promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { installClickHouse } from '../testbed/clickhouse.ts'
import { collectorsOf, type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { readExposition, type Sample } from '../testbed/exposition-text.ts'
import { installJars } from '../testbed/java.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import { waitFor } from '../testbed/process.ts'

const run = promisify(execFile)

let pipeline: Pipeline
let daemon: DaemonPart
let address: string

beforeAll(async () => {
  await installJars()
  await installClickHouse()
  pipeline = await startPipeline()
  // One run of each, and then nothing changes but the daemon's own metrics, every five seconds.
  const defaults = { interval: '1h', timeout: '5m' }
  const collectors = collectorsOf(pipeline).map((one) =>
    one.kind === 'kafka' ? { ...one, broker_timeout: '1m' } : one,
  )
  daemon = await startDaemon({ config: { defaults, collectors } })
  address = `${daemon.url}/metrics`
})
afterAll(async () => {
  await daemon?.remove()
  await pipeline?.stop()
})

test('the body is of the whole pipeline, and its numbers are padded', async () => {
  const body = await curl()
  const { samples } = readExposition(body)
  expect(samples.filter(({ name }) => name.endsWith('_up')).map(({ name, value }) => [name, value])).toEqual(
    ['clickhouse', 'kafka_connect', 'kafka', 'pg', 'pm2', 'redis'].map((kind) => [`${kind}_up`, 1]),
  )
  expect(body).toMatch(/^kafka_consumergroup_lag\{.*\} {2,}\d+$/m)
})

const GZIP_READERS: Readonly<Record<string, () => Promise<string>>> = {
  'curl --compressed': () => curl('--compressed'),
  fetch: async () => await (await fetch(address)).text(),
  DecompressionStream: async () => {
    const compressed = new Blob([await rawGzip()])
    return await new Response(compressed.stream().pipeThrough(new DecompressionStream('gzip'))).text()
  },
}

test.each(Object.entries(GZIP_READERS))('%s gets the bytes of the plain body', async (_, read) => {
  const { text, plain } = await whileQuiet(read)
  expect(text).toBe(plain)
})

test('curl --compressed is answered in gzip', async () => {
  const head = await curl('--compressed', '--dump-header', '-', '--output', '/dev/null')
  expect(head).toMatch(/^content-encoding: gzip\r$/im)
})

test("Prometheus's client for Python finds the same samples and types", async () => {
  const body = await curl()
  const { samples, types } = readExposition(body)
  const found = await readInPython(body)
  expect(found.samples).toBe(samples.length)
  // It takes the suffix from the name of a counter.
  const expected = [...types].map(([name, type]) => [
    type === 'counter' ? name.replace(/_total$/, '') : name,
    type,
  ])
  expect(found.types).toEqual(Object.fromEntries(expected))
})

test('Prometheus takes every sample as it is', async () => {
  const prometheus = await startPrometheus({
    config: {
      scrape_configs: [
        {
          job_name: 'cdc-exporter',
          honor_labels: true,
          scrape_interval: '2s',
          scrape_timeout: '2s',
          static_configs: [{ targets: [new URL(daemon.url).host] }],
        },
      ],
    },
  })
  try {
    let theirs: string[] = []
    let ours: string[] = []
    let counted: number | undefined
    let read = 0
    // The daemon's own metrics may gain a series between the scrape and our reading, and a scrape may be late.
    await waitFor('a scrape of the body that we read', async () => {
      expect(await prometheus.targets()).toMatchObject([{ health: 'up', lastError: '' }])
      const before = await daemon.scrape()
      counted = (await prometheus.query('scrape_samples_scraped'))[0]?.value
      theirs = await storedSeries(prometheus)
      read = (await daemon.scrape()).length
      ours = before.filter(isOfPipeline).map(lineOf).sort()
      return counted === read && before.length === read && isDeepStrictEqual(theirs, ours)
    }).catch(() => {})
    expect(counted).toBe(read)
    expect(theirs).toEqual(ours)
  } finally {
    await prometheus.remove()
  }
})

/** What curl writes to its standard output: the plain body, where no option says otherwise. */
async function curl(...options: string[]): Promise<string> {
  const { stdout } = await run('curl', ['--silent', '--fail', ...options, address], { maxBuffer: 2 ** 26 })
  return stdout
}

/** What `read` gets at a moment when the plain body is the same before and after, and that body. */
async function whileQuiet(read: () => Promise<string>): Promise<{ text: string; plain: string }> {
  let text = ''
  let plain = ''
  await waitFor('a moment in which nothing changes', async () => {
    plain = await curl()
    text = await read()
    return (await curl()) === plain
  })
  return { text, plain }
}

function rawGzip(): Promise<Buffer<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    httpGet(address, { headers: { 'accept-encoding': 'gzip' } }, (response) => {
      buffer(response).then(resolve, reject)
    }).once('error', reject)
  })
}

interface PythonReading {
  readonly samples: number
  readonly types: Readonly<Record<string, string>>
}

/** With Debian's Python, whichever else is on the PATH. */
async function readInPython(body: string): Promise<PythonReading> {
  const script = fileURLToPath(new URL('read.py', import.meta.url))
  const reading = run('/usr/bin/python3', [script], { maxBuffer: 2 ** 26 })
  reading.child.stdin?.end(body)
  return JSON.parse((await reading).stdout)
}

/** What Prometheus has now of the daemon's series, without the labels of the scrape. */
async function storedSeries(prometheus: PrometheusPart): Promise<string[]> {
  const stored = await prometheus.query('{job="cdc-exporter"}')
  return stored
    .map(({ labels: { __name__: name = '', job, instance, ...labels }, value }) => ({ name, labels, value }))
    .filter(isOfPipeline)
    .map(lineOf)
    .sort()
}

/** Not of the daemon's own process, whose numbers change, nor of the scrape itself. */
function isOfPipeline({ name }: Sample): boolean {
  return !/^(process_|nodejs_|scrape_|up$)/.test(name)
}

/** A label without a value is the same as none, for Prometheus. */
function lineOf({ name, labels, value }: Sample): string {
  const pairs = Object.entries(labels)
    .filter(([, text]) => text !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `${name} ${JSON.stringify(pairs)} ${value}`
}
