import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BrokerConnection, parseAddress } from '../../../src/clients/kafka/connection.ts'
import { securityOf } from '../../../src/clients/kafka/security.ts'
import { kafka } from '../../../src/collectors/kafka/index.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { Secret } from '../../../src/config/secret.ts'
import { ManualClock } from '../../collection/manual-clock.ts'
import { startDaemon } from '../../commands/daemon.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { reservePort } from '../../testbed/ports.ts'
import { PATIENCE_MS, waitFor } from '../../testbed/process.ts'
import { collect, collecting } from '../collect.ts'
import { type IdentityProvider, startIdentityProvider } from './identity-provider.ts'
import { patient } from './patient.ts'

const PASSWORDS = { plain: 'plain-3f9c', 'scram-sha-256': 'scram-71aa', 'scram-sha-512': 'scram-e05d' }
const CLIENT_SECRET = 'client+secret/84b1'
const WRONG = 'wrong-secret-0c2e'
/** Of tokens, in seconds. */
const LIFETIME = 600

const folder = temporaryFolder('security')

let part: KafkaPart
let provider: IdentityProvider
let ca: string
let otherCa: string
let client: { readonly cert: string; readonly key: string }

beforeAll(async () => {
  provider = await startIdentityProvider('monitor', CLIENT_SECRET, LIFETIME)
  const authority = await certificateAuthority(folder.path, 'authority')
  ca = authority.cert
  otherCa = (await certificateAuthority(folder.path, 'another-authority')).cert
  client = await authority.issue('client', ['DNS:client'])
  const local = await authority.issue('local', ['DNS:localhost', 'IP:127.0.0.1'])
  const named = await authority.issue('named', ['DNS:kafka.internal', 'IP:192.0.2.7'])
  const keystore = (file: string) => ({ 'ssl.keystore.type': 'PEM', 'ssl.keystore.location': file })
  const login = 'org.apache.kafka.common.security'
  const plain = `${login}.plain.PlainLoginModule required user_monitor="${PASSWORDS.plain}";`
  part = await startKafka({
    java: [`-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${provider.jwksUrl}`],
    scramUsers: [
      `SCRAM-SHA-256=[name=monitor,password=${PASSWORDS['scram-sha-256']}]`,
      `SCRAM-SHA-512=[name=monitor,password=${PASSWORDS['scram-sha-512']}]`,
    ],
    secured: {
      tls: { protocol: 'SSL', host: 'localhost', settings: keystore(local.keystore) },
      named: { protocol: 'SSL', host: '127.0.0.1', settings: keystore(named.keystore) },
      mutual: {
        protocol: 'SSL',
        host: '127.0.0.1',
        settings: {
          ...keystore(local.keystore),
          'ssl.client.auth': 'required',
          'ssl.truststore.type': 'PEM',
          'ssl.truststore.location': ca,
        },
      },
      sasl: {
        protocol: 'SASL_SSL',
        host: 'localhost',
        settings: {
          ...keystore(local.keystore),
          'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
          'plain.sasl.jaas.config': plain,
          'scram-sha-256.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
          'scram-sha-512.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
          'oauthbearer.sasl.jaas.config': `${login}.oauthbearer.OAuthBearerLoginModule required;`,
          'oauthbearer.sasl.server.callback.handler.class': `${login}.oauthbearer.OAuthBearerValidatorCallbackHandler`,
          'oauthbearer.sasl.oauthbearer.jwks.endpoint.url': provider.jwksUrl,
        },
      },
      short: {
        protocol: 'SASL_PLAINTEXT',
        host: '127.0.0.1',
        settings: {
          'sasl.enabled.mechanisms': 'PLAIN',
          'plain.sasl.jaas.config': plain,
          'plain.connections.max.reauth.ms': 5_000,
        },
      },
    },
  })
})

afterAll(async () => {
  await part?.remove()
  await provider?.stop()
  folder.remove()
})

const brokers = (listener: string): string => part.secured.get(listener) ?? ''

const UP = expect.stringMatching(/^kafka_brokers\{.*\} 1$/)

/** The error of a run and all its causes, for there must be no secret in it; it has to name the broker. */
async function refusal(input: { readonly brokers: string }): Promise<string> {
  const error = await collect(kafka, { ...patient, ...input }).then(
    () => expect.fail('the run did not fail'),
    (reason: unknown) => reason,
  )
  const text = inspect(error, { depth: 20 })
  expect(text).toContain(input.brokers)
  for (const secret of [...Object.values(PASSWORDS), CLIENT_SECRET, WRONG]) {
    for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64')]) {
      expect(text).not.toContain(form)
    }
  }
  expect(text).not.toContain('eyJ')
  return text
}

describe('TLS', () => {
  test('a broker whose certificate the given authority has issued', async () => {
    expect(
      await collect(kafka, { ...patient, brokers: brokers('tls'), tls: { ca_file: ca } }),
    ).toContainEqual(UP)
    const inPlace = { ca: readFileSync(ca, 'utf8') }
    expect(await collect(kafka, { ...patient, brokers: brokers('tls'), tls: inPlace })).toContainEqual(UP)
  })

  test.each([
    ['another authority', () => ({ ca_file: otherCa })],
    ['the authorities of Node', () => true],
  ])('refused by %s', async (_, tls) => {
    expect(await refusal({ brokers: brokers('tls'), ...{ tls: tls() } })).toMatch(
      /unable to verify the first certificate|unable to get local issuer certificate/,
    )
  })

  test('any certificate, where it is not to be verified', async () => {
    const tls = { insecure_skip_verify: true }
    expect(await collect(kafka, { ...patient, brokers: brokers('tls'), tls })).toContainEqual(UP)
    expect(await collect(kafka, { ...patient, brokers: brokers('named'), tls })).toContainEqual(UP)
  })

  test('a server of another name', async () => {
    const text = await refusal({ brokers: brokers('named'), ...{ tls: { ca_file: ca } } })
    expect(text).toContain("IP: 127.0.0.1 is not in the cert's list")
    const wrong = { ca_file: ca, server_name: 'kafka.example' }
    expect(await refusal({ brokers: brokers('named'), ...{ tls: wrong } })).toContain(
      "Host: kafka.example. is not in the cert's altnames",
    )
  })

  test.each(['kafka.internal', '192.0.2.7'])('the expected server name is %s', async (server_name) => {
    const tls = { ca_file: ca, server_name }
    expect(await collect(kafka, { ...patient, brokers: brokers('named'), tls })).toContainEqual(UP)
  })

  test('a client certificate, where the broker asks for one', async () => {
    const tls = { ca_file: ca, cert_file: client.cert, key_file: client.key }
    expect(await collect(kafka, { ...patient, brokers: brokers('mutual'), tls })).toContainEqual(UP)
    expect(await refusal({ brokers: brokers('mutual'), ...{ tls: { ca_file: ca } } })).toMatch(
      /alert (bad certificate|certificate required)/,
    )
  })

  test('a file that is gone fails the run', async () => {
    const tls = { ca_file: join(folder.path, 'gone.pem') }
    expect(await refusal({ brokers: brokers('tls'), ...{ tls } })).toMatch(/ENOENT.*gone\.pem/)
  })

  test('a broker that speaks no TLS', async () => {
    expect(await refusal({ brokers: part.bootstrap, ...{ tls: { ca_file: ca } } })).toContain(
      'before secure TLS connection was established',
    )
  })
})

describe('SASL with a password', () => {
  const credentials = (mechanism: keyof typeof PASSWORDS, password: string) => ({
    ...patient,
    brokers: brokers('sasl'),
    tls: { ca_file: ca },
    sasl: { mechanism, username: 'monitor', password },
  })

  test.each(['plain', 'scram-sha-256', 'scram-sha-512'] as const)('%s', async (mechanism) => {
    expect(await collect(kafka, credentials(mechanism, PASSWORDS[mechanism]))).toContainEqual(UP)
    const text = await refusal(credentials(mechanism, WRONG))
    expect(text).toMatch(/SASL .* failed: Authentication failed/)
  })

  test('a session that the broker ends is followed by another, with the password as it is then', async () => {
    const file = join(folder.path, 'password')
    writeFileSync(file, `${PASSWORDS.plain}\n`)
    const collector = collecting(kafka, {
      ...patient,
      brokers: brokers('short'),
      sasl: { mechanism: 'plain', username: 'monitor', password_file: file },
    })
    try {
      expect(await collector.run()).toContainEqual(UP)
      writeFileSync(file, WRONG)
      let text = ''
      await waitFor('the wrong password to be used', async () => {
        await collector.run().catch((error: unknown) => {
          text = inspect(error, { depth: 20 })
        })
        // The session may also end in the middle of a run, which says nothing of the password.
        return text.includes('SASL PLAIN authentication failed')
      })
      expect(text).not.toContain(WRONG)
      writeFileSync(file, PASSWORDS.plain)
      expect(await collector.run()).toContainEqual(UP)
    } finally {
      await collector.stop()
    }
  })
})

describe('SASL OAUTHBEARER', () => {
  const credentials = (changed: Readonly<Record<string, unknown>> = {}) => ({
    ...patient,
    brokers: brokers('sasl'),
    tls: { ca_file: ca },
    sasl: {
      mechanism: 'oauthbearer',
      token_url: provider.tokenUrl,
      client_id: 'monitor',
      client_secret: CLIENT_SECRET,
      scope: 'kafka.read metrics',
      ...changed,
    },
  })

  test('a token of the endpoint', async () => {
    expect(await collect(kafka, credentials())).toContainEqual(UP)
  })

  test('a wrong secret', async () => {
    expect(await refusal(credentials({ client_secret: WRONG }))).toContain(
      `token endpoint ${provider.tokenUrl}: status 401 (invalid_client)`,
    )
  })

  test('an endpoint that is down, and one that is none', async () => {
    const down = `http://127.0.0.1:${await reservePort()}/token`
    expect(await refusal(credentials({ token_url: down }))).toMatch(
      new RegExp(`token endpoint ${down}: connect ECONNREFUSED`),
    )
    expect(await refusal(credentials({ token_url: provider.jwksUrl }))).toContain(
      `token endpoint ${provider.jwksUrl}: it answered without an access_token`,
    )
  })

  test('one token serves connections for most of its life, for all of it while the endpoint is away, unless the broker refuses it', async () => {
    const file = join(folder.path, 'client-secret')
    writeFileSync(file, CLIENT_SECRET)
    const clock = new ManualClock(0)
    const { sasl } = credentials({ client_secret: undefined })
    const security = securityOf(
      {
        tls: { ca: new Secret({ file: ca }), insecure_skip_verify: false },
        sasl: { ...sasl, mechanism: 'oauthbearer', client_secret: new Secret({ file }) },
      },
      PATIENCE_MS,
      clock,
    )
    const open = async () => {
      const signal = AbortSignal.timeout(PATIENCE_MS)
      const connection = await BrokerConnection.open(
        parseAddress(brokers('sasl')),
        security,
        PATIENCE_MS,
        signal,
      )
      connection.close()
    }
    const before = provider.asked
    await Promise.all([open(), open()])
    await open()
    expect(provider.asked - before).toBe(1)

    await clock.advance(LIFETIME * 900, async () => {})
    provider.broken = true
    await open()
    expect(provider.asked - before).toBe(2)
    await clock.advance(LIFETIME * 200, async () => {})
    await expect(open()).rejects.toMatchObject({ cause: { message: expect.stringContaining('status 503') } })
    provider.broken = false

    // The secret is asked for anew with the token.
    writeFileSync(file, WRONG)
    await expect(open()).rejects.toMatchObject({ cause: { message: expect.stringContaining('status 401') } })
    writeFileSync(file, CLIENT_SECRET)
    provider.forge = true
    await expect(open()).rejects.toMatchObject({
      cause: { message: expect.stringContaining('the broker refused the token: {"status":"invalid_token"}') },
    })
    provider.forge = false
    await open()
    expect(provider.asked - before).toBe(6)
  })
})

describe('the configuration', () => {
  /** The faults of a collector with these lines. */
  async function faults(lines: string): Promise<string[]> {
    const file = join(folder.path, 'config.yaml')
    writeFileSync(file, `collectors:\n- kind: kafka\n  target: a\n  brokers: b:9092\n${lines}\n`)
    try {
      await loadConfig(file, { kinds: { kafka: async () => kafka }, env: {} })
      return []
    } catch (error) {
      return String(error instanceof Error ? error.message : error)
        .split('\n')
        .map((line) => line.replace(/^.*collectors\[0\]\./, ''))
    }
  }

  test.each([
    ['  tls: true', []],
    ['  tls: false', []],
    // Relative to the folder of the configuration.
    ['  tls: { ca_file: authority.pem, cert_file: client.pem, key_file: client.key }', []],
    ['  tls: { ca_file: gone.pem }', ['tls.ca_file: cannot read the file (no such file): "gone.pem"']],
    ['  tls: { cert_file: client.pem }', ['tls.key: missing: cert needs key or key_file']],
    ['  tls: { key_file: client.key }', ['tls.cert: missing: key needs cert or cert_file']],
    ['  tls: { cafile: authority.pem }', ['tls.cafile: unknown key; did you mean "ca_file"?']],
    ['  sasl: { mechanism: plain, username: a, password: b }', []],
    [
      '  sasl: { mechanism: gssapi }',
      [
        'sasl.mechanism: expected one of "plain", "scram-sha-256", "scram-sha-512", "oauthbearer", got "gssapi"',
      ],
    ],
    [
      '  sasl: { mechanism: scram-sha-256 }',
      [
        'sasl.username: missing: scram-sha-256 needs username',
        'sasl.password: missing: scram-sha-256 needs password or password_file',
      ],
    ],
    [
      '  sasl: { mechanism: oauthbearer, client_id: a, password_file: authority.pem }',
      [
        'sasl.token_url: missing: oauthbearer needs token_url',
        'sasl.client_secret: missing: oauthbearer needs client_secret or client_secret_file',
        'sasl.password_file: oauthbearer knows no password',
      ],
    ],
    [
      '  sasl: { mechanism: plain, username: a, password: b, scope: c }',
      ['sasl.scope: plain knows no scope'],
    ],
  ])('%s', async (lines, expected) => {
    expect(await faults(lines)).toEqual(expected)
  })
})

test('the daemon tells no secret, and has nothing to say on standard error', async () => {
  const secured = {
    kind: 'kafka',
    brokers: brokers('sasl'),
    tls: { ca_file: ca },
    interval: '1m',
    timeout: '1m',
  }
  const monitor = { mechanism: 'scram-sha-512', username: 'monitor' }
  const daemon = await startDaemon([
    { ...secured, target: 'right', sasl: { ...monitor, password: PASSWORDS['scram-sha-512'] } },
    { ...secured, target: 'wrong', sasl: { ...monitor, password: WRONG } },
  ])
  await waitFor(
    'a run of each',
    async () =>
      (await daemon.sample('kafka_up{target="right"}')) === 1 &&
      (await daemon.sample('kafka_up{target="wrong"}')) === 0,
  )
  await daemon.stop()
  const { stdout, stderr } = await daemon.ended
  expect(stderr).toBe('')
  expect(stdout).toContain('SASL SCRAM SHA512 authentication failed')
  for (const secret of [WRONG, ...Object.values(PASSWORDS)]) expect(stdout).not.toContain(secret)
})
