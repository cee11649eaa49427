import { z } from 'zod'
import type { ClickhouseAddress } from '../clients/clickhouse.ts'
import type { TlsSettings } from '../clients/tls.ts'
import type { Secret } from './secret.ts'
import { tls } from './tls.ts'

/** How a ClickHouse server is reached: the keys of whatever reads one, beside its `url` and `password`. */
export const clickhouseConnection = {
  username: z.string().optional(),
  database: z.string().min(1).default('default'),
  tls: tls('the server')
    .optional()
    .describe(
      'For https: other authorities than those that Node trusts, a certificate. A certificate without a password is what the user authenticates with.',
    ),
}

/** Which of these are secrets. */
export const clickhouseSecrets = { required: ['url'], optional: ['password'] } as const

/** What the client asks for, with the secrets as they are now. */
export const clickhouseAddress = ({
  url,
  username,
  password,
  database,
  tls,
}: {
  readonly url: Secret
  readonly username?: string | undefined
  readonly password?: Secret | undefined
  readonly database: string
  readonly tls?: TlsSettings | undefined
}): ClickhouseAddress => ({
  url: url.reveal(),
  username,
  password: password?.reveal(),
  database,
  tls,
})
