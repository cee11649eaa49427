import { stringify } from 'yaml'
import type { Role } from '../config/tokens.ts'
import { newToken } from '../operations/access.ts'

/** Makes a token; prints it, this once, on standard error and its entry for the tokens file on standard output. */
export function printToken({
  name,
  role,
  team: teams,
}: {
  readonly name: string
  readonly role: Role
  readonly team: readonly string[]
}): void {
  const { token, hash } = newToken()
  process.stderr.write(
    `The token, which is shown this once:\n${token}\nIts entry below \`users:\` of the file api.tokens_file:\n`,
  )
  process.stdout.write(stringify([{ name, role, ...(teams.length > 0 ? { teams } : {}), hash }]))
}
