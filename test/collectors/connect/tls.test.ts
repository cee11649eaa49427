import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { settings } from '../../../src/collectors/connect/config.ts'
import { connect } from '../../../src/collectors/connect/index.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { collect } from '../collect.ts'

// Not Connect itself: what is proved is who trusts whom, which Connect leaves to TLS as well.

const folder = temporaryFolder('connect-tls')
let ca: string
let foreign: string
let client: { readonly cert: string; readonly key: string }
let server: Server
let port: number
let wantsCertificate = false
let clients: (string | undefined)[]

beforeAll(async () => {
  const [own, other] = await Promise.all([
    certificateAuthority(folder.path, 'authority'),
    certificateAuthority(folder.path, 'foreign'),
  ])
  ca = own.cert
  foreign = other.cert
  const worker = await own.issue('worker', ['DNS:connect.internal'])
  client = await own.issue('monitor', ['DNS:monitor'])
  server = createServer(
    {
      cert: readFileSync(worker.cert),
      key: readFileSync(worker.key),
      ca: readFileSync(own.cert),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const socket = request.socket as TLSSocket
      clients.push(socket.authorized ? String(socket.getPeerCertificate().subject.CN) : undefined)
      if (wantsCertificate && !socket.authorized) response.writeHead(403).end('a certificate, please')
      else if (request.url === '/') response.end('{"version":"4","commit":"c","kafka_cluster_id":"k"}')
      else response.end(request.url?.startsWith('/connectors') ? '{}' : '[]')
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server?.closeAllConnections()
  server?.close()
  folder.remove()
})
beforeEach(() => {
  wantsCertificate = false
  clients = []
})

const run = (tls: Record<string, unknown> | undefined) =>
  collect(connect, { urls: `https://127.0.0.1:${port}`, ...(tls && { tls }) })

const ANSWER = 'kafka_connect_worker_info{target="test",version="4",commit="c",kafka_cluster_id="k"} 1'

describe('the worker’s certificate', () => {
  test('is refused where its authority is not trusted', async () => {
    await expect(run(undefined)).rejects.toThrow(
      /kafka connect at 127\.0\.0\.1:\d+: GET \/: .*(self|unable|issuer)/,
    )
    await expect(run({ ca_file: foreign, server_name: 'connect.internal' })).rejects.toThrow(/GET \/: /)
    expect(clients).toEqual([])
  })

  test('is refused where it is another host’s, and taken under the name that is expected', async () => {
    await expect(run({ ca_file: ca })).rejects.toThrow(/does not match certificate/)
    expect(await run({ ca_file: ca, server_name: 'connect.internal' })).toContain(ANSWER)
    expect(await run({ ca: readFileSync(ca, 'utf8'), server_name: 'connect.internal' })).toContain(ANSWER)
  })

  test('is not looked at with insecure_skip_verify', async () => {
    expect(await run({ insecure_skip_verify: true })).toContain(ANSWER)
  })
})

test('a client certificate is shown where one is given, and missed where one is wanted', async () => {
  wantsCertificate = true
  const trusted = { ca_file: ca, server_name: 'connect.internal' }
  await expect(run(trusted)).rejects.toThrow(/status 403: a certificate, please/)
  const lines = await run({ ...trusted, cert_file: client.cert, key_file: client.key })
  expect(lines).toContain(ANSWER)
  expect(clients).toEqual([undefined, 'monitor', 'monitor', 'monitor'])
})

test.each([
  [{ cert: 'c' }, 'missing: cert needs key or key_file'],
  [{ key_file: 'k' }, 'missing: key needs cert or cert_file'],
  [{ verify: false }, 'verify'],
])('%o is an error of the configuration', (tls, message) => {
  const result = settings.safeParse({ urls: 'https://localhost:8083', tls })
  expect(JSON.stringify(result.error?.issues)).toContain(message)
})
