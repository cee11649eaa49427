import { connectPostgresql, quoteIdentifier } from '../../clients/postgresql.ts'
import { type Bind, type Checksums, checksumsOf } from './checksums.ts'
import type { Pair, Place } from './pairs.ts'
import {
  type ComparedColumn,
  defaultText,
  type Form,
  NULL_TEXT,
  type RowPlan,
  type SourceColumn,
} from './row-form.ts'

/** Rows, and the sums of the columns that were asked for, in their order, as decimal text. */
export interface Totals {
  readonly rows: bigint
  readonly sums: readonly string[]
}

/** What bounds a reading. */
export interface Bounds {
  /** Whole seconds since the epoch: rows made before it were read. */
  readonly watermark: number
  /** Position in the WAL, in bytes, by which all that was read had been written. */
  readonly position: bigint
}

/** A count of the source, and what bounds it. */
interface SourceCount extends Totals, Bounds {}

export interface Source {
  /** Counts what is older than `lag` milliseconds, and than the oldest transaction that is writing. */
  count(pair: Pair, lag: number, signal: AbortSignal): Promise<SourceCount>
  /** The same bounds without a count. */
  bounds(lag: number, signal: AbortSignal): Promise<Bounds>
  /** Counts again below the same watermark. */
  countBelow(pair: Pair, watermark: number, signal: AbortSignal): Promise<Totals>
  /** Rows as of the last ANALYZE, partitions added up; undefined where there was none. */
  estimate(pair: Pair, signal: AbortSignal): Promise<number | undefined>
  /** Seconds since the newest value of a column, by the source's own clock; undefined without one. */
  age(pair: Pair, column: string, signal: AbortSignal): Promise<number | undefined>
  columns(pair: Pair, signal: AbortSignal): Promise<readonly SourceColumn[]>
  /** Of the rows made before `watermark`. */
  checksums(pair: Pair, plan: RowPlan, watermark: number): Checksums
  /** Position in the WAL, in bytes, behind all that was read so far. */
  position(signal: AbortSignal): Promise<bigint>
  /** Position in the WAL, in bytes, up to which the slot's reader has confirmed what it read. */
  confirmedPosition(slot: string, signal: AbortSignal): Promise<bigint>
  /** The tables of a publication; none where it is not there. */
  published(
    publication: string,
    signal: AbortSignal,
  ): Promise<readonly { readonly schema: string; readonly table: string }[]>
  /** What the catalog has of a slot; undefined where it is not there. */
  slot(name: string, signal: AbortSignal): Promise<SlotAbout | undefined>
  /** Of these pairs those whose table is in no publication, nor any partition of it. */
  unpublished(pairs: readonly Pair[], signal: AbortSignal): Promise<readonly Pair[]>
  /** Columns of each index that finds rows of a large table, in its order; undefined for a small one. */
  indexes(pair: Pair, signal: AbortSignal): Promise<readonly (readonly string[])[] | undefined>
  /** Whether the user is shown when the transactions of others began. */
  seesTransactions(signal: AbortSignal): Promise<boolean>
  close(): void
}

interface SlotAbout {
  readonly isLogical: boolean
  /** Whether it is of the database that is connected to. */
  readonly isHere: boolean
  /** Empty for one that is not logical. */
  readonly plugin: string
}

// In whole seconds: then a sink that keeps time to the second or the millisecond cuts at the same rows. A
// transaction of another database writes none of these tables.
const WATERMARK = `
  SELECT date_trunc('second', least(
    now() - make_interval(secs => $1::float8 / 1000),
    (SELECT min(xact_start) FROM pg_stat_activity
     WHERE backend_xid IS NOT NULL AND datname = current_database())
  )) AS at`

// With synchronous_commit = off a transaction is seen before its WAL is written: what counts is the insert position.
const POSITION = `pg_wal_lsn_diff(
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, '0/0')`

const CONFIRMED = `
  SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0') AS position
  FROM pg_replication_slots
  WHERE slot_name = $1`

// Of a domain the type below it, however deep.
const COLUMNS = `
  WITH RECURSIVE types AS (
    SELECT oid AS domain, oid, typbasetype, typtype FROM pg_type
    UNION ALL
    SELECT types.domain, t.oid, t.typbasetype, t.typtype
    FROM types JOIN pg_type t ON t.oid = types.typbasetype
    WHERE types.typtype = 'd'
  )
  SELECT a.attname AS name, t.oid::regtype::text AS type, t.typtype = 'e' AS is_enum,
    NOT a.attnotnull AS nullable,
    (SELECT array_position(i.indkey::int2[], a.attnum) FROM pg_index i
     WHERE i.indrelid = a.attrelid AND i.indisprimary) AS key_place
  FROM pg_attribute a
  JOIN types t ON t.domain = a.atttypid AND t.typtype <> 'd'
  WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attnum`

// -1 is never analysed; of a partitioned table the leaves count.
const ESTIMATE = `
  WITH RECURSIVE parts AS (
    SELECT $1::regclass::oid AS oid
    UNION ALL
    SELECT i.inhrelid FROM pg_inherits i JOIN parts ON parts.oid = i.inhparent
  )
  SELECT CASE WHEN min(c.reltuples) >= 0 THEN sum(c.reltuples)::bigint END AS rows
  FROM parts JOIN pg_class c USING (oid)
  WHERE c.relkind IN ('r', 'm')`

const PUBLISHED = `
  SELECT schemaname AS schema, tablename AS table
  FROM pg_publication_tables
  WHERE pubname = $1
  ORDER BY 1, 2`

const SLOT = `
  SELECT slot_type = 'logical' AS is_logical, database = current_database() AS is_here, plugin
  FROM pg_replication_slots
  WHERE slot_name = $1`

// A table of a publication may be one with partitions, or a partition of one. A view has no changes of its own.
const UNPUBLISHED = `
  WITH published AS MATERIALIZED (
    SELECT DISTINCT c.oid
    FROM pg_publication_tables
      JOIN pg_namespace n ON n.nspname = schemaname
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = tablename
  ), covered AS (
    SELECT oid FROM published
    UNION SELECT relid FROM published, pg_partition_tree(oid)
    UNION SELECT relid FROM published, pg_partition_ancestors(oid) AS relid
  )
  SELECT name
  FROM unnest($1::text[]) AS name JOIN pg_class ON pg_class.oid = name::regclass
  WHERE relkind IN ('r', 'p') AND pg_class.oid NOT IN (SELECT oid FROM covered)`

const INDEXES = `
  SELECT array_to_json(ARRAY(
      SELECT attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
      WHERE place <= i.indnkeyatts ORDER BY place)) AS columns
  FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
    AND 0 <> ALL (i.indkey::int2[])
  WHERE c.oid = $1::regclass AND c.relkind IN ('r', 'm') AND c.reltuples > 10000`

const SEES_TRANSACTIONS = `SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees`

export function postgresqlSource(address: { url: () => string; statementTimeout: number }): Source {
  const server = connectPostgresql(() => ({
    url: address.url(),
    statementTimeout: address.statementTimeout,
  }))
  return {
    async count(pair, lag, signal) {
      // Count, watermark and position in one statement have one snapshot, and the position is read last.
      const sql = `
        WITH watermark AS MATERIALIZED (${WATERMARK})
        SELECT
          ${totals(pair)},
          extract(epoch FROM (SELECT at FROM watermark))::bigint AS watermark,
          ${POSITION} AS position
        ${rowsBelow(pair, '(SELECT at FROM watermark)')}`
      const [row] = await server.query(sql, [lag, ...valuesOf(pair)], signal)
      return {
        ...totalsOf(pair, row),
        watermark: Number(row?.watermark),
        position: BigInt(row?.position ?? ''),
      }
    },
    async bounds(lag, signal) {
      const sql = `SELECT extract(epoch FROM (${WATERMARK}))::bigint AS watermark, ${POSITION} AS position`
      const [row] = await server.query(sql, [lag], signal)
      return { watermark: Number(row?.watermark), position: BigInt(row?.position ?? '') }
    },
    async countBelow(pair, watermark, signal) {
      const sql = `SELECT ${totals(pair)} ${rowsBelow(pair, 'to_timestamp($1)')}`
      const [row] = await server.query(sql, [watermark, ...valuesOf(pair)], signal)
      return totalsOf(pair, row)
    },
    async estimate(pair, signal) {
      const [row] = await server.query(ESTIMATE, [nameOf(pair.source)], signal)
      return typeof row?.rows === 'string' ? Number(row.rows) : undefined
    },
    async age(pair, column, signal) {
      const name = quoteIdentifier(column)
      const bind: Bind = (_value, type) => `$1::${type}`
      const conditions = [`isfinite(${name})`, ...tenant(pair, bind)].join(' AND ')
      const sql = `
        SELECT extract(epoch FROM now() - max(${name})) AS age
        FROM ${nameOf(pair.source)} WHERE ${conditions}`
      const [row] = await server.query(sql, valuesOf(pair), signal)
      return typeof row?.age === 'string' ? Number(row.age) : undefined
    },
    async columns(pair, signal) {
      const rows = await server.query(COLUMNS, [nameOf(pair.source)], signal)
      return rows.map(({ name, type, is_enum, nullable, key_place }) => ({
        name: name ?? '',
        type: type ?? '',
        isEnum: is_enum === 't',
        nullable: nullable === 't',
        keyPlace: typeof key_place === 'string' ? Number(key_place) : undefined,
      }))
    },
    checksums: (pair, plan, watermark) =>
      checksumsOf(
        async (build, signal) => {
          const values: (string | number)[] = []
          const sql = build((value, type) => `$${values.push(value)}::${type}`)
          return await server.query(sql, values, signal)
        },
        {
          key: plan.key.map(keyColumn),
          from: nameOf(pair.source),
          roughFrom: nameOf(pair.source),
          comparesRows: true,
          aggregates: () => ({
            rows: 'count(*)',
            sum: `sum(${rowHash(plan)})::text`,
            version: plan.version && `max(${quoteIdentifier(plan.version.source.name)})::text`,
          }),
          where: (bind) => [
            `${quoteIdentifier(pair.watermark)} < to_timestamp(${bind(watermark, 'float8')})`,
            ...tenant(pair, bind),
          ],
          roughWhere: (bind) => tenant(pair, bind),
        },
      ),
    async position(signal) {
      const [row] = await server.query(`SELECT ${POSITION} AS position`, [], signal)
      return BigInt(row?.position ?? '')
    },
    async confirmedPosition(slot, signal) {
      const [row] = await server.query(CONFIRMED, [slot], signal)
      if (row === undefined) throw new Error(`the source has no replication slot ${slot}`)
      if (row.position === undefined || row.position === null) {
        throw new Error(`the replication slot ${slot} is not a logical one`)
      }
      return BigInt(row.position)
    },
    async published(publication, signal) {
      const rows = await server.query(PUBLISHED, [publication], signal)
      return rows.map(({ schema, table }) => ({ schema: schema ?? '', table: table ?? '' }))
    },
    async slot(name, signal) {
      const [row] = await server.query(SLOT, [name], signal)
      return (
        row && { isLogical: row.is_logical === 't', isHere: row.is_here === 't', plugin: row.plugin ?? '' }
      )
    },
    async unpublished(pairs, signal) {
      const names = [...new Set(pairs.map(({ source }) => nameOf(source)))]
      const rows = await server.query(UNPUBLISHED, [names], signal)
      const found = new Set(rows.map(({ name }) => name))
      return pairs.filter(({ source }) => found.has(nameOf(source)))
    },
    async indexes(pair, signal) {
      const rows = await server.query(INDEXES, [nameOf(pair.source)], signal)
      return rows.length === 0 ? undefined : rows.map(({ columns }) => JSON.parse(columns ?? '[]'))
    },
    async seesTransactions(signal) {
      return (await server.query(SEES_TRANSACTIONS, [], signal))[0]?.sees === 't'
    },
    close: () => server.close(),
  }
}

function tenant({ source: { only, isNone } }: Pair, bind: Bind): readonly string[] {
  return [
    ...(isNone ? ['false'] : []),
    ...(only === undefined ? [] : [`${quoteIdentifier(only.column)} = ${bind(only.value, 'text')}`]),
  ]
}

/** As SQL wants it, and as `regclass` reads it. */
const nameOf = ({ container, table }: Place): string =>
  [container, table]
    .filter((name) => name !== undefined)
    .map(quoteIdentifier)
    .join('.')

function totals({ sums }: Pair): string {
  const columns = sums.map((name, i) => `coalesce(sum(${quoteIdentifier(name)}), 0)::text AS sum${i}`)
  return ['count(*) AS rows', ...columns].join(', ')
}

function totalsOf({ sums }: Pair, row: Readonly<Record<string, string | null>> | undefined): Totals {
  return { rows: BigInt(row?.rows ?? ''), sums: sums.map((_, i) => row?.[`sum${i}`] ?? '') }
}

function rowsBelow(pair: Pair, bound: string): string {
  const conditions = [`${quoteIdentifier(pair.watermark)} < ${bound}`, ...tenant(pair, () => '$2')]
  return `FROM ${nameOf(pair.source)} WHERE ${conditions.join(' AND ')}`
}

const valuesOf = ({ source }: Pair): readonly string[] =>
  source.only === undefined ? [] : [source.only.value]

function keyColumn({ source, form }: ComparedColumn) {
  const column = quoteIdentifier(source.name)
  const text = formText(column, source.type, form)
  if (form.as === 'integer') return { text, order: column, type: 'bigint' }
  if (source.type === 'uuid') return { text, order: column, type: 'uuid' }
  // The sink compares bytes.
  return { text: `${column}::text`, order: `${column}::text COLLATE "C"`, type: 'text' }
}

/** The first 60 bits of the MD5 of the row as text. */
function rowHash({ columns }: RowPlan): string {
  const texts = columns.map(({ source, form, nullable }) => {
    const text = formText(quoteIdentifier(source.name), source.type, form)
    return source.nullable ? `coalesce(${text}, '${nullable ? NULL_TEXT : defaultText(form)}')` : text
  })
  return `('x' || substr(md5(convert_to(${texts.join(` || '|' || `)}, 'UTF8')), 1, 15))::bit(60)::bigint`
}

/** SQL of a column's value as both sides write it; NULL for NULL. */
function formText(column: string, type: string, form: Form): string {
  switch (form.as) {
    case 'decimal':
      return `round(${column}::numeric, ${form.scale})::text`
    case 'boolean':
      return `${column}::int::text`
    case 'text': {
      const text = form.trimmed ? `rtrim(${column}::text)` : `${column}::text`
      return `octet_length(${text}) || ':' || ${text}`
    }
    case 'days':
      return finite(column, `(${column} - date '1970-01-01')::text`)
    case 'date':
      return finite(column, `to_char(${column}, 'YYYY-MM-DD')`)
    case 'ticks':
      return finite(column, `(${ticks(column, form.digits)})::text`)
    case 'datetime': {
      const utc = type === 'timestamp with time zone' ? `${column} AT TIME ZONE 'UTC'` : column
      const text = `to_char(${utc}, 'YYYY-MM-DD HH24:MI:SS.US')`
      const kept = form.digits >= 6 ? text : `rpad(left(${text}, ${20 + form.digits}), 26, '0')`
      return finite(column, kept)
    }
    case 'bytes':
      // PostgreSQL breaks base64 into lines.
      return form.encoding === 'hex'
        ? `encode(${column}, 'hex')`
        : `replace(encode(${column}, 'base64'), E'\\n', '')`
    default:
      return `${column}::text`
  }
}

/** A sink has no infinity: whatever it holds in its place differs. */
const finite = (column: string, text: string): string =>
  `CASE WHEN isfinite(${column}) THEN ${text} ELSE ${column}::text END`

/** In whole numbers: before version 14 `extract` gives a double, which has no room for all microseconds. */
function ticks(column: string, digits: number): string {
  const whole = `extract(epoch FROM date_trunc('second', ${column}))::bigint`
  if (digits === 0) return whole
  const micros = `extract(microseconds FROM ${column})::bigint % 1000000`
  const fraction = digits <= 6 ? `(${micros}) / ${10 ** (6 - digits)}` : `(${micros}) * ${10 ** (digits - 6)}`
  return `${whole} * ${10 ** digits} + ${fraction}`
}
