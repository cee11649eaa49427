import { createClient } from '@clickhouse/client'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Budget, bisect, isEqual } from '../../../src/collectors/drift/bisect.ts'
import { type Checksums, type Key, sameKey } from '../../../src/collectors/drift/checksums.ts'
import { clickhouseSink } from '../../../src/collectors/drift/clickhouse-sink.ts'
import { settings } from '../../../src/collectors/drift/config.ts'
import { pairsOf } from '../../../src/collectors/drift/pairs.ts'
import { rowPlan } from '../../../src/collectors/drift/row-form.ts'
import type { Sink } from '../../../src/collectors/drift/sink.ts'
import { postgresqlSource, type Source } from '../../../src/collectors/drift/source.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { anyRow, type GeneratedRow } from './generated-rows.ts'

const signal = AbortSignal.timeout(600_000)

let postgres: PostgresPart
let clickhouse: ClickHousePart
let database: pg.Client
let source: Source
let sink: Sink

beforeAll(async () => {
  await installClickHouse()
  ;[postgres, clickhouse] = await Promise.all([startPostgres(), startClickHouse()])
  database = new pg.Client({ connectionString: postgres.url() })
  await database.connect()
  source = postgresqlSource({ url: () => postgres.url(), statementTimeout: 60_000 })
  sink = clickhouseSink(() => ({ url: clickhouse.url, database: 'default' }), 60_000)
})
afterAll(async () => {
  source?.close()
  sink?.close()
  await database?.end()
  await Promise.all([postgres?.remove(), clickhouse?.remove()])
})

async function inSink(query: string): Promise<void> {
  await withSink((client) => client.command({ query, clickhouse_settings: { mutations_sync: '1' } }))
}

async function withSink(work: (client: ReturnType<typeof createClient>) => Promise<unknown>): Promise<void> {
  const client = createClient({ url: clickhouse.url })
  try {
    await work(client)
  } finally {
    await client.close()
  }
}

/** Both sides of the table that is called alike on both. */
async function sidesOf(table: string, given: Readonly<Record<string, unknown>> = {}) {
  const parsed = settings.parse({
    source: { postgresql: { url: 'postgres://localhost' } },
    sink: { clickhouse: { url: 'http://localhost' } },
    tables: [{ source: `public.${table}`, sink: table, watermark: 'created_at', ...given }],
  })
  const [pair] = pairsOf(parsed)
  if (!pair) throw new Error('no pair')
  const there = await sink.table(pair, signal)
  const plan = rowPlan(pair, await source.columns(pair, signal), (column, atSink) =>
    there.form(column, atSink, pair),
  )
  const watermark = Math.ceil(Date.now() / 1000) + 60
  return {
    plan,
    source: source.checksums(pair, plan, watermark),
    sink: sink.checksums(pair, plan, watermark),
  }
}

const everything = { from: undefined, to: undefined }
const budget = (): Budget => ({ rows: 100_000_000, keys: 1000 })

/** Every checksum of the whole, of its parts and of its keys is the same. */
async function expectEqual(sides: { source: Checksums; sink: Checksums }): Promise<void> {
  const cuts = await sides.source.cuts(everything, 3, 50, signal)
  expect(await sides.sink.buckets(everything, cuts, signal)).toEqual(
    await sides.source.buckets(everything, cuts, signal),
  )
  const byKey = async (side: Checksums) =>
    (await side.keys(everything, 1_000_000, signal))
      .map((sum) => [sameKey(sum.key), sum.rows, sum.sum])
      .sort()
  expect(await byKey(sides.sink)).toEqual(await byKey(sides.source))
}

describe('every type', () => {
  beforeAll(async () => {
    await database.query(`
      CREATE TYPE mood AS ENUM ('sad', 'glad');
      CREATE DOMAIN amount AS numeric(18, 4);
      CREATE TABLE every (
        id bigint PRIMARY KEY, small smallint, whole integer, big bigint, dec numeric(30, 6), money amount, free numeric,
        txt text, short varchar(40), fixed character(12), mood mood, flag boolean, day date,
        at timestamp, at_zone timestamptz, at_milli timestamptz, at_second timestamp, bin bytea, uid uuid,
        ratio double precision, doc jsonb, created_at timestamptz NOT NULL DEFAULT now())`)
    const columns = (nullable: (type: string) => string) => `
      id Int64, small ${nullable('Int16')}, whole ${nullable('Int32')}, big ${nullable('Int64')},
      dec ${nullable('Decimal(30, 6)')}, money ${nullable('Decimal(18, 4)')}, free ${nullable('Decimal(38, 10)')},
      txt ${nullable('String')}, short LowCardinality(${nullable('String')}), fixed ${nullable('String')},
      mood ${nullable("Enum8('sad' = 1, 'glad' = 2)")}, flag ${nullable('Bool')}, day ${nullable('Date32')},
      at ${nullable("DateTime64(6, 'Asia/Jakarta')")}, at_zone ${nullable("DateTime64(6, 'UTC')")},
      at_milli ${nullable('DateTime64(3)')}, at_second ${nullable("DateTime('UTC')")},
      bin ${nullable('String')}, uid ${nullable('UUID')}, ratio ${nullable('Float64')}, doc ${nullable('String')},
      created_at DateTime64(6, 'UTC')`
    await inSink(`CREATE TABLE incoming (${columns((type) => `Nullable(${type})`)}) ENGINE = Memory`)
    await inSink(`CREATE TABLE every (${columns((type) => `Nullable(${type})`)}) ENGINE = ReplacingMergeTree ORDER BY id
      SETTINGS allow_nullable_key = 1`)
  })

  async function fill(rows: readonly GeneratedRow[]): Promise<void> {
    await database.query('TRUNCATE every')
    for (const table of ['every', 'incoming']) await inSink(`TRUNCATE TABLE ${table}`)
    for (const row of rows) {
      const names = Object.keys(row.source)
      await database.query(
        `INSERT INTO every (${names.join(', ')}) VALUES (${names.map((_, i) => `$${i + 1}`).join(', ')})`,
        Object.values(row.source),
      )
    }
    await withSink((client) =>
      client.insert({
        table: 'incoming',
        values: rows.map(({ sink }) => sink),
        format: 'JSONEachRow',
        clickhouse_settings: { date_time_input_format: 'best_effort' },
      }),
    )
    await inSink('INSERT INTO every SELECT * REPLACE (unhex(bin) AS bin) FROM incoming')
  }

  test('rows that were written to both sides have the same checksums', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(anyRow, { minLength: 1, maxLength: 40, selector: ({ id }) => id }),
        async (rows) => {
          await fill(rows)
          const sides = await sidesOf('every')
          expect(sides.plan.leftOut).toEqual(['ratio', 'doc'])
          await expectEqual(sides)
        },
      ),
      { numRuns: 20 },
    )
  })

  test('a value that changed on one side alone changes the checksum of its row and of no other', async () => {
    const columns = [
      'small',
      'whole',
      'big',
      'dec',
      'money',
      'free',
      'txt',
      'short',
      'fixed',
      'mood',
      'flag',
      'day',
    ]
    columns.push('at', 'at_zone', 'at_milli', 'at_second', 'bin', 'uid')
    const rows = fc.sample(anyRow, { numRuns: 200, seed: 7 })
    const whole = rows.filter(({ source }) => columns.every((column) => source[column] !== null)).slice(0, 1)
    const [row] = whole
    if (!row) throw new Error('no generated row is without NULL')
    await fill(whole)
    await expectEqual(await sidesOf('every'))
    for (const column of columns) {
      await database.query(`UPDATE every SET ${column} = NULL`)
      const sides = await sidesOf('every')
      const [atSource] = await sides.source.keys(everything, 10, signal)
      const [atSink] = await sides.sink.keys(everything, 10, signal)
      expect(atSource?.key, column).toEqual([String(row.id)])
      expect(isEqual(atSource, atSink), column).toBe(false)
      await database.query(`UPDATE every SET ${column} = $1`, [row.source[column]])
      await expectEqual(await sidesOf('every'))
    }
  })
})

/** Twenty thousand rows a table; SQL of a row's key on both sides, by its number. */
const ROWS = 20_000
const KEYS: Readonly<
  Record<string, { readonly columns: readonly string[]; readonly source: string; readonly sink: string }>
> = {
  integers: { columns: ['id'], source: 'n * 3 - 30000', sink: 'toInt64(n) * 3 - 30000' },
  uuids: {
    columns: ['id'],
    source: 'md5(n::text)::uuid',
    sink: `toUUID(replaceRegexpOne(lower(hex(MD5(toString(n)))), '^(.{8})(.{4})(.{4})(.{4})(.{12})$', '\\\\1-\\\\2-\\\\3-\\\\4-\\\\5'))`,
  },
  texts: {
    columns: ['id'],
    source: `chr((65 + n % 60)::int) || ' ü' || n`,
    sink: `concat(char(65 + n % 60), ' ü', toString(n))`,
  },
  pairs: {
    columns: ['company', 'id'],
    source: `n % 7, 'x' || n`,
    sink: `toInt32(n % 7), concat('x', toString(n))`,
  },
}

describe.each(Object.entries(KEYS))('a key of %s', (table, { columns, source: atSource, sink: atSink }) => {
  const key = columns.join(', ')

  beforeAll(async () => {
    const types = { integers: 'bigint', uuids: 'uuid', texts: 'text', pairs: 'text' } as Record<
      string,
      string
    >
    await database.query(`
      CREATE TABLE ${table} (company int, id ${types[table]}, amount numeric(12,2), created_at timestamp);
      INSERT INTO ${table} (${key}, amount, created_at)
      SELECT ${atSource}, n * 1.25, '2026-01-01' FROM generate_series(1, ${ROWS}) n;
      ALTER TABLE ${table} ADD PRIMARY KEY (${key})`)
    const sinkTypes = { integers: 'Int64', uuids: 'UUID', texts: 'String', pairs: 'String' } as Record<
      string,
      string
    >
    await inSink(`
      CREATE TABLE ${table} (company Nullable(Int32), id ${sinkTypes[table]}, amount Decimal(12, 2),
        created_at DateTime64(3), _version UInt64, _deleted UInt8)
      ENGINE = ReplacingMergeTree(_version) ORDER BY (${columns.map((c) => (c === 'company' ? 'assumeNotNull(company)' : c)).join(', ')})`)
    await inSink(`
      INSERT INTO ${table} (${key}, amount, created_at, _version, _deleted)
      SELECT ${atSink}, toDecimal64(n, 2) * toDecimal64(1.25, 2), '2026-01-01', 1, 0
      FROM (SELECT number + 1 AS n FROM numbers(${ROWS}))`)
  })

  test('cuts both sides alike, and finds one changed, one missing and one extra row in three rounds', async () => {
    const sides = await sidesOf(table, { version: '_version', deleted: '_deleted' })
    await expectEqual(sides)
    const clean = await bisect(sides, everything, BigInt(ROWS), budget(), signal)
    expect(clean).toMatchObject({ ranges: [], complete: true, rows: BigInt(ROWS) })

    // A changed, a missing and an extra one.
    await database.query(`UPDATE ${table} SET amount = -1 WHERE amount = 6543 * 1.25`)
    await inSink(
      `INSERT INTO ${table} SELECT * REPLACE (2 AS _version, 1 AS _deleted) FROM ${table} FINAL WHERE amount = 13579 * 1.25`,
    )
    await database.query(`DELETE FROM ${table} WHERE amount = 17 * 1.25`)
    const { ranges, rounds, complete } = await bisect(sides, everything, BigInt(ROWS), budget(), signal)
    expect(complete).toBe(true)
    expect(rounds).toBeLessThanOrEqual(3)
    const found = ranges.flatMap(({ keys }) => keys ?? [])
    expect(found.map(({ key, source, sink }) => [key, source?.rows, sink?.rows])).toEqual(
      expect.arrayContaining([
        [await keyOf(6543), 1n, 1n],
        [await keyOf(13579), 1n, undefined],
        [await keyOf(17), undefined, 1n],
      ]),
    )
    expect(found).toHaveLength(3)
  })

  async function keyOf(n: number): Promise<Key> {
    const { rows } = await database.query({
      text: `SELECT ${atSource.replace(', ', ' AS company, ')} AS id FROM (SELECT ${n} AS n) AS numbers`,
      rowMode: 'array',
    })
    return (rows[0] as unknown[]).map(String)
  }
})

describe('engines', () => {
  beforeAll(async () => {
    for (const table of ['plain', 'collapsing']) {
      await database.query(`
        CREATE TABLE ${table} (id int PRIMARY KEY, amount numeric(12,2), created_at timestamptz);
        INSERT INTO ${table} SELECT n, n, '2026-01-01' FROM generate_series(1, 100) n`)
    }
    const columns = 'id Int32, amount Decimal(12, 2), created_at DateTime'
    await inSink(`CREATE TABLE plain (${columns}) ENGINE = MergeTree ORDER BY id`)
    await inSink(
      `CREATE TABLE collapsing (${columns}, sign Int8) ENGINE = CollapsingMergeTree(sign) ORDER BY id`,
    )
    await inSink('SYSTEM STOP MERGES collapsing')
    await inSink(`INSERT INTO plain SELECT number + 1, number + 1, '2026-01-01' FROM numbers(100)`)
    await inSink(`INSERT INTO collapsing SELECT number + 1, number + 1, '2026-01-01', 1 FROM numbers(100)`)
  })

  const one = (id: number, source: bigint | undefined, sink: bigint | undefined) => ({
    key: [String(id)],
    source: source === undefined ? undefined : { rows: source },
    sink: sink === undefined ? undefined : { rows: sink },
  })

  async function found(table: string, given: Readonly<Record<string, unknown>> = {}) {
    const sides = await sidesOf(table, given)
    const { ranges } = await bisect(sides, everything, 100n, budget(), signal)
    return ranges.flatMap(({ keys }) => keys ?? [])
  }

  test('a plain MergeTree has what was inserted twice twice', async () => {
    expect(await found('plain')).toEqual([])
    await inSink('INSERT INTO plain SELECT * FROM plain WHERE id = 42')
    expect(await found('plain')).toMatchObject([one(42, 1n, 2n)])
  })

  test('a CollapsingMergeTree takes back by sign, merged or not', async () => {
    const sign = { sign: 'sign' }
    expect(await found('collapsing', sign)).toEqual([])
    await database.query(
      'UPDATE collapsing SET amount = 7000 WHERE id = 7; DELETE FROM collapsing WHERE id = 8',
    )
    await inSink('INSERT INTO collapsing SELECT * REPLACE (-1 AS sign) FROM collapsing WHERE id IN (7, 8)')
    expect(await found('collapsing', sign)).toMatchObject([one(7, 1n, undefined)])
    await inSink("INSERT INTO collapsing VALUES (7, 7000, '2026-01-01', 1)")
    expect(await found('collapsing', sign)).toEqual([])
    await inSink('INSERT INTO collapsing SELECT * FROM collapsing WHERE id = 9')
    expect(await found('collapsing', sign)).toMatchObject([one(9, 1n, 2n)])
  })

  test('renamed columns, text in another encoding, and a column that cannot hold NULL', async () => {
    await database.query(`
      CREATE TABLE renamed (number int PRIMARY KEY, bytes bytea, note text, made timestamp);
      INSERT INTO renamed VALUES (1, '\\xdeadbeef', NULL, '2026-01-01'), (2, decode(repeat('ab', 99), 'hex'), 'x', '2026-01-01')`)
    await inSink(
      'CREATE TABLE renamed (id Int32, bytes String, note String, made_at DateTime) ENGINE = MergeTree ORDER BY id',
    )
    await inSink(`INSERT INTO renamed VALUES (1, base64Encode(unhex('deadbeef')), '', '2026-01-01'),
      (2, base64Encode(repeat(unhex('ab'), 99)), 'x', '2026-01-01')`)
    const given = { rename: { number: 'id', made: 'made_at' }, binary: 'base64', watermark: 'made' }
    expect(await found('renamed', given)).toEqual([])
    await inSink("INSERT INTO renamed VALUES (3, '', '', '2026-01-01')")
    expect(await found('renamed', given)).toMatchObject([one(3, undefined, 1n)])
  })

  test('more rows than may be named are a range', async () => {
    const sides = await sidesOf('plain')
    await database.query('DELETE FROM plain WHERE id > 50')
    const few = { rows: 1_000_000, keys: 20 }
    expect((await bisect(sides, everything, 100n, few, signal)).ranges).toMatchObject([
      { range: everything, source: { rows: 50n }, keys: undefined },
    ])
    const none = { rows: 10, keys: 20 }
    expect(await bisect(sides, everything, 100n, none, signal)).toMatchObject({ ranges: [], complete: false })
  })

  test('a key that both sides order in their own way is refused', async () => {
    await database.query('CREATE TABLE dated (id date PRIMARY KEY, created_at timestamptz)')
    await inSink('CREATE TABLE dated (id Date, created_at DateTime) ENGINE = MergeTree ORDER BY id')
    await expect(sidesOf('dated')).rejects.toThrow('the column id is no key that can be compared')
    await expect(sidesOf('plain', { key: 'nothing' })).rejects.toThrow('the source has no column nothing')
  })
})
