import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../../../src/collectors/connect/index.ts'
import { type ConnectPart, startConnect } from '../../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { reservePort } from '../../testbed/ports.ts'
import { waitFor } from '../../testbed/process.ts'
import { checked, complaints } from '../check.ts'
import { type Collecting, collecting } from '../collect.ts'
import { startStandIn } from './stand-in.ts'

let kafka: KafkaPart
let worker: ConnectPart
let collector: Collecting

beforeAll(async () => {
  kafka = await startKafka()
  worker = await startConnect({ bootstrap: kafka.bootstrap })
  const file = join(worker.folder, 'lines.txt')
  writeFileSync(file, 'a line\n')
  await worker.putConnector('lines', {
    'connector.class': 'org.apache.kafka.connect.file.FileStreamSourceConnector',
    'tasks.max': '3',
    topic: 'lines',
    file,
    'database.password': 'hidden',
  })
})
afterAll(async () => {
  await worker?.remove()
  await kafka?.remove()
})

beforeEach(() => {
  collector = collecting(connect, { urls: worker.url })
})
afterEach(() => collector.stop())

const runs = 'kafka_connect_connector_state{target="test",connector="lines",state="running"} 1'

const taskRuns = 'kafka_connect_task_state{target="test",connector="lines",task="0",state="running"} 1'

/** The lines of the first run that has all of these. */
async function eventually(...wanted: readonly string[]): Promise<string[]> {
  let lines: string[] = []
  await waitFor(wanted.join(', '), async () => {
    lines = await collector.run()
    return wanted.every((line) => lines.includes(line))
  })
  return lines
}

test('a connector has its class, its state, its tasks and their states', async () => {
  const lines = await eventually(taskRuns)
  const states = (series: string, now: string) =>
    ['destroyed', 'failed', 'paused', 'restarting', 'running', 'stopped', 'unassigned'].map(
      (state) => `${series},state="${state}"} ${state === now ? 1 : 0}`,
    )
  const root = await (await fetch(worker.url)).json()
  const { version, commit, kafka_cluster_id: cluster } = root as Record<string, string>
  // Whether the task changed its state under our eyes is a matter of chance.
  expect(lines.filter((line) => !line.startsWith('kafka_connect_state_change'))).toEqual([
    'kafka_connect_connector_info{target="test",connector="lines",class="org.apache.kafka.connect.file.FileStreamSourceConnector",kind="source",dbms="file",team="Lainnya",business_cluster="Lainnya"} 1',
    ...states('kafka_connect_connector_state{target="test",connector="lines"', 'running'),
    'kafka_connect_connector_topic_info{target="test",connector="lines",topic="lines",role="produces"} 1',
    'kafka_connect_failures_total{target="test",connector="lines"} 0',
    `kafka_connect_plugin_info{target="test",class="org.apache.kafka.connect.file.FileStreamSourceConnector",type="source",version="${version}"} 1`,
    'kafka_connect_rebalancing{target="test"} 0',
    'kafka_connect_recoveries_total{target="test",connector="lines"} 0',
    ...states('kafka_connect_task_state{target="test",connector="lines",task="0"', 'running'),
    // The connector makes one task, whatever tasks.max allows.
    'kafka_connect_tasks_expected{target="test",connector="lines"} 1',
    'kafka_connect_tasks_running{target="test",connector="lines"} 1',
    `kafka_connect_worker_info{target="test",version="${version}",commit="${commit}",kafka_cluster_id="${cluster}"} 1`,
  ])
})

test('a stopped connector has no tasks, and none are expected', async () => {
  await worker.operate('lines', 'PUT', '/stop')
  const lines = await eventually(
    'kafka_connect_connector_state{target="test",connector="lines",state="stopped"} 1',
  )
  expect(lines).toContain('kafka_connect_tasks_expected{target="test",connector="lines"} 0')
  await worker.operate('lines', 'PUT', '/resume')
  await eventually(runs, taskRuns)
})

describe('several workers', () => {
  test('the next one answers for one that is down', async () => {
    const down = `http://127.0.0.1:${await reservePort()}`
    const two = collecting(connect, { urls: [down, worker.url] })
    await expect(two.run()).resolves.toContain(runs)
    await two.stop()
  })

  test('the error names each when all are down', async () => {
    const down = [await reservePort(), await reservePort()].map((port) => `127.0.0.1:${port}`)
    const two = collecting(connect, { urls: down.map((host) => `http://${host}`).join(', ') })
    const error = await two.run().catch((error: unknown) => error)
    expect(String(error)).toMatch(new RegExp(`kafka connect at ${down[0]}: GET /: .*ECONNREFUSED`))
    expect(String(error)).toMatch(new RegExp(`kafka connect at ${down[1]}: GET /: .*ECONNREFUSED`))
    await two.stop()
  })

  test('one that hangs until the end of a run is not the first of the next', async () => {
    const hanging = createServer(() => {})
    const url = await listen(hanging)
    const two = collecting(connect, { urls: [url, worker.url] })
    await expect(two.run(300)).rejects.toThrow(/timeout/)
    await expect(two.run()).resolves.toContain(runs)
    await two.stop()
    hanging.close()
  })
})

describe('something else behind the URL', () => {
  let server: Server
  afterEach(() => void server.close())

  test('an answer of another shape is an error that names the request and the field', async () => {
    server = createServer((_, response) => response.end('{"version": 4, "commit": "c"}'))
    const other = collecting(connect, { urls: await listen(server) })
    await expect(other.run()).rejects.toThrow(
      /^kafka connect at 127\.0\.0\.1:\d+: GET \/: unexpected answer: [\s\S]*at version[\s\S]*at kafka_cluster_id/,
    )
    await other.stop()
  })

  test('credentials are sent, and a refusal is an error with its status', async () => {
    const seen: (string | undefined)[] = []
    server = createServer((request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(401).end('{"message": "who are you"}')
    })
    const urls = await listen(server)
    const basic = collecting(connect, { urls, username: 'monitor', password: 'pass' })
    await expect(basic.run()).rejects.toThrow(/: GET \/: status 401: .*who are you/)
    const bearer = collecting(connect, { urls, token: 'abc' })
    await expect(bearer.run()).rejects.toThrow(/status 401/)
    expect(seen).toEqual(['Basic bW9uaXRvcjpwYXNz', 'Bearer abc'])
    await basic.stop()
    await bearer.stop()
  })
})

describe('check', () => {
  test('a cluster that is as it should be has nothing to complain of', async () => {
    const found = await checked(connect, {
      urls: worker.url,
      teams: [{ match: '^li', team: 'Finance' }],
      self_healing: { connectors: ['^lines$'] },
    })
    expect(complaints(found)).toEqual({})
    expect(Object.keys(found)).toEqual([
      'reachable',
      'authenticated',
      'version_supported',
      'connectors_there',
      'rule_applies ^li',
      'self_healing_applies ^lines$',
      'completed',
    ])
  })

  test('rules that match nothing are named, with the connectors that there are', async () => {
    const settings = {
      urls: worker.url,
      teams: [{ name: 'line', team: 'Finance' }, { match: '^erp-', team: 'Finance' }, { match: '^erp-' }],
      self_healing: { connectors: ['^erp-'] },
    }
    const nothing = (key: string) =>
      `false: it matches no connector; there are lines → correct it, or take it out of ${key}`
    expect(complaints(await checked(connect, settings))).toEqual({
      'rule_applies line': nothing('teams'),
      'rule_applies ^erp-': nothing('teams'),
      'self_healing_applies ^erp-': nothing('self_healing.connectors'),
    })
  })

  test('several workers: one that is away is advice, one of another cluster is not', async () => {
    const away = `http://127.0.0.1:${await reservePort()}`
    const other = await startStandIn()
    expect(complaints(await checked(connect, { urls: [worker.url, away] }))).toEqual({
      [`address_answers ${away}`]: expect.stringContaining('ECONNREFUSED'),
    })
    expect(complaints(await checked(connect, { urls: [worker.url, other.url] }))).toEqual({
      same_cluster: expect.stringMatching(
        /^false: http:.* of Kafka .*; http:.* of Kafka k → give each cluster a collector of its own/,
      ),
    })
    other.answer = (path) =>
      path === '/'
        ? { status: 200, body: { version: '2.2.1', commit: 'c', kafka_cluster_id: 'k' } }
        : undefined
    expect(complaints(await checked(connect, { urls: other.url, teams: [{ name: 'lines' }] }))).toEqual({
      version_supported: expect.stringContaining('version 2.2.1; 2.3 or later is expected'),
      connectors_there: expect.stringContaining('it has no connector → create one'),
    })
    other.answer = (path) => (path === '/' ? undefined : { status: 403, body: { message: 'not you' } })
    expect(complaints(await checked(connect, { urls: other.url }))).toEqual({
      authenticated: expect.stringMatching(
        /status 403: .*not you.* → correct username and password, or token/,
      ),
    })
    await other.close()
    expect(complaints(await checked(connect, { urls: [away, other.url] }))).toEqual({
      reachable: expect.stringMatching(/ECONNREFUSED.*ECONNREFUSED.* → start the worker, or correct urls/),
    })
  })
})

test('a frozen worker fails the run at its time-out, and the run after its return works', async () => {
  await collector.run()
  worker.freeze()
  await expect(collector.run(300)).rejects.toThrow(/^kafka connect at .*: GET \/: .*timeout/)
  worker.thaw()
  await eventually(runs)
})

test('a killed worker fails the run, and the run after its return works', async () => {
  await collector.run()
  await worker.kill()
  await expect(collector.run()).rejects.toThrow(/^kafka connect at 127\.0\.0\.1:\d+: GET \/: /)
  await worker.start()
  await eventually(runs)
})

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
