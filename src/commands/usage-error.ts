/** What a command was called with makes no sense: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
