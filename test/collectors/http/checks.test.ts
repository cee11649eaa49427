import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { http } from '../../../src/collectors/http/index.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { checked, complaints } from '../check.ts'
import { startHttp, startHttps, type TestServer } from './servers.ts'

const folder = temporaryFolder('http-checks')
const servers: TestServer[] = []
const url = { plain: '', lasting: '', ending: '', expired: '' }
let ca: string

beforeAll(async () => {
  const authority = await certificateAuthority(folder.path, 'authority')
  ca = authority.cert
  const plain = await startHttp()
  servers.push(plain)
  url.plain = plain.url
  for (const [name, days] of [
    ['lasting', 30],
    ['ending', 2],
    ['expired', -1],
  ] as const) {
    const { cert, key } = await authority.issue(name, ['IP:127.0.0.1'], days)
    const server = await startHttps({ cert: readFileSync(cert), key: readFileSync(key) })
    servers.push(server)
    url[name] = server.url
  }
})
afterAll(async () => {
  for (const server of servers) await server.close()
  folder.remove()
})

/** Each URL with a time limit that no machine needs. */
const check = (urls: readonly string[], settings: object = {}) =>
  checked(http, { urls, probe_timeout: '1m', tls: { ca_file: ca }, ...settings })

test('servers that are as they should be have nothing to complain of', async () => {
  const lasting = `${url.lasting}/terminus/up`
  // A service that is not well says so in good order.
  const down = `${url.plain}/terminus/down`
  const found = await check([lasting, down], { health_json: true })
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    ...['reachable', 'certificate_trusted', 'certificate_lasts'].map((name) => `${name} ${lasting}`),
    ...['authenticated', 'path_known', 'body_readable'].map((name) => `${name} ${lasting}`),
    ...['reachable', 'authenticated', 'path_known', 'body_readable'].map((name) => `${name} ${down}`),
    'completed',
  ])
  expect(found[`certificate_trusted ${lasting}`]?.message).toBe('issued by CN=authority')
  expect(found[`reachable ${down}`]?.message).toBe('status 503')
})

test('a certificate that ends soon is advice; one that is not trusted fails, and is the last that is told', async () => {
  const [ending, expired] = [`${url.ending}/hello`, `${url.expired}/hello`]
  const found = await check([ending, expired])
  expect(complaints(found)).toEqual({
    [`certificate_lasts ${ending}`]: expect.stringMatching(/it ends on 20\d\d-\d\d-\d\d → renew it/),
    [`certificate_trusted ${expired}`]: expect.stringContaining('TLS: a certificate has expired'),
  })
  expect(Object.keys(found).filter((key) => key.endsWith(expired))).toEqual([
    `reachable ${expired}`,
    `certificate_trusted ${expired}`,
  ])
  expect(complaints(await check([`${url.lasting}/hello`], { tls: {} }))).toEqual({
    [`certificate_trusted ${url.lasting}/hello`]: expect.stringContaining(
      '→ renew it where it has expired; else',
    ),
  })
  // Nobody wants to know.
  expect(await check([expired], { tls: { insecure_skip_verify: true } })).not.toHaveProperty([
    `certificate_trusted ${expired}`,
  ])
})

test('credentials, path and body that are wrong are told apart', async () => {
  const paths = {
    refused: `${url.plain}/status/401`,
    unknown: `${url.plain}/nothing`,
    text: `${url.plain}/redirect/0`,
    half: `${url.plain}/half`,
    // It fails, which is no fault of the configuration.
    broken: `${url.plain}/status/500`,
  }
  expect(
    complaints(
      await check(Object.values(paths), { expect: { json: [{ pointer: '/status', equals: 'ok' }] } }),
    ),
  ).toEqual({
    [`authenticated ${paths.refused}`]: 'false: status 401 → correct token, or username and password',
    [`path_known ${paths.unknown}`]: expect.stringContaining('status 404 → correct the path of the URL'),
    [`body_readable ${paths.text}`]: expect.stringContaining(
      'status 200 after 1 redirect: the body is no JSON → ',
    ),
    [`body_readable ${paths.half}`]: expect.stringContaining('status 200: body: '),
  })
  // What is expected is right.
  const expected = { expect: { status: [401, 404] } }
  expect(complaints(await check([paths.refused, paths.unknown], expected))).toEqual({})
  expect(complaints(await check([`${url.plain}/echo`], { health_json: true }))).toEqual({
    [`body_readable ${url.plain}/echo`]: expect.stringContaining('no health JSON of Nest Terminus'),
  })
})

test('what does not answer ends with that, and what its query holds is not told', async () => {
  const away = 'http://127.0.0.1:1/health'
  const found = await check([`${away}?key=hidden`])
  expect(complaints(found)).toEqual({ [`reachable ${away}`]: expect.stringContaining('ECONNREFUSED') })
  expect(Object.keys(found)).toEqual([`reachable ${away}`, 'completed'])
  expect(JSON.stringify(found)).not.toContain('hidden')
  expect(complaints(await check([`${url.plain}/hang`], { probe_timeout: '500ms' }))).toEqual({
    [`reachable ${url.plain}/hang`]: expect.stringContaining('no answer within 500 ms'),
  })
})
