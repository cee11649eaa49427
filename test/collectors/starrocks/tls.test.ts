import { chmodSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { starrocks } from '../../../src/collectors/starrocks/index.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { collecting } from '../collect.ts'

// MariaDB stands in for StarRocks: it begins TLS within its protocol, as StarRocks does. It knows no SHOW FRONTENDS.

const folder = temporaryFolder('starrocks-tls')
let mariadb: MariadbPart
let ca: string
let foreign: string

beforeAll(async () => {
  const [own, other] = await Promise.all([
    certificateAuthority(folder.path, 'authority'),
    certificateAuthority(folder.path, 'foreign'),
  ])
  ca = own.cert
  foreign = other.cert
  const certificate = await own.issue('server', ['DNS:starrocks.internal'])
  chmodSync(certificate.key, 0o644)
  mariadb = await startMariadb({ tls: certificate })
})
afterAll(async () => {
  await mariadb?.remove()
  folder.remove()
})

/** The version of the server, in a run with this `tls`. */
async function version(tls: object | undefined): Promise<string | undefined> {
  const { host, username, password } = new URL(mariadb.url('mysql'))
  const collector = collecting(starrocks, { hosts: host, username, password, tls, databases: [] })
  try {
    return (await collector.run()).find((line) => line.startsWith('starrocks_info'))
  } finally {
    await collector.stop()
  }
}

test('a server whose certificate is of the authority and the name expected', async () => {
  expect(await version({ ca_file: ca, server_name: 'starrocks.internal' })).toMatch(/version=".+"/)
  expect(await version({ insecure_skip_verify: true })).toMatch(/version=".+"/)
})

test('a server of another authority or name, and none without TLS, is an error', async () => {
  await expect(version({ ca_file: foreign, server_name: 'starrocks.internal' })).rejects.toThrow(
    /^starrocks at 127\.0\.0\.1:\d+: connect: .*certificate/,
  )
  await expect(version({ ca_file: ca, server_name: 'elsewhere.internal' })).rejects.toThrow(
    /^starrocks at 127\.0\.0\.1:\d+: connect: .*elsewhere\.internal/,
  )
  await expect(version(undefined)).rejects.toThrow(
    /^starrocks at 127\.0\.0\.1:\d+: connect: .*(secure|Access denied)/,
  )
})
