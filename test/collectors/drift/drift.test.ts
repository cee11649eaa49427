import { setInterval as every } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drift } from '../../../src/collectors/drift/index.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { erpSlot, erpTables } from '../../testbed/erp/schema.ts'
import { startTraffic } from '../../testbed/erp/traffic.ts'
import { installJars } from '../../testbed/java.ts'
import { etlApp, type Pipeline, startPipeline } from '../../testbed/pipeline.ts'
import { waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

const tenants = ['alpha', 'bravo'] as const

let pipeline: Pipeline
let source: pg.Pool

beforeAll(async () => {
  await installJars()
  await installClickHouse()
  pipeline = await startPipeline({ tenants })
  source = new pg.Pool({ connectionString: pipeline.postgres.url('erp'), max: 2 })
  source.on('error', () => {})
})
afterAll(async () => {
  await source?.end()
  await pipeline?.stop()
})

const tables = erpTables.map((table) => ({
  source: `{tenant}.${table}`,
  sink: table,
  sink_tenant_column: 'tenant',
  key: 'id',
  watermark: 'created_at',
  version: '_version',
  deleted: '_deleted',
}))

/** Runs `work` with a collector of the whole ERP. */
async function comparing<T>(
  given: Readonly<Record<string, unknown>>,
  work: (collector: Collecting) => Promise<T>,
): Promise<T> {
  const collector = collecting(drift, {
    source: { postgresql: { url: pipeline.postgres.url('erp') } },
    sink: { clickhouse: { url: pipeline.clickhouse.url, database: 'erp' } },
    tenants: [...tenants],
    tables,
    ...given,
  })
  try {
    return await work(collector)
  } finally {
    await collector.stop()
  }
}

/** What a series says, by `table/tenant`. */
function valuesOf(name: string, lines: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = /^(\w+)\{target="test",table="(\w+)",tenant="(\w*)".*\} (\S+)$/.exec(line)
      return match?.[1] === name ? [[`${match[2]}/${match[3]}`, Number(match[4])]] : []
    }),
  )
}

const differences = (lines: readonly string[]) => valuesOf('cdc_row_difference', lines)

const expected = (values: Readonly<Record<string, number>> = {}) => ({
  ...Object.fromEntries(tenants.flatMap((tenant) => erpTables.map((table) => [`${table}/${tenant}`, 0]))),
  ...values,
})

async function ask(sql: string): Promise<Record<string, unknown>[]> {
  return (await source.query(sql)).rows
}

async function inSink(query: string): Promise<void> {
  const client = createClient({ url: pipeline.clickhouse.url, database: 'erp' })
  try {
    await client.command({ query, clickhouse_settings: { mutations_sync: '1' } })
  } finally {
    await client.close()
  }
}

async function countInSink(table: string, tenant: string): Promise<number> {
  const client = createClient({ url: pipeline.clickhouse.url, database: 'erp' })
  try {
    const query = `SELECT countIf(_deleted = 0) AS count FROM ${table} FINAL WHERE tenant = {tenant:String}`
    const answer = await client.query({ query, query_params: { tenant }, format: 'JSONEachRow' })
    return Number((await answer.json<{ count: number }>())[0]?.count)
  } finally {
    await client.close()
  }
}

async function countInSource(table: string, tenant: string): Promise<number> {
  return Number((await ask(`SELECT count(*) FROM ${tenant}.${table}`))[0]?.count)
}

async function everythingArrived(): Promise<void> {
  for (const tenant of tenants) {
    for (const table of erpTables) {
      await waitFor(
        `${tenant}.${table} to arrive`,
        async () => (await countInSource(table, tenant)) === (await countInSink(table, tenant)),
      )
    }
  }
}

/** Journals without lines, made an hour ago. */
async function bookOld(tenant: string, count: number): Promise<void> {
  await ask(
    `INSERT INTO ${tenant}.journals (number, created_at)
     SELECT 'OLD-' || n, now() - interval '1 hour' FROM generate_series(1, ${count}) n`,
  )
}

const deleteOld = (tenant: string, count: number) =>
  ask(
    `DELETE FROM ${tenant}.journals WHERE id IN
       (SELECT id FROM ${tenant}.journals WHERE number LIKE 'OLD-%' ORDER BY id LIMIT ${count})`,
  )

test('no table and no tenant differs after load', async () => {
  await bookOld('alpha', 400)
  const traffic = startTraffic({
    url: pipeline.postgres.url('erp'),
    tenants,
    ratePerSecond: 40,
    deletes: true,
  })
  await waitFor('some load', () => traffic.counters.deletedJournals > 5)
  await traffic.stop()
  expect(traffic.counters.failed).toBe(0)
  await everythingArrived()

  await comparing({ lag: '0s' }, async (collector) => {
    const [last] = await ask(
      `SELECT extract(epoch FROM max(created_at)) AS at FROM (
         SELECT created_at FROM alpha.journals UNION ALL SELECT created_at FROM bravo.journals) AS made`,
    )
    let lines: string[] = []
    await waitFor('the watermark to pass the last row', async () => {
      lines = await collector.run()
      const watermarks = Object.values(valuesOf('cdc_reconcile_watermark_timestamp_seconds', lines))
      return watermarks.every((watermark) => watermark > Number(last?.at))
    })
    expect(differences(lines)).toEqual(expected())
    for (const tenant of tenants) {
      for (const table of erpTables) {
        const rows = await countInSource(table, tenant)
        expect(valuesOf('cdc_source_rows', lines)).toHaveProperty(`${table}/${tenant}`, rows)
        expect(valuesOf('cdc_sink_rows', lines)).toHaveProperty(`${table}/${tenant}`, rows)
      }
    }
    expect(valuesOf('cdc_reconcile_skipped_total', lines)).toEqual(expected())
    expect(Object.keys(valuesOf('cdc_reconcile_last_success_timestamp_seconds', lines))).toHaveLength(6)
  })
})

test('ten runs in a row find nothing under load, while old rows are deleted too', async () => {
  const traffic = startTraffic({
    url: pipeline.postgres.url('erp'),
    tenants,
    ratePerSecond: 30,
    deletes: true,
  })
  const end = new AbortController()
  const deletes = (async () => {
    // At a pace that the consumer keeps, so that what is in flight is never older than the lag.
    for await (const _ of every(30)) {
      if (end.signal.aborted) break
      await deleteOld('alpha', 1)
    }
  })()
  try {
    await comparing({ lag: '30s' }, async (collector) => {
      for (let i = 0; i < 10; i++) {
        // Some are left to delete while the run looks.
        await bookOldIfFew()
        expect(differences(await collector.run())).toEqual(expected())
      }
    })
  } finally {
    end.abort()
    await deletes
    await traffic.stop()
  }
  expect(traffic.counters.deletedJournals).toBeGreaterThan(0)
})

async function bookOldIfFew(): Promise<void> {
  const [row] = await ask(`SELECT count(*) FROM alpha.journals WHERE number LIKE 'OLD-%'`)
  if (Number(row?.count) < 200) await bookOld('alpha', 2_000)
}

test('a consumer that is away for less than the lag has lost nothing', async () => {
  await everythingArrived()
  await pipeline.pm2.stopApp(etlApp)
  await bookOld('bravo', 30)
  await ask(`DELETE FROM alpha.cash_accounts WHERE id = 3`)
  expect(await countInSink('journals', 'bravo')).not.toBe(await countInSource('journals', 'bravo'))

  await comparing({ lag: '2m' }, async (collector) => {
    const [lines] = await Promise.all([collector.run(), pipeline.pm2.restartApp(etlApp)])
    expect(differences(lines)).toEqual(expected())
  })
})

test('rows are missing while the consumer is away for longer than the lag: that is what the lag means', async () => {
  await bookOld('alpha', 1)
  await everythingArrived()
  await pipeline.pm2.stopApp(etlApp)
  await bookOld('bravo', 4)
  await deleteOld('alpha', 1)
  await comparing({ lag: '1s' }, async (collector) => {
    const lines = await collector.run().finally(() => pipeline.pm2.restartApp(etlApp))
    expect(differences(lines)).toEqual(expected({ 'journals/bravo': 4, 'journals/alpha': -1 }))
    await everythingArrived()
    expect(differences(await collector.run())).toEqual(expected())
  })
})

test('a slot that does not move leaves the comparison out, and is waited for', async () => {
  await everythingArrived()
  await comparing({ lag: '1s', slot: erpSlot, slot_timeout: '10s' }, async (collector) => {
    const before = await untilCompared(collector)

    pipeline.connect.freeze()
    await bookOld('alpha', 10)
    const lines = await collector.run().finally(() => pipeline.connect.thaw())
    expect(differences(lines)).toEqual({})
    expect(collector.failedParts).toHaveLength(6)
    expect(collector.failedParts[0]?.labels).toEqual({
      table: expect.any(String),
      tenant: expect.any(String),
    })
    expect(String(collector.failedParts[0]?.cause)).toMatch(/slot erp_cdc is \d+ bytes behind/)
    const oneMore = Object.fromEntries(Object.entries(before).map(([pair, count]) => [pair, count + 1]))
    expect(skipped(lines)).toEqual(oneMore)

    await everythingArrived()
    await untilCompared(collector, oneMore)
  })
})

const skipped = (lines: readonly string[]) => valuesOf('cdc_reconcile_skipped_total', lines)

/**
 * Runs until the slot was in time for every pair, and answers what was left out before. That run leaves nothing out
 * and finds no difference.
 */
async function untilCompared(
  collector: Collecting,
  before: Readonly<Record<string, number>> = expected(),
): Promise<Readonly<Record<string, number>>> {
  // Debezium confirms nothing on an idle database, whose own records still move the WAL on.
  const heartbeat = setInterval(() => {
    void ask('UPDATE alpha.cash_accounts SET updated_at = now() WHERE id = 1').catch(() => {})
  }, 500)
  let leftOut = before
  let lines: string[] = []
  await waitFor('the slot to be in time', async () => {
    leftOut = lines.length === 0 ? before : skipped(lines)
    lines = await collector.run()
    return Object.keys(differences(lines)).length === Object.keys(before).length
  }).finally(() => clearInterval(heartbeat))
  expect(differences(lines)).toEqual(expected())
  expect(skipped(lines)).toEqual(leftOut)
  return leftOut
}

test('a slot that is not there fails the run', async () => {
  await comparing({ slot: 'missing' }, async (collector) => {
    await expect(collector.run()).rejects.toThrow('the source has no replication slot missing')
  })
})

test('a table that is missing at the sink or at the source fails alone', async () => {
  const [journals, lines, accounts] = tables
  const broken = [{ ...journals, sink: 'nowhere' }, lines, { ...accounts, source: '{tenant}.nothing' }]
  await comparing({ lag: '1s', tables: broken }, async (collector) => {
    expect(differences(await collector.run())).toEqual({
      'journal_lines/alpha': 0,
      'journal_lines/bravo': 0,
    })
    const failed = collector.failedParts.map(
      ({ labels: { table, tenant }, cause }) =>
        `${table}/${tenant}: ${cause instanceof Error && cause.message}`,
    )
    expect(failed.sort()).toEqual([
      expect.stringMatching(/^journals\/alpha: clickhouse at .*nowhere/),
      expect.stringMatching(/^journals\/bravo: clickhouse at .*nowhere/),
      expect.stringMatching(/^nothing\/alpha: postgresql at .*"alpha.nothing" does not exist/),
      expect.stringMatching(/^nothing\/bravo: postgresql at .*"bravo.nothing" does not exist/),
    ])
  })
})

test('a column that goes fails a comparison of checksums, and not all after it', async () => {
  await ask(`CREATE TABLE shrinking AS
    SELECT n AS id, 'a' || n AS a, 'b' || n AS b, now() - interval '1 day' AS created_at FROM generate_series(1, 9) n`)
  await ask('ALTER TABLE shrinking ADD PRIMARY KEY (id)')
  await inSink(
    'CREATE TABLE shrinking (id Int32, a String, b String, created_at DateTime64(6)) ENGINE = ReplacingMergeTree ORDER BY id',
  )
  await inSink(
    "INSERT INTO shrinking SELECT number + 1 AS id, 'a' || toString(id), 'b' || toString(id), now() - 90000 FROM numbers(9)",
  )
  const shrinking = { source: 'public.shrinking', sink: 'shrinking', watermark: 'created_at' }
  await comparing({ lag: '0s', tenants: [], tables: [shrinking], checksums: {} }, async (collector) => {
    await collector.run()
    await ask('ALTER TABLE shrinking DROP COLUMN b')
    await inSink('ALTER TABLE shrinking DROP COLUMN b')
    await expect(collector.run()).rejects.toThrow(/column "b" does not exist/)
    // The answer of the sink to the run that failed may still be under way, and ends its connection.
    await waitFor('a good comparison', async () =>
      (await collector.run()).includes('cdc_row_difference{target="test",table="shrinking",tenant=""} 0'),
    )
  })
})

test('a backend that refuses connections fails the run', async () => {
  const nowhere = 'postgres://localhost:1/erp'
  await comparing({ source: { postgresql: { url: nowhere } } }, async (collector) => {
    await expect(collector.run()).rejects.toThrow(/^postgresql at localhost:1: connect: /)
  })
  await comparing({ sink: { clickhouse: { url: 'http://localhost:1' } } }, async (collector) => {
    await expect(collector.run()).rejects.toThrow(/^clickhouse at localhost:1: /)
  })
})

test('a frozen sink fails the run at its time-out, and the run after its return works', async () => {
  await comparing({ lag: '1s' }, async (collector) => {
    await collector.run()
    pipeline.clickhouse.freeze()
    await expect(collector.run(5_000).finally(() => pipeline.clickhouse.thaw())).rejects.toThrow(
      /^clickhouse at .*timeout/,
    )
    expect(differences(await collector.run())).toEqual(expected())
  })
})

test('nothing is written, whatever the configuration asks for', async () => {
  await ask(`
    CREATE TABLE written (id int);
    CREATE FUNCTION write() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO written VALUES (1) RETURNING id';
    CREATE VIEW writing AS SELECT write() AS id, now() - interval '1 day' AS created_at`)
  const options = encodeURIComponent('-c default_transaction_read_only=off')
  const given = {
    source: { postgresql: { url: `${pipeline.postgres.url('erp')}?options=${options}` } },
    tenants: [],
    tables: [{ source: 'public.writing', sink: 'journals', watermark: 'created_at' }],
  }
  await comparing(given, async (collector) => {
    await expect(collector.run()).rejects.toThrow('cannot execute INSERT in a read-only transaction')
  })
  expect(await ask('SELECT * FROM written')).toEqual([])
})

test('estimates are what the catalogs say', async () => {
  await everythingArrived()
  await bookOld('alpha', 30)
  await ask('ANALYZE alpha.journals')
  const table = { source: 'alpha.journals', sink: 'journals', watermark: 'created_at', deleted: '_deleted' }
  await comparing({ lag: '0s', tenants: [], tables: [table], estimates: true }, async (collector) => {
    const lines = await collector.run()
    expect(valuesOf('cdc_source_estimated_rows', lines)).toEqual({
      'journals/': await countInSource('journals', 'alpha'),
    })
    // Each version of each row of each tenant is one.
    expect(valuesOf('cdc_sink_estimated_rows', lines)['journals/']).toBeGreaterThan(0)
  })
})

test('names with quotes and dots in them are names', async () => {
  await ask(`
    CREATE TABLE "odd""; name" ("made ""at" timestamp DEFAULT now() - interval '1 day', "the tenant" text);
    INSERT INTO "odd""; name" VALUES (DEFAULT, 'O''Neill'), (DEFAULT, 'alpha')`)
  await inSink(
    'CREATE TABLE `odd\\`; name` (`made "at` DateTime, `the tenant` String) ENGINE = ReplacingMergeTree ORDER BY `the tenant`',
  )
  const odd = {
    source: 'public.odd"; name',
    sink: 'odd`; name',
    watermark: 'made "at',
    source_tenant_column: 'the tenant',
    sink_tenant_column: 'the tenant',
  }
  await comparing({ lag: '0s', tenants: ["O'Neill"], tables: [odd] }, async (collector) => {
    const lines = await collector.run()
    expect(lines).toContain(`cdc_row_difference{target="test",table="odd\\"; name",tenant="O'Neill"} 1`)
  })
})

test('rows that one side lost are counted, for their table and tenant alone', async () => {
  await everythingArrived()
  await bookOld('alpha', 8)
  await everythingArrived()
  await inSink(`
    INSERT INTO journals
    SELECT * REPLACE (_version + 1000000000000 AS _version, 1 AS _deleted)
    FROM journals FINAL WHERE tenant = 'alpha' ORDER BY id DESC LIMIT 5`)
  await inSink(`
    ALTER TABLE journal_lines DELETE
    WHERE tenant = 'bravo' AND id IN (
      SELECT id FROM journal_lines FINAL WHERE tenant = 'bravo' AND _deleted = 0 ORDER BY id LIMIT 3)`)
  await inSink(`
    INSERT INTO cash_accounts
    SELECT 'bravo', 1000 + number, 'unknown', 0, now() - 3600, now() - 3600, 1, 0 FROM numbers(4)`)
  await comparing({ lag: '1s' }, async (collector) => {
    expect(differences(await collector.run())).toEqual(
      expected({ 'journals/alpha': 5, 'journal_lines/bravo': 3, 'cash_accounts/bravo': -4 }),
    )
  })
})
