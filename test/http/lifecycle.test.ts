import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { type Daemon, runCommand, startDaemon } from '../commands/daemon.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type RedisPart, startRedis } from '../testbed/parts/redis.ts'
import { waitFor } from '../testbed/process.ts'

const folder = temporaryFolder('lifecycle')
const admin = newToken()
const viewer = newToken()
const tokensFile = join(folder.path, 'tokens.yml')

let redis: RedisPart
let daemon: Daemon
let collectors: object[]

const settings = (more: object = {}) => ({
  web: { listen: '127.0.0.1:0', enable_lifecycle: true },
  state_dir: join(folder.path, 'state'),
  api: { tokens_file: tokensFile },
  collectors,
  ...more,
})

beforeAll(async () => {
  writeFileSync(
    tokensFile,
    stringify({
      users: [
        { name: 'ann', role: 'admin', hash: admin.hash },
        { name: 'vic', role: 'viewer', hash: viewer.hash },
      ],
    }),
  )
  redis = await startRedis()
  collectors = [
    { kind: 'redis', target: 'nightly', url: redis.url, schedule: '0 6 1 1 *', environment: 'staging' },
    { kind: 'redis', target: 'down', url: 'redis://127.0.0.1:1', schedule: '0 6 1 1 *' },
    { kind: 'redis', target: 'off', url: redis.url, enabled: false, environment: 'staging' },
  ]
  daemon = await startDaemon(collectors, { settings: settings() })
})
afterAll(async () => {
  await daemon?.stop()
  await redis?.remove()
  folder.remove()
})

interface Body {
  readonly status?: string
  readonly error?: string
  readonly faults?: readonly string[]
  readonly environment?: string
  readonly enabled?: boolean
  readonly collectors?: readonly object[]
  readonly items?: readonly { readonly series: number }[]
}

async function post(path: string, token?: string): Promise<{ status: number; body: Body }> {
  const response = await fetch(`${daemon.url}${path}`, {
    method: 'POST',
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  })
  return { status: response.status, body: (await response.json()) as Body }
}

const metric = (name: string, target: string, environment = ',environment="staging"') =>
  daemon.sample(`${name}{target="${target}"${environment},collector="redis"}`)

interface Listed {
  readonly items: readonly Readonly<Record<string, unknown>>[]
  readonly total: number
}

async function list(query = ''): Promise<Listed> {
  const response = await fetch(`${daemon.url}/api/v1/collectors${query}`, {
    headers: { authorization: `Bearer ${viewer.token}` },
  })
  return (await response.json()) as Listed
}

test('a collector that runs once a year says when, and lets the daemon be ready', async () => {
  const { items, total } = await list()
  expect(total).toBe(3)
  expect(items[0]).toMatchObject({
    collector: 'redis',
    target: 'nightly',
    labels: { target: 'nightly', environment: 'staging' },
    enabled: true,
    schedule: '0 6 1 1 *',
    next_run: expect.stringMatching(/^\d{4}-(01-01|12-31)T/),
    series: 0,
  })
  expect(items[0]?.success).toBeUndefined()
  expect(items[2]).toMatchObject({ target: 'off', enabled: false })
  expect((await list('?target=off')).total).toBe(1)
  expect((await fetch(`${daemon.url}/health/ready`)).status).toBe(200)
})

describe('POST /-/collect', () => {
  test('runs what it names, now, and says how each came out', async () => {
    const { status, body } = await post('/-/collect?target=nightly')
    expect(status).toBe(200)
    expect(body.items).toMatchObject([{ target: 'nightly', success: true, running: false }])
    expect(body.items?.[0]?.series).toBeGreaterThan(0)
    expect(await metric('cdc_collector_runs_total', 'nightly')).toBe(1)
  })

  test('a run that fails is told with its reason', async () => {
    const { status, body } = await post('/-/collect')
    expect(status).toBe(200)
    expect(body.items).toMatchObject([
      { target: 'nightly', success: true },
      { target: 'down', success: false, error: expect.stringContaining('ECONNREFUSED') },
    ])
  })

  test('need not be waited for; a GET, and a name that is not there, are refused', async () => {
    expect(await post('/-/collect?target=nightly&wait=false')).toEqual({
      status: 202,
      body: { status: 'started' },
    })
    await waitFor('the run', async () => (await metric('cdc_collector_runs_total', 'nightly')) === 3)
    expect((await fetch(`${daemon.url}/-/collect`)).status).toBe(405)
    expect((await post('/-/collect?target=off')).status).toBe(404)
  })
})

test('status: a table of the daemon, exit code 1 while one fails', async () => {
  const tokens = join(folder.path, 'token')
  writeFileSync(tokens, `${viewer.token}\n`)
  const { exitCode, stdout } = await runCommand('status', '--url', daemon.url, '--token-file', tokens)
  expect(exitCode).toBe(1)
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s{2,}/))
  expect(rows[1]?.slice(0, 5)).toEqual(['redis', 'nightly', 'staging', 'ok', '0 6 1 1 *'])
  expect(stdout).toMatch(/down .*failed .*ECONNREFUSED/)
  const json = await runCommand('status', '--url', daemon.url, '--token-file', tokens, '--json')
  expect(JSON.parse(json.stdout)).toHaveLength(3)
  const none = await runCommand('status', '--url', 'http://127.0.0.1:1')
  expect(none).toMatchObject({ exitCode: 1, stdout: '' })
  expect(none.stderr).toMatch(/^cdc-exporter: the daemon at http:\/\/127\.0\.0\.1:1 does not answer: /)
})

test('collect: one run to standard output, exit code 1 when it failed', async () => {
  const { exitCode, stdout } = await runCommand('collect', 'nightly', '--config', daemon.file)
  expect(exitCode).toBe(0)
  expect(stdout).toMatch(/^redis_up\{target="nightly",environment="staging"\} +1$/m)
  const down = await runCommand('collect', 'down', '--collector', 'redis', '--config', daemon.file)
  expect(down.exitCode).toBe(1)
  expect(down.stdout).toMatch(/^redis_up\{target="down"\} +0$/m)
  expect(down.stderr).toMatch(/^redis\/down: .*ECONNREFUSED/)
  const none = await runCommand('collect', 'nowhere', '--config', daemon.file)
  expect(none.stderr).toContain('it has redis/nightly, redis/down, redis/off')
})

describe('an environment', () => {
  test('is switched off by an admin alone: its series go, also after a restart', async () => {
    expect((await post('/api/v1/environments/staging/disable', viewer.token)).status).toBe(403)
    expect(await metric('cdc_collector_enabled', 'nightly')).toBe(1)
    const { status, body } = await post('/api/v1/environments/staging/disable', admin.token)
    expect(status).toBe(200)
    expect(body).toMatchObject({ environment: 'staging', enabled: false })
    expect(await metric('cdc_collector_enabled', 'nightly')).toBe(0)
    expect(await daemon.get('/metrics')).not.toContain('redis_up{target="nightly"')
    expect(await metric('cdc_collector_enabled', 'down', '')).toBe(1)
    expect((await post('/api/v1/environments/nowhere/disable', admin.token)).status).toBe(404)

    daemon.kill('SIGKILL')
    await daemon.ended
    daemon = await startDaemon(collectors, { settings: settings() })
    expect(await metric('cdc_collector_enabled', 'nightly')).toBe(0)
  })

  test('is switched on again, but for a collector that is off by itself; both are audited', async () => {
    expect((await post('/api/v1/environments/staging/enable', admin.token)).body.collectors).toEqual([
      { collector: 'redis', target: 'nightly', enabled: true },
      { collector: 'redis', target: 'off', enabled: false },
    ])
    expect((await post('/-/collect?target=nightly')).body.items).toMatchObject([{ success: true }])
    const audit = await fetch(`${daemon.url}/api/v1/audit`, {
      headers: { authorization: `Bearer ${admin.token}` },
    })
    const { items } = (await audit.json()) as Listed
    expect(items.map(({ who, operation, result }) => `${who} ${operation} ${result}`)).toEqual([
      'ann environments enable done',
      'ann environments disable done',
      'vic environments disable refused',
    ])
  })
})

test('POST /-/reload takes a new configuration, or says what is wrong with it', async () => {
  daemon.configure(
    settings({ collectors: [...collectors, { kind: 'redis', target: 'new', url: redis.url }] }),
  )
  expect(await post('/-/reload')).toEqual({ status: 200, body: { status: 'loaded' } })
  expect((await list()).total).toBe(4)
  daemon.configure(settings({ collectors: [{ kind: 'redis' }] }))
  const { status, body } = await post('/-/reload')
  expect(status).toBe(500)
  expect(body.faults?.join('\n')).toMatch(/collectors\[0\]\.target: missing/)
  expect((await list()).total).toBe(4)
  daemon.configure(settings({ web: { listen: '127.0.0.1:0' } }))
  expect((await post('/-/reload')).status).toBe(200)
  for (const path of ['/-/reload', '/-/collect']) {
    const { status, body } = await post(path)
    expect(status).toBe(403)
    expect(body.error).toContain('web.enable_lifecycle: true')
  }
})
