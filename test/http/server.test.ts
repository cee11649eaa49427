import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import type { SampleBatch } from '../../src/collection/collector.ts'
import { detailedHealth, health } from '../../src/http/health.ts'
import { waitFor } from '../testbed/process.ts'
import { type Depots, kinds, type Served, serve, stock } from './fixture.ts'

let served: Served | undefined
afterEach(async () => {
  await served?.stop()
  served = undefined
})

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** As it is on the wire: fetch would decode it. */
async function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  if (!served) throw new Error('nothing is served')
  const sent = request(`${served.url}${path}`, { method, headers, agent: false })
  sent.end()
  const [response] = await once(sent, 'response')
  return { status: response.statusCode, headers: response.headers, body: await buffer(response) }
}

const text = async (path: string): Promise<string> => (await ask(path)).body.toString()
const json = async (path: string): Promise<unknown> => JSON.parse(await text(path))

/** Until every collector has finished a run. */
async function ready(): Promise<void> {
  await waitFor('every first run', async () => (await ask('/health/ready')).status === 200)
}

const nuts = (count: number) => async (batch: SampleBatch) => batch.add(stock, { article: 'nut' }, count)

/** An hour between two runs: after the first ones nothing moves. */
const quiet = { interval: '1h', timeout: '10s' }

describe('/metrics', () => {
  test('gzip and plain hold the same bytes, each with its length', async () => {
    served = await serve(new Map([['north', nuts(3)]]), [{ kind: 'depot', target: 'north', ...quiet }])
    await ready()
    // The daemon's own metrics move by themselves; both are taken until no refresh came between.
    await waitFor('two scrapes of one snapshot', async () => {
      const plain = await ask('/metrics')
      const packed = await ask('/metrics', { 'accept-encoding': 'gzip' })
      expect(plain.headers['content-encoding']).toBeUndefined()
      expect(packed.headers['content-encoding']).toBe('gzip')
      for (const { status, headers, body } of [plain, packed]) {
        expect(status).toBe(200)
        expect(headers['content-length']).toBe(String(body.length))
        expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
        expect(headers.vary).toBe('Accept-Encoding')
      }
      return gunzipSync(packed.body).equals(plain.body)
    })
    const body = await text('/metrics')
    expect(body).toMatch(/^depot_stock\{target="north",article="nut"\} +3$/m)
    expect(body).toMatch(/^cdc_exporter_build_info\{version="1\.2\.3",/m)
  })

  test.each([
    ['gzip', true],
    ['GZIP', true],
    ['deflate, gzip;q=1.0, *;q=0.5', true],
    ['gzip ; q=0.001', true],
    ['*', true],
    ['br, *;q=0.1', true],
    ['identity', false],
    ['', false],
    ['br', false],
    ['x-gzip-not', false],
    ['gzip;q=0', false],
    ['gzip; q=0.000', false],
    ['gzip;q=0, *', false],
    ['*;q=0', false],
    ['*;q=0, gzip', true],
  ])('Accept-Encoding "%s": gzip %s', async (accepted, gzip) => {
    served = await serve(new Map(), [{ kind: 'depot', target: 'north', ...quiet }])
    const { headers } = await ask('/metrics', { 'accept-encoding': accepted })
    expect(headers['content-encoding']).toBe(gzip ? 'gzip' : undefined)
  })

  test('collector and target narrow it; one that nobody has is a fault', async () => {
    served = await serve(new Map(['north', 'south'].map((target, i) => [target, nuts(i)])), [
      { kind: 'depot', target: 'north', ...quiet },
      { kind: 'depot', target: 'south', ...quiet },
      { kind: 'shop', target: 'north', ...quiet },
    ])
    await ready()
    const instances = async (query: string) => {
      const found = (await text(`/metrics?${query}`)).matchAll(
        /^cdc_collector_success\{target="(\w+)",collector="(\w+)"\}/gm,
      )
      return [...found].map(([, target, collector]) => `${collector}/${target}`).toSorted()
    }
    expect(await instances('collector=depot')).toEqual(['depot/north', 'depot/south'])
    expect(await instances('target=north')).toEqual(['depot/north', 'shop/north'])
    expect(await instances('collector=depot&target=north')).toEqual(['depot/north'])
    expect(await instances('target=north&target=south')).toEqual(['depot/north', 'depot/south', 'shop/north'])
    const narrow = await ask('/metrics?collector=shop', { 'accept-encoding': 'gzip' })
    expect(narrow.headers['content-length']).toBe(String(narrow.body.length))
    expect(narrow.body.toString()).not.toContain('process_cpu')
    const { status, body } = await ask('/metrics?collector=shop&target=south')
    expect(status).toBe(400)
    expect(body.toString()).toBe('no such collector or target; have: depot/north, depot/south, shop/north\n')
  })

  test.each(['identity', 'gzip'])(
    'a slow reader gets what it began to read, whatever is committed: %s',
    async (coding) => {
      let value = 1
      // Names that do not compress, so that neither form fits into the buffers of a socket.
      const articles = Array.from({ length: 120_000 }, (_, i) => ({
        article: `${createHash('sha256').update(String(i)).digest('base64')}-article-${i}`,
      }))
      served = await serve(
        new Map([
          [
            'north',
            async (batch) => {
              for (const article of articles) batch.add(stock, article, value)
            },
          ],
        ]),
        [{ kind: 'depot', target: 'north', interval: '200ms', timeout: '200ms' }],
      )
      // A run of so many series may take longer than its time-out at the first time; then the next one shows them.
      await waitFor('the series to show', async () => (await text('/metrics')).includes('article-119999'))
      const socket = connect(served.app.port, '127.0.0.1')
      socket.write(
        `GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAccept-Encoding: ${coding}\r\n\r\n`,
      )
      await once(socket, 'readable')
      const began = socket.read(16) as Buffer
      const runs = async () =>
        Number(/^cdc_collector_runs_total\{target="north".*\} +(\d+)$/m.exec(await text('/metrics'))?.[1])
      const before = await runs()
      // Three commits at least, so that every buffer would have been written again.
      for (const next of [22, 333, 4444]) {
        value = next
        await waitFor(`${next} to show`, async () =>
          new RegExp(`^depot_stock.*-article-0"\\} +${next}$`, 'm').test(await text('/metrics')),
        )
      }
      expect(await runs()).toBeGreaterThan(before)
      const rest = await buffer(socket)
      const answer = Buffer.concat([began, rest])
      const bodyAt = answer.indexOf('\r\n\r\n') + 4
      const head = answer.subarray(0, bodyAt).toString()
      const sent = answer.subarray(bodyAt)
      expect(sent.length).toBe(Number(/content-length: (\d+)/i.exec(head)?.[1]))
      const body = (coding === 'gzip' ? gunzipSync(sent) : sent).toString()
      const values = new Set([...body.matchAll(/^depot_stock.* +(\d+)$/gm)].map(([, number]) => number))
      expect([...values]).toEqual(['1'])
    },
  )
})

describe('requests', () => {
  const one = [{ kind: 'depot', target: 'north', ...quiet }]

  test.each(['/', '/metrics', '/health', '/health/live', '/health/ready', '/health/detailed'])(
    'HEAD %s answers as GET does, without a body',
    async (path) => {
      served = await serve(new Map(), one)
      await ready()
      const [get, head] = [await ask(path), await ask(path, {}, 'HEAD')]
      expect(head.status).toBe(get.status)
      expect(head.body.length).toBe(0)
      expect(head.headers['content-type']).toBe(get.headers['content-type'])
      expect(Number(head.headers['content-length'])).toBeGreaterThan(0)
    },
  )

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is not allowed', async (method) => {
    served = await serve(new Map(), one)
    const { status, headers } = await ask('/metrics', {}, method)
    expect(status).toBe(405)
    expect(headers.allow).toBe('GET, HEAD')
  })

  test.each(['/nothing', '/metrics/', '//', '/__proto__', '/constructor', '/health/../nothing', '/%00'])(
    '%s is no path, and the answer says which there are',
    async (path) => {
      served = await serve(new Map(), one)
      const { status, body } = await ask(path)
      expect(status).toBe(404)
      expect(body.toString()).toContain('have: / /metrics /health')
    },
  )

  test('headers beyond the bound are refused, and the next request is answered', async () => {
    served = await serve(new Map(), one)
    expect((await ask('/metrics', { 'x-long': 'x'.repeat(20_000) })).status).toBe(431)
    expect((await ask('/metrics')).status).toBe(200)
  })

  test('what is no HTTP is refused, and the next request is answered', async () => {
    served = await serve(new Map(), one)
    const socket = connect(served.app.port, '127.0.0.1')
    socket.write('\x16\x03\x01 hello\r\n\r\n')
    expect((await buffer(socket)).toString()).toMatch(/^HTTP\/1\.1 400 /)
    expect((await ask('/metrics')).status).toBe(200)
  })
})

describe('health', () => {
  test('live answers at once; ready when every enabled collector has finished a run, well or badly', async () => {
    const held = Promise.withResolvers<void>()
    const depots: Depots = new Map([
      ['slow', () => held.promise],
      [
        'broken',
        async () => {
          throw new Error('closed')
        },
      ],
    ])
    served = await serve(depots, [
      { kind: 'depot', target: 'slow', interval: '1h', timeout: '1h' },
      { kind: 'depot', target: 'broken', ...quiet },
      { kind: 'depot', target: 'off', enabled: false },
    ])
    expect(await ask('/health/live')).toMatchObject({ status: 200 })
    await waitFor('only the slow one to be missing', async () => {
      const { status, body } = await ask('/health/ready')
      expect(status).toBe(503)
      return body.toString() === '{"status":"not ready","waiting_for":["depot/slow"]}\n'
    })
    expect(health.parse(await json('/health'))).toMatchObject({
      status: 'degraded',
      checks: { depot_connection_slow: { status: 'unknown', message: 'Depot has not been read yet' } },
    })
    held.resolve()
    await ready()
    expect(await json('/health/ready')).toEqual({ status: 'ready' })
  })

  test('one that waits for its time of the day is pending, and degrades nothing', async () => {
    served = await serve(new Map(), [
      { kind: 'depot', target: 'north', ...quiet },
      // In another month than this one.
      { kind: 'shop', target: 'yearly', schedule: new Date().getMonth() === 3 ? '0 6 1 9 *' : '0 6 1 4 *' },
    ])
    await ready()
    expect(health.strict().parse(await json('/health'))).toMatchObject({
      status: 'healthy',
      checks: {
        shop: {
          status: 'pending',
          message: expect.stringMatching(
            /^Shop has not been read yet; its next run is due at \d{4}-0[49]-01T/,
          ),
        },
      },
    })
  })

  test('one of a kind has the kind’s key; several have the target behind it', async () => {
    served = await serve(new Map(), [
      { kind: 'depot', target: 'north', ...quiet },
      { kind: 'depot', target: 'south', ...quiet },
      { kind: 'shop', target: 'north', ...quiet },
      { kind: 'shop', target: 'south', enabled: false },
    ])
    await ready()
    const body = health.strict().parse(await json('/health'))
    expect(body).toEqual({
      status: 'healthy',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      checks: {
        depot_connection_north: healthy('Depot'),
        depot_connection_south: healthy('Depot'),
        shop: healthy('Shop'),
      },
    })
  })

  test('is unhealthy when all are, degraded when one is or when a part was not read; always 200', async () => {
    const broken = async () => {
      throw new Error('cannot read', { cause: new Error('connection refused') })
    }
    const depots: Depots = new Map([
      ['north', broken],
      ['south', broken],
    ])
    served = await serve(depots, [
      { kind: 'depot', target: 'north', interval: '200ms', timeout: '200ms' },
      { kind: 'depot', target: 'south', interval: '200ms', timeout: '200ms' },
    ])
    await ready()
    const state = async () => {
      const answer = await ask('/health')
      expect(answer.status).toBe(200)
      return health.parse(JSON.parse(answer.body.toString()))
    }
    expect(await state()).toMatchObject({
      status: 'unhealthy',
      checks: {
        depot_connection_north: {
          status: 'unhealthy',
          message: 'Depot connection failed: cannot read: connection refused',
        },
      },
    })
    depots.set('north', nuts(1))
    await waitFor('one to recover', async () => (await state()).status === 'degraded')
    depots.set('south', async (batch: SampleBatch) =>
      batch.partFailed({ article: 'nut' }, new Error('rusty')),
    )
    await waitFor(
      'a part to be missing',
      async () => (await state()).checks.depot_connection_south?.status === 'degraded',
    )
    expect(await state()).toMatchObject({
      status: 'degraded',
      checks: {
        depot_connection_south: { message: 'Depot was read in part; failed: {"article":"nut"}: rusty' },
      },
    })
  })

  test('what answers and has problems is degraded, until they are over', async () => {
    let left = { nut: 0, bolt: 0 }
    const depots: Depots = new Map([
      [
        'north',
        async (batch: SampleBatch) => {
          for (const [article, count] of Object.entries(left)) batch.add(stock, { article }, count)
          if (left.nut === 0) batch.partFailed({ article: 'screw' }, new Error('rusty'))
        },
      ],
    ])
    served = await serve(depots, [{ kind: 'depot', target: 'north', interval: '200ms', timeout: '200ms' }])
    const state = async () => health.parse(await json('/health'))
    await waitFor('a run', async () => (await state()).checks.depot_connection?.status === 'degraded')
    expect(await state()).toMatchObject({
      // Of one check that is degraded, and no more than that.
      status: 'degraded',
      checks: {
        depot_connection: {
          message:
            'Depot is degraded: there is no nut and 1 more; Depot was read in part; failed: {"article":"screw"}: rusty',
        },
      },
    })
    expect(await json('/health/detailed')).toMatchObject({
      checks: {
        depot_connection: {
          problems: ['there is no nut', 'there is no bolt'],
          details: { articles: ['nut', 'bolt'] },
        },
      },
    })
    left = { nut: 5, bolt: 5 }
    await waitFor('recovery', async () => (await state()).status === 'healthy')
    depots.set('north', async () => {
      throw new Error('closed')
    })
    await waitFor('a failed run', async () => (await state()).status === 'unhealthy')
    // What was true before it failed is not told as if it were.
    expect(await json('/health/detailed')).toMatchObject({ checks: { depot_connection: { problems: [] } } })
    expect(await text('/health/detailed')).not.toContain('bolt')
  })

  test('detailed fits its schema, with nothing beyond it', async () => {
    const depots: Depots = new Map([
      [
        'north',
        async (batch: SampleBatch) => {
          batch.add(stock, { article: 'bolt' }, 0)
          batch.partFailed({ article: 'nut' }, new Error('rusty'))
        },
      ],
      [
        'south',
        async () => {
          throw new Error('closed')
        },
      ],
    ])
    served = await serve(depots, [
      { kind: 'depot', target: 'north', environment: 'production', labels: { team: 'Finance' }, ...quiet },
      { kind: 'depot', target: 'south', ...quiet },
      { kind: 'shop', target: 'north', ...quiet },
    ])
    await ready()
    const answer = await json('/health/detailed')
    const parsed = detailedHealth(kinds).parse(answer)
    expect(parsed).toEqual(answer)
    expect(parsed.version).toBe('1.2.3')
    expect(parsed.series).toBeGreaterThan(0)
    expect(parsed.checks.depot_connection_north).toMatchObject({
      status: 'degraded',
      collector: 'depot',
      target: 'north',
      labels: { target: 'north', environment: 'production', team: 'Finance' },
      interval_seconds: 3600,
      problems: ['there is no bolt'],
      details: { articles: ['bolt'] },
      failed_parts: [{ labels: { article: 'nut' }, message: 'rusty' }],
    })
    expect(parsed.checks.depot_connection_south?.last_success).toBeUndefined()
    expect(parsed.system.memory.usage_ratio).toBeGreaterThan(0)
    expect(parsed.system.memory.usage_ratio).toBeLessThan(1)
    expect(parsed.system.disk?.usage_ratio).toBeLessThanOrEqual(1)
  })

  const healthy = (title: string) => ({
    status: 'healthy',
    message: `${title} connection is healthy`,
    response_time_ms: expect.any(Number),
  })
})

describe('the landing page', () => {
  test('shows names as they are given, never as markup', async () => {
    const name = `<script>alert("1")</script> & 'co'`
    const depots: Depots = new Map([
      [
        name,
        async () => {
          throw new Error('<img src=x>')
        },
      ],
    ])
    served = await serve(depots, [{ kind: 'depot', target: name, environment: '<b>', ...quiet }])
    await ready()
    const page = await text('/')
    expect(page).not.toMatch(/<script|<img|<b>/)
    expect(page).toContain('&#60;script&#62;alert(&#34;1&#34;)&#60;/script&#62; &#38; &#39;co&#39;')
    expect(page).toContain('&#60;img src=x&#62;')
    const link = /href="(\/metrics\?[^"]*)"/
      .exec(page)?.[1]
      ?.replaceAll('&#38;', '&')
      .replaceAll('&#39;', "'")
    expect((await ask(link ?? '')).status).toBe(200)
  })
})

test('errors are shown without the secrets of the configuration, and without credentials in URLs', async () => {
  const depots: Depots = new Map([
    [
      'north',
      async () => {
        throw new Error('login with hunter2 at redis://user:other@host:1 failed')
      },
    ],
    [
      'south',
      async (batch: SampleBatch) =>
        batch.partFailed({ article: 'nut' }, new Error('Bearer abcdefghijk and hunter2')),
    ],
  ])
  served = await serve(depots, [
    { kind: 'depot', target: 'north', password: 'hunter2', ...quiet },
    { kind: 'depot', target: 'south', ...quiet },
  ])
  await ready()
  for (const path of ['/', '/health', '/health/detailed', '/health/ready', '/metrics']) {
    expect(await text(path)).not.toMatch(/hunter2|other@|abcdefghijk/)
  }
  expect(await text('/health')).toContain('login with [redacted] at redis://[redacted]@host:1 failed')
})
