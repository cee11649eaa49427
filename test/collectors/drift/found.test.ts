import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drift } from '../../../src/collectors/drift/index.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { erpPublication, erpSlot, erpTables } from '../../testbed/erp/schema.ts'
import { installJars } from '../../testbed/java.ts'
import { etlApp, type Pipeline, startPipeline } from '../../testbed/pipeline.ts'
import { waitFor } from '../../testbed/process.ts'
import { checked, complaints } from '../check.ts'
import { type Collecting, collecting } from '../collect.ts'

const tenants = ['alpha', 'bravo'] as const

let pipeline: Pipeline
let source: pg.Pool

beforeAll(async () => {
  await installJars()
  await installClickHouse()
  pipeline = await startPipeline({ tenants })
  source = new pg.Pool({ connectionString: pipeline.postgres.url('erp'), max: 4 })
  source.on('error', () => {})
  // A plain table that is fed by the pipeline, without what the merges of another engine would hide.
  await inSink(`CREATE TABLE plain_lines (tenant String, id UInt64, journal_id UInt64, account String,
    debit Decimal(18, 2), credit Decimal(18, 2), created_at DateTime64(6, 'UTC'))
    ENGINE = MergeTree ORDER BY (tenant, id)`)
  await inSink(`CREATE MATERIALIZED VIEW to_plain TO plain_lines AS
    SELECT tenant, id, journal_id, account, debit, credit, created_at FROM journal_lines WHERE _deleted = 0`)
})
afterAll(async () => {
  await source?.end()
  await pipeline?.stop()
})

const discover = {
  publication: erpPublication,
  match: '^(?<tenant>[^.]+)\\.',
  sink_tenant_column: 'tenant',
  watermark: 'created_at',
  version: '_version',
  deleted: '_deleted',
}

/** Runs `work` with a collector of the whole ERP, whose tables are discovered. */
async function comparing<T>(
  given: Readonly<Record<string, unknown>>,
  work: (collector: Collecting) => Promise<T>,
): Promise<T> {
  const collector = collecting(drift, {
    source: { postgresql: { url: pipeline.postgres.url('erp') } },
    sink: { clickhouse: { url: pipeline.clickhouse.url, database: 'erp' } },
    discover,
    checksums: { slice: 1000 },
    ...given,
  })
  try {
    return await work(collector)
  } finally {
    await collector.stop()
  }
}

/** Waits for the consumer group and not for a time, however slow the machine is. */
const arrival = () => ({
  slot: erpSlot,
  slot_timeout: '60s',
  lag: '2s',
  kafka: {
    brokers: pipeline.kafka.bootstrap,
    group: 'clickhouse-etl',
    topic: 'erp.{schema}.{table}',
    timeout: '60s',
    broker_timeout: '1m',
  },
})

/** What all lines of old journals come to, while some of them go. */
const debits = {
  tenants: [...tenants],
  values: [
    {
      name: 'debits',
      value: 'debits',
      source: {
        sql: 'SELECT sum(debit) AS debits FROM {tenant}.journal_lines WHERE created_at < to_timestamp({watermark})',
      },
      sink: {
        sql: `SELECT sumIf(debit, _deleted = 0 AND created_at < fromUnixTimestamp({watermark})) AS debits
          FROM journal_lines FINAL WHERE tenant = {tenant:String}`,
        parameters: { tenant: '{tenant}' },
      },
    },
  ],
}

/** What a series says, by `table/tenant`; 0 is left out. */
function valuesOf(name: string, lines: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = /^(\w+)\{target="test",table="(\w+)",tenant="(\w*)".*\} (\S+)$/.exec(line)
      return match?.[1] === name && Number(match[4]) !== 0
        ? [[`${match[2]}/${match[3]}`, Number(match[4])]]
        : []
    }),
  )
}

/** The keys that were found, as `table/tenant key fault`. */
function keysOf(collector: Collecting): string[] {
  return collector
    .findings()
    .flatMap(({ labels, details }) => {
      const ranges = details.ranges as { keys: { key: string[]; fault: string }[] | null }[] | undefined
      // Values have none.
      return (ranges ?? []).flatMap(({ keys }) =>
        (keys ?? []).map(({ key, fault }) => `${labels.table}/${labels.tenant} ${key.join(',')} ${fault}`),
      )
    })
    .sort()
}

async function ask(sql: string): Promise<Record<string, unknown>[]> {
  return (await source.query(sql)).rows
}

async function withSink<T>(work: (client: ReturnType<typeof createClient>) => Promise<T>): Promise<T> {
  const client = createClient({ url: pipeline.clickhouse.url, database: 'erp' })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

const inSink = (query: string) =>
  withSink((client) => client.command({ query, clickhouse_settings: { mutations_sync: '1' } }))

async function countInSink(table: string, tenant: string): Promise<number> {
  return await withSink(async (client) => {
    const query = `SELECT countIf(_deleted = 0) AS count FROM ${table} FINAL WHERE tenant = '${tenant}'`
    const [row] = await (await client.query({ query, format: 'JSONEachRow' })).json<{ count: number }>()
    return Number(row?.count)
  })
}

async function everythingArrived(): Promise<void> {
  for (const tenant of tenants) {
    for (const table of erpTables) {
      await waitFor(`${tenant}.${table} to arrive`, async () => {
        const [row] = await ask(`SELECT count(*) FROM ${tenant}.${table}`)
        return Number(row?.count) === (await countInSink(table, tenant))
      })
    }
  }
}

/** Something is written at all times: Debezium confirms nothing on an idle database. */
async function withHeartbeats<T>(work: () => Promise<T>): Promise<T> {
  const heartbeat = setInterval(() => {
    void ask('UPDATE bravo.cash_accounts SET updated_at = now() WHERE id = 1').catch(() => {})
  }, 200)
  return await work().finally(() => clearInterval(heartbeat))
}

/** Made an hour ago, with two lines each; the id of the first. */
async function bookOld(tenant: string, count: number): Promise<number> {
  const [row] = await ask(`
    WITH made AS (
      INSERT INTO ${tenant}.journals (number, description, created_at)
      SELECT 'OLD-' || n, 'as it was', now() - interval '1 hour' FROM generate_series(1, ${count}) n
      RETURNING id
    ), lines AS (
      INSERT INTO ${tenant}.journal_lines (journal_id, account, debit, credit, created_at)
      SELECT id, account, debit, credit, now() - interval '1 hour'
      FROM made, (VALUES ('5-100', 10.5, 0), ('1-100', 0, 10.5)) AS line (account, debit, credit)
    ) SELECT min(id) AS id FROM made`)
  return Number(row?.id)
}

test('what one side lost or changed is found, named by key, confirmed, and gone after repair', async () => {
  const first = await bookOld('alpha', 3000)
  await everythingArrived()
  const given = {
    ...arrival(),
    tenants: ['alpha'],
    tables: [
      {
        source: '{tenant}.journal_lines',
        sink: 'plain_lines',
        sink_tenant_column: 'tenant',
        watermark: 'created_at',
        columns: ['account', 'debit', 'credit'],
        sums: ['debit', 'credit'],
      },
    ],
  }
  await withHeartbeats(() =>
    comparing(given, async (collector) => {
      const clean = await collector.run()
      expect(valuesOf('cdc_reconcile_confirmed_ranges', clean)).toEqual({})
      expect(valuesOf('cdc_sum_difference', clean)).toEqual({})
      expect(valuesOf('cdc_sum_source', clean)).toEqual({ 'journal_lines/alpha': 31500 })
      expect(collector.failedParts).toEqual([])

      const [missing, extra, changed, kept, duplicate] = [
        first + 10,
        900_001,
        first + 1700,
        first + 2500,
        4321,
      ]
      const later = (id: number, values: string) => `
        INSERT INTO journals SELECT * REPLACE (_version + 1000000000000 AS _version${values})
        FROM journals FINAL WHERE tenant = 'alpha' AND id = ${id}`
      await ask(`DELETE FROM alpha.journal_lines WHERE journal_id = ${kept}`)
      await ask(`DELETE FROM alpha.journals WHERE id = ${kept}`)
      await inSinkOnceGone(kept)
      await inSink(`ALTER TABLE journals DELETE WHERE tenant = 'alpha' AND id = ${missing}`)
      await inSink(`INSERT INTO journals (tenant, id, number, created_at, updated_at, _version, _deleted)
        VALUES ('alpha', ${extra}, 'nobody knows it', now() - 3600, now() - 3600, 1, 0)`)
      await inSink(later(changed, ", 'tampered' AS description"))
      // With FINAL it is not there any more.
      await inSink(`INSERT INTO journals SELECT * REPLACE (_version + 1000000000000 AS _version, 0 AS _deleted)
        FROM (SELECT * FROM journals WHERE tenant = 'alpha' AND id = ${kept} AND _deleted = 1 LIMIT 1)`)
      await inSink(
        `INSERT INTO plain_lines SELECT * FROM plain_lines WHERE tenant = 'alpha' AND id = ${duplicate}`,
      )
      // The plain table hears of no delete.
      await inSink(`ALTER TABLE plain_lines DELETE WHERE tenant = 'alpha' AND journal_id = ${kept}`)

      const lines = await collector.run()
      const expected = [
        `journal_lines/alpha ${duplicate} duplicate`,
        `journals/alpha ${changed} different`,
        `journals/alpha ${extra} extra`,
        `journals/alpha ${kept} extra`,
        `journals/alpha ${missing} missing`,
      ].sort()
      expect(keysOf(collector)).toEqual(expected)
      expect(valuesOf('cdc_reconcile_differing_rows', lines)).toEqual({
        'journals/alpha': 4,
        'journal_lines/alpha': 1,
      })
      expect(valuesOf('cdc_row_difference', lines)).toEqual({
        'journals/alpha': -1,
        'journal_lines/alpha': -1,
      })
      expect(valuesOf('cdc_sum_difference', lines)).toEqual({ 'journal_lines/alpha': -10.5 })
      const problems = collector.findings().flatMap(({ alarm }) => alarm?.problem ?? [])
      expect(problems.toSorted()).toEqual([
        'table journal_lines of alpha: rows confirmed to differ: 1; row difference: -1; sums that differ: debit',
        'table journals of alpha: rows confirmed to differ: 4; row difference: -1',
      ])
      expect(collector.health().details).toMatchObject({
        tables: {
          differing_rows: 5,
          differing: expect.arrayContaining([
            { table: 'journals', tenant: 'alpha', confirmed_ranges: expect.any(Number), differing_rows: 4 },
          ]),
        },
      })

      // What was found is looked at in each run, wherever the slice is.
      expect(valuesOf('cdc_reconcile_differing_rows', await collector.run())).toEqual({
        'journals/alpha': 4,
        'journal_lines/alpha': 1,
      })
      expect(keysOf(collector)).toEqual(expected)

      await inSink(`INSERT INTO journals SELECT tenant, ${missing} AS id, number, description, created_at, updated_at,
        _version, _deleted FROM journals FINAL WHERE tenant = 'alpha' AND id = ${missing + 1}`)
      await ask(`UPDATE alpha.journals SET number = number WHERE id = ${missing}`)
      await inSink(`ALTER TABLE journals DELETE WHERE tenant = 'alpha' AND id IN (${extra}, ${kept})`)
      await inSink(later(changed, ", 'as it was' AS description"))
      await inSink(`ALTER TABLE plain_lines DELETE WHERE tenant = 'alpha' AND id = ${duplicate}`)
      await inSink(`INSERT INTO plain_lines SELECT tenant, id, journal_id, account, debit, credit, created_at
        FROM journal_lines FINAL WHERE tenant = 'alpha' AND id = ${duplicate}`)
      const repaired = await collector.run()
      expect(keysOf(collector)).toEqual([])
      for (const name of [
        'cdc_reconcile_confirmed_ranges',
        'cdc_reconcile_differing_rows',
        'cdc_row_difference',
      ]) {
        expect(valuesOf(name, repaired), name).toEqual({})
      }
      expect(repaired).toContain(
        'cdc_reconcile_differing_rows{target="test",table="journals",tenant="alpha"} 0',
      )
      expect(valuesOf('cdc_sum_difference', repaired)).toEqual({})
    }),
  )
})

/** The delete has arrived: what is written to the sink after it is younger. */
async function inSinkOnceGone(id: number): Promise<void> {
  await waitFor(
    'the delete to arrive',
    async () =>
      await withSink(async (client) => {
        const query = `SELECT count() AS count FROM journals WHERE tenant = 'alpha' AND id = ${id} AND _deleted = 1`
        const [row] = await (await client.query({ query, format: 'JSONEachRow' })).json<{ count: number }>()
        return Number(row?.count) > 0
      }),
  )
}

test('a changed value that no count shows is found when the slice comes by', async () => {
  await everythingArrived()
  const [middle] = await ask('SELECT id FROM alpha.journals ORDER BY id OFFSET 1500 LIMIT 1')
  await inSink(`INSERT INTO journals SELECT * REPLACE ('tampered' AS number, _version + 1 AS _version)
    FROM journals FINAL WHERE tenant = 'alpha' AND id = ${middle?.id}`)
  await comparing({ lag: '1s', checksums: { slice: 1000 } }, async (collector) => {
    expect(valuesOf('cdc_reconcile_differing_rows', await collector.run())).toEqual({})
    const lines = await collector.run()
    expect(valuesOf('cdc_reconcile_differing_rows', lines)).toEqual({ 'journals/alpha': 1 })
    expect(keysOf(collector)).toEqual([`journals/alpha ${middle?.id} different`])
    expect(valuesOf('cdc_row_difference', lines)).toEqual({})
  })
  await inSink(`INSERT INTO journals SELECT * REPLACE ('OLD-' || toString(id - ${await firstOld()} + 1) AS number,
    _version + 1 AS _version) FROM journals FINAL WHERE tenant = 'alpha' AND id = ${middle?.id}`)
})

async function firstOld(): Promise<number> {
  const [row] = await ask("SELECT id FROM alpha.journals WHERE number = 'OLD-1'")
  return Number(row?.id)
}

test('what is there of the pipeline is found by its checks, and what is not is told', async () => {
  const settings = {
    source: { postgresql: { url: pipeline.postgres.url('erp') } },
    sink: { clickhouse: { url: pipeline.clickhouse.url, database: 'erp' } },
    discover,
    checksums: {},
    ...arrival(),
    ...debits,
  }
  const found = await checked(drift, settings)
  expect(complaints(found)).toEqual({})
  expect(found).toMatchObject({
    [`slot_exists ${erpSlot}`]: { message: 'it is there, by pgoutput' },
    [`publication_exists ${erpPublication}`]: { message: '6 of its 6 tables are wanted' },
    'group_exists clickhouse-etl': { message: 'it is there, with 6 topics' },
    keys_comparable: { message: '6 tables' },
    tables_published: { message: '6 tables' },
  })
  const { kafka } = settings
  const wrong = async (given: object) =>
    complaints(await checked(drift, { ...settings, kafka: { ...kafka, ...given } }))
  expect(await wrong({ group: 'nobody' })).toEqual({
    'group_exists nobody': expect.stringContaining('Kafka has no such group'),
  })
  expect(await wrong({ topic: 'sales.{schema}.{table}' })).toEqual({
    'group_exists clickhouse-etl': expect.stringContaining('no such topics: sales.alpha.cash_accounts, '),
  })
})

/** An hour of 20 changes a second. */
const OPERATIONS = 72_000
const PASSES = 60
const PAIRS = tenants.length * erpTables.length

/** Milliseconds in which a pass has ended, however slow the machine is. */
const PASS_MS = 900_000

test('nothing is reported during an hour’s worth of load, with the consumer stopped, slowed and restarted and long transactions open', {
  timeout: 3_600_000,
}, async () => {
  await everythingArrived()
  await bookOld('bravo', 2000)
  const load = newLoad()
  let passes = 0
  let values = 0
  /** One pass, and its share of the load meanwhile. */
  const pass = async (collector: Collecting) => {
    const target = Math.ceil((OPERATIONS * (passes + 1)) / PASSES)
    const [lines] = await Promise.all([collector.run(PASS_MS), load.until(target)])
    expect(keysOf(collector)).toEqual([])
    for (const name of FINDINGS) expect(valuesOf(name, lines), `${name} of pass ${passes}`).toEqual({})
    const differing = lines.filter((line) => line.startsWith('cdc_value_differing_groups{'))
    expect(differing.filter((line) => !line.endsWith(' 0'))).toEqual([])
    values += differing.length
    // What was late is judged in the next one.
    const judged = lines.filter((line) => line.startsWith('cdc_reconcile_differing_rows{')).length
    if (collector.failedParts.length === 0 && judged === PAIRS) passes++
  }
  const until = async (count: number, work: () => Promise<void>) => {
    while (passes < count) await work()
  }
  const given = { ...arrival(), ...debits, lag: '1s', checksums: { slice: 500, passes: 3 } }
  await withHeartbeats(() =>
    comparing(given, async (collector) => {
      await until(15, () => pass(collector))
      await slowly(() => until(27, () => pass(collector)))

      // Stopped before a pass, and started in the middle of it.
      await until(30, async () => {
        await pipeline.pm2.stopApp(etlApp)
        await bookOld('bravo', 50)
        const share = load.done + OPERATIONS / PASSES / 4
        await Promise.all([pass(collector), load.until(share).then(() => pipeline.pm2.restartApp(etlApp))])
      })
      await until(35, () => pass(collector))

      // Transactions that begin before a pass and end after some.
      await until(50, () => inTransaction(() => until(passes + 5, () => pass(collector))))

      await inTransaction(() => slowly(() => until(PASSES - 2, () => pass(collector))))
      await until(PASSES, () => pass(collector))
      await load.until(OPERATIONS)
    }),
  )
  expect(passes).toBeGreaterThanOrEqual(PASSES)
  expect(values).toBeGreaterThanOrEqual(PASSES)
  expect(load.done).toBeGreaterThanOrEqual(OPERATIONS)
  expect(Math.min(...Object.values(load.by))).toBeGreaterThan(OPERATIONS / 20)
  await everythingArrived()
  await withHeartbeats(() =>
    comparing({ ...given, checksums: { slice: 1_000_000, passes: 3 } }, async (collector) => {
      const lines = await collector.run(PASS_MS)
      expect(keysOf(collector)).toEqual([])
      for (const name of FINDINGS) expect(valuesOf(name, lines), name).toEqual({})
      const rows = valuesOf('cdc_source_rows', lines)
      expect(Object.keys(rows)).toHaveLength(PAIRS)
      expect(valuesOf('cdc_sink_rows', lines)).toEqual(rows)
    }),
  )
})

test('what is late is no drift either, but for as long as one waits for it', async () => {
  await everythingArrived()
  await pipeline.pm2.stopApp(etlApp)
  await bookOld('bravo', 5)
  const { kafka, ...rest } = arrival()
  await withHeartbeats(() =>
    comparing({ ...rest, ...debits, kafka: { ...kafka, timeout: '2s' } }, async (collector) => {
      const lines = await collector.run()
      const values = collector.failedParts.filter(({ labels }) => labels.value === 'debits')
      expect(values.map(({ labels }) => labels.tenant)).toEqual([...tenants])
      expect(String(values[0]?.cause)).toMatch(/group clickhouse-etl is \d+ records behind in erp\.bravo\./)
      expect(lines).toContain(
        'cdc_value_skipped_total{target="test",value="debits",tenant="bravo",reason="lag"} 1',
      )
      expect(lines.filter((line) => line.startsWith('cdc_value_differing_groups{'))).toEqual([])
      expect(valuesOf('cdc_row_difference', lines)).toEqual({})
      expect(valuesOf('cdc_reconcile_skipped_total', lines)).toMatchObject({ 'journals/bravo': 1 })
      const late = collector.failedParts.find(
        ({ labels }) => labels.table === 'journals' && labels.tenant === 'bravo',
      )
      expect(String(late?.cause)).toMatch(/group clickhouse-etl is \d+ records behind in erp.bravo.journals/)
    }),
  ).finally(() => pipeline.pm2.restartApp(etlApp))
})

const FINDINGS = ['cdc_row_difference', 'cdc_reconcile_confirmed_ranges', 'cdc_reconcile_differing_rows']

/** Runs `work` while the consumer stands still half of the time. */
async function slowly(work: () => Promise<void>): Promise<void> {
  let pid = 0
  await waitFor('the ETL to run', async () => {
    pid = await pipeline.pm2.pidOf(etlApp)
    return pid > 0
  })
  const slowing = new AbortController()
  const slowed = (async () => {
    while (!slowing.signal.aborted) {
      process.kill(pid, 'SIGSTOP')
      await delay(300)
      process.kill(pid, 'SIGCONT')
      await delay(300)
    }
  })()
  await work().finally(() => slowing.abort())
  await slowed
}

/** Runs `work` while a transaction is open that has written a new row and an old one. */
async function inTransaction(work: () => Promise<void>): Promise<void> {
  const client = await source.connect()
  try {
    await client.query(`BEGIN; INSERT INTO alpha.journals (number) VALUES ('LONG');
      UPDATE alpha.journals SET description = 'in a long transaction' WHERE number = 'OLD-7'`)
    await work()
    await client.query('COMMIT')
  } finally {
    client.release(true)
  }
}

interface Load {
  /** Rows that were written, changed or deleted. */
  readonly done: number
  readonly by: Readonly<Record<'inserts' | 'updates' | 'deletes', number>>
  /** Writes until so many are done, in small transactions that leave the others room. */
  until(count: number): Promise<void>
}

/** Rows come, change and go, new ones and old ones, in both tenants. */
function newLoad(): Load {
  const by = { inserts: 0, updates: 0, deletes: 0 }
  const total = () => by.inserts + by.updates + by.deletes
  let turn = 0
  let writing: Promise<void> = Promise.resolve()
  const some = (table: string, count: number) => `
    SELECT floor(random() * max)::bigint + 1 AS id
    FROM (SELECT max(id) AS max FROM ${table}) AS of_table, generate_series(1, ${count})`
  async function write(): Promise<void> {
    const tenant = tenants[turn++ % tenants.length]
    // Of alpha's old ones the sink has versions of other tests, which no change reaches; and one is in a transaction.
    const mayChange = tenant === 'alpha' ? "number NOT LIKE 'OLD-%'" : 'true'
    const changed = async (sql: string) => (await source.query(sql)).rowCount ?? 0
    by.inserts += await changed(`
      INSERT INTO ${tenant}.journals (number, description)
      SELECT 'JV-${turn}-' || n, 'voucher' FROM generate_series(1, 10) n`)
    by.inserts += await changed(`
      INSERT INTO ${tenant}.journal_lines (journal_id, account, debit, credit)
      SELECT id, account, debit, credit
      FROM (SELECT id FROM ${tenant}.journals ORDER BY id DESC LIMIT 10) AS newest,
        (VALUES ('5-100', 12.25, 0), ('1-100', 0, 12.25)) AS line (account, debit, credit)`)
    by.updates += await changed(`
      UPDATE ${tenant}.journals SET description = 'change ${turn}', updated_at = now()
      WHERE id IN (${some(`${tenant}.journals`, 20)}) AND ${mayChange}`)
    by.deletes += await changed(
      `DELETE FROM ${tenant}.journal_lines WHERE id IN (${some(`${tenant}.journal_lines`, 8)})`,
    )
    by.deletes += await changed(`
      WITH gone AS MATERIALIZED (
        SELECT id FROM ${tenant}.journals
        WHERE id IN (${some(`${tenant}.journals`, 3)}) AND ${mayChange}
      ), lines AS (DELETE FROM ${tenant}.journal_lines WHERE journal_id IN (SELECT id FROM gone))
      DELETE FROM ${tenant}.journals WHERE id IN (SELECT id FROM gone)`)
    await delay(5)
  }
  return {
    get done() {
      return total()
    },
    by,
    async until(count) {
      // One after the other, whoever asks.
      writing = writing.then(async () => {
        while (total() < count) await write()
      })
      await writing
    },
  }
}
