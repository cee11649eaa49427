/** The values of a row's key, as text. */
export type Key = readonly string[]

/** Keys from `from`, up to but not including `to`; undefined for no bound. */
export interface KeyRange {
  readonly from: Key | undefined
  readonly to: Key | undefined
}

/** Rows, and the sum of a hash of each: equal for equal rows, however they are ordered. */
export interface Checksum {
  readonly rows: bigint
  readonly sum: bigint
}

/** All rows of a key; more than one is a duplicate. */
export interface KeyChecksum extends Checksum {
  readonly key: Key
  /** The newest at the sink, or that of the source; undefined where one side knows none. */
  readonly version: string | undefined
}

/** Checksums of one pair on one side, of the rows below its watermark. */
export interface Checksums {
  /** The key of each `step`-th row of the range, at most `limit` of them. Deleted and young rows may count. */
  cuts(range: KeyRange, step: number, limit: number, signal: AbortSignal): Promise<readonly Key[]>
  /** The key so many rows behind `from`, or behind the first one; undefined where there are not that many. Counts as `cuts` does. */
  nth(from: Key | undefined, rows: number, signal: AbortSignal): Promise<Key | undefined>
  /** The greatest key. */
  last(signal: AbortSignal): Promise<Key | undefined>
  /** Of the parts that `cuts`, in ascending order, make of the range: one more than there are cuts. */
  buckets(range: KeyRange, cuts: readonly Key[], signal: AbortSignal): Promise<readonly Checksum[]>
  /** Of each key of the range, at most `limit` of them. */
  keys(range: KeyRange, limit: number, signal: AbortSignal): Promise<readonly KeyChecksum[]>
  /** Of each of these keys that is there. */
  among(keys: readonly Key[], signal: AbortSignal): Promise<readonly KeyChecksum[]>
}

/** Takes a value that goes beside the statement, and gives what stands for it in the SQL. */
export type Bind = (value: string | number, type: string) => string

interface KeyColumn {
  /** SQL of the key as text, as both sides write it. */
  readonly text: string
  /** SQL of what is compared: both sides order it alike. */
  readonly order: string
  /** Of a value that it is compared with, for `Bind`. */
  readonly type: string
}

/** The SQL of one pair on one side. */
export interface ChecksumSql {
  readonly key: readonly KeyColumn[]
  readonly from: string
  /** Where rows need not be exact: without what reads each version of a row. */
  readonly roughFrom: string
  /** Aggregates over the rows that count. */
  aggregates(bind: Bind): {
    readonly rows: string
    readonly sum: string
    readonly version: string | undefined
  }
  /** What chooses the rows, in the order in which it is bound. */
  where(bind: Bind): readonly string[]
  /** The same where rows need not be exact: an index of the key is enough. */
  roughWhere(bind: Bind): readonly string[]
  /** Whether `(a, b) < (1, 2)` is known and can use an index. */
  readonly comparesRows: boolean
}

type Row = Readonly<Record<string, unknown>>

/** Runs what `build` makes; it is built anew for each try. */
export type Run = (build: (bind: Bind) => string, signal: AbortSignal) => Promise<readonly Row[]>

/** Keys of one statement, in characters: ClickHouse's client has them in its URL. */
const KEYS_A_STATEMENT = 7000

export function checksumsOf(run: Run, sql: ChecksumSql): Checksums {
  const { key } = sql
  const keyTexts = key.map(({ text }, i) => `${text} AS cdc_key${i}`).join(', ')
  const keyOf = (row: Row): Key => key.map((_, i) => String(row[`cdc_key${i}`]))

  const compared = (operator: '<' | '>=', to: Key, bind: Bind) => comparison(sql, operator, to, bind)
  const inRange = ({ from, to }: KeyRange, bind: Bind): string[] => [
    ...(from === undefined ? [] : [compared('>=', from, bind)]),
    ...(to === undefined ? [] : [compared('<', to, bind)]),
  ]

  const byKey = async (choose: (bind: Bind) => readonly string[], limit: number, signal: AbortSignal) => {
    const rows = await run((bind) => {
      const { rows, sum, version } = sql.aggregates(bind)
      const seen = version === undefined ? '' : `, ${version} AS cdc_version`
      return `SELECT ${keyTexts}, ${rows} AS cdc_rows, ${sum} AS cdc_sum${seen}
        FROM ${sql.from} ${where([...sql.where(bind), ...choose(bind)])}
        GROUP BY ${key.map((_, i) => i + 1).join(', ')}
        LIMIT ${limit}`
    }, signal)
    return rows
      .map(
        (row): KeyChecksum => ({
          key: keyOf(row),
          ...checksumOf(row),
          version:
            row.cdc_version === undefined || row.cdc_version === null ? undefined : String(row.cdc_version),
        }),
      )
      .filter(({ rows, sum }) => rows !== 0n || sum !== 0n)
  }

  return {
    async cuts(range, step, limit, signal) {
      const rows = await run((bind) => {
        const orders = key.map(({ order }) => order).join(', ')
        return `SELECT * FROM (
            SELECT ${keyTexts}, row_number() OVER (ORDER BY ${orders}) AS cdc_row
            FROM ${sql.roughFrom} ${where([...sql.roughWhere(bind), ...inRange(range, bind)])}
          ) AS cdc_rows WHERE cdc_row % ${step} = 0 ORDER BY cdc_row LIMIT ${limit}`
      }, signal)
      return rows.map(keyOf)
    },
    async nth(from, rows, signal) {
      const found = await run((bind) => {
        const orders = key.map(({ order }) => order).join(', ')
        const conditions = [...sql.roughWhere(bind), ...inRange({ from, to: undefined }, bind)]
        return `SELECT ${keyTexts} FROM ${sql.roughFrom} ${where(conditions)}
          ORDER BY ${orders} LIMIT 1 OFFSET ${rows}`
      }, signal)
      return found.map(keyOf)[0]
    },
    async last(signal) {
      const rows = await run(
        (bind) => `SELECT ${keyTexts} FROM ${sql.roughFrom} ${where(sql.where(bind))}
          ORDER BY ${key.map(({ order }) => `${order} DESC`).join(', ')} LIMIT 1`,
        signal,
      )
      return rows.map(keyOf)[0]
    },
    async buckets(range, cuts, signal) {
      const sums = Array.from({ length: cuts.length + 1 }, (): Checksum => ({ rows: 0n, sum: 0n }))
      const rows = await run((bind) => {
        const bucket = bucketOf(cuts, 0, (cut) => compared('<', cut, bind))
        const { rows, sum } = sql.aggregates(bind)
        return `SELECT ${bucket} AS cdc_bucket, ${rows} AS cdc_rows, ${sum} AS cdc_sum
          FROM ${sql.from} ${where([...sql.where(bind), ...inRange(range, bind)])}
          GROUP BY 1`
      }, signal)
      for (const row of rows) sums[Number(row.cdc_bucket)] = checksumOf(row)
      return sums
    },
    keys: (range, limit, signal) => byKey((bind) => inRange(range, bind), limit, signal),
    async among(keys, signal) {
      const found: KeyChecksum[] = []
      for (const some of portions(keys)) {
        const isOne = (bind: Bind) => {
          const alternatives = some.map((values) =>
            key.map(({ order, type }, i) => `${order} = ${bind(values[i] ?? '', type)}`).join(' AND '),
          )
          return [`(${alternatives.join(' OR ')})`]
        }
        found.push(...(await byKey(isOne, some.length, signal)))
      }
      return found
    },
  }
}

const where = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`

function checksumOf({ cdc_rows, cdc_sum }: Row): Checksum {
  return { rows: BigInt(String(cdc_rows)), sum: BigInt(String(cdc_sum ?? 0)) }
}

/** Keys compare column by column, as in a dictionary. */
function comparison({ key, comparesRows }: ChecksumSql, operator: '<' | '>=', to: Key, bind: Bind): string {
  if (key.length === 1 || comparesRows) {
    const columns = key.map(({ order }) => order).join(', ')
    const values = key.map(({ type }, i) => bind(to[i] ?? '', type)).join(', ')
    return key.length === 1 ? `${columns} ${operator} ${values}` : `(${columns}) ${operator} (${values})`
  }
  const at = (from: number): string => {
    const column = key[from]
    if (!column) return operator === '<' ? '1 = 0' : '1 = 1'
    const value = () => bind(to[from] ?? '', column.type)
    const strict = `${column.order} ${operator === '<' ? '<' : '>'} ${value()}`
    return `(${strict} OR (${column.order} = ${value()} AND ${at(from + 1)}))`
  }
  return at(0)
}

/** The number of cuts that are not above the key, found in a tree so that few are compared. */
function bucketOf(cuts: readonly Key[], before: number, isBelow: (cut: Key) => string): string {
  const middle = cuts.length >> 1
  const cut = cuts[middle]
  if (cut === undefined) return String(before)
  // In the order of the text: values may be bound by their place.
  const condition = isBelow(cut)
  const left = bucketOf(cuts.slice(0, middle), before, isBelow)
  const right = bucketOf(cuts.slice(middle + 1), before + middle + 1, isBelow)
  return `CASE WHEN ${condition} THEN ${left} ELSE ${right} END`
}

function* portions(keys: readonly Key[]): Generator<readonly Key[]> {
  let some: Key[] = []
  let size = 0
  for (const key of keys) {
    const length = keyLength(key)
    if (some.length > 0 && size + length > KEYS_A_STATEMENT) {
      yield some
      some = []
      size = 0
    }
    some.push(key)
    size += length
  }
  if (some.length > 0) yield some
}

/** As it is sent, about: with the name of a parameter. */
const keyLength = (key: Key): number =>
  key.reduce((sum, text) => sum + encodeURIComponent(text).length + 16, 0)

/** Every so many of these cuts as fit into one statement. */
export function fittingCuts(cuts: readonly Key[]): readonly Key[] {
  const size = cuts.reduce((sum, cut) => sum + keyLength(cut), 0)
  const every = Math.ceil(size / KEYS_A_STATEMENT)
  return every <= 1 ? cuts : cuts.filter((_, i) => i % every === every - 1)
}

/** Equal for equal keys. */
export const sameKey = (key: Key): string => JSON.stringify(key)
