import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ServerOptions } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { http } from '../../../src/collectors/http/index.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { readExposition } from '../../testbed/exposition-text.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { collecting } from '../collect.ts'
import { startHttp, startHttps, type TestServer } from './servers.ts'

interface Files {
  readonly cert: string
  readonly key: string
}

const folder = temporaryFolder('http-tls')
const servers: TestServer[] = []
let ca: string
let good: Files
let client: Files
const urls = { good: '', expired: '', named: '', clients: '', plain: '' }

beforeAll(async () => {
  const authority = await certificateAuthority(folder.path, 'authority')
  ca = authority.cert
  // Its end is not that of the authority.
  good = await authority.issue('good', ['DNS:localhost', 'DNS:shop.example', 'IP:127.0.0.1'], 1)
  client = await authority.issue('monitor', ['DNS:monitor'])
  const expired = await authority.issue('expired', ['IP:127.0.0.1'], -1)
  const named = await authority.issue('named', ['DNS:shop.example'])
  const serve = async (files: Files, options: ServerOptions = {}): Promise<string> => {
    const server = await startHttps({
      cert: readFileSync(files.cert),
      key: readFileSync(files.key),
      ...options,
    })
    servers.push(server)
    return server.url
  }
  urls.good = await serve(good)
  urls.expired = await serve(expired)
  urls.named = await serve(named)
  urls.clients = await serve(good, { ca: readFileSync(ca), requestCert: true, rejectUnauthorized: true })
  const plain = await startHttp()
  servers.push(plain)
  urls.plain = plain.url
})
afterAll(async () => {
  for (const server of servers) await server.close()
  folder.remove()
})

async function probed(url: string, tls: object, settings: object = {}) {
  const collector = collecting(http, { urls: url, probe_timeout: '3m', tls, ...settings })
  const { samples } = readExposition(`${(await collector.run()).join('\n')}\n`)
  const [finding] = collector.findings()
  await collector.stop()
  const one = (name: string) => samples.find((sample) => sample.name === name)
  return {
    problem: finding?.alarm?.problem,
    value: (name: string) => one(name)?.value,
    labels: (name: string) => one(name)?.labels,
    phase: (phase: string) =>
      samples.find(({ name, labels }) => name === 'probe_http_duration_seconds' && labels.phase === phase)
        ?.value,
  }
}

const endOf = (file: string): number => Date.parse(new X509Certificate(readFileSync(file)).validTo) / 1000

test('an own authority is trusted, and the certificate is told', async () => {
  const it = await probed(`${urls.good}/hello`, { ca_file: ca })
  expect(it.problem).toBeUndefined()
  expect(it.value('probe_http_ssl')).toBe(1)
  expect(it.value('probe_ssl_earliest_cert_expiry')).toBe(endOf(good.cert))
  expect(it.value('probe_ssl_last_chain_expiry_timestamp_seconds')).toBe(endOf(good.cert))
  expect(it.phase('tls')).toBeGreaterThan(0)
  expect(it.labels('probe_tls_version_info')?.version).toBe('TLS 1.3')
  expect(it.labels('probe_tls_cipher_info')?.cipher).toMatch(/^TLS_/)
  const { fingerprint256, serialNumber } = new X509Certificate(readFileSync(good.cert))
  expect(it.labels('probe_ssl_last_chain_info')).toMatchObject({
    fingerprint_sha256: fingerprint256.replaceAll(':', '').toLowerCase(),
    subject: 'CN=good',
    issuer: 'CN=authority',
    subjectalternative: 'localhost,shop.example',
    serialnumber: serialNumber.toLowerCase(),
  })
})

test('after a redirect from http to https it is TLS that counts', async () => {
  const it = await probed(`${urls.plain}/to/other?${urls.good}/hello`, { ca_file: ca })
  expect(it.problem).toBeUndefined()
  expect(it.value('probe_http_ssl')).toBe(1)
  expect(it.value('probe_http_redirects')).toBe(1)
})

describe('a certificate that', () => {
  test.each([
    ['expired', 'has expired', () => ({ ca_file: ca }), /TLS: a certificate has expired; .* is valid until /],
    [
      'named',
      'is for another host',
      () => ({ ca_file: ca }),
      /TLS: Hostname\/IP does not match certificate's altnames/,
    ],
    ['good', 'is of an authority that is not known', () => ({}), /TLS: the certificate is not trusted: /],
  ] as const)(
    'of the server “%s” %s: fails the probe, and is told all the same',
    async (name, _, tls, problem) => {
      const it = await probed(`${urls[name]}/hello`, tls())
      expect(it.problem).toMatch(problem)
      expect(it.value('probe_success')).toBe(0)
      expect(it.value('probe_http_status_code')).toBe(0)
      expect(it.value('probe_http_ssl')).toBe(0)
      expect(it.value('probe_ssl_earliest_cert_expiry')).toBeGreaterThan(0)
      expect(it.value('probe_ssl_last_chain_expiry_timestamp_seconds')).toBeUndefined()
      expect(it.phase('tls')).toBeGreaterThan(0)
      expect(it.phase('processing')).toBe(0)
      const taken = await probed(`${urls[name]}/hello`, { ...tls(), insecure_skip_verify: true })
      expect(taken.problem).toBeUndefined()
      expect(taken.value('probe_http_ssl')).toBe(1)
    },
  )

  test('has expired says when', async () => {
    const { value } = await probed(`${urls.expired}/hello`, { ca_file: ca })
    expect(value('probe_ssl_earliest_cert_expiry')).toBeLessThan(Date.now() / 1000)
  })
})

test('the name that is expected in the certificate may be given, or be that of the header Host', async () => {
  const url = `${urls.named}/hello`
  expect((await probed(url, { ca_file: ca, server_name: 'shop.example' })).problem).toBeUndefined()
  expect(
    (await probed(url, { ca_file: ca }, { headers: { Host: 'shop.example:8443' } })).problem,
  ).toBeUndefined()
})

test('the name that is given is not that of another host, to which a redirect leads', async () => {
  const url = `${urls.named}/to/other?${urls.good}/hello`
  expect((await probed(url, { ca_file: ca, server_name: 'shop.example' })).problem).toBeUndefined()
  const back = `${urls.good}/to/other?${urls.named}/hello`
  expect((await probed(back, { ca_file: ca, server_name: 'shop.example' })).problem).toMatch(/altnames/)
})

test('a certificate of our own is shown to a server that asks for one', async () => {
  const shown = { ca_file: ca, cert_file: client.cert, key_file: client.key }
  expect((await probed(`${urls.clients}/hello`, shown)).problem).toBeUndefined()
  expect((await probed(`${urls.clients}/hello`, { ca_file: ca })).problem).toMatch(/GET: /)
})

test('a server without TLS fails in TLS', async () => {
  const it = await probed(`${urls.plain.replace('http:', 'https:')}/hello`, { ca_file: ca })
  expect(it.problem).toMatch(/\/hello: TLS: /)
  expect(it.phase('connect')).toBeGreaterThan(0)
  expect(it.phase('tls')).toBe(0)
  expect(it.value('probe_ssl_earliest_cert_expiry')).toBeUndefined()
})
