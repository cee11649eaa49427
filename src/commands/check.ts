import { systemClock } from '../clock.ts'
import { type CheckResult, runChecks } from '../collection/checks.ts'
import { collectorKinds } from '../collectors/index.ts'
import { type Config, ConfigError, type InstanceConfig, loadConfig } from '../config/load.ts'
import { checkView } from '../http/api/checks.ts'
import { redact } from '../log.ts'
import { plainTable, printable } from './plain-table.ts'
import { withProgress } from './progress.ts'
import { UsageError } from './usage-error.ts'

export interface CheckOptions {
  readonly config: string
  readonly json?: boolean
}

type Item = ReturnType<typeof checkView>

/** Targets that are looked at at once. */
const PARALLEL = 8

/**
 * Looks at the configuration, then at every backend of it, or at those of `targets`: a target, or `kind/target`.
 * Resolves to the exit code: 0 where nothing that is required fails, 1 where something does, 2 for a bad configuration.
 */
export async function check(
  targets: readonly string[],
  { config: file, json = false }: CheckOptions,
  signal: AbortSignal,
): Promise<0 | 1 | 2> {
  let config: Config
  try {
    config = await loadConfig(file, { kinds: collectorKinds, env: process.env })
  } catch (error) {
    if (!json || !(error instanceof ConfigError)) throw error
    const { faults } = error
    process.stdout.write(
      `${JSON.stringify({ ok: false, configuration: { file, faults }, items: [] }, null, 2)}\n`,
    )
    return 2
  }
  const clean = (text: string) =>
    redact(
      text,
      config.secrets.flatMap((secret) => secret.known ?? []),
    )
  const chosen = chosenOf(config.collectors, targets, file)
  const items = await itemsOf(chosen, config.collectors, clean, signal)
  const ok = !items.some((item) => item.level === 'required' && item.ok === false)
  if (json) {
    const answer = { ok, configuration: { file, faults: [] }, items }
    process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
  } else {
    print(file, config.collectors, chosen, items)
  }
  return ok ? 0 : 1
}

function chosenOf(
  collectors: readonly InstanceConfig[],
  targets: readonly string[],
  file: string,
): readonly InstanceConfig[] {
  if (targets.length === 0) return collectors.filter(({ enabled }) => enabled)
  const namesOf = ({ kind, target }: InstanceConfig) => [target, `${kind.kind}/${target}`]
  const unknown = targets.find((name) => !collectors.some((each) => namesOf(each).includes(name)))
  if (unknown !== undefined) {
    const have = collectors.map(({ kind, target }) => `${kind.kind}/${target}`).join(', ')
    throw new UsageError(`${file} has no collector ${JSON.stringify(unknown)}; it has ${have}`)
  }
  return collectors.filter((each) => namesOf(each).some((name) => targets.includes(name)))
}

/** In the order of the configuration. */
async function itemsOf(
  chosen: readonly InstanceConfig[],
  all: readonly InstanceConfig[],
  clean: (text: string) => string,
  signal: AbortSignal,
): Promise<readonly Item[]> {
  const found = new Map<InstanceConfig, readonly CheckResult[]>()
  const open = new Set<InstanceConfig>()
  const collectors = all
    .filter(({ enabled }) => enabled)
    .map(({ kind, target }) => ({ kind: kind.kind, target }))
  const queue = chosen.values()
  const names = () => [...open].map(({ kind, target }) => `${kind.kind}/${target}`).join(', ')
  await withProgress(
    () => `looking at ${names()}`,
    () =>
      Promise.all(
        Array.from({ length: PARALLEL }, async () => {
          for (const collector of queue) {
            const { kind, settings, timeout } = collector
            if (!kind.checks) continue
            open.add(collector)
            const { results } = runChecks(kind.checks, settings, {
              clock: systemClock,
              timeout,
              signal,
              collectors,
            })
            found.set(collector, await results)
            open.delete(collector)
          }
        }),
      ),
  )
  return chosen.flatMap((collector) =>
    (found.get(collector) ?? []).map((result) => checkView(collector, result, clean)),
  )
}

function print(
  file: string,
  all: readonly InstanceConfig[],
  chosen: readonly InstanceConfig[],
  items: readonly Item[],
): void {
  const table = plainTable(['', 'COLLECTOR', 'CHECK', 'OF', 'FOUND'], () => false)
  const off = all.filter(({ enabled }) => !enabled).length
  const count = `${all.length} collectors${off > 0 ? `, ${off} of them off` : ''}`
  table.push(['✓', 'configuration', '', '', printable(`${file}: ${count}`)])
  for (const item of items) {
    table.push([
      markOf(item),
      printable(`${item.collector}/${item.target}`),
      item.check,
      printable(item.subject ?? ''),
      printable(item.message),
    ])
    if (item.remedy !== null) table.push(['', '', '', '', printable(`→ ${item.remedy}`)])
  }
  const without = chosen.filter(({ kind }) => !kind.checks)
  const lines = [
    ...table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd()),
    '',
  ]
  if (without.length > 0) {
    const names = without.map(({ kind, target }) => `${kind.kind}/${target}`).join(', ')
    lines.push(`nothing to look at: ${printable(names)}`)
  }
  lines.push(summary(items))
  process.stdout.write(`${lines.join('\n')}\n`)
}

const MARKS = { good: '✓', failed: '✗', advice: '!', unknown: '?' } as const

function stateOf({ ok, level }: Item): keyof typeof MARKS {
  if (ok === null) return 'unknown'
  if (ok) return 'good'
  return level === 'required' ? 'failed' : 'advice'
}

const markOf = (item: Item): string => MARKS[stateOf(item)]

function summary(items: readonly Item[]): string {
  const counts = Map.groupBy(items, stateOf)
  return (Object.keys(MARKS) as (keyof typeof MARKS)[])
    .map((state) => `${MARKS[state]} ${counts.get(state)?.length ?? 0} ${state}`)
    .join('  ')
}
