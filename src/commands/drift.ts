import { errorLine } from '../app.ts'
import { systemClock } from '../clock.ts'
import type { SampleBatch } from '../collection/collector.ts'
import { settings as driftSettings, type Settings } from '../collectors/drift/config.ts'
import type { PairState } from '../collectors/drift/pair-state.ts'
import type { QueryTask } from '../collectors/drift/query-task.ts'
import { Reconciliation } from '../collectors/drift/reconciliation.ts'
import { collectorKinds } from '../collectors/index.ts'
import { loadConfig } from '../config/load.ts'
import { redact } from '../log.ts'
import { plainTable, printable } from './plain-table.ts'
import { say, withProgress } from './progress.ts'

export interface DriftOptions {
  readonly config: string
  readonly json?: boolean
}

export interface BisectOptions extends DriftOptions {
  /** Rows that may be read on one side. */
  readonly maxRows: number
  /** Keys of a table that may be named. */
  readonly maxKeys: number
}

/**
 * Compares now what the check names, and prints it: `target`, `target/table` or `target/table/tenant`,
 * where a value or an assertion may stand in place of the table. Resolves
 * to whether nothing was confirmed to differ and all could be read.
 */
export async function showDrift(check: string, options: DriftOptions, signal: AbortSignal): Promise<boolean> {
  return await compare(check, options, signal, undefined)
}

/** The same with the checksums of whole tables, whatever the configuration says of them. */
export async function bisectDrift(
  check: string,
  options: BisectOptions,
  signal: AbortSignal,
): Promise<boolean> {
  return await compare(check, options, signal, options)
}

async function compare(
  check: string,
  { config: file, json }: DriftOptions,
  signal: AbortSignal,
  bounds: Pick<BisectOptions, 'maxRows' | 'maxKeys'> | undefined,
): Promise<boolean> {
  const { collectors, secrets } = await loadConfig(file, { kinds: collectorKinds, env: process.env })
  const clean = (text: string) =>
    redact(
      text,
      secrets.flatMap((secret) => secret.known ?? []),
    )
  const tell = (text: string) => say(clean(text))
  const [target = '', table, ...tenant] = check.split('/')
  const chosen = collectors.find((one) => one.kind.kind === 'drift' && one.target === target)
  if (!chosen) {
    const have = collectors.filter(({ kind }) => kind.kind === 'drift').map((one) => one.target)
    const hint = have.length === 0 ? 'it has none' : `it has ${have.join(', ')}`
    throw new Error(`${file} has no drift collector ${JSON.stringify(target)}; ${hint}`)
  }
  const only = (labels: PairState['pair']['labels']) =>
    (table === undefined || labels.table === table) &&
    (tenant.length === 0 || labels.tenant === tenant.join('/'))

  const reconciliation = new Reconciliation(settingsOf(chosen.settings as Settings, bounds), systemClock)
  let failed = 0
  const batch: SampleBatch = {
    add: () => {},
    addRow: () => {},
    addHistogram: () => {},
    partFailed(labels, cause) {
      failed++
      tell(`${Object.values(labels).filter(Boolean).join('/')}: ${errorLine(cause)}`)
    },
  }
  const from = systemClock.monotonic()
  const seconds = () => Math.round((systemClock.monotonic() - from) / 1000)
  try {
    // What is bisected may take long: only the statements are bounded.
    const bounded = bounds ? signal : AbortSignal.any([signal, AbortSignal.timeout(chosen.timeout)])
    await withProgress(
      () => `comparing ${printable(check)} for ${seconds()} s`,
      () =>
        reconciliation.run(batch, bounded, {
          only,
          whole: bounds !== undefined,
          onBisected: ({ table, tenant }, { rounds, rows, ranges, complete }) =>
            tell(
              `${[table, tenant].filter(Boolean).join('/')}: ${rows.toLocaleString('en')} rows in ${rounds} rounds, ${ranges.length} ranges differ at first${complete ? '' : '; ended by --max-rows'}`,
            ),
        }),
    )
    const states = reconciliation.states.filter(({ pair }) => only(pair.labels))
    const tasks = bounds
      ? []
      : reconciliation.queries.tasks.filter(({ name, tenant }) => only({ table: name, tenant }))
    if (states.length + tasks.length === 0) {
      throw new Error(`the drift collector ${target} compares no ${check}`)
    }
    print(states, tasks, json === true, clean)
    const differs = [...states, ...tasks].some((one) => one.differs)
    return failed === 0 && !differs
  } finally {
    reconciliation.close()
  }
}

/** With checksums within these bounds. */
function settingsOf(
  given: Settings,
  bounds: Pick<BisectOptions, 'maxRows' | 'maxKeys'> | undefined,
): Settings {
  if (!bounds) return given
  const usual = given.checksums ?? driftSettings.shape.checksums.unwrap().parse({})
  return { ...given, checksums: { ...usual, max_rows: bounds.maxRows, max_keys: bounds.maxKeys } }
}

function print(
  states: readonly PairState[],
  tasks: readonly QueryTask[],
  json: boolean,
  clean: (text: string) => string,
): void {
  const views = states.map((state) => ({ differs: state.differs, ...state.view() }))
  if (json) {
    const ofQueries = tasks.map((task) => {
      const { labels, details } = task.finding()
      return { differs: task.differs, ...labels, ...details }
    })
    process.stdout.write(clean(`${JSON.stringify([...views, ...ofQueries], null, 2)}\n`))
    return
  }
  const heads = ['TABLE', 'TENANT', 'SOURCE ROWS', 'SINK ROWS', 'DIFFERENCE', 'ROWS DIFFER', 'WATERMARK']
  const table = plainTable(heads, (column) => column >= 2 && column <= 5)
  for (const view of views) {
    table.push([
      printable(view.table),
      printable(view.tenant),
      view.source_rows ?? '?',
      view.sink_rows ?? '?',
      view.row_difference ?? '?',
      view.differing_rows === null ? '–' : String(view.differing_rows),
      view.watermark ?? '?',
    ])
  }
  const lines = states.length === 0 ? [] : [table.toString()]
  for (const { table, tenant, sums, ranges } of views) {
    const name = [table, tenant].filter(Boolean).join('/')
    for (const { column, source, sink, difference } of sums) {
      if (difference !== '0')
        lines.push(`${name}: sum of ${column}: ${source} at the source, ${sink} at the sink`)
    }
    for (const { from, to, source_rows, sink_rows, keys } of ranges) {
      const bounds = `from ${from?.join(', ') ?? 'the first'} to below ${to?.join(', ') ?? 'the end'}`
      lines.push(`${name}: ${bounds}: ${source_rows} rows at the source, ${sink_rows} at the sink`)
      for (const { key, fault } of keys ?? []) lines.push(`  ${key.join(', ')}  ${fault}`)
    }
  }
  lines.push(...tasks.flatMap(({ summary }) => summary))
  const isTable = (i: number) => i === 0 && states.length > 0
  process.stdout.write(clean(`${lines.map((line, i) => (isTable(i) ? line : printable(line))).join('\n')}\n`))
}
