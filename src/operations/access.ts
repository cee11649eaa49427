import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type ApiToken, ROLES, type Role } from '../config/tokens.ts'

export type { Role }

/** Who asks. */
export interface Caller {
  readonly name: string
  readonly role: Role
  readonly teams: readonly string[]
}

/** Whoever asks while no tokens are configured. */
export const anonymous: Caller = { name: 'anonymous', role: 'viewer', teams: [] }

/**
 * A new token, and what the tokens file keeps of it. A token is 256 random bits, so nobody can try them all:
 * a plain SHA-256 hides it as well as a slow hash, which is made for passwords that can be guessed, and costs
 * nothing at each request.
 */
export function newToken(): { token: string; hash: string } {
  const token = `cdc_${randomBytes(32).toString('base64url')}`
  return { token, hash: sha256(token).toString('hex') }
}

/** Whose token stands in the header `Authorization: Bearer …`; undefined for none or a wrong one. */
export function callerOf(tokens: readonly ApiToken[], authorization: string | undefined): Caller | undefined {
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
  if (token === undefined) return undefined
  const hash = sha256(token)
  let caller: Caller | undefined
  // Each is compared, in constant time, so that the time of an answer says nothing of any of them.
  for (const { name, role, teams, hash: expected } of tokens) {
    if (timingSafeEqual(hash, Buffer.from(expected, 'hex'))) caller = { name, role, teams }
  }
  return caller
}

export function hasRole({ role }: Caller, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least)
}

/** Whether the caller may operate what belongs to `team`; empty for what belongs to none. */
export function mayOperate({ role, teams }: Caller, team: string): boolean {
  return role === 'admin' || (role === 'team-lead' && teams.includes(team))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
