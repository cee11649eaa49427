import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import pg from 'pg'
import { systemClock } from '../../src/clock.ts'
import type { SampleBatch } from '../../src/collection/collector.ts'
import type { Bisection } from '../../src/collectors/drift/bisect.ts'
import { settings } from '../../src/collectors/drift/config.ts'
import { Reconciliation } from '../../src/collectors/drift/reconciliation.ts'
import { installClickHouse } from '../testbed/clickhouse.ts'
import { type ClickHousePart, startClickHouse } from '../testbed/parts/clickhouse.ts'
import { type PostgresPart, startPostgres } from '../testbed/parts/postgres.ts'
import { type Report, ratioAtMost, valueAtMost } from './report.ts'

export interface DriftBench {
  /** Of the small table and of the large one. */
  readonly sizes: readonly [small: number, large: number]
  /** For each measure. */
  readonly runs: number
}

const fastest = (walls: readonly number[]): number => Math.min(...walls)

/** Rows that come between two steady runs. */
const NEW_ROWS = 1000

/**
 * What a comparison costs beside the queries that it cannot do without, on tables that nobody else reads: wall
 * time, the plain queries and the comparison in turns so that both see the same machine, and of each the fastest,
 * which others on the machine disturbed least.
 */
export async function benchDrift(
  { sizes, runs }: DriftBench,
  out: Report,
  progress: (text: string) => void,
): Promise<void> {
  await installClickHouse()
  const [source, sink] = await Promise.all([startPostgres(), startClickHouse()])
  const database = new pg.Client({ connectionString: source.url() })
  const warehouse = createClient({
    url: sink.url,
    request_timeout: 600_000,
    log: { level: ClickHouseLogLevel.OFF },
  })
  try {
    await database.connect()
    const steady: number[] = []
    for (const [i, size] of sizes.entries()) {
      const table = `rows_${i}`
      progress(`${size.toLocaleString('en')} rows on both sides`)
      await fill(database, warehouse, table, size)
      const bench = { source, sink, database, warehouse, table, size, runs }
      const name = `rows_${size}`
      await count(bench, name, out)
      steady.push(await steadyRun(bench, name, out))
      await bisected(bench, name, out)
    }
    const [small = Number.NaN, large = Number.NaN] = steady
    out.add('growth.steady_wall', large, 'ms', {
      reference: { name: `rows_${sizes[0]}.steady_wall`, value: small },
      // Ten times the rows.
      goal: ratioAtMost(2),
    })
  } finally {
    await warehouse.close()
    await database.end()
    await Promise.all([source.remove(), sink.remove()])
  }
}

interface Bench {
  readonly source: PostgresPart
  readonly sink: ClickHousePart
  readonly database: pg.Client
  readonly warehouse: ReturnType<typeof createClient>
  readonly table: string
  readonly size: number
  readonly runs: number
}

async function fill(
  database: pg.Client,
  warehouse: Bench['warehouse'],
  table: string,
  size: number,
): Promise<void> {
  await database.query(`
    CREATE TABLE ${table} (
      id bigint PRIMARY KEY, account text NOT NULL, amount numeric(18, 2) NOT NULL,
      created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)`)
  await warehouse.command({
    query: `
      CREATE TABLE ${table} (
        id UInt64, account String, amount Decimal(18, 2), created_at DateTime64(6, 'UTC'),
        updated_at DateTime64(6, 'UTC'), _version UInt64, _deleted UInt8
      ) ENGINE = ReplacingMergeTree(_version) ORDER BY id PARTITION BY toYYYYMM(created_at)`,
  })
  await insert({ database, warehouse, table }, 1, size)
  await database.query(`VACUUM ANALYZE ${table}`)
  await warehouse.command({ query: `OPTIMIZE TABLE ${table} FINAL` })
}

/** Rows of the last hundred days, the same on both sides. */
async function insert(
  { database, warehouse, table }: Pick<Bench, 'database' | 'warehouse' | 'table'>,
  from: number,
  to: number,
): Promise<void> {
  await database.query(`
    INSERT INTO ${table}
    SELECT n, '5-' || n % 1000, n % 100000 * 0.25, at, at
    FROM (SELECT n, to_timestamp(1767225600 + n % 8640000) AS at FROM generate_series(${from}, ${to}) n) AS made`)
  await warehouse.command({
    query: `
      INSERT INTO ${table}
      SELECT n, concat('5-', toString(n % 1000)), toDecimal64(n % 100000, 2) * toDecimal64(0.25, 2), at, at, n, 0
      FROM (
        SELECT number + ${from} AS n, toDateTime64(1767225600 + n % 8640000, 6, 'UTC') AS at
        FROM numbers(${to - from + 1}))`,
    clickhouse_settings: { max_partitions_per_insert_block: '0' },
  })
}

function reconciliation({ source, sink, table }: Bench, given: object): Reconciliation {
  const parsed = settings.parse({
    source: { postgresql: { url: source.url() } },
    sink: { clickhouse: { url: sink.url } },
    lag: '0s',
    statement_timeout: '10m',
    tables: [
      {
        source: `public.${table}`,
        sink: table,
        watermark: 'created_at',
        version: '_version',
        deleted: '_deleted',
      },
    ],
    ...given,
  })
  return new Reconciliation(parsed, systemClock)
}

/** Throws what failed: a part that is left out would make it cheap. */
const batch: SampleBatch = {
  add: () => {},
  addRow: () => {},
  addHistogram: () => {},
  partFailed(_, cause) {
    throw new Error('a part failed', { cause })
  },
}

const signal = new AbortController().signal

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

/** The whole bounded check beside the plain queries, one after the other as it reads them. */
async function count(bench: Bench, name: string, out: Report): Promise<void> {
  const { database, warehouse, table, runs } = bench
  const plainQueries = async () => {
    await database.query(`SELECT count(*) FROM ${table} WHERE created_at < now()`)
    const query = `SELECT countIf(_deleted = 0 AND created_at < now()) FROM ${table} FINAL
      SETTINGS do_not_merge_across_partitions_select_final = 0`
    await (await warehouse.query({ query, format: 'JSONEachRow' })).json()
  }
  const compared = reconciliation(bench, {})
  try {
    const [plain, check]: [number[], number[]] = [[], []]
    // The first one of each warms the caches up.
    for (let i = 0; i <= runs; i++) {
      const both = [await timed(plainQueries), await timed(() => compared.run(batch, signal))] as const
      if (i === 0) continue
      plain.push(both[0])
      check.push(both[1])
    }
    const reference = { name: `${name}.plain_wall`, value: fastest(plain) }
    out.add(reference.name, reference.value, 'ms')
    out.add(`${name}.check_wall`, fastest(check), 'ms', { reference, goal: ratioAtMost(1.2) })
  } finally {
    compared.close()
  }
}

/** New rows and a slice, with a count behind it that is not due again. */
async function steadyRun(bench: Bench, name: string, out: Report): Promise<number> {
  const compared = reconciliation(bench, { checksums: { count_every: '1d' } })
  try {
    let last = bench.size
    await compared.run(batch, signal)
    const walls: number[] = []
    for (let i = 0; i < bench.runs; i++) {
      await insert(bench, last + 1, last + NEW_ROWS)
      last += NEW_ROWS
      walls.push(await timed(() => compared.run(batch, signal)))
    }
    requireEqual(compared)
    out.add(`${name}.steady_wall`, fastest(walls), 'ms')
    return fastest(walls)
  } finally {
    compared.close()
  }
}

function requireEqual({ states }: Reconciliation): void {
  if (states.some(({ differs }) => differs)) throw new Error('equal tables are said to differ')
}

async function bisected(bench: Bench, name: string, out: Report): Promise<void> {
  const { warehouse, table, size } = bench
  const key = Math.floor(size / 3)
  await warehouse.command({
    query: `INSERT INTO ${table} SELECT * REPLACE ('changed' AS account, _version + 1000000000 AS _version)
      FROM ${table} FINAL WHERE id = ${key}`,
  })
  const compared = reconciliation(bench, { checksums: { max_rows: 1_000_000_000 } })
  try {
    let bisection: Bisection | undefined
    const wall = await timed(() =>
      compared.run(batch, signal, {
        whole: true,
        onBisected: (_, made) => {
          bisection = made
        },
      }),
    )
    const found = compared.states[0]?.found?.flatMap(({ keys }) => keys ?? []).map(({ key }) => key.join())
    if (found?.join() !== String(key)) throw new Error(`the changed row is ${key}, found is ${found?.join()}`)
    out.add(`${name}.bisect_rounds`, bisection?.rounds ?? Number.NaN, 'rounds', { goal: valueAtMost(3) })
    out.add(`${name}.bisect_wall`, wall, 'ms')
  } finally {
    compared.close()
  }
}
