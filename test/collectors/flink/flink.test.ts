import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { flink } from '../../../src/collectors/flink/index.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type FlinkPart, startFlink } from '../../testbed/parts/flink.ts'
import { reservePort } from '../../testbed/ports.ts'
import { waitFor } from '../../testbed/process.ts'
import { checked, complaints } from '../check.ts'
import { type Collecting, collecting } from '../collect.ts'

let part: FlinkPart
let collector: Collecting
const open: Collecting[] = []
const servers: Server[] = []

beforeAll(async () => {
  part = await startFlink([
    ['orders', 'fails'],
    ['orders', 'runs'],
    ['restarts', 'restarts'],
    ['fails', 'fails'],
    ['slow', 'slow'],
    ['loses-checkpoints', 'loses-checkpoints'],
    ['chained', 'chained'],
    ['goes', 'runs'],
  ])
  collector = collecting(flink, { urls: part.url })
})
afterAll(async () => {
  await collector?.stop()
  await part?.remove()
})
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

function collectorOf(settings: Record<string, unknown>): Collecting {
  const made = collecting(flink, settings)
  open.push(made)
  return made
}

/** The value of a series of one job, or undefined; `more` are its other labels. */
function numberOf(lines: readonly string[], name: string, job: string, more = ''): number | undefined {
  const series = `flink_job_${name}{target="test",job="${job}"${more}} `
  const line = lines.find((each) => each.startsWith(series))
  return line === undefined ? undefined : Number(line.slice(series.length))
}

const NO_PLACE = ',exception_class="java.lang.IllegalStateException"'

/** The first run without a failed part of which it holds. */
async function eventually(what: string, holds: (lines: readonly string[]) => boolean): Promise<string[]> {
  let lines: string[] = []
  await waitFor(what, async () => {
    lines = await collector.run()
    return collector.failedParts.length === 0 && holds(lines)
  })
  return lines
}

const states = (job: string, now: string) =>
  [
    'canceled',
    'cancelling',
    'created',
    'failed',
    'failing',
    'finished',
    'initializing',
    'reconciling',
    'restarting',
    'running',
    'suspended',
  ].map((state) => `flink_job_state{target="test",job="${job}",state="${state}"} ${Number(state === now)}`)

const statesIn = (lines: readonly string[], job: string) =>
  lines.filter((line) => line.startsWith(`flink_job_state{target="test",job="${job}"`))

test('a cluster has its task managers and slots', async () => {
  const lines = await collector.run()
  expect(lines).toEqual(
    expect.arrayContaining([
      'flink_info{target="test",version="2.3.0"} 1',
      'flink_slots{target="test"} 12',
      'flink_taskmanagers{target="test"} 2',
    ]),
  )
  // Those of jobs that have failed or wait for their restart are free.
  const available = lines.find((line) => line.startsWith('flink_slots_available{'))?.split(' ')[1]
  expect(Number(available)).toBeGreaterThanOrEqual(12 - 8)
  expect(Number(available)).toBeLessThanOrEqual(12)
})

test('a job that runs has all its numbers; of two of one name it is the one that was started last', async () => {
  const job = (await part.jobs()).findLast(({ name }) => name === 'orders')
  const lines = await eventually(
    'the job to run with checkpoints and traffic',
    (lines) =>
      (numberOf(lines, 'checkpoints_completed_total', 'orders') ?? 0) > 0 &&
      (numberOf(lines, 'records_out_total', 'orders') ?? 0) > 0 &&
      (numberOf(lines, 'bytes_out_total', 'orders') ?? 0) > 0 &&
      numberOf(lines, 'backpressure_ratio', 'orders') !== undefined &&
      numberOf(lines, 'uptime_seconds', 'orders') !== undefined,
  )
  expect(statesIn(lines, 'orders')).toEqual(states('orders', 'running'))
  const of = (name: string) => numberOf(lines, name, 'orders') ?? Number.NaN
  const told = (await (await fetch(`${part.url}/jobs/${job?.jid}`)).json()) as { 'start-time': number }
  expect(of('start_time_seconds')).toBe(told['start-time'] / 1000)
  expect(of('restarts_total')).toBe(0)
  expect(of('checkpoints_failed_total')).toBeGreaterThanOrEqual(0)
  expect(of('checkpoints_in_progress')).toBeGreaterThanOrEqual(0)
  expect(of('checkpoint_interval_seconds')).toBe(1)
  expect(of('last_checkpoint_timestamp_seconds')).toBeGreaterThan(of('start_time_seconds'))
  expect(of('last_checkpoint_duration_seconds')).toBeGreaterThanOrEqual(0)
  expect(of('last_checkpoint_size_bytes')).toBeGreaterThan(0)
  expect(of('backpressure_ratio')).toBeLessThanOrEqual(1)
  expect(
    lines.filter((line) => line.startsWith('flink_job_exceptions_total{target="test",job="orders"')),
  ).toEqual([])

  const later = await eventually(
    'more of everything',
    (lines) =>
      (numberOf(lines, 'records_in_total', 'orders') ?? 0) > of('records_in_total') &&
      (numberOf(lines, 'records_out_total', 'orders') ?? 0) > of('records_out_total') &&
      (numberOf(lines, 'bytes_in_total', 'orders') ?? 0) > of('bytes_in_total') &&
      (numberOf(lines, 'checkpoints_completed_total', 'orders') ?? 0) > of('checkpoints_completed_total'),
  )
  expect(numberOf(later, 'start_time_seconds', 'orders')).toBe(of('start_time_seconds'))
})

test('a job that throws sometimes is restarted, and its failures are counted by their root class', async () => {
  const first = await eventually(
    'a restart',
    (lines) => (numberOf(lines, 'restarts_total', 'restarts') ?? 0) > 0,
  )
  const before = numberOf(first, 'exceptions_total', 'restarts', NO_PLACE) ?? 0
  await eventually(
    'one more failure and restart',
    (lines) =>
      (numberOf(lines, 'exceptions_total', 'restarts', NO_PLACE) ?? 0) > before &&
      (numberOf(lines, 'restarts_total', 'restarts') ?? 0) >
        (numberOf(first, 'restarts_total', 'restarts') ?? 0),
  )
})

test('a job that fails for good is failed, with its exception; what is over is absent', async () => {
  const lines = await eventually(
    'its failure',
    (lines) => numberOf(lines, 'exceptions_total', 'fails', NO_PLACE) === 1,
  )
  expect(statesIn(lines, 'fails')).toEqual(states('fails', 'failed'))
  const { details, problems } = collector.health()
  expect(details).toMatchObject({
    version: '2.3.0',
    task_managers: 2,
    slots: 12,
    jobs: expect.arrayContaining([
      { job: 'fails', state: 'failed' },
      { job: 'orders', state: 'running' },
    ]),
  })
  // Of the two that are called orders the older one has failed.
  expect(problems.filter((problem) => !problem.startsWith('job restarts is '))).toEqual([
    'job fails is failed',
  ])
  for (const name of ['restarts_total', 'uptime_seconds', 'backpressure_ratio'])
    expect(numberOf(lines, name, 'fails'), name).toBeUndefined()
  expect(lines.filter((line) => /no place for it|row \d|Caused by|\bat org/.test(line))).toEqual([])
})

test('checkpoints that are given up count as failed, while the job runs', async () => {
  const lines = await eventually(
    'two that failed',
    (lines) => (numberOf(lines, 'checkpoints_failed_total', 'loses-checkpoints') ?? 0) >= 2,
  )
  expect(statesIn(lines, 'loses-checkpoints')).toEqual(states('loses-checkpoints', 'running'))
  expect(numberOf(lines, 'checkpoints_completed_total', 'loses-checkpoints')).toBe(0)
  expect(numberOf(lines, 'last_checkpoint_timestamp_seconds', 'loses-checkpoints')).toBeUndefined()
})

test('a job whose sink is slow is backpressured', async () => {
  await eventually('backpressure', (lines) => (numberOf(lines, 'backpressure_ratio', 'slow') ?? 0) > 0.5)
})

test('a job in one vertex has its records by its operators, but no bytes and no backpressure', async () => {
  const lines = await eventually(
    'its records',
    (lines) =>
      (numberOf(lines, 'records_in_total', 'chained') ?? 0) > 0 &&
      (numberOf(lines, 'records_out_total', 'chained') ?? 0) > 0,
  )
  const names = lines.filter((line) => line.includes('job="chained"')).map((line) => line.replace(/\{.*/, ''))
  // It makes no checkpoints by itself, so it has no interval.
  expect([...new Set(names)]).toEqual([
    'flink_job_checkpoints_completed_total',
    'flink_job_checkpoints_failed_total',
    'flink_job_checkpoints_in_progress',
    'flink_job_records_in_total',
    'flink_job_records_out_total',
    'flink_job_restarts_total',
    'flink_job_start_time_seconds',
    'flink_job_state',
    'flink_job_uptime_seconds',
  ])
})

test('a cancelled job is canceled', async () => {
  await part.cancel('goes')
  const lines = await collector.run()
  expect(statesIn(lines, 'goes')).toEqual(states('goes', 'canceled'))
  expect(numberOf(lines, 'uptime_seconds', 'goes')).toBeUndefined()
})

test('of more jobs than max_jobs, the older ones have state and start time only', async () => {
  const few = collectorOf({ urls: part.url, max_jobs: 1 })
  const newest = (await part.jobs()).at(-1)?.name
  let lines: string[] = []
  let asked: string[] = []
  await waitFor('what is asked of one', async () => {
    lines = await few.run()
    asked = lines.filter((line) => /flink_job_(?!state|start_time)/.test(line))
    return asked.length > 0
  })
  expect(asked.filter((line) => !line.includes(`job="${newest}"`))).toEqual([])
  expect(statesIn(lines, 'fails')).toEqual(states('fails', 'failed'))
})

describe('several JobManagers', () => {
  test('one that is down, one that redirects and one without a leader are passed over', async () => {
    const down = `http://127.0.0.1:${await reservePort()}`
    // Stand-ins for standbys.
    const redirecting = await serve((_, response) => response.writeHead(307, { location: part.url }).end())
    const electing = await serve((_, response) => response.writeHead(503).end('{"errors":["election"]}'))
    const several = collectorOf({ urls: [down, redirecting, electing, part.url].join(', ') })
    expect(await several.run()).toContain('flink_taskmanagers{target="test"} 2')
    // And the leader is the first that the next run asks.
    expect(await several.run()).toContain('flink_taskmanagers{target="test"} 2')
    expect(several.failedParts).toEqual([])
  })

  test('the error names each where none answers', async () => {
    const down = `127.0.0.1:${await reservePort()}`
    const electing = await serve((_, response) => response.writeHead(503).end('{"errors":["election"]}'))
    const several = collectorOf({ urls: [`http://${down}`, electing] })
    await expect(several.run()).rejects.toThrow(
      new RegExp(`flink at ${down}: GET /overview: .*ECONNREFUSED.*; flink at .*status 503: .*election`),
    )
  })
})

// Flink knows no passwords and leaves them to a proxy. This one is a stand-in for it.
describe('behind a proxy', () => {
  const requests: string[] = []
  let refuses = (_: string): boolean => false

  const forward: RequestListener = (request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    if (request.headers.authorization !== `Basic ${btoa('monitor:pass')}`) {
      response.writeHead(401).end('who are you')
    } else if (refuses(path)) response.writeHead(500).end('{"errors":["broken"]}')
    else {
      void fetch(`${part.url}${path}`).then(async (answer) => {
        response.writeHead(answer.status).end(await answer.text())
      })
    }
  }
  const log_on = { username: 'monitor', password: 'pass' }

  test('user name and password are sent, and a refusal is an error with its status', async () => {
    const urls = await serve(forward)
    expect(await collectorOf({ urls, ...log_on }).run()).toContain('flink_taskmanagers{target="test"} 2')
    await expect(collectorOf({ urls }).run()).rejects.toThrow(/: GET \/overview: status 401: who are you/)
  })

  test('over TLS its certificate has to be of an authority that is trusted', async () => {
    const folder = temporaryFolder('flink-tls')
    const authority = await certificateAuthority(folder.path, 'authority')
    const own = await authority.issue('jobmanager', ['DNS:flink.internal'])
    const server = createSecureServer({ cert: readFileSync(own.cert), key: readFileSync(own.key) }, forward)
    const urls = (await listen(server)).replace('http:', 'https:')
    const tls = { ca_file: authority.cert, server_name: 'flink.internal' }
    expect(await collectorOf({ urls, ...log_on, tls }).run()).toContain('flink_taskmanagers{target="test"} 2')
    await expect(collectorOf({ urls, ...log_on }).run()).rejects.toThrow(
      /GET \/overview: .*(issuer|unable|self)/,
    )
    folder.remove()
  })

  test('one answer about one job that fails is one part, and an ended job is not asked about for ever', async () => {
    const id = (await part.jobs()).findLast(({ name }) => name === 'orders')?.jid
    refuses = (path) => path === `/jobs/${id}/exceptions?maxExceptions=100`
    const proxied = collectorOf({ urls: await serve(forward), ...log_on })
    let lines: string[] = []
    const ended = (await part.jobs()).find(({ name }) => name === 'fails')?.jid
    await waitFor('a pass that does not ask about the failed job', async () => {
      requests.length = 0
      lines = await proxied.run()
      return proxied.failedParts.length === 1 && !requests.some((path) => path.includes(`${ended}`))
    })
    expect(proxied.failedParts.map(({ labels }) => labels)).toEqual([
      { job: 'orders', request: 'exceptions' },
    ])
    expect(String(proxied.failedParts[0]?.cause)).toMatch(/\/exceptions\?.*: status 500/)
    expect(numberOf(lines, 'checkpoints_completed_total', 'orders')).toBeGreaterThan(0)
    expect(numberOf(lines, 'exceptions_total', 'fails', NO_PLACE)).toBe(1)
    // Two for all; for each of five that run four, one for each vertex that is not the last, and three within the chained.
    expect(requests.length).toBeLessThanOrEqual(2 + 5 * 4 + 4 + 3 + 1)
  })
})

describe('check', () => {
  test('a job without checkpoints is named; one JobManager that answers is enough', async () => {
    const away = `http://127.0.0.1:${await reservePort()}`
    let found = await checked(flink, { urls: [away, part.url] })
    await waitFor('both jobs to run', async () => {
      found = await checked(flink, { urls: [away, part.url] })
      return ['orders', 'chained'].every((job) => `checkpoints_enabled ${job}` in found)
    })
    expect(complaints(found)).toEqual({
      [`address_answers ${away}`]: expect.stringMatching(/ECONNREFUSED.* → start the JobManager, or correct/),
      'checkpoints_enabled chained': expect.stringContaining('it makes none → set execution.checkpointing'),
    })
    expect(found).toMatchObject({
      version_supported: { message: 'version 2.3.0' },
      'checkpoints_enabled orders': { ok: true, message: 'every 1 s' },
    })
    // What has ended is asked for nothing.
    expect(found).not.toHaveProperty(['checkpoints_enabled fails'])
  })

  test('jobs beyond max_jobs are told', async () => {
    expect(complaints(await checked(flink, { urls: part.url, max_jobs: 1 }))).toMatchObject({
      jobs_within_max_jobs: expect.stringMatching(/: 7 jobs, of which the newest 1 are .* → max_jobs: 7/),
    })
  })

  test('a refusal, an old version, and no answer', async () => {
    const refusing = await serve((_, response) => response.writeHead(401).end())
    expect(complaints(await checked(flink, { urls: refusing }))).toEqual({
      authenticated: expect.stringMatching(/status 401: → correct username and password|status 401/),
    })
    const old = { taskmanagers: 1, 'slots-total': 1, 'slots-available': 1, 'flink-version': '1.12.7' }
    const ancient = await serve((request, response) =>
      response.end(JSON.stringify(request.url === '/overview' ? old : { jobs: [] })),
    )
    expect(complaints(await checked(flink, { urls: ancient }))).toEqual({
      version_supported: expect.stringContaining('version 1.12.7; 1.13 or later is expected'),
    })
    const away = `http://127.0.0.1:${await reservePort()}`
    const hanging = await serve(() => {})
    expect(complaints(await checked(flink, { urls: [away, hanging] }, 2_000))).toEqual({
      reachable: expect.stringMatching(/ECONNREFUSED.*; flink at .*no answer within 1000 ms.* → start the/),
    })
  })
})

test('an answer of another shape is an error that names the request and the field', async () => {
  const urls = await serve((_, response) => response.end('{"taskmanagers": "two", "slots-total": 1}'))
  await expect(collectorOf({ urls }).run()).rejects.toThrow(
    /^flink at 127\.0\.0\.1:\d+: GET \/overview: unexpected answer: [\s\S]*at taskmanagers[\s\S]*at \["slots-available"\]/,
  )
})

// The last one: it takes Flink down.
test('a killed cluster fails the run', async () => {
  await part.kill()
  await expect(collector.run()).rejects.toThrow(/^flink at .*: GET \/overview: /)
})

async function serve(listener: RequestListener): Promise<string> {
  return await listen(createServer(listener))
}

async function listen(server: Server<typeof IncomingMessage>): Promise<string> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
