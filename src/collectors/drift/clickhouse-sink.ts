import {
  type ClickhouseAddress,
  connectClickhouse,
  quoteIdentifier as quoted,
} from '../../clients/clickhouse.ts'
import { type MergeTree, mergeTreeOf } from '../../clients/clickhouse-engine.ts'
import { type Bind, checksumsOf } from './checksums.ts'
import type { Pair } from './pairs.ts'
import {
  type ComparedColumn,
  defaultText,
  type Form,
  NULL_TEXT,
  type RowPlan,
  type SinkForm,
  type SourceColumn,
  valueKind,
} from './row-form.ts'
import type { Sink } from './sink.ts'

interface Table {
  /** Empty for a table that the catalog has not. */
  readonly engine: string
  readonly mergeTree: MergeTree | undefined
  readonly sortingKey: string
  /** Type by name of the column. */
  readonly columns: ReadonlyMap<string, string>
}

/** How the rows of a table that count are found. */
interface Reading {
  readonly from: string
  /** Aggregates of the rows that are not deleted and older than the watermark. */
  readonly rows: string
  sum(value: string): string
  readonly isFinal: boolean
}

const CATALOG = `
  SELECT t.engine AS engine, t.engine_full AS engine_full, t.sorting_key AS sorting_key, c.name AS name, c.type AS type
  FROM system.tables AS t LEFT JOIN system.columns AS c ON c.database = t.database AND c.table = t.name
  WHERE t.database = {container:String} AND t.name = {table:String}`

/** A common default of operators counts a row twice with FINAL when its versions are in two partitions. */
export const MERGED = { do_not_merge_across_partitions_select_final: 0 } as const

/** `statementTimeout` in milliseconds. */
export function clickhouseSink(address: () => ClickhouseAddress, statementTimeout: number): Sink {
  const server = connectClickhouse(address)
  const settings = {
    ...MERGED,
    max_execution_time: Math.ceil(statementTimeout / 1000),
  } as const

  /** Read once, and again after a failure: a table that is made anew as another one may not show by one. */
  const tables = new Map<string, Table>()

  const keyOf = ({ sink: { container, table } }: Pair): string =>
    JSON.stringify([container ?? address().database, table])

  async function tableOf(pair: Pair, signal: AbortSignal): Promise<Table> {
    const { container, table } = pair.sink
    const database = container ?? address().database
    const key = keyOf(pair)
    const known = tables.get(key)
    if (known) return known
    const rows = await server.query(CATALOG, { container: database, table }, signal)
    const found = {
      engine: String(rows[0]?.engine ?? ''),
      mergeTree: mergeTreeOf(String(rows[0]?.engine_full ?? '')),
      sortingKey: String(rows[0]?.sorting_key ?? ''),
      columns: new Map(rows.map(({ name, type }) => [String(name), String(type)])),
    }
    // One that is not there yet may come.
    if (rows.length > 0) tables.set(key, found)
    return found
  }

  function knownTable(pair: Pair): Table {
    const unknown = { engine: '', mergeTree: undefined, sortingKey: '', columns: new Map() }
    return tables.get(keyOf(pair)) ?? unknown
  }

  return {
    async table(pair, signal) {
      const { columns, mergeTree, sortingKey } = await tableOf(pair, signal)
      return {
        columns: new Set(columns.keys()),
        engine: mergeTree && { mergeTree, sortingKey },
        form: (column, atSink, { binary }) => {
          const type = columns.get(atSink)
          return type === undefined ? undefined : formOf(column, quoted(atSink), type, binary)
        },
      }
    },
    async count(pair, watermark, signal) {
      const table = await tableOf(pair, signal)
      const bound = binding()
      const { from, rows, sum, isFinal } = reading(pair, table, watermark, bound.bind)
      const sums = pair.sums.map((name, i) => `toString(${sum(summable(pair, name, table))}) AS cdc_sum${i}`)
      const merging = isFinal ? [`${UNMERGED} AS cdc_unmerged`] : []
      const conditions = tenantOnly(pair, bound.bind)
      const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
      const sql = `SELECT ${[`${rows} AS cdc_rows`, ...sums, ...merging].join(', ')} FROM ${from} ${where}`
      const [row] = await server.query(sql, bound.params, signal, settings)
      if (isFinal) requireMerged(row?.cdc_unmerged)
      return {
        rows: BigInt(String(row?.cdc_rows)),
        sums: pair.sums.map((_, i) => String(row?.[`cdc_sum${i}`])),
      }
    },
    async estimate({ sink: { container, table, only } }, signal) {
      if (only !== undefined) return undefined
      const sql = `
        SELECT sum(rows) AS rows, count() AS parts FROM system.parts
        WHERE active AND database = {container:String} AND table = {table:String}`
      const [row] = await server.query(sql, { container: container ?? address().database, table }, signal)
      return row?.parts === '0' ? undefined : Number(row?.rows)
    },
    async age(pair, column, signal) {
      // Without FINAL: an older version of a row is no newer than the row.
      const { bind, params } = binding()
      const conditions = [
        ...tenantOnly(pair, bind),
        ...(pair.deleted === undefined ? [] : [`${quoted(pair.deleted)} = 0`]),
      ]
      const newest = `toDateTime64(maxOrNull(${quoted(column)}), 3)`
      const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
      const sql = `
        SELECT toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(${newest}) AS age
        FROM ${nameOf(pair)} ${where}`
      const [row] = await server.query(sql, params, signal, settings)
      return row?.age === null || row?.age === undefined ? undefined : Number(row.age) / 1000
    },
    checksums(pair, plan, watermark) {
      const table = knownTable(pair)
      return checksumsOf(
        async (build, signal) => {
          const bound = binding()
          return await server.query(build(bound.bind), bound.params, signal, settings)
        },
        {
          key: plan.key.map(keyColumn),
          from: isFinal(pair, table) ? `${nameOf(pair)} FINAL` : nameOf(pair),
          roughFrom: nameOf(pair),
          comparesRows: true,
          aggregates(bind) {
            const { rows, sum } = reading(pair, table, watermark, bind)
            return {
              rows,
              sum: `toString(${sum(rowHash(plan))})`,
              version: plan.version && `toString(max(${quoted(plan.version.atSink)}))`,
            }
          },
          where: (bind) => tenantOnly(pair, bind),
          roughWhere: (bind) => tenantOnly(pair, bind),
        },
      )
    },
    forget: (pair) => void tables.delete(keyOf(pair)),
    close: () => server.close(),
  }
}

const UNMERGED = "toUInt8(getSetting('do_not_merge_across_partitions_select_final'))"

function requireMerged(unmerged: unknown): void {
  if (unmerged === '0') return
  throw new Error(
    'ClickHouse does not merge across partitions for this user, whose read-only mode lets no query change that: unset do_not_merge_across_partitions_select_final',
  )
}

/** Values that go beside a statement. */
function binding(): { readonly bind: Bind; readonly params: Record<string, string | number> } {
  const params: Record<string, string | number> = {}
  let count = 0
  return {
    params,
    bind(value, type) {
      const name = `p${count++}`
      params[name] = value
      return `{${name}:${type}}`
    },
  }
}

const nameOf = ({ sink: { container, table } }: Pair): string =>
  container === undefined ? quoted(table) : `${quoted(container)}.${quoted(table)}`

function tenantOnly({ sink: { only, isNone } }: Pair, bind: Bind): readonly string[] {
  return [
    ...(isNone ? ['0'] : []),
    ...(only === undefined ? [] : [`${quoted(only.column)} = ${bind(only.value, 'String')}`]),
  ]
}

/** A plain table, which has one version of a row, knows no FINAL; rows that are taken back add up without it. */
function isFinal({ sign }: Pair, { engine }: Table): boolean {
  return (
    sign === undefined && !/^(Replicated|Shared)?MergeTree$|^(Memory|Log|TinyLog|StripeLog)$/.test(engine)
  )
}

function reading(pair: Pair, table: Table, watermark: number, bind: Bind): Reading {
  const { sign, deleted } = pair
  const final = isFinal(pair, table)
  // The watermark is in the aggregate: in WHERE it would choose among the versions of a row before FINAL does.
  const counts = [
    `${quoted(pair.atSink(pair.watermark))} < fromUnixTimestamp(${bind(watermark, 'Int64')})`,
    ...(deleted === undefined ? [] : [`${quoted(deleted)} = 0`]),
  ].join(' AND ')
  const by = sign === undefined ? '' : ` * ${quoted(sign)}`
  return {
    from: final ? `${nameOf(pair)} FINAL` : nameOf(pair),
    rows: sign === undefined ? `countIf(${counts})` : `sumIf(toInt64(${quoted(sign)}), ${counts})`,
    sum: (value) => `sumIf(${value}${by}, ${counts})`,
    isFinal: final,
  }
}

/** Wide enough for a sum: that of UInt64 would wrap. */
function summable(pair: Pair, name: string, { columns }: Table): string {
  const atSink = pair.atSink(name)
  const type = bareType(columns.get(atSink) ?? '')
  const column = `ifNull(${quoted(atSink)}, 0)`
  const scale = decimalScale(type)
  if (scale !== undefined) return `toDecimal256(${column}, ${scale})`
  if (/^U?Int\d+$/.test(type)) return `toInt256(${column})`
  throw new Error(`the column ${atSink} of the sink cannot be added up: it is ${type || 'not there'}`)
}

/** Without Nullable and LowCardinality. */
function bareType(type: string): string {
  const inner = /^(?:Nullable|LowCardinality)\((.*)\)$/.exec(type)?.[1]
  return inner === undefined ? type : bareType(inner)
}

/** Undefined for a type that is no decimal. */
function decimalScale(type: string): number | undefined {
  const scale = /^Decimal(?:\(\d+, (\d+)\)|\d+\((\d+)\))$/.exec(type)
  return scale ? Number(scale[1] ?? scale[2]) : undefined
}

function formOf(
  source: SourceColumn,
  column: string,
  type: string,
  binary: Pair['binary'],
): SinkForm | undefined {
  const bare = bareType(type)
  const made = (form: Form, sql: string): SinkForm => ({ form, sql, nullable: /Nullable\(/.test(type) })
  const isInteger = /^U?Int\d+$/.test(bare)
  const isText = bare === 'String'
  const scale = decimalScale(bare)
  const asIs = `toString(${column})`
  switch (valueKind(source)) {
    case 'integer':
    case 'decimal':
      if (scale !== undefined) return made({ as: 'decimal', scale }, `toDecimalString(${column}, ${scale})`)
      if (isInteger) {
        return valueKind(source) === 'integer'
          ? made({ as: 'integer' }, asIs)
          : made({ as: 'decimal', scale: 0 }, asIs)
      }
      return isText ? made({ as: 'number' }, column) : undefined
    case 'text': {
      if (!isText && !/^Enum/.test(bare)) return undefined
      const trimmed = source.type === 'character'
      const text = trimmed ? `trimRight(${asIs})` : asIs
      return made({ as: 'text', trimmed }, `concat(toString(length(${text})), ':', ${text})`)
    }
    case 'boolean':
      return bare === 'Bool' || isInteger ? made({ as: 'boolean' }, `toString(toInt8(${column}))`) : undefined
    case 'date':
      if (bare === 'Date' || bare === 'Date32' || isInteger) {
        return made({ as: 'days' }, `toString(toInt32(${column}))`)
      }
      return undefined
    case 'time': {
      if (/^DateTime(\(|$)/.test(bare)) {
        return made({ as: 'ticks', digits: 0 }, `toString(toUnixTimestamp(${column}))`)
      }
      const digits = /^DateTime64\((\d)/.exec(bare)?.[1]
      if (digits === undefined) return undefined
      return made({ as: 'ticks', digits: Number(digits) }, `toString(reinterpretAsInt64(${column}))`)
    }
    case 'bytes':
      if (!isText) return undefined
      if (binary === 'base64') return made({ as: 'bytes', encoding: 'base64' }, column)
      return made(
        { as: 'bytes', encoding: 'hex' },
        binary === 'hex' ? `lower(${column})` : `lower(hex(${column}))`,
      )
    case 'uuid':
      if (bare === 'UUID') return made({ as: 'uuid' }, asIs)
      return isText ? made({ as: 'uuid' }, `lower(${column})`) : undefined
    case undefined:
      return undefined
  }
}

function keyColumn({ atSink, sql, form }: ComparedColumn) {
  const column = quoted(atSink)
  // A value of the key is no hash: its length does not stand before it.
  if (form.as === 'text') return { text: `toString(${column})`, order: `toString(${column})`, type: 'String' }
  if (form.as === 'integer') return { text: sql, order: column, type: 'Int64' }
  // UUIDs sort by their second half here: their text sorts as the source does.
  return { text: sql, order: sql, type: 'String' }
}

/** The first 60 bits of the MD5 of the row as text, wide enough to be added up. */
function rowHash({ columns }: RowPlan): string {
  const texts = columns.map(({ sql, nullable, form }) =>
    nullable ? `ifNull(${sql}, '${NULL_TEXT}')` : nullText(sql, form),
  )
  const row = texts.join(", '|', ")
  const whole = texts.length === 1 ? row : `concat(${row})`
  return `toInt128(bitShiftRight(reinterpretAsUInt64(reverse(substring(MD5(${whole}), 1, 8))), 4))`
}

/** A column that holds no NULL is written as it is; an empty text in place of a UUID or a number stands for its default. */
function nullText(sql: string, form: Form): string {
  return form.as === 'uuid' || form.as === 'number'
    ? `if(empty(${sql}), '${defaultText(form)}', ${sql})`
    : sql
}
