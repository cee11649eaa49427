import type { ConnectionOptions } from 'node:tls'
import type { Mechanism } from 'kafkajs'
import type { Agent } from 'undici'
import { z } from 'zod'
import type { Clock } from '../../clock.ts'
import { reasonOf } from '../call.ts'
import { type Revealed, type TlsSettings, tlsOptions } from '../tls.ts'
import { undici } from '../undici.ts'

interface PasswordSettings {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
  readonly password: Revealed
}

interface OAuthSettings {
  readonly mechanism: 'oauthbearer'
  readonly token_url: string
  readonly client_id: string
  readonly client_secret: Revealed
  readonly scope?: string | undefined
}

export type SaslSettings = PasswordSettings | OAuthSettings

interface Password {
  readonly mechanism: PasswordSettings['mechanism']
  readonly username: string
  readonly password: string
}

/** Both are asked anew for each connection; undefined for plain text, or for no authentication. */
export interface Security {
  readonly tls: (() => ConnectionOptions) | undefined
  readonly sasl: (() => Password | Mechanism) | undefined
}

/** `timeout` in milliseconds bounds a request to the token endpoint. */
export function securityOf(
  { tls, sasl }: { readonly tls?: TlsSettings | undefined; readonly sasl?: SaslSettings | undefined },
  timeout: number,
  clock: Clock,
): Security {
  return { tls: tls && (() => tlsOptions(tls)), sasl: sasl && saslOptions(sasl, timeout, clock) }
}

class LoginError extends Error {}

/** Whether a broker, or the token endpoint, has answered and does not accept the credentials. */
export function isLoginRefusal(error: unknown): boolean {
  for (let next = error; next instanceof Error; next = next.cause) {
    if (next instanceof LoginError || next.name === 'KafkaJSSASLAuthenticationError') return true
  }
  return false
}

function saslOptions(sasl: SaslSettings, timeout: number, clock: Clock): () => Password | Mechanism {
  if (sasl.mechanism === 'oauthbearer') {
    const tokens = new Tokens(sasl, timeout, clock)
    return () => oauthBearer(tokens)
  }
  const { mechanism, username, password } = sasl
  return () => ({ mechanism, username, password: password.reveal() })
}

/**
 * RFC 7628. Not kafkajs's own: that takes the broker's refusal, which comes as an ordinary answer, for success,
 * and then the first request fails on a closed connection.
 */
function oauthBearer(tokens: Tokens): Mechanism {
  return {
    mechanism: 'OAUTHBEARER',
    authenticationProvider: ({ saslAuthenticate }) => ({
      async authenticate() {
        const token = await tokens.get()
        const refusal = await saslAuthenticate({
          request: { encode: () => sized(`n,,\x01auth=Bearer ${token}\x01\x01`) },
          response: { decode: (bytes) => bytes, parse: (bytes) => bytes.subarray(4).toString() },
        })
        if (!refusal) return
        // It may have been revoked, or the key that signed it: the next connection asks for another one.
        tokens.forget(token)
        // The broker ends the exchange, with an error, once the client has taken note.
        await saslAuthenticate({ request: { encode: () => sized('\x01') } }).catch(() => {})
        throw new LoginError(
          `SASL OAUTHBEARER authentication failed: the broker refused the token: ${refusal}`,
        )
      },
    }),
  }
}

/** As the protocol writes bytes: their number, then themselves. */
function sized(text: string): Buffer {
  const bytes = Buffer.from(text)
  const size = Buffer.alloc(4)
  size.writeInt32BE(bytes.length)
  return Buffer.concat([size, bytes])
}

/** After this share of its life a token or a session is replaced: the share after which Kafka's own clients do. */
export const RENEW_AFTER = 0.8

let agent: Agent | undefined

// Some servers give a number as text.
const tokenAnswer = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  expires_in: z.coerce.number().positive().optional(),
})

/** The registered codes (RFC 6749, 5.2). Nothing else of a refusal is told: it may repeat what was sent. */
const refusalAnswer = z.object({
  error: z.enum([
    'invalid_request',
    'invalid_client',
    'invalid_grant',
    'unauthorized_client',
    'unsupported_grant_type',
    'invalid_scope',
  ]),
})

/** Access tokens by OAuth 2.0's client credentials (RFC 6749, 4.4): each used for most of its life. */
class Tokens {
  readonly #settings: OAuthSettings
  readonly #timeout: number
  readonly #clock: Clock
  #current: { readonly token: string; readonly until: number; readonly expires: number } | undefined
  #asking: Promise<string> | undefined

  constructor(settings: OAuthSettings, timeout: number, clock: Clock) {
    this.#settings = settings
    this.#timeout = timeout
    this.#clock = clock
  }

  /** Rejects with the endpoint and what it said; never with the secret or a token. */
  async get(): Promise<string> {
    const current = this.#current
    if (current && this.#clock.monotonic() < current.until) return current.token
    // Connections to several brokers are opened at once.
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    try {
      return await this.#asking
    } catch (error) {
      // An endpoint that is away is no reason to lose Kafka while the token is good; one that says no is told of.
      const isGood = current !== undefined && this.#clock.monotonic() < current.expires
      if (isGood && !(error instanceof LoginError)) return current.token
      throw error
    }
  }

  forget(token: string): void {
    if (this.#current?.token === token) this.#current = undefined
  }

  async #ask(): Promise<string> {
    const { token_url, client_id, client_secret, scope } = this.#settings
    const { origin, pathname } = new URL(token_url)
    const failure = (reason: string) => new Error(`token endpoint ${origin}${pathname}: ${reason}`)
    const credentials = `${encodeURIComponent(client_id)}:${encodeURIComponent(client_secret.reveal())}`
    const asked = this.#clock.monotonic()
    let status: number
    let text: string
    try {
      // An answer holds a token of a few kilobytes.
      agent ??= new (undici().Agent)({ maxResponseSize: 1024 * 1024 })
      const answer = await undici().request(token_url, {
        method: 'POST',
        headers: {
          authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
          'content-type': 'application/x-www-form-urlencoded',
          accept: 'application/json',
        },
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          ...(scope !== undefined && { scope }),
        }).toString(),
        dispatcher: agent,
        signal: AbortSignal.timeout(this.#timeout),
      })
      status = answer.statusCode
      text = await answer.body.text()
    } catch (error) {
      throw failure(reasonOf(error))
    }
    if (status !== 200) {
      const { data } = refusalAnswer.safeParse(json(text))
      const { message } = failure(`status ${status}${data ? ` (${data.error})` : ''}`)
      throw status < 500 ? new LoginError(message) : new Error(message)
    }
    const { data } = tokenAnswer.safeParse(json(text))
    if (!data) throw failure('it answered without an access_token')
    const { access_token: token, expires_in = 0 } = data
    const lifetime = expires_in * 1000
    this.#current = { token, until: asked + lifetime * RENEW_AFTER, expires: asked + lifetime }
    return token
  }
}

/** Undefined where it is none: the error of the parser would quote it. */
function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
