import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drift } from '../../../src/collectors/drift/index.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { erpPublication, erpSlot, erpTables } from '../../testbed/erp/schema.ts'
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
      const ranges = details.ranges as { keys: { key: string[]; fault: string }[] | null }[]
      return ranges.flatMap(({ keys }) =>
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

test('nothing is reported under load, with the consumer stopped, slowed and restarted and a long transaction open', async () => {
  await everythingArrived()
  await bookOld('bravo', 2000)
  const traffic = startTraffic({
    url: pipeline.postgres.url('erp'),
    tenants,
    ratePerSecond: 100,
    deletes: true,
  })
  const ending = new AbortController()
  const changing = keepChanging(ending.signal)
  let judged = 0
  let compared = 0
  try {
    await comparing({ ...arrival(), ...debits, checksums: { slice: 500, passes: 3 } }, async (collector) => {
      const nothingFound = async () => {
        const lines = await collector.run()
        const differing = lines.filter((line) => line.startsWith('cdc_value_differing_groups{'))
        expect(differing.filter((line) => !line.endsWith(' 0'))).toEqual([])
        compared += differing.length
        for (const name of [
          'cdc_row_difference',
          'cdc_reconcile_confirmed_ranges',
          'cdc_reconcile_differing_rows',
        ]) {
          expect(valuesOf(name, lines), name).toEqual({})
        }
        judged += lines.filter((line) => line.startsWith('cdc_reconcile_differing_rows{')).length
      }
      await nothingFound()

      // Slowed: it stands still half of the time.
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
      await nothingFound().finally(() => slowing.abort())
      await slowed

      // Stopped before the run, and started in the middle of it.
      await pipeline.pm2.stopApp(etlApp)
      await bookOld('bravo', 50)
      await Promise.all([nothingFound(), delay(3000).then(() => pipeline.pm2.restartApp(etlApp))])
      await nothingFound()

      // A transaction that began before the run, and ends after the one that follows.
      const client = await source.connect()
      try {
        await client.query(`BEGIN; INSERT INTO alpha.journals (number) VALUES ('LONG');
          UPDATE alpha.journals SET description = 'in a long transaction' WHERE number = 'OLD-7'`)
        await nothingFound()
        await client.query('COMMIT')
      } finally {
        client.release()
      }
      await nothingFound()
    })
    // What is late is no drift either, but for as long as one waits for it.
    await pipeline.pm2.stopApp(etlApp)
    await bookOld('bravo', 5)
    const { kafka, ...rest } = arrival()
    await comparing({ ...rest, ...debits, kafka: { ...kafka, timeout: '2s' } }, async (collector) => {
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
    }).finally(() => pipeline.pm2.restartApp(etlApp))
  } finally {
    ending.abort()
    await changing
    await traffic.stop()
  }
  expect(judged).toBeGreaterThan(20)
  expect(compared).toBeGreaterThan(0)
  expect(traffic.counters.deletedJournals).toBeGreaterThan(0)
})

/** Old rows change and go all the time. */
async function keepChanging(signal: AbortSignal): Promise<void> {
  for (let n = 0; !signal.aborted; n++) {
    await ask(`UPDATE bravo.journals SET description = 'change ${n}', updated_at = now()
      WHERE id IN (SELECT id FROM bravo.journals WHERE number LIKE 'OLD-%' ORDER BY random() LIMIT 5)`)
    await ask(`DELETE FROM bravo.journal_lines WHERE id IN
      (SELECT id FROM bravo.journal_lines ORDER BY id LIMIT 1)`)
    await delay(20)
  }
}
