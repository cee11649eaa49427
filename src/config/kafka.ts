import { z } from 'zod'
import type { SaslSettings } from '../clients/kafka/security.ts'
import type { TlsSettings } from '../clients/tls.ts'
import { boolean, duration, hostList, pattern, settingsWithSecrets } from './fields.ts'
import { Secret } from './secret.ts'
import { tls } from './tls.ts'

const kafkaTls = z
  .union([boolean(), tls('the broker')])
  .transform((value): TlsSettings | undefined =>
    typeof value === 'boolean' ? (value ? { insecure_skip_verify: false } : undefined) : value,
  )

const PASSWORD_KEYS = ['username', 'password'] as const
const OAUTH_KEYS = ['token_url', 'client_id', 'client_secret'] as const

const sasl = settingsWithSecrets(
  {
    mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer']),
    username: z.string().min(1).optional(),
    token_url: z
      .string()
      .regex(/^https?:\/\/[^\s/]+/, {
        error: 'expected a URL such as https://login.example.com/oauth2/token',
      })
      .refine(URL.canParse, { error: 'expected a URL such as https://login.example.com/oauth2/token' })
      .optional()
      .describe('Of oauthbearer: asked for a token by OAuth 2.0’s client credentials.'),
    client_id: z.string().min(1).optional(),
    scope: z.string().min(1).optional().describe('Of oauthbearer: scopes with blanks between them.'),
  },
  { optional: ['password', 'client_secret'] },
).transform((value, context): SaslSettings => {
  const { mechanism, username, password, token_url, client_id, client_secret, scope } = value
  const isOAuth = mechanism === 'oauthbearer'
  for (const key of isOAuth ? OAUTH_KEYS : PASSWORD_KEYS) {
    if (value[key] !== undefined) continue
    const wanted = key === 'password' || key === 'client_secret' ? `${key} or ${key}_file` : key
    context.addIssue({ code: 'custom', path: [key], message: `missing: ${mechanism} needs ${wanted}` })
  }
  for (const key of isOAuth ? PASSWORD_KEYS : [...OAUTH_KEYS, 'scope' as const]) {
    const given = value[key]
    if (given === undefined) continue
    const path = given instanceof Secret && given.file !== undefined ? `${key}_file` : key
    context.addIssue({ code: 'custom', path: [path], message: `${mechanism} knows no ${key}` })
  }
  if (mechanism !== 'oauthbearer') {
    if (username !== undefined && password) return { mechanism, username, password }
  } else if (token_url !== undefined && client_id !== undefined && client_secret) {
    return { mechanism, token_url, client_id, client_secret, scope }
  }
  return z.NEVER
})

/** How a cluster is reached: the keys of whatever reads one. */
export const kafkaConnection = {
  brokers: hostList().describe('Brokers to begin with; the others are found through them.'),
  broker_timeout: duration()
    .default(4_000)
    .describe(
      'For each request to a broker, and to the token endpoint: one that hangs does not hold up the others.',
    ),
  tls: kafkaTls
    .optional()
    .describe(
      'true: against the authorities that Node trusts; a map: against others, or with a certificate.',
    ),
  sasl: sasl.optional().describe('How it authenticates; what it needs depends on the mechanism.'),
}

/** What a named group of a rule may be called: the label that takes what it matched. */
const RULE_GROUPS = ['tenant', 'table'] as const

/** Over the names of topics and the like. */
export const tablePattern = () =>
  pattern()
    .describe('Regular expression over the name; its named groups tenant and table become labels.')
    .superRefine((expression, context) => {
      for (const [, group] of expression.source.matchAll(/\(\?<([A-Za-z_]\w*)>/g)) {
        if (RULE_GROUPS.some((known) => known === group)) continue
        context.addIssue({
          code: 'custom',
          message: `named groups are ${RULE_GROUPS.join(' and ')}, got ${group}`,
        })
      }
    })

/** A table of a tenant; empty where the rule names none. */
export interface NamedTable {
  readonly tenant: string
  readonly table: string
}

/** What the first rule that matches says of the name. */
export function tableByRule<R extends { readonly match: RegExp }>(
  rules: readonly R[],
  name: string,
): (NamedTable & { readonly rule: R }) | undefined {
  for (const rule of rules) {
    const match = rule.match.exec(name)
    if (match) return { tenant: match.groups?.tenant ?? '', table: match.groups?.table ?? '', rule }
  }
  return undefined
}

/** Topics of dead letters: of Kafka Connect by custom, of Spring by default. */
export const DEAD_LETTER_NAMES =
  '(^|[._-])([Dd][Ll][QqTt]|[Dd][Ee][Aa][Dd][._-]?[Ll][Ee][Tt][Tt][Ee][Rr][Ss]?)([._-]|$)'
