import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { pm2 } from '../../../src/collectors/pm2/index.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type Pm2Part, startPm2 } from '../../testbed/parts/pm2.ts'
import { waitFor } from '../../testbed/process.ts'
import { checked, complaints } from '../check.ts'

const run = promisify(execFile)
const folder = temporaryFolder('pm2-checks')
let daemon: Pm2Part

beforeAll(async () => {
  daemon = await startPm2()
  const script = join(daemon.home, 'etl.cjs')
  const report = { type: 'axm:monitor', data: { 'Jobs waiting': { value: 7 } } }
  writeFileSync(script, `setInterval(() => process.send(${JSON.stringify(report)}), 50)`)
  await daemon.startApp({ name: 'clickhouse-etl', script, pmx: false })
})
afterAll(async () => {
  await daemon?.remove()
  folder.remove()
})

const metric = (name: string) => ({ metric: name, help: 'What the application says of itself.' })

test('a daemon that is as it should be has nothing to complain of', async () => {
  const settings = {
    home: daemon.home,
    expect: { 'clickhouse-etl': 1, retired: 0 },
    custom_metrics: { 'Jobs waiting': metric('app_jobs_waiting') },
  }
  let found = await checked(pm2, settings)
  await waitFor('the application to have reported', async () => {
    found = await checked(pm2, settings)
    return found['custom_metric_reported Jobs waiting']?.ok === true
  })
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable',
    'authenticated',
    'process_listed clickhouse-etl',
    'process_listed retired',
    'custom_metric_reported Jobs waiting',
    'error_logs_reachable',
    'completed',
  ])
})

test('processes and metrics that PM2 does not know are told with those that it knows', async () => {
  const found = await checked(pm2, {
    home: daemon.home,
    expect: { 'clickhouse-etl': 2, 'cdc-etl': 1 },
    custom_metrics: { 'Jobs Waiting': metric('app_jobs_waiting') },
  })
  expect(complaints(found)).toEqual({
    'process_listed clickhouse-etl':
      'false: 1 in the list of PM2; 2 are expected → pm2 scale clickhouse-etl 2; or correct expect',
    'process_listed cdc-etl':
      'false: not in the list of PM2, which has clickhouse-etl → start it, and pm2 save; or correct its name in expect',
    'custom_metric_reported Jobs Waiting': expect.stringMatching(/: no process reports it.*: Jobs waiting →/),
  })
})

test('an error log that is not to be seen is named', async () => {
  const logs = join(daemon.home, 'logs')
  rmSync(logs, { recursive: true })
  expect(complaints(await checked(pm2, { home: daemon.home }))).toEqual({
    error_logs_reachable: expect.stringContaining(`not to be seen: ${logs}/clickhouse-etl-error`),
  })
  mkdirSync(logs)
})

test('without a daemon one item says what is missing', async () => {
  const home = join(folder.path, 'home')
  const reachable = async () => complaints(await checked(pm2, { home })).reachable
  expect(await reachable()).toContain(`there is no folder ${home} → set home to the PM2_HOME`)
  mkdirSync(home)
  expect(await reachable()).toContain(`no PM2 daemon has its socket in ${home} → set home`)
  // What a daemon leaves behind that was killed.
  writeFileSync(join(home, 'rpc.sock'), '')
  expect(complaints(await checked(pm2, { home }))).toEqual({
    reachable: expect.stringContaining('connect ECONNREFUSED'),
  })
})

test('a daemon that does not answer is not reachable, within the time that there is', async () => {
  const home = join(folder.path, 'frozen')
  mkdirSync(home)
  const server = createServer()
  server.listen(join(home, 'rpc.sock'))
  await waitFor('the socket', () => server.listening)
  try {
    expect(complaints(await checked(pm2, { home }, 2_000))).toEqual({
      reachable: expect.stringContaining('no answer within 1000 ms'),
    })
  } finally {
    server.close()
  }
})

test('a home of another user is told as such', async () => {
  const file = join(folder.path, 'config.yaml')
  writeFileSync(file, stringify({ collectors: [{ kind: 'pm2', target: 'erp', home: daemon.home }] }))
  chmodSync(folder.path, 0o755)
  // To root nothing is closed.
  const isRoot = process.getuid?.() === 0
  chmodSync(daemon.home, isRoot ? 0o700 : 0o000)
  const command = [process.execPath, 'src/main.ts', 'check', '--json', '--config', file]
  const [program = '', ...args] = [
    ...(isRoot ? ['setpriv', '--reuid=65534', '--clear-groups'] : []),
    ...command,
  ]
  const { stdout } = await run(program, args).catch((failed: { stdout: string }) => failed)
  chmodSync(daemon.home, 0o700)
  expect(JSON.parse(stdout).items).toMatchObject([
    { check: 'reachable', ok: true },
    {
      check: 'authenticated',
      ok: false,
      message: expect.stringContaining('EACCES'),
      remedy: 'run the exporter as the user that PM2 runs as',
    },
    { check: 'completed', ok: true },
  ])
})
