import { systemClock } from '../../src/clock.ts'
import { type CheckContext, type CheckResult, runChecks } from '../../src/collection/checks.ts'
import type { CollectorKind } from '../../src/collection/collector.ts'
import { PATIENCE_MS } from '../testbed/process.ts'

/** What the checks of a kind found, by name, with the subject behind a blank where there is one. */
export type Checked = Readonly<Record<string, CheckResult>>

/**
 * Runs the checks of a kind once, within `timeout` milliseconds; `collectors` are those of the same configuration.
 */
export async function checked<S>(
  kind: CollectorKind<S>,
  input: unknown,
  timeout = PATIENCE_MS,
  collectors: CheckContext['collectors'] = [],
): Promise<Checked> {
  if (!kind.checks) throw new Error(`${kind.kind} has no checks`)
  const { results, idle } = runChecks(kind.checks, kind.settings.parse(input), {
    clock: systemClock,
    timeout,
    signal: new AbortController().signal,
    collectors,
  })
  const found = await results
  await idle
  const keys = found.map(({ check, subject }) => `${check.name} ${subject}`.trim())
  const twice = keys.filter((key, i) => keys.indexOf(key) < i)
  if (twice.length > 0) throw new Error(`told twice: ${twice.join(', ')}`)
  return Object.fromEntries(keys.map((key, i) => [key, found[i] as CheckResult]))
}

/** The items that are not as expected, with what is to be done. */
export const complaints = (checks: Checked): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(checks)
      .filter(([, { ok }]) => ok !== true)
      .map(([key, { ok, message, remedy }]) => [key, `${ok ?? 'unknown'}: ${message} → ${remedy ?? ''}`]),
  )
