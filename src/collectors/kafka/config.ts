import { z } from 'zod'
import type { SaslSettings, TlsSettings } from '../../clients/kafka/security.ts'
import {
  boolean,
  duration,
  hostList,
  integer,
  pattern,
  settings,
  settingsWithSecrets,
} from '../../config/fields.ts'
import { Secret } from '../../config/secret.ts'

/** What a named group of a topic rule may be called: the label that takes what it matched. */
const RULE_GROUPS = ['tenant', 'table']

const topicRule = settings({
  match: pattern()
    .describe('Regular expression over the name; its named groups tenant and table become labels.')
    .superRefine((expression, context) => {
      for (const [, group] of expression.source.matchAll(/\(\?<([A-Za-z_]\w*)>/g)) {
        if (RULE_GROUPS.includes(group ?? '')) continue
        context.addIssue({
          code: 'custom',
          message: `named groups are ${RULE_GROUPS.join(' and ')}, got ${group}`,
        })
      }
    }),
  team: z.string().optional().describe('Who must act; the label team of cdc_topic_info.'),
  lag_threshold: integer(0).optional().describe('Messages; beats the collector’s own.'),
})

/** Of Kafka Connect by custom, of Spring by default. */
const DEAD_LETTER_NAMES =
  '(^|[._-])([Dd][Ll][QqTt]|[Dd][Ee][Aa][Dd][._-]?[Ll][Ee][Tt][Tt][Ee][Rr][Ss]?)([._-]|$)'

const deadLetters = settings({
  match: z
    .array(pattern())
    .prefault([DEAD_LETTER_NAMES])
    .describe(
      'Topics that hold dead letters, besides those that sink connectors of this configuration name in errors.deadletterqueue.topic.name.',
    ),
  sample: integer(0)
    .default(500)
    .describe(
      'Records of a topic that are read in a pass for their exception class, the newest; the others count as unread. It needs READ on the topic. 0: none, and no kafka_dlq_errors_total.',
    ),
})

const tls = z
  .union([
    boolean(),
    settingsWithSecrets(
      {
        server_name: z
          .string()
          .min(1)
          .optional()
          .describe(
            'Expected in the broker’s certificate, and sent to it, in place of the host it is asked at.',
          ),
        insecure_skip_verify: boolean()
          .default(false)
          .describe('Takes any certificate, whoever issued it to whom.'),
      },
      { optional: ['ca', 'cert', 'key'] },
    ).superRefine(({ cert, key }, context) => {
      const complain = (path: string, other: string) =>
        context.addIssue({
          code: 'custom',
          path: [path],
          message: `missing: ${other} needs ${path} or ${path}_file`,
        })
      if (cert && !key) complain('key', 'cert')
      if (key && !cert) complain('cert', 'key')
    }),
  ])
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

const patterns = () => z.array(pattern()).default([])

export const kafkaSettings = settings({
  brokers: hostList().describe('Brokers to begin with; the others are found through them.'),
  broker_timeout: duration()
    .default(4_000)
    .describe(
      'For each request to a broker, and to the token endpoint: one that hangs does not hold up the others.',
    ),
  tls: tls
    .optional()
    .describe(
      'true: against the authorities that Node trusts; a map: against others, or with a certificate.',
    ),
  sasl: sasl.optional().describe('How it authenticates; what it needs depends on the mechanism.'),
  granularity: z
    .enum(['partition', 'topic'])
    .default('partition')
    .describe(
      'topic: no series per partition, that is kafka_topic_partition_… , kafka_consumergroup_current_offset, _lag and _lag_seconds; the sums and the worst per topic stay.',
    ),
  topics: z
    .array(topicRule)
    .default([])
    .describe(
      'Rules that give a topic its tenant, table, team and threshold; the first that matches counts.',
    ),
  lag_threshold: integer(0)
    .default(10_000)
    .describe('kafka_consumergroup_lag_threshold where no rule gives another, in messages.'),
  allow_topics: patterns().describe('Only topics that one of these matches; all where empty.'),
  deny_topics: patterns().describe('No topic that one of these matches.'),
  allow_groups: patterns().describe('Only consumer groups that one of these matches; all where empty.'),
  deny_groups: patterns().describe('No consumer group that one of these matches.'),
  dead_letters: deadLetters
    .prefault({})
    .describe('Dead-letter topics, of those that allow_topics and deny_topics leave.'),
  internal_topics: boolean()
    .default(false)
    .describe('Also topics that Kafka marks internal, or that begin with __.'),
})

export type KafkaSettings = z.output<typeof kafkaSettings>
