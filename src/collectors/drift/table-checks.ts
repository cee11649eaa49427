import { rootReason } from '../../clients/call.ts'
import { quoteIdentifier } from '../../clients/postgresql.ts'
import { advised, type Check, named, required, type Verdict } from '../../collection/checks.ts'
import { countOf, isFault, type Look, quotedPlace, roleOf, shown } from './look.ts'
import { type Pair, withoutRows } from './pairs.ts'
import type { Side } from './query-task.ts'
import { type RowPlan, rowPlan, type SourceColumn } from './row-form.ts'
import type { Sides } from './sides.ts'
import type { SinkTable } from './sink.ts'
import type { Source } from './source.ts'

const ofSource = {
  tables: required('source_tables', 'Each table is in the source.'),
  columns: required('source_columns', 'Each column of the source that is named is in its table.'),
  readable: required(
    'source_readable',
    'The source runs what counts and compares each table: the user has the rights, the columns the types.',
  ),
}
const ofSink = {
  tables: required('sink_tables', 'Each table is in the sink.'),
  columns: required('sink_columns', 'Each column of the sink that is named, or renamed to, is in its table.'),
  readable: required(
    'sink_readable',
    'The sink runs what counts and compares each table: the user has the rights, the columns the types.',
  ),
}
const keysComparable = required(
  'keys_comparable',
  'With `checksums` the key, and each of `columns`, can be written as the same text at both ends.',
)
const engineFits = advised(
  'sink_engine',
  'In ClickHouse a table with `version` is a ReplacingMergeTree by that column, one with `deleted` does not keep all versions, one with `sign` is a CollapsingMergeTree.',
)
const sortingKey = advised(
  'sink_sorting_key',
  'In ClickHouse the sorting key of a table that merges rows has all columns of the key: it takes rows that are equal in it for one.',
)
const indexed = advised(
  'source_indexes',
  'On a table of more than 10,000 rows the `freshness` column, and a `key` that is not the primary key, lead an index.',
)

export const tableItems: readonly Check[] = [
  ...Object.values(ofSource),
  ...Object.values(ofSink),
  keysComparable,
  engineFits,
  sortingKey,
  indexed,
]

/** What was found of all tables, by item. */
class Findings {
  readonly #of = new Map<Check, { looked: number; wrong: Set<string>; remedies: Set<string> }>()

  looked(check: Check): void {
    this.#about(check).looked++
  }

  wrong(check: Check, message: string, remedy: string): void {
    const { wrong, remedies } = this.#about(check)
    wrong.add(message)
    remedies.add(remedy)
  }

  /** Undefined for an item that was of no table. */
  verdict(check: Check): Verdict | undefined {
    const { looked, wrong, remedies } = this.#about(check)
    if (wrong.size > 0) {
      const remedy = [...remedies].toSorted().slice(0, 3).join(' ')
      return { ok: false, message: named([...wrong].toSorted()), remedy }
    }
    return looked === 0 ? undefined : { ok: true, message: countOf(looked) }
  }

  #about(check: Check) {
    const about = this.#of.get(check) ?? { looked: 0, wrong: new Set<string>(), remedies: new Set<string>() }
    this.#of.set(check, about)
    return about
  }
}

/** Looks at each table at both ends, and gives those that are in the source. */
export async function checkTables(pairs: readonly Pair[], look: Look): Promise<readonly Pair[]> {
  const { report, connections, answers } = look
  const findings = new Findings()
  const there: Pair[] = []
  const items = [
    ...(answers.source ? Object.values(ofSource) : []),
    ...(answers.sink ? Object.values(ofSink) : []),
    keysComparable,
    engineFits,
    sortingKey,
    indexed,
  ]
  const [first] = items
  if (pairs.length === 0 || !first || !(answers.source || answers.sink)) return there
  let isDone = false
  // Where something cannot be found out the first item is unknown, and there is no answer to the others.
  await report.ask(first, async () => {
    const queue = pairs.values()
    await Promise.all(
      connections.map(async (sides) => {
        for (const pair of queue) {
          if (await lookAt(pair, sides, look, findings)) there.push(pair)
        }
      }),
    )
    isDone = true
    return findings.verdict(first)
  })
  if (!isDone) return []
  for (const check of items.slice(1)) {
    const verdict = findings.verdict(check)
    if (verdict) report.add(check, verdict)
  }
  return there
}

/** Whether the table is in the source. */
async function lookAt(pair: Pair, sides: Sides, look: Look, findings: Findings): Promise<boolean> {
  const { settings, answers, signal } = look
  const { source, sink } = sides
  const columns = answers.source ? await sourceColumns(pair, source, look, findings) : undefined
  const table = answers.sink ? await sinkTable(pair, sides, look, findings) : undefined
  const plan = columns && table && settings.checksums ? planOf(pair, columns, table, findings) : undefined
  if (table) checkEngine(pair, table, plan, findings)
  if (columns) await checkIndexes(pair, columns, source, look, findings)
  const none = withoutRows(pair)
  const whole = { from: undefined, to: undefined }
  if (
    columns &&
    hasAll(ofSource.columns, shown(pair.source), namedAtSource(pair), columns.map(nameIn), findings)
  ) {
    await attempt('source', pair, look, findings, async () => {
      await source.count(none, settings.lag, signal)
      if (pair.freshness !== undefined) await source.age(none, pair.freshness, signal)
      if (plan) await source.checksums(none, plan, 0).keys(whole, 1, signal)
    })
  }
  if (table && hasAll(ofSink.columns, shown(pair.sink), namedAtSink(pair), [...table.columns], findings)) {
    await attempt('sink', pair, look, findings, async () => {
      await sink.count(none, 0, signal)
      if (pair.freshness !== undefined) await sink.age(none, pair.atSink(pair.freshness), signal)
      if (plan) await sink.checksums(none, plan, 0).keys(whole, 1, signal)
    })
  }
  return columns !== undefined
}

/** Undefined where the table is not there. */
async function sourceColumns(
  pair: Pair,
  source: Source,
  { settings, databases, signal }: Look,
  findings: Findings,
): Promise<readonly SourceColumn[] | undefined> {
  findings.looked(ofSource.tables)
  const name = shown(pair.source)
  try {
    return await source.columns(pair, signal)
  } catch (error) {
    const refusal = databases.source.refusalOf(error)
    if (refusal === 'absent') {
      findings.wrong(ofSource.tables, `${name} is not there`, 'make the table, or correct its source')
    } else if (refusal === 'rights') {
      const schema = quoteIdentifier(pair.source.container ?? '')
      const remedy = `GRANT USAGE ON SCHEMA ${schema} TO ${roleOf(settings)};`
      findings.wrong(ofSource.readable, `${name}: ${rootReason(error)}`, remedy)
    } else {
      throw error
    }
    return undefined
  }
}

/** Undefined where the table is not there. */
async function sinkTable(
  pair: Pair,
  { sink }: Sides,
  { signal }: Look,
  findings: Findings,
): Promise<SinkTable | undefined> {
  findings.looked(ofSink.tables)
  const table = await sink.table(pair, signal)
  if (table.columns.size > 0) return table
  const message = `${shown(pair.sink)} is not there, or the user may not see it`
  findings.wrong(ofSink.tables, message, 'make the table, correct its sink, or GRANT SELECT ON it')
  return undefined
}

const nameIn = ({ name }: SourceColumn): string => name

const isGiven = (name: string | undefined): name is string => name !== undefined

const namedAtSource = ({ watermark, sums, freshness, source: { only } }: Pair): readonly string[] =>
  [watermark, ...sums, freshness, only?.column].filter(isGiven)

const namedAtSink = (pair: Pair): readonly string[] => {
  const { watermark, sums, freshness, deleted, sign, sink } = pair
  const renamed = [watermark, ...sums, freshness].filter(isGiven).map(pair.atSink)
  return [...renamed, ...[deleted, sign, sink.only?.column].filter(isGiven)]
}

function hasAll(
  check: Check,
  table: string,
  wanted: readonly string[],
  there: readonly string[],
  findings: Findings,
): boolean {
  findings.looked(check)
  const missing = [...new Set(wanted)].filter((name) => !there.includes(name))
  for (const name of missing) {
    findings.wrong(
      check,
      `${table} has no column ${name}`,
      'correct the columns of the table in the configuration',
    )
  }
  return missing.length === 0
}

/** As the collector does it, so that they cannot differ in what can be compared. */
function planOf(
  pair: Pair,
  columns: readonly SourceColumn[],
  table: SinkTable,
  findings: Findings,
): RowPlan | undefined {
  findings.looked(keysComparable)
  try {
    return rowPlan(pair, columns, (column, atSink) => table.form(column, atSink, pair))
  } catch (error) {
    const message = `${shown(pair.source)}: ${rootReason(error)}`
    const remedy =
      'give key, columns or rename as both ends have them, or change the type of the column at the sink'
    findings.wrong(keysComparable, message, remedy)
    return undefined
  }
}

function checkEngine(pair: Pair, { engine }: SinkTable, plan: RowPlan | undefined, findings: Findings): void {
  if (!engine) return
  const { merges, columns } = engine.mergeTree
  const { version, deleted, sign } = pair
  const table = `${shown(pair.sink)} is a ${merges}MergeTree`
  findings.looked(engineFits)
  const wrong = (message: string, remedy: string) => findings.wrong(engineFits, `${table}${message}`, remedy)
  if (sign !== undefined && !merges.endsWith('Collapsing')) {
    wrong(`, which takes back no row by ${sign}`, 'leave sign out, or make it a CollapsingMergeTree')
  } else if (merges === '' && (version ?? deleted) !== undefined) {
    wrong(
      `, which keeps each version of a row and counts it`,
      'make it a ReplacingMergeTree; of rows that are only inserted leave version and deleted out',
    )
  } else if (merges === 'Replacing' && version !== undefined && columns[0] !== version) {
    wrong(
      columns[0] === undefined ? ' without a version column' : ` by ${columns[0]}`,
      `ENGINE = ReplacingMergeTree(${version}), or version: what the engine keeps the newest by`,
    )
  }
  if (!plan || merges === '') return
  findings.looked(sortingKey)
  const names = new Set(engine.sortingKey.match(/\w+/g))
  const missing = plan.key
    .map(({ atSink }) => atSink)
    .filter((name) => /^\w+$/.test(name) && !names.has(name))
  if (missing.length === 0) return
  findings.wrong(
    sortingKey,
    `${shown(pair.sink)} takes rows for one that differ in ${missing.join(', ')} alone: it is not in ORDER BY`,
    'make the table anew with its whole key in ORDER BY',
  )
}

async function checkIndexes(
  pair: Pair,
  columns: readonly SourceColumn[],
  source: Source,
  { settings: { checksums }, signal }: Look,
  findings: Findings,
): Promise<void> {
  const { key, freshness } = pair
  const primary = columns.filter(({ keyPlace }) => keyPlace !== undefined).map(nameIn)
  const isPrimary = key === undefined || isSame(key, primary)
  const wanted = [
    ...(isPrimary || !checksums ? [] : [key]),
    ...(freshness === undefined ? [] : [[freshness]]),
  ]
  if (wanted.length === 0) return
  const indexes = await source.indexes(pair, signal)
  if (!indexes) return
  findings.looked(indexed)
  const tenant = pair.source.only?.column
  for (const names of wanted) {
    const leads = (index: readonly string[]) =>
      isSame(index.filter((name) => name !== tenant).slice(0, names.length), names)
    if (indexes.some(leads)) continue
    const list = names.map(quoteIdentifier).join(', ')
    findings.wrong(
      indexed,
      `${shown(pair.source)} has no index that begins with ${names.join(', ')}: it is read as a whole each time`,
      `CREATE INDEX CONCURRENTLY ON ${quotedPlace(pair.source)} (${list});`,
    )
  }
}

const isSame = (one: readonly string[], other: readonly string[]): boolean =>
  JSON.stringify(one.toSorted()) === JSON.stringify(other.toSorted())

/** Runs statements of the collector without a row. */
async function attempt(
  side: Side,
  pair: Pair,
  { settings, databases }: Look,
  findings: Findings,
  work: () => Promise<void>,
): Promise<void> {
  const check = (side === 'source' ? ofSource : ofSink).readable
  findings.looked(check)
  try {
    await work()
  } catch (error) {
    const isRight = databases[side].refusalOf(error) === 'rights'
    if (!isRight && !isFault(databases[side], error)) throw error
    const remedy =
      side === 'source'
        ? `GRANT SELECT ON ${quotedPlace(pair.source)} TO ${roleOf(settings)};`
        : `GRANT SELECT ON ${shown(pair.sink)} TO its user`
    findings.wrong(
      check,
      `${shown(pair[side])}: ${rootReason(error)}`,
      isRight ? remedy : 'correct the columns in the configuration, or their types',
    )
  }
}
