/** A column of the source. */
export interface SourceColumn {
  readonly name: string
  /** As PostgreSQL calls it, without length: `numeric`, `timestamp with time zone`; of a domain its base. */
  readonly type: string
  readonly isEnum: boolean
  readonly nullable: boolean
  /** Place in the primary key, from 0; undefined for a column that is not in it. */
  readonly keyPlace: number | undefined
}

/** Kinds of values that can be compared. */
type ValueKind = 'integer' | 'decimal' | 'text' | 'boolean' | 'date' | 'time' | 'bytes' | 'uuid'

/** How a value is written to be compared, the same text on both sides. */
export type Form =
  | { readonly as: 'integer' | 'boolean' | 'uuid' }
  /** Exactly `scale` digits after the point. */
  | { readonly as: 'decimal'; readonly scale: number }
  /** Any digits, as the source prints them. */
  | { readonly as: 'number' }
  /** `trimmed`: without the blanks at the end, which a character(n) has. */
  | { readonly as: 'text'; readonly trimmed: boolean }
  /** Days since the epoch, or ISO 8601. */
  | { readonly as: 'days' | 'date' }
  /** Since the epoch, UTC, in units of 10^-digits seconds, rounded down. */
  | { readonly as: 'ticks'; readonly digits: number }
  /** `2026-11-21 07:24:52.123456`, UTC, what is beyond `digits` digits of the second cut off. */
  | { readonly as: 'datetime'; readonly digits: number }
  | { readonly as: 'bytes'; readonly encoding: 'hex' | 'base64' }

/** A column of the sink as its sink reads it. */
export interface SinkForm {
  readonly form: Form
  /** SQL of the text; NULL for NULL. */
  readonly sql: string
  /** Whether it can hold NULL. One that cannot holds the default of its type instead. */
  readonly nullable: boolean
}

/** A column on both sides. */
export interface ComparedColumn extends SinkForm {
  readonly source: SourceColumn
  /** Its name at the sink. */
  readonly atSink: string
}

/** What of a pair is compared row by row. */
export interface RowPlan {
  /** In the order of the key. */
  readonly key: readonly ComparedColumn[]
  /** In the order of the source, the key's among them. */
  readonly columns: readonly ComparedColumn[]
  /** Columns of the source that the sink lacks or that cannot be compared, such as floats and JSON. */
  readonly leftOut: readonly string[]
  /** Both sides say which version a row is. */
  readonly version: ComparedColumn | undefined
}

export const NULL_TEXT = '~'

/** What a column that is not NULL holds in place of NULL. */
export function defaultText(form: Form): string {
  switch (form.as) {
    case 'decimal':
      return form.scale === 0 ? '0' : `0.${'0'.repeat(form.scale)}`
    case 'text':
      return '0:'
    case 'uuid':
      return '00000000-0000-0000-0000-000000000000'
    case 'bytes':
      return ''
    case 'date':
      return '1970-01-01'
    case 'datetime':
      return '1970-01-01 00:00:00.000000'
    default:
      return '0'
  }
}

/** Undefined for types that both sides write in their own ways: floats, JSON, arrays, intervals, … */
export function valueKind({ type, isEnum }: SourceColumn): ValueKind | undefined {
  return isEnum ? 'text' : KINDS[type]
}

const KINDS: Readonly<Record<string, ValueKind>> = {
  smallint: 'integer',
  integer: 'integer',
  bigint: 'integer',
  numeric: 'decimal',
  text: 'text',
  'character varying': 'text',
  character: 'text',
  citext: 'text',
  name: 'text',
  boolean: 'boolean',
  date: 'date',
  'timestamp without time zone': 'time',
  'timestamp with time zone': 'time',
  bytea: 'bytes',
  uuid: 'uuid',
}

/**
 * Chooses what is compared. `sinkForm` says how the sink reads a column, undefined for one that it has not or
 * that cannot be compared. Throws where a column that was asked for, or a column of the key, is none.
 */
export function rowPlan(
  wanted: {
    readonly key: readonly string[] | undefined
    readonly columns: readonly string[] | undefined
    readonly version: string | undefined
    atSink(column: string): string
  },
  source: readonly SourceColumn[],
  sinkForm: (column: SourceColumn, atSink: string) => SinkForm | undefined,
): RowPlan {
  const comparable = new Map<string, ComparedColumn>()
  for (const column of source) {
    const atSink = wanted.atSink(column.name)
    const form = sinkForm(column, atSink)
    if (form) comparable.set(column.name, { ...form, source: column, atSink })
  }
  const required = (name: string): ComparedColumn => {
    const column = comparable.get(name)
    if (column) return column
    const there = source.some((each) => each.name === name)
    throw new Error(
      there
        ? `the column ${name} cannot be compared: the sink has it not, or in another type`
        : `the source has no column ${name}`,
    )
  }
  const keyNames =
    wanted.key ??
    source
      .filter(({ keyPlace }) => keyPlace !== undefined)
      .toSorted((a, b) => (a.keyPlace ?? 0) - (b.keyPlace ?? 0))
      .map(({ name }) => name)
  if (keyNames.length === 0) throw new Error('the source has no primary key here: give key')
  const key = keyNames.map(required)
  for (const { source, form } of key) {
    // Both sides have to order it alike.
    const isKey = ['integer', 'uuid', 'text'].some((kind) => kind === valueKind(source) && kind === form.as)
    if (isKey && source.type !== 'character') continue
    throw new Error(
      `the column ${source.name} is no key that can be compared: an integer, UUID or text on both sides is`,
    )
  }
  const names = new Set(
    wanted.columns ? [...keyNames, ...wanted.columns.map((n) => required(n).source.name)] : comparable.keys(),
  )
  const version = [...comparable.values()].find(({ atSink }) => atSink === wanted.version)
  return {
    key,
    columns: [...comparable.values()].filter(({ source }) => names.has(source.name)),
    leftOut: source.map(({ name }) => name).filter((name) => !names.has(name)),
    version,
  }
}
