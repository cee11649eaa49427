// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is the syntax of the configuration.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../../src/config/load.ts'
import { Secret } from '../../src/config/secret.ts'
import { showConfig } from '../../src/config/show.ts'
import { kinds } from './kinds.ts'

const here = import.meta.dirname
const folder = mkdtempSync(join(tmpdir(), 'config-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Loads a text as a file; answers the lines of the refusal without the file's name. */
async function refusal(yaml: string, env: Record<string, string> = {}): Promise<string[]> {
  const file = join(folder, 'x.yaml')
  writeFileSync(file, yaml)
  return await refusalOf(file, env)
}

async function refusalOf(file: string, env: Record<string, string> = {}): Promise<string[]> {
  try {
    await loadConfig(file, { kinds, env })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const lines = error.message.split('\n')
    expect(error.faults).toHaveLength(lines.length)
    return lines.map((line) => {
      expect(line.startsWith(`${file}:`)).toBe(true)
      return line.slice(file.length + 1)
    })
  }
  return []
}

const VALID_ENV = { TEAM: 'Sales', PAGE: '20', KAFKA_PASSWORD: 'hunter2', LEVEL: '' }
const loadValid = () => loadConfig(join(here, 'valid.yaml'), { kinds, env: VALID_ENV })

describe('a refused configuration lists every fault with its place', () => {
  const names = readdirSync(join(here, 'invalid'))
  test.each(names)('%s', async (name) => {
    const file = join(here, 'invalid', name)
    const expected = [...readFileSync(file, 'utf8').matchAll(/^# expect: (.*)$/gm)].map(([, line]) => line)
    expect(expected).not.toEqual([])
    const lines = await refusalOf(file, { BROKER: 'kafka' })
    expect(lines).toEqual(expected)
    expect(lines.join()).not.toContain('hunter2')
  })
})

test('a file that is not there is one fault', async () => {
  expect(await refusalOf(join(folder, 'absent.yaml'))).toEqual(['1:1: cannot read the file (no such file)'])
})

describe('a valid configuration', () => {
  test('gets its defaults, variables and merged keys', async () => {
    const { web, log, collectors } = await loadValid()
    expect(web).toEqual({ host: '::1', port: 9979 })
    expect(log).toEqual({ level: 'warning', levelNames: 'capitals', file: undefined })
    const [erp, development, fast, compare] = collectors
    expect(erp).toMatchObject({
      enabled: true,
      interval: 30_000,
      timeout: 20_000,
      maxSeries: 1_000_000,
      settings: {
        brokers: ['kafka-1:9092', '[::1]:9092'],
        granularity: 'topic',
        fetch_size: 1_048_576,
        page: 20,
        tls: true,
        topics: [{ match: /^erp\.(?<tenant>[^.]+)$/u, lag_threshold: 5000 }],
      },
    })
    expect(erp?.kind.kind).toBe('queue')
    expect(Object.entries(erp?.labels ?? {})).toEqual([
      ['target', 'erp'],
      ['environment', 'production'],
      ['platform', 'kafka'],
      ['team', 'Finance'],
      ['team_2', 'Sales'],
    ])
    expect(development).toMatchObject({ enabled: false, interval: 60_000, timeout: 45_000, maxSeries: 10 })
    expect(fast).toMatchObject({ enabled: true, interval: 5_000, timeout: 5_000, labels: { target: 'fast' } })
    expect(compare).toMatchObject({ enabled: false, settings: { check: { type: 'sum', column: 'total' } } })
  })

  test('hands over its secrets, read from beside the file', async () => {
    const { secrets } = await loadValid()
    expect(secrets.every((secret) => secret instanceof Secret)).toBe(true)
    expect(secrets.map((secret) => secret.reveal())).toEqual([
      'hunter2',
      'hunter2',
      'postgres://reader:s3cr%40t@db/erp',
    ])
    expect(secrets.map((secret) => secret.known)).toEqual(secrets.map((secret) => secret.reveal()))
    expect(JSON.stringify(await loadValid())).not.toMatch(/hunter2|s3cr/)
  })

  test('is shown with its defaults and without its secrets', async () => {
    const text = showConfig(await loadValid())
    expect(text).toContain('listen: "[::1]:9979"')
    expect(text).toContain('    timeout: 20s\n    max_series: 1000000\n')
    expect(text).toContain('    interval: 1m\n')
    expect(text).toContain('password: <secret>')
    expect(text).toContain('url: <secret>')
    expect(text).not.toMatch(/hunter2|s3cr/)
  })
})

describe('variables', () => {
  const withTarget = (target: string) =>
    `collectors: [{ kind: queue, brokers: "a:1", target: ${JSON.stringify(target)} }]`

  test('never add structure to the file', async () => {
    writeFileSync(join(folder, 'x.yaml'), withTarget('${X}'))
    const X = 'a", enabled: false, x: "\n- {}'
    const [only] = (await loadConfig(join(folder, 'x.yaml'), { kinds, env: { X: 'a", enabled: false' } }))
      .collectors
    expect(only).toMatchObject({ target: 'a", enabled: false', enabled: true })
    expect(await refusal(withTarget('${X}'), { X })).toHaveLength(1)
  })

  test('are not looked for in keys and comments', async () => {
    expect(await refusal('# ${X}\ncollectors: []\n"${X}": 1')).toEqual(['3:1: ${X}: unknown key'])
  })

  test('are not quoted in a fault when their name says that they are secret', async () => {
    const lines = await refusal('log: { level: "${API_TOKEN}" }\ncollectors: []', { API_TOKEN: 'hunter2' })
    expect(lines).toEqual([
      expect.stringMatching(/^1:15: log\.level: expected one of .*, got "\[redacted\]"$/),
    ])
  })
})

test('a secret in the wrong place is in no message', async () => {
  const faulty = [
    'kind: queue\n    password: [hunter2]',
    'kind: queue\n    password: 72390451',
    'kind: queue\n    passwort: hunter2',
    'kind: queue\n    password: "hunter2" hunter2',
    'kind: queue\n    password: *hunter2',
    'kind: queue\n    password: &hunter2',
    'kind: queue\n    password: !hunter2 x',
    'kind: queue\n    password: "hunter2',
    'kind: queue\n    password: hunter2\n    interval: hunter2',
    'kind: compare\n    source: postgres://a:hunter2@db',
    'kind: compare\n    api: "x://a:hunter2@db"',
    'kind: compare\n    source: { postgresql: "hunter2" }',
    'kind: compare\n    source: { postgresql: { url: { password: hunter2 } } }',
  ]
  for (const entry of faulty) {
    const lines = await refusal(`collectors:\n  - target: a\n    ${entry}\n`)
    expect(lines, entry).not.toEqual([])
    expect(lines.join('\n'), entry).not.toMatch(/hunter2|72390451/)
  }
})

test.each([
  [':0', { host: undefined, port: 0 }],
  ['[::]:9979', { host: '::', port: 9979 }],
  ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
  ['exporter.local:80', { host: 'exporter.local', port: 80 }],
])('web.listen %s', async (listen, web) => {
  writeFileSync(join(folder, 'x.yaml'), `web: { listen: "${listen}" }\ncollectors: []`)
  expect((await loadConfig(join(folder, 'x.yaml'), { kinds, env: {} })).web).toEqual(web)
})

test.each(['9979', ':', ':70000', '::1:80', '[::1]', 'a b:80'])(
  'web.listen %s is refused',
  async (listen) => {
    expect(await refusal(`web: { listen: "${listen}" }\ncollectors: []`)).toEqual([
      `1:16: web.listen: expected host:port, [IPv6]:port or :port, got "${listen}"`,
    ])
  },
)
