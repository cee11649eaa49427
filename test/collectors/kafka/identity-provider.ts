import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An OAuth 2.0 server on loopback that knows one client, and signs tokens that a broker can verify. */
export interface IdentityProvider {
  readonly tokenUrl: string
  readonly jwksUrl: string
  /** How often it was asked for a token. */
  readonly asked: number
  /** Sign with a key that is not published. */
  forge: boolean
  /** Answer as one whose own database is away. */
  broken: boolean
  stop(): Promise<void>
}

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** `lifetime` of tokens in seconds. */
export async function startIdentityProvider(
  clientId: string,
  clientSecret: string,
  lifetime: number,
): Promise<IdentityProvider> {
  const published = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const basic = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString(
    'base64',
  )

  const server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    if (request.url === '/jwks') {
      const key = published.publicKey.export({ format: 'jwk' })
      answer(200, { keys: [{ ...key, kid: 'one', alg: 'RS256', use: 'sig' }] })
      return
    }
    let form = ''
    for await (const chunk of request) form += chunk
    provider.asked++
    const given = new URLSearchParams(form)
    if (provider.broken) {
      answer(503, {})
    } else if (request.headers.authorization !== `Basic ${basic}`) {
      answer(401, { error: 'invalid_client', error_description: `not ${request.headers.authorization}` })
    } else if (given.get('grant_type') !== 'client_credentials') {
      answer(400, { error: 'unsupported_grant_type' })
    } else if (given.get('scope') !== 'kafka.read metrics') {
      answer(400, { error: 'invalid_scope' })
    } else {
      const key = provider.forge ? other.privateKey : published.privateKey
      answer(200, { access_token: token(key), token_type: 'Bearer', expires_in: lifetime })
    }
  })

  function token(key: KeyObject): string {
    const now = Math.floor(Date.now() / 1000)
    const content = `${base64url({ alg: 'RS256', kid: 'one' })}.${base64url({
      sub: clientId,
      iat: now,
      exp: now + lifetime,
      scope: 'kafka.read metrics',
    })}`
    return `${content}.${sign('sha256', Buffer.from(content), key).toString('base64url')}`
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider: IdentityProvider & { asked: number } = {
    tokenUrl: `${url}/token/`,
    jwksUrl: `${url}/jwks`,
    asked: 0,
    forge: false,
    broken: false,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return provider
}
