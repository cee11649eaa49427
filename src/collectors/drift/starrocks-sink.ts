import {
  connectStarrocks,
  quoteIdentifier as quoted,
  type StarrocksAddress,
} from '../../clients/starrocks.ts'
import { type Bind, checksumsOf } from './checksums.ts'
import type { Pair } from './pairs.ts'
import {
  type ComparedColumn,
  type Form,
  NULL_TEXT,
  type RowPlan,
  type SinkForm,
  type SourceColumn,
  valueKind,
} from './row-form.ts'
import type { Sink } from './sink.ts'

/** A column by the catalog: `decimal` with its scale, `datetime` with the digits of its second. */
interface CatalogColumn {
  readonly type: string
  readonly digits: number | undefined
  readonly nullable: boolean
}

// `database()` where the name is empty.
const COLUMNS = `
  SELECT column_name AS name, lower(data_type) AS type, numeric_scale AS scale,
    datetime_precision AS fraction, is_nullable AS nullable
  FROM information_schema.columns
  WHERE table_schema = if(? = '', database(), ?) AND table_name = ?`

const ESTIMATE = `
  SELECT table_rows AS rows_there FROM information_schema.tables
  WHERE table_schema = if(? = '', database(), ?) AND table_name = ?`

type Value = string | number | bigint

/**
 * Primary-key tables, which show one version of a row, so that conditions may stand in WHERE. Times without
 * zone are UTC. `address` carries the statement timeout.
 */
export function starrocksSink(address: () => StarrocksAddress): Sink {
  const server = connectStarrocks(address)

  /** Values are bound in the order of the text. */
  function binding(): { readonly bind: Bind; readonly values: Value[] } {
    const values: Value[] = []
    return {
      values,
      bind(value, type) {
        // A text beside an integer would be compared as a double.
        values.push(type === 'integer' ? BigInt(value) : value)
        return '?'
      },
    }
  }

  const namesOf = ({ sink: { container = '', table } }: Pair) => [container, container, table]

  return {
    async table(pair, signal) {
      const rows = await server.query(COLUMNS, namesOf(pair), signal)
      const columns = new Map(
        rows.map(({ name, type, scale, fraction, nullable }) => {
          const digits = scale ?? fraction
          const column = {
            type: type ?? '',
            digits: digits === null || digits === undefined ? undefined : Number(digits),
          }
          return [name ?? '', { ...column, nullable: nullable !== 'NO' }]
        }),
      )
      return {
        columns: new Set(columns.keys()),
        engine: undefined,
        form: (source, atSink, { binary }) => {
          const column = columns.get(atSink)
          return column && formOf(source, quoted(atSink), column, binary)
        },
      }
    },
    async count(pair, watermark, signal) {
      const { bind, values } = binding()
      const sums = pair.sums.map((name, i) => `, sum(${quoted(pair.atSink(name))}) AS cdc_sum${i}`)
      const sql = `SELECT count(*) AS cdc_rows${sums.join('')}
        FROM ${nameOf(pair)} WHERE ${conditions(pair, watermark, bind).join(' AND ')}`
      const [row] = await server.query(sql, values, signal)
      return {
        rows: BigInt(row?.cdc_rows ?? ''),
        sums: pair.sums.map((_, i) => row?.[`cdc_sum${i}`] ?? '0'),
      }
    },
    async estimate(pair, signal) {
      if (pair.sink.only !== undefined) return undefined
      const [row] = await server.query(ESTIMATE, namesOf(pair), signal)
      return row?.rows_there === undefined || row.rows_there === null ? undefined : Number(row.rows_there)
    },
    async age(pair, column, signal) {
      const { bind, values } = binding()
      const conditions = [...notDeleted(pair), ...tenant(pair, bind)]
      const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
      const sql = `SELECT timestampdiff(SECOND, max(${quoted(column)}), utc_timestamp()) AS age
        FROM ${nameOf(pair)} ${where}`
      const [row] = await server.query(sql, values, signal)
      return typeof row?.age === 'string' ? Number(row.age) : undefined
    },
    checksums: (pair, plan, watermark) =>
      checksumsOf(
        async (build, signal) => {
          const { bind, values } = binding()
          return await server.query(build(bind), values, signal)
        },
        {
          key: plan.key.map(keyColumn),
          from: nameOf(pair),
          roughFrom: nameOf(pair),
          comparesRows: false,
          aggregates: () => ({
            rows: 'count(*)',
            sum: `sum(${rowHash(plan)})`,
            version: plan.version && `max(${quoted(plan.version.atSink)})`,
          }),
          where: (bind) => conditions(pair, watermark, bind),
          roughWhere: (bind) => tenant(pair, bind),
        },
      ),
    // It asks its catalog each time.
    forget: () => {},
    close: () => server.close(),
  }
}

const nameOf = ({ sink: { container, table } }: Pair): string =>
  container === undefined ? quoted(table) : `${quoted(container)}.${quoted(table)}`

function conditions(pair: Pair, watermark: number, bind: Bind): readonly string[] {
  const at = new Date(watermark * 1000).toISOString().slice(0, 19).replace('T', ' ')
  return [
    `${quoted(pair.atSink(pair.watermark))} < ${bind(at, 'datetime')}`,
    ...notDeleted(pair),
    ...tenant(pair, bind),
  ]
}

const notDeleted = ({ deleted }: Pair): readonly string[] =>
  deleted === undefined ? [] : [`${quoted(deleted)} = 0`]

function tenant({ sink: { only, isNone } }: Pair, bind: Bind): readonly string[] {
  return [
    ...(isNone ? ['1 = 0'] : []),
    ...(only === undefined ? [] : [`${quoted(only.column)} = ${bind(only.value, 'text')}`]),
  ]
}

const isInteger = (type: string) => /^(tiny|small|medium|big|large)?int/.test(type)
const isText = (type: string) => /^(var)?char$|text$|^string$/.test(type)
const isBinary = (type: string) => /binary$|blob$/.test(type)

function formOf(
  source: SourceColumn,
  column: string,
  { type, digits, nullable }: CatalogColumn,
  binary: Pair['binary'],
): SinkForm | undefined {
  const made = (form: Form, sql: string): SinkForm => ({ form, sql, nullable })
  const asIs = `concat(${column}, '')`
  switch (valueKind(source)) {
    case 'integer':
    case 'decimal':
      if (/^decimal/.test(type)) return made({ as: 'decimal', scale: digits ?? 0 }, asIs)
      if (!isInteger(type)) return undefined
      return made(valueKind(source) === 'integer' ? { as: 'integer' } : { as: 'decimal', scale: 0 }, asIs)
    case 'text': {
      if (!isText(type)) return undefined
      const trimmed = source.type === 'character'
      const text = trimmed ? `rtrim(${column})` : column
      return made({ as: 'text', trimmed }, `concat(length(${text}), ':', ${text})`)
    }
    case 'boolean':
      if (!isInteger(type) && type !== 'boolean') return undefined
      return made({ as: 'boolean' }, `CASE WHEN ${column} THEN '1' WHEN NOT ${column} THEN '0' END`)
    case 'date':
      return type === 'date' ? made({ as: 'date' }, `date_format(${column}, '%Y-%m-%d')`) : undefined
    case 'time':
      if (type !== 'datetime') return undefined
      // StarRocks keeps microseconds and need not say so.
      return made({ as: 'datetime', digits: digits ?? 6 }, `date_format(${column}, '%Y-%m-%d %H:%i:%s.%f')`)
    case 'bytes':
      if (binary === 'raw') return isBinary(type) ? made(HEX, `lower(hex(${column}))`) : undefined
      if (!isText(type)) return undefined
      return binary === 'hex'
        ? made(HEX, `lower(${column})`)
        : made({ as: 'bytes', encoding: 'base64' }, column)
    case 'uuid':
      return isText(type) ? made({ as: 'uuid' }, `lower(${column})`) : undefined
    case undefined:
      return undefined
  }
}

const HEX = { as: 'bytes', encoding: 'hex' } as const

function keyColumn({ atSink, form }: ComparedColumn) {
  const column = quoted(atSink)
  return { text: column, order: column, type: form.as === 'integer' ? 'integer' : 'text' }
}

/** The first 60 bits of the MD5 of the row as text, wide enough to be added up. */
function rowHash({ columns }: RowPlan): string {
  const texts = columns.map(({ sql, nullable }) => (nullable ? `ifnull(${sql}, '${NULL_TEXT}')` : sql))
  const row = `concat(${texts.join(", '|', ")})`
  return `CAST(conv(substr(md5(${row}), 1, 15), 16, 10) AS DECIMAL(38, 0))`
}
