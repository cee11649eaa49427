import { readFileSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { clickhouse } from '../../../src/collectors/clickhouse/index.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { collect } from '../collect.ts'

// The engine in process has no TLS: it is ended before it, as a proxy does. Whether a certificate is enough for a
// user is for a real server to say; what it is told is seen here.

const folder = temporaryFolder('clickhouse-tls')
let part: ClickHousePart
let server: Server
let ca: string
let foreign: string
let client: { readonly cert: string; readonly key: string }
let seen: { readonly certificate: string | undefined; readonly headers: IncomingHttpHeaders }[]

beforeAll(async () => {
  part = await startClickHouse()
  const [own, other] = await Promise.all([
    certificateAuthority(folder.path, 'authority'),
    certificateAuthority(folder.path, 'foreign'),
  ])
  ca = own.cert
  foreign = other.cert
  const certificate = await own.issue('server', ['DNS:clickhouse.internal'])
  client = await own.issue('monitor', ['DNS:monitor'])
  server = createServer(
    {
      cert: readFileSync(certificate.cert),
      key: readFileSync(certificate.key),
      ca: readFileSync(own.cert),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (incoming, outgoing) => {
      const socket = incoming.socket as TLSSocket
      const { headers, method, url } = incoming
      const name = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : undefined
      seen.push({ certificate: name, headers })
      const forwarded = request(`${part.url}${url}`, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(outgoing)
      })
      incoming.pipe(forwarded)
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  server?.closeAllConnections()
  server?.close()
  await part?.remove()
  folder.remove()
})
beforeEach(() => {
  seen = []
})

const run = (tls: Record<string, unknown> | undefined, given: Record<string, unknown> = {}) => {
  const { port } = server.address() as AddressInfo
  return collect(clickhouse, { url: `https://127.0.0.1:${port}`, ...(tls && { tls }), ...given })
}

const ANSWER = 'clickhouse_connections{target="test"} 0'

describe('the server’s certificate', () => {
  test('is refused where its authority is not trusted', async () => {
    await expect(run(undefined)).rejects.toThrow(
      /clickhouse at 127\.0\.0\.1:\d+: SELECT .*: .*(self|unable|issuer)/,
    )
    await expect(run({ ca_file: foreign, server_name: 'clickhouse.internal' })).rejects.toThrow(/: SELECT /)
    expect(seen).toEqual([])
  })

  test('is refused where it is another host’s, and taken under the name that is expected', async () => {
    await expect(run({ ca_file: ca })).rejects.toThrow(/does not match certificate/)
    expect(await run({ ca_file: ca, server_name: 'clickhouse.internal' })).toContain(ANSWER)
  })

  test('is not looked at with insecure_skip_verify', async () => {
    expect(await run({ insecure_skip_verify: true })).toContain(ANSWER)
  })

  test('is not asked for in vain', async () => {
    await expect(run({ ca_file: ca }, { url: part.url })).rejects.toThrow(/: tls needs a url of https/)
  })
})

describe('a client certificate', () => {
  const trusted = () => ({
    ca_file: ca,
    server_name: 'clickhouse.internal',
    cert_file: client.cert,
    key_file: client.key,
  })

  test('is what the user is known by, where there is no password', async () => {
    expect(await run(trusted(), { username: 'default' })).toContain(ANSWER)
    for (const { certificate, headers } of seen) {
      expect(certificate).toBe('monitor')
      expect(headers).toMatchObject({
        'x-clickhouse-user': 'default',
        'x-clickhouse-ssl-certificate-auth': 'on',
      })
      expect(headers).not.toHaveProperty('authorization')
    }
  })

  test('comes beside the password, where there is one', async () => {
    expect(await run(trusted(), { username: 'default', password: 'x' })).toContain(ANSWER)
    for (const { certificate, headers } of seen) {
      expect(certificate).toBe('monitor')
      expect(headers.authorization).toBe(`Basic ${Buffer.from('default:x').toString('base64')}`)
      expect(headers).not.toHaveProperty('x-clickhouse-ssl-certificate-auth')
    }
  })
})

test.each([
  [{ cert: 'c' }, 'missing: cert needs key or key_file'],
  [{ verify: false }, 'verify'],
])('%o is an error of the configuration', (tls, message) => {
  const result = clickhouse.settings.safeParse({ url: 'https://localhost:8443', tls })
  expect(JSON.stringify(result.error?.issues)).toContain(message)
})
