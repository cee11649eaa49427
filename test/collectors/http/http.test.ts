import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { http } from '../../../src/collectors/http/index.ts'
import { readExposition, type Sample } from '../../testbed/exposition-text.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { reservePort } from '../../testbed/ports.ts'
import { type Collecting, collecting } from '../collect.ts'
import { startHttp, startTcp, type TestServer } from './servers.ts'

/** As long as a test waits for anything: it ends no probe of a server that answers. */
const PATIENT = { probe_timeout: '3m' }

const folder = temporaryFolder('http')
let server: TestServer
beforeAll(async () => {
  server = await startHttp()
})
afterAll(async () => {
  await server?.close()
  folder.remove()
})

interface Probed {
  /** Of a family that has no label but `url`. */
  value(name: string): number | undefined
  readonly samples: readonly Sample[]
  /** Undefined where it succeeded. */
  readonly problem: unknown
  readonly failedParts: Collecting['failedParts']
}

/** One probe of one URL. */
async function probed(url: string, settings: object = {}): Promise<Probed> {
  const collector = collecting(http, { urls: url, ...PATIENT, ...settings })
  const lines = await collector.run()
  const { samples } = readExposition(`${lines.join('\n')}\n`)
  const [finding] = collector.findings()
  await collector.stop()
  const value = (name: string) => samples.find((sample) => sample.name === name)?.value
  expect(value('probe_success')).toBe(Number(finding?.alarm === undefined))
  return { samples, value, problem: finding?.alarm?.problem, failedParts: collector.failedParts }
}

const phasesOf = ({ samples }: Probed): ReadonlyMap<string | undefined, number> =>
  new Map(
    samples
      .filter(({ name }) => name === 'probe_http_duration_seconds')
      .map(({ labels, value }) => [labels.phase, value]),
  )

describe('an answer', () => {
  test('is told in full', async () => {
    const it = await probed(`${server.url}/hello?token=hidden`)
    expect(it.problem).toBeUndefined()
    const values = Object.fromEntries(
      it.samples
        .filter(({ name }) => !name.endsWith('_seconds') || name.includes('timestamp'))
        .map(({ name, value }) => [name, value]),
    )
    expect(values).toEqual({
      probe_success: 1,
      probe_failed_due_to_regex: 0,
      probe_http_content_length: 5,
      probe_http_last_modified_timestamp_seconds: Date.UTC(2030, 0, 1) / 1000,
      probe_http_redirects: 0,
      probe_http_ssl: 0,
      probe_http_status_code: 200,
      probe_http_uncompressed_body_length: 5,
      probe_http_version: 1.1,
      probe_ip_addr_hash: 3668918509,
      probe_ip_protocol: 4,
    })
    expect(it.value('probe_timeout_seconds')).toBe(180)
    const phases = phasesOf(it)
    expect([...phases.keys()].toSorted()).toEqual(['connect', 'processing', 'resolve', 'tls', 'transfer'])
    expect(phases.get('tls')).toBe(0)
    for (const phase of ['connect', 'processing', 'transfer']) expect(phases.get(phase)).toBeGreaterThan(0)
    const sum = [...phases.values()].reduce((total, seconds) => total + seconds, 0)
    expect(sum).toBeLessThanOrEqual(it.value('probe_duration_seconds') ?? 0)
    // The query may hold a secret.
    expect(new Set(it.samples.map(({ labels }) => labels.url))).toEqual(new Set([`${server.url}/hello`]))
  })

  test('in chunks has no length announced', async () => {
    const it = await probed(`${server.url}/chunked`)
    expect(it.value('probe_http_content_length')).toBe(-1)
    expect(it.value('probe_http_uncompressed_body_length')).toBe(5)
    expect(it.value('probe_http_last_modified_timestamp_seconds')).toBeUndefined()
  })

  test('that is packed is judged unpacked', async () => {
    const it = await probed(`${server.url}/packed`, { expect: { body: ['^(hello ){1000}$'] } })
    expect(it.problem).toBeUndefined()
    expect(it.value('probe_http_uncompressed_body_length')).toBe(6000)
    expect((await probed(`${server.url}/packed`, { max_body: '5999B' })).problem).toContain(
      '/packed: body: it is not gzip of up to 5999 bytes',
    )
    expect((await probed(`${server.url}/mispacked`)).problem).toContain('body: it is not gzip')
  })

  test('of HTTP 1.0', async () => {
    const old = await startTcp('http', (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nhello'))
    const it = await probed(old.url)
    expect(it.problem).toBeUndefined()
    expect(it.value('probe_http_version')).toBe(1)
    await old.close()
  })

  test('comes to what was sent', async () => {
    writeFileSync(join(folder.path, 'password'), 'pass:word\n')
    writeFileSync(join(folder.path, 'key'), 'a key\n')
    const json = (pointer: string, equals: unknown) => ({ pointer, equals })
    const it = await probed(`${server.url}/echo`, {
      method: 'POST',
      headers: { 'X-Colour': 'green', Host: 'shop.example' },
      secret_headers: [{ name: 'X-Key', value_file: join(folder.path, 'key') }],
      body: 'a body',
      username: 'monitor',
      password_file: join(folder.path, 'password'),
      expect: {
        json: [
          json('/method', 'POST'),
          json('/body', 'a body'),
          json('/headers/x-colour', 'green'),
          json('/headers/x-key', 'a key'),
          json('/headers/host', 'shop.example'),
          json('/headers/user-agent', 'cdc-exporter'),
          json('/headers/authorization', `Basic ${Buffer.from('monitor:pass:word').toString('base64')}`),
          json('/headers/content-length', '6'),
        ],
      },
    })
    expect(it.problem).toBeUndefined()
    const token = await probed(`${server.url}/echo`, {
      token: 'a token',
      expect: { json: [json('/headers/authorization', 'Bearer a token')] },
    })
    expect(token.problem).toBeUndefined()
  })

  test('of several URLs is told of each', async () => {
    const collector = collecting(http, {
      urls: [
        `${server.url}/hello`,
        `${server.url}/status/500`,
        ...[...Array(30).keys()].map((i) => `${server.url}/hello/${i}`),
      ],
      ...PATIENT,
    })
    const successes = (await collector.run()).filter((line) => line.startsWith('probe_success'))
    expect(successes).toHaveLength(32)
    expect(successes.filter((line) => line.endsWith(' 0'))).toEqual([
      `probe_success{target="test",url="${server.url}/status/500"} 0`,
    ])
    expect(collector.failedParts).toEqual([])
  })
})

describe('redirects', () => {
  test('are followed and counted', async () => {
    const it = await probed(`${server.url}/redirect/2`)
    expect(it.problem).toBeUndefined()
    expect(it.value('probe_http_redirects')).toBe(3)
    expect(it.value('probe_http_status_code')).toBe(200)
  })

  test('are followed no further than the bound', async () => {
    const it = await probed(`${server.url}/loop`)
    expect(it.problem).toBe(`${server.url}/loop: more than 10 redirects`)
    expect(it.value('probe_http_redirects')).toBe(11)
    expect(it.value('probe_http_status_code')).toBe(302)
    expect((await probed(`${server.url}/redirect/2`, { max_redirects: 2 })).problem).toContain(
      'more than 2 redirects',
    )
    expect((await probed(`${server.url}/redirect/2`, { max_redirects: 3 })).problem).toBeUndefined()
  })

  test('are answers where none is followed', async () => {
    const it = await probed(`${server.url}/redirect/2`, { max_redirects: 0, expect: { status: [302] } })
    expect(it.problem).toBeUndefined()
    expect(it.value('probe_http_redirects')).toBe(1)
    expect(it.value('probe_http_status_code')).toBe(302)
  })

  test('to what is no HTTP fail', async () => {
    expect((await probed(`${server.url}/lost`)).problem).toBe(
      `${server.url}/lost: redirect: to ftp:, which is not http`,
    )
  })

  test('to another origin take no header and no credential with them, to the same one all', async () => {
    const other = await startHttp()
    const settings = {
      method: 'POST',
      body: 'a body',
      headers: { 'x-key': 'a key' },
      token: 'a token',
    }
    const nothing = { pointer: '/headers', match: '^(?!.*(a key|a token))' }
    const abroad = await probed(`${server.url}/to/again?${other.url}/echo`, {
      ...settings,
      expect: { json: [nothing, { pointer: '/method', equals: 'POST' }, { pointer: '/body', equals: '' }] },
    })
    expect(abroad.problem).toBeUndefined()
    const own = await probed(`${server.url}/to/again?/echo`, {
      ...settings,
      expect: {
        json: [
          { pointer: '/headers/authorization', equals: 'Bearer a token' },
          { pointer: '/headers/x-key', equals: 'a key' },
          { pointer: '/method', equals: 'POST' },
          { pointer: '/body', equals: 'a body' },
        ],
      },
    })
    expect(own.problem).toBeUndefined()
    const see = await probed(`${server.url}/to/other?/echo`, {
      ...settings,
      expect: {
        json: [
          { pointer: '/method', equals: 'GET' },
          { pointer: '/body', equals: '' },
        ],
      },
    })
    expect(see.problem).toBeUndefined()
    await other.close()
  })
})

describe('what is expected', () => {
  test.each([
    ['/status/404', {}, 'status 404, expected 2xx', 0],
    ['/status/404', { status: ['4xx'] }, undefined, 0],
    ['/status/404', { status: [200, 404] }, undefined, 0],
    ['/hello', { status: ['201', '3xx'] }, 'status 200, expected 201 or 3xx', 0],
    ['/hello', { body: ['^hel', 'lo$'], not_body: ['bye'] }, undefined, 0],
    ['/hello', { body: ['^hel', 'bye'] }, 'the body does not match /bye/u', 1],
    ['/hello', { not_body: ['bye', 'l{2}'] }, 'the body matches /l{2}/u', 1],
    ['/hello', { headers: [{ name: 'X-Colour' }, { name: 'x-colour', match: '^green$' }] }, undefined, 0],
    [
      '/hello',
      { headers: [{ name: 'x-colour', match: 'blue' }] },
      'header x-colour does not match /blue/u',
      1,
    ],
    [
      '/hello',
      { headers: [{ name: 'x-colour', not_match: 'green' }] },
      'header x-colour matches /green/u',
      1,
    ],
    ['/hello', { headers: [{ name: 'x-size', not_match: 'big' }] }, undefined, 0],
    ['/hello', { headers: [{ name: 'x-size' }] }, 'there is no header x-size', 0],
    ['/hello', { json: [{ pointer: '', equals: 'hello' }] }, 'the body is no JSON', 0],
    ['/terminus', { json: [{ pointer: '/details/db', equals: { status: 'up' } }] }, undefined, 0],
    ['/terminus', { json: [{ pointer: '/status', match: '^ok$' }] }, undefined, 0],
    [
      '/terminus',
      { json: [{ pointer: '/status', equals: 'error' }] },
      'the body at "/status" is not "error"',
      0,
    ],
    [
      '/terminus',
      { json: [{ pointer: '/status', match: 'up' }] },
      'the body at "/status" does not match /up/u',
      0,
    ],
    [
      '/terminus',
      { json: [{ pointer: '/details/mq', match: '.' }] },
      'the body at "/details/mq": there is nothing',
      0,
    ],
  ])('%s %j: %s', async (path, expected, problem, regex) => {
    const it = await probed(`${server.url}${path}`, { expect: expected })
    expect(it.problem).toBe(problem === undefined ? undefined : `${server.url}${path}: ${problem}`)
    expect(it.value('probe_failed_due_to_regex')).toBe(regex)
  })
})

describe('the components of a health JSON', () => {
  const componentsOf = ({ samples }: Probed) =>
    Object.fromEntries(
      samples
        .filter(({ name }) => name === 'cdc_http_component_up')
        .map(({ labels, value }) => [labels.component, value]),
    )

  test('of Nest Terminus, well or not', async () => {
    const well = await probed(`${server.url}/terminus`, { health_json: true })
    expect(well.problem).toBeUndefined()
    expect(componentsOf(well)).toEqual({ db: 1 })
    const badly = await probed(`${server.url}/terminus/down`, { health_json: true })
    expect(badly.problem).toBe(`${server.url}/terminus/down: status 503, expected 2xx`)
    expect(componentsOf(badly)).toEqual({ db: 1, redis: 0 })
  })

  test('of Spring Boot; what is not known is absent', async () => {
    expect(componentsOf(await probed(`${server.url}/spring`, { health_json: true }))).toEqual({
      db: 1,
      disk: 0,
    })
  })

  test('are bounded, and what is beyond is said', async () => {
    const it = await probed(`${server.url}/many`, { health_json: true })
    expect(Object.keys(componentsOf(it))).toHaveLength(100)
    expect(it.failedParts.map(({ cause }) => String(cause))).toEqual([
      'Error: 50 of 150 components have no series: beyond 100 components with names of up to 200 characters',
    ])
  })

  test('a body that is none fails the probe', async () => {
    const it = await probed(`${server.url}/hello`, { health_json: true })
    expect(it.problem).toBe(`${server.url}/hello: the body is no health JSON of Nest Terminus or Spring Boot`)
    expect(componentsOf(it)).toEqual({})
  })
})

describe('a server that', () => {
  /** Nothing of an answer. */
  const expectNoAnswer = (it: Probed) => {
    expect(it.value('probe_http_status_code')).toBe(0)
    expect(it.value('probe_http_version')).toBe(0)
    expect(it.value('probe_http_content_length')).toBe(0)
    expect(phasesOf(it).size).toBe(5)
    expect(phasesOf(it).get('transfer')).toBe(0)
  }

  test('is not there', async () => {
    const url = `http://127.0.0.1:${await reservePort()}`
    const it = await probed(url)
    expect(it.problem).toMatch(/\/: connect ECONNREFUSED 127\.0\.0\.1:\d+$/)
    expectNoAnswer(it)
    expect(phasesOf(it).get('connect')).toBe(0)
  })

  test('has no address', async () => {
    const it = await probed('http://nowhere.invalid/')
    expect(it.problem).toMatch(/^http:\/\/nowhere\.invalid\/: lookup: .*nowhere\.invalid$/)
    expectNoAnswer(it)
    expect(it.value('probe_ip_protocol')).toBe(0)
    expect(it.value('probe_ip_addr_hash')).toBe(0)
  })

  test('closes the connection at once', async () => {
    const closing = await startTcp('http', (socket) => void socket.once('data', () => socket.end()))
    const it = await probed(closing.url)
    expect(it.problem).toMatch(/GET: socket hang up$/)
    expectNoAnswer(it)
    expect(phasesOf(it).get('connect')).toBeGreaterThan(0)
    await closing.close()
  })

  test('speaks no HTTP', async () => {
    const other = await startTcp('http', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'))
    const it = await probed(other.url)
    expect(it.problem).toMatch(/GET: Parse Error/)
    expectNoAnswer(it)
    await other.close()
  })

  test('breaks off in the middle of its body', async () => {
    const it = await probed(`${server.url}/half`)
    expect(it.problem).toBe(`${server.url}/half: body: the connection was closed before its end`)
    expect(it.value('probe_http_status_code')).toBe(200)
    expect(it.value('probe_http_content_length')).toBe(100)
    for (const phase of ['connect', 'processing', 'transfer'])
      expect(phasesOf(it).get(phase)).toBeGreaterThan(0)
  })

  test('does not end its body', async () => {
    const it = await probed(`${server.url}/endless`, { max_body: '64KiB' })
    expect(it.problem).toBe(`${server.url}/endless: body: it is longer than 65536 bytes`)
    expect(it.value('probe_http_uncompressed_body_length')).toBe(65_536)
  })

  test('hangs, before its answer, within it or within TLS', async () => {
    const mute = await startTcp('https', () => {})
    const urls = [`${server.url}/hang`, `${server.url}/stalled`, `${mute.url}/`]
    const collector = collecting(http, { urls, probe_timeout: '1s' })
    const lines = await collector.run()
    for (const url of urls) expect(lines).toContain(`probe_success{target="test",url="${url}"} 0`)
    expect(collector.findings()).toHaveLength(3)
    for (const { alarm } of collector.findings())
      expect(alarm?.problem).toMatch(/: no answer within 1000 ms$/)
    await mute.close()
  })
})

test('a secret that cannot be read fails the run', async () => {
  const collector = collecting(http, { urls: server.url, token_file: join(folder.path, 'absent') })
  await expect(collector.run()).rejects.toThrow(/ENOENT/)
})

test.each([
  [{}, 'expected a list of URLs, or one'],
  [{ urls: [] }, 'expected a list of URLs, or one'],
  [{ urls: 'ftp://a' }, 'expected a URL such as'],
  [{ urls: 'http://user:secret@a/' }, 'credentials go to username and password, or token'],
  [{ urls: ['http://a/x?1', 'http://a/x?2'] }, 'http://a/x is there already'],
  [{ urls: 'http://a', username: 'me' }, 'missing: username needs password'],
  [{ urls: 'http://a', username: 'me', password: 'x', token: 'x' }, 'give token, or username and password'],
  [{ urls: 'http://a', headers: { 'a b': 'c' } }, 'no header has such a name or value'],
  [{ urls: 'http://a', headers: { a: 'b\r\nc: d' } }, 'no header has such a name or value'],
  [{ urls: 'http://a', expect: { status: ['6xx'] } }, 'expected a status such as 204'],
  [{ urls: 'http://a', expect: { json: [{ pointer: 'a', equals: 1 }] } }, 'expected a JSON pointer'],
  [{ urls: 'http://a', expect: { json: [{ pointer: '/a' }] } }, 'give equals or match'],
  [{ urls: 'http://a', expect: { body: ['('] } }, 'not a regular expression'],
])('%j is refused: %s', (given, message) => {
  const { error } = http.settings.safeParse(given)
  expect(error?.issues.map((issue) => issue.message).join()).toContain(message)
})

test('its runs may wait for as long as all its probes together', () => {
  const urls = [...Array(41).keys()].map((i) => `http://a/${i}`)
  expect(http.longestWait?.(http.settings.parse({ urls, probe_timeout: '2s' }))).toBe(6_000)
})
