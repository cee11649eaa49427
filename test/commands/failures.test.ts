import { writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { systemClock } from '../../src/clock.ts'
import type { FailureReporter } from '../../src/collection/collector.ts'
import { callerOf } from '../../src/operations/access.ts'
import { Audit } from '../../src/operations/audit.ts'
import { FailureLog } from '../../src/operations/failure-log.ts'
import { openStore } from '../../src/operations/store.ts'
import { javaTrace, observed } from '../operations/observed.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { runCommand } from './daemon.ts'

let folder: ReturnType<typeof temporaryFolder>
let config: string
let store: ReturnType<typeof openStore>
let reporter: FailureReporter

/** The file is open as in a daemon that runs meanwhile. */
beforeEach(() => {
  folder = temporaryFolder('failures-command')
  config = join(folder.path, 'config.yaml')
  writeFileSync(config, stringify({ state_dir: 'state', collectors: [] }))
  store = openStore(join(folder.path, 'state'))
  const bounds = { maxAge: 86_400_000, maxFailures: 100 }
  const log = new FailureLog(store, { clock: systemClock, bounds: () => bounds, secrets: () => [] })
  const labels = { target: 'erp', environment: 'production', platform: 'kafka' }
  reporter = log.reporter({ target: 'erp', labels }, (error) => {
    throw error
  })
})
afterEach(() => {
  store.close()
  folder.remove()
})

const failures = (...args: readonly string[]) => runCommand('failures', ...args, '--config', config)

describe('failures', () => {
  test('list shows what is open, and by its filters anything', async () => {
    reporter.report([observed({ connector: 'customers' }), observed()])
    reporter.report([observed()])
    const { exitCode, stdout, stderr } = await failures('list')
    expect([exitCode, stderr]).toEqual([0, ''])
    const [heads, row, ...rest] = stdout.trimEnd().split('\n')
    expect(heads).toMatch(/^ *ID +OPENED +STATE +ENVIRONMENT +TEAM +TARGET +CONNECTOR +TASK +ROOT CAUSE/)
    expect(row).toMatch(
      /^ *2 +[\d-]+ [\d:]+ +open +production +Finance +erp +orders +0 +org\.postgresql\.util/,
    )
    expect(rest).toEqual([])

    const all = JSON.parse((await failures('list', '--state', 'all', '--team', 'Finance', '--json')).stdout)
    expect(all).toMatchObject({
      total: 2,
      items: [
        { id: 2, connector: 'orders', state: 'open' },
        { id: 1, connector: 'customers', resolution: 'recovery' },
      ],
    })
    expect((await failures('list', '--environment', 'staging')).stdout).toBe('no failure is open\n')
    expect((await failures('list', '--state', 'all', '--limit', '1')).stdout).toContain('1 of 2;')
  })

  test('show gives the trace and what to do, without control characters', async () => {
    reporter.report([observed({ trace: javaTrace('a.BadException: \u001b[2Jcleared') })])
    reporter.report([observed()])
    const { exitCode, stdout } = await failures('show', '2')
    expect(exitCode).toBe(0)
    expect(stdout).toContain('failure 2: erp/orders/0\n')
    expect(stdout).toContain('state: open')
    expect(stdout).toContain('  1. Look at the slot: ')
    expect(stdout).toContain('\tat org.apache.kafka.connect.runtime.WorkerTask.run(WorkerTask.java:298)\n')
    expect(stdout).toMatch(/failed before:\n {2}1 {2}[\d-]+ [\d:]+ {2}a\.BadException\n/)
    expect((await failures('show', '1')).stdout).toContain('a.BadException: [2Jcleared')
    expect(JSON.parse((await failures('show', '2', '--json')).stdout)).toMatchObject({
      id: 2,
      hint: { id: 'slot-lost' },
    })
  })

  test('resolve and unresolve mark it for the daemon that runs, and are audited', async () => {
    reporter.report([observed(), observed({ task: '1' })])
    const resolved = await failures('resolve', '1', '2')
    expect(resolved).toMatchObject({
      exitCode: 0,
      stdout: 'erp/orders/0#1: resolve done\nerp/orders/1#2: resolve done\n',
    })
    expect(reporter.report([observed(), observed({ task: '1' })]).open).toMatchObject([
      { resolvedByHand: true },
      { resolvedByHand: true },
    ])
    expect((await failures('unresolve', '1')).exitCode).toBe(0)
    expect(JSON.parse((await failures('list', '--json')).stdout).total).toBe(1)

    const again = await failures('resolve', '2', '99')
    expect(again.exitCode).toBe(1)
    expect(again.stdout).toBe(
      'erp/orders/1#2: resolve failed: it is so already\n#99: resolve failed: no such failure\n',
    )
    const audit = new Audit(store, { clock: systemClock, maxEntries: () => 100 })
    const { items } = audit.list({}, { limit: 10, offset: 0 })
    expect(items.map(({ object, operation, result }) => [object, operation, result])).toEqual([
      ['#99', 'failures resolve', 'failed'],
      ['erp/orders/1#2', 'failures resolve', 'failed'],
      ['erp/orders/0#1', 'failures unresolve', 'done'],
      ['erp/orders/1#2', 'failures resolve', 'done'],
      ['erp/orders/0#1', 'failures resolve', 'done'],
    ])
    expect(items[0]).toMatchObject({ who: userInfo().username, from: 'command line' })
  })

  test.each([
    [['show', '99'], 1, 'failure 99: no such failure'],
    [['show', 'x'], 2, 'expected a whole number'],
    [['resolve'], 2, "missing required argument 'id'"],
    [['list', '--state', 'broken'], 2, 'Allowed choices are open, resolved, all'],
  ])('%j ends with %i', async (args, exitCode, message) => {
    const result = await failures(...args)
    expect(result.exitCode).toBe(exitCode)
    expect(result.stderr).toContain(message)
  })

  test('without a state_dir, or without a daemon that ran on it, it says where failures are', async () => {
    writeFileSync(config, stringify({ state_dir: 'elsewhere', collectors: [] }))
    expect(await failures('list')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no daemon has run on this state_dir'),
    })
    writeFileSync(config, stringify({ collectors: [] }))
    expect(await failures('list')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('GET /api/v1/failures'),
    })
  })
})

describe('token', () => {
  test('prints a token once, and the entry that lets it in', async () => {
    const made = await runCommand(
      'token',
      '--name',
      'lea',
      '--role',
      'team-lead',
      '--team',
      'Finance',
      'Tim 2',
    )
    expect(made.exitCode).toBe(0)
    const token = /^cdc_[\w-]{43}$/m.exec(made.stderr)?.[0] ?? ''
    const entries = parse(made.stdout)
    expect(entries).toEqual([
      {
        name: 'lea',
        role: 'team-lead',
        teams: ['Finance', 'Tim 2'],
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    ])
    expect(made.stdout).not.toContain(token)
    expect(callerOf(entries, `Bearer ${token}`)).toEqual({
      name: 'lea',
      role: 'team-lead',
      teams: ['Finance', 'Tim 2'],
    })
    expect(callerOf(entries, `Bearer ${token}x`)).toBeUndefined()
    expect(callerOf(entries, `Basic ${token}`)).toBeUndefined()

    writeFileSync(join(folder.path, 'tokens.yaml'), stringify({ users: entries }))
    writeFileSync(config, stringify({ api: { tokens_file: 'tokens.yaml' }, collectors: [] }))
    expect((await runCommand('config', 'validate', config)).exitCode).toBe(0)
  })

  test('a team lead has teams, and nobody else', async () => {
    expect((await runCommand('token', '--name', 'x', '--role', 'team-lead')).exitCode).toBe(2)
    expect((await runCommand('token', '--name', 'x', '--team', 'Finance')).exitCode).toBe(2)
  })
})

test('a faulty tokens file is refused with every fault and its place', async () => {
  writeFileSync(
    join(folder.path, 'tokens.yaml'),
    [
      'users:',
      '  - { name: ada, role: root, hash: abc }',
      '  - name: lea',
      '    role: team-lead',
      `    hash: ${'0a'.repeat(32)}`,
      '  - name: lea',
      '    role: viewer',
      '    team: [x]',
      `    hash: ${'0a'.repeat(32)}`,
    ].join('\n'),
  )
  writeFileSync(config, stringify({ api: { tokens_file: 'tokens.yaml' }, collectors: [] }))
  const { exitCode, stderr } = await runCommand('config', 'validate', config)
  expect(exitCode).toBe(2)
  const tokens = join(folder.path, 'tokens.yaml')
  const prefix = `${config}:2:16: api.tokens_file: ${tokens}`
  expect(stderr.trimEnd().split('\n')).toEqual([
    `${prefix}:2:24: users[0].role: expected one of "watchdog", "viewer", "team-lead", "admin", got "root"`,
    `${prefix}:2:36: users[0].hash: expected the SHA-256 of the token, 64 hexadecimal digits`,
    `${prefix}:8:5: users[2].team: unknown key; did you mean "teams"?`,
  ])

  const hash = '0a'.repeat(32)
  writeFileSync(
    tokens,
    stringify({
      users: [
        { name: 'lea', role: 'team-lead', hash },
        { name: 'lea', role: 'viewer', teams: ['Finance'], hash },
      ],
    }),
  )
  expect((await runCommand('config', 'validate', config)).stderr.trimEnd().split('\n')).toEqual([
    expect.stringContaining('users[0].teams: missing: the teams that a team lead leads'),
    expect.stringContaining('users[1].name: there is a token of this name already'),
    expect.stringContaining('users[1].teams: only a team-lead has teams, not a token of role viewer'),
  ])

  writeFileSync(config, stringify({ api: { tokens_file: 'absent.yaml' }, collectors: [] }))
  expect((await runCommand('config', 'validate', config)).stderr).toBe(
    `${config}:2:16: api.tokens_file: cannot read the file (no such file): "absent.yaml"\n`,
  )
})
