import { existsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { systemClock } from '../clock.ts'
import { collectorKinds } from '../collectors/index.ts'
import { loadConfig } from '../config/load.ts'
import { Audit } from '../operations/audit.ts'
import { type FailureFilter, FailureLog } from '../operations/failure-log.ts'
import { failureDetail, failureView, NOT_MARKED, partName } from '../operations/failure-view.ts'
import { openStore, storeFile } from '../operations/store.ts'
import { plainTable } from './plain-table.ts'

export interface CommonOptions {
  readonly config: string
  readonly json?: boolean
}

export interface ListOptions extends CommonOptions, Omit<FailureFilter, 'state'> {
  readonly state: 'open' | 'resolved' | 'all'
  readonly limit: number
  readonly offset: number
}

/** The failures of the filter, the newest first. */
export async function listFailures({
  config,
  json,
  state,
  limit,
  offset,
  ...filter
}: ListOptions): Promise<void> {
  await withFailureLog(config, ({ log }) => {
    const wanted = { ...filter, state: state === 'all' ? undefined : state }
    const { items, total } = log.list(wanted, { limit, offset })
    if (json) return printJson({ items: items.map(failureView), total, limit, offset })
    if (total === 0) return printText(state === 'open' ? 'no failure is open' : 'no such failure')
    const heads = [
      'ID',
      'OPENED',
      'STATE',
      'ENVIRONMENT',
      'TEAM',
      'TARGET',
      'CONNECTOR',
      'TASK',
      'ROOT CAUSE',
    ]
    const table = plainTable(heads, (column) => column === 0)
    for (const failure of items) {
      const { id, openedAt, environment, team, target, connector, task, rootCause } = failure
      const state = failure.resolution === undefined ? 'open' : (failure.resolvedBy ?? failure.resolution)
      const cause = printable(rootCause.split('\n', 1)[0] ?? '')
      const row = [String(id), localTime(openedAt), state, environment, team, target, connector, task]
      table.push([...row.map(printable), cause.length > 100 ? `${cause.slice(0, 99)}…` : cause])
    }
    printText(table.toString())
    if (items.length < total) printText(`${items.length} of ${total}; see --limit and --offset`)
  })
}

/** One failure with its trace, first steps and history. Throws where there is none. */
export async function showFailure(id: number, { config, json }: CommonOptions): Promise<void> {
  await withFailureLog(config, ({ log }) => {
    const failure = log.get(id)
    const detail = failureDetail(log, id)
    if (!failure || !detail) throw new Error(`failure ${id}: ${NOT_MARKED.absent}`)
    if (json) return printJson(detail)
    const { openedAt, endedAt, resolvedAt, resolution, resolvedBy } = failure
    const lines = [
      `failure ${id}: ${partName(failure)}`,
      ...Object.entries(failure.labels).map(([name, value]) => `  ${name}: ${value}`),
      `  worker: ${failure.worker}`,
      `  opened: ${localTime(openedAt)}`,
      ...(endedAt === undefined ? [] : [`  over since: ${localTime(endedAt)}`]),
      ...(resolvedAt === undefined
        ? ['  state: open']
        : [`  resolved: ${localTime(resolvedAt)}, by ${resolvedBy ?? resolution}`]),
      `  root cause: ${failure.rootCause}`,
    ]
    if (detail.hint) {
      lines.push('', detail.hint.title, ...detail.hint.first_steps.map((step, i) => `  ${i + 1}. ${step}`))
    }
    if (detail.history.length > 0) {
      lines.push('', 'failed before:')
      for (const { id, opened_at, exception_class } of detail.history) {
        lines.push(`  ${id}  ${localTime(Date.parse(opened_at))}  ${exception_class}`)
      }
    }
    printText(printable([...lines, '', detail.trace].join('\n')))
  })
}

/** Marks each by hand, in the name of this machine's user; throws where one could not be marked. */
export async function markFailures(
  operation: 'resolve' | 'unresolve',
  ids: readonly number[],
  { config, json }: CommonOptions,
): Promise<void> {
  await withFailureLog(config, ({ log, audit }) => {
    const who = userInfo().username
    const results = ids.map((id) => {
      const failure = log.get(id)
      const marked = operation === 'resolve' ? log.resolve(id, who) : log.unresolve(id)
      const object = failure ? `${partName(failure)}#${id}` : `#${id}`
      const result = marked === 'done' ? 'done' : 'failed'
      const detail = marked === 'done' ? '' : NOT_MARKED[marked]
      audit.record({ who, from: 'command line', operation: `failures ${operation}`, object, result, detail })
      return { id, result, detail, object }
    })
    if (json) printJson(results)
    else {
      for (const { object, result, detail } of results)
        printText(printable(`${object}: ${operation} ${result}${detail === '' ? '' : `: ${detail}`}`))
    }
    const failed = results.filter(({ result }) => result !== 'done').length
    if (failed > 0) throw new Error(`${failed} of ${ids.length} failures were not marked`)
  })
}

/** The file of the configuration's `state_dir`; a daemon may have it open meanwhile. */
async function withFailureLog(
  file: string,
  work: (open: { log: FailureLog; audit: Audit }) => void,
): Promise<void> {
  const config = await loadConfig(file, { kinds: collectorKinds, env: process.env })
  const { stateDir, history } = config
  if (stateDir === undefined) {
    throw new Error(
      `${file} has no state_dir, so failures are in the memory of the daemon alone: GET /api/v1/failures tells them`,
    )
  }
  if (!existsSync(storeFile(stateDir))) {
    throw new Error(`${storeFile(stateDir)} is not there: no daemon has run on this state_dir`)
  }
  const store = openStore(stateDir)
  try {
    const options = { clock: systemClock, secrets: () => [] }
    work({
      log: new FailureLog(store, { ...options, bounds: () => history }),
      audit: new Audit(store, { ...options, maxEntries: () => history.maxAuditEntries }),
    })
  } finally {
    store.close()
  }
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

function printText(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** What others wrote may not steer the terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to go.
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')
}

/** `2026-11-21 07:24:52`, in the time zone of the terminal. */
function localTime(ms: number): string {
  return new Date(ms).toLocaleString('sv')
}
