import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { settings } from './fields.ts'
import { check, unknownKeyMessage } from './issues.ts'
import { Source } from './source.ts'

/**
 * What a token allows, the least first: to say that alerts can arrive, to look, to operate what belongs to its teams,
 * everything.
 */
export const ROLES = ['watchdog', 'viewer', 'team-lead', 'admin'] as const
export type Role = (typeof ROLES)[number]

/** One entry of the tokens file. */
export interface ApiToken {
  /** Who it is, in the audit. */
  readonly name: string
  readonly role: Role
  /** Of a team lead. */
  readonly teams: readonly string[]
  /** SHA-256 of the token, in hexadecimal. */
  readonly hash: string
}

const token = settings({
  name: z.string().regex(/^\S(.*\S)?$/, { error: 'expected a name' }),
  role: z.enum(ROLES),
  teams: z.array(z.string()).default([]),
  hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, { error: 'expected the SHA-256 of the token, 64 hexadecimal digits' }),
})

const tokensFile = settings({
  // Not `tokens`: what stands below a key of such a name is taken for a secret, and cut from messages.
  users: z
    .array(token)
    .min(1, { error: 'expected at least one token' })
    .superRefine((tokens, context) => {
      const names = new Set<string>()
      for (const [index, { name, role, teams }] of tokens.entries()) {
        if (names.has(name)) {
          const message = 'there is a token of this name already'
          context.addIssue({ code: 'custom', path: [index, 'name'], message })
        }
        names.add(name)
        if (role === 'team-lead' && teams.length === 0) {
          const message = 'missing: the teams that a team lead leads'
          context.addIssue({ code: 'custom', path: [index, 'teams'], message })
        }
        if (role !== 'team-lead' && teams.length > 0) {
          const message = `only a team-lead has teams, not a token of role ${role}`
          context.addIssue({ code: 'custom', path: [index, 'teams'], message })
        }
      }
    }),
})

/** Reads the file of API tokens. The faults are lines like `tokens.yaml:3:5: users[0].role: what`. */
export function readTokens(file: string): { tokens: readonly ApiToken[]; faults: readonly string[] } {
  const source = new Source(readFileSync(file, 'utf8'), {})
  const { data, complaints = [] } = source.value ? check(tokensFile, source.value) : {}
  for (const { path, message, key } of complaints) {
    const known = path.length > 1 ? Object.keys(token.shape) : ['users']
    if (key === 'unknown') source.fault(path, unknownKeyMessage(String(path.at(-1)), known), 'key')
    else source.fault(path, message, key === undefined ? 'value' : 'key')
  }
  const faults = source.faults.map(({ line, column, path, message }) =>
    [`${file}:${line}:${column}`, ...(path === '' ? [] : [path]), message].join(': '),
  )
  return { tokens: data?.users ?? [], faults }
}
