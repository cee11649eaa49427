import fc from 'fast-check'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectStarrocks } from '../../../src/clients/starrocks.ts'
import { drift } from '../../../src/collectors/drift/index.ts'
import { type MariadbPart, startMariadb } from '../../testbed/parts/mariadb.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { type Collecting, collecting } from '../collect.ts'
import { anyRow, type GeneratedRow } from './generated-rows.ts'

// StarRocks cannot be had here: MariaDB stands in for it, with the same protocol and the same SQL.

let postgres: PostgresPart
let mariadb: MariadbPart
let database: pg.Client
let warehouse: mysql.Connection

beforeAll(async () => {
  ;[postgres, mariadb] = await Promise.all([startPostgres(), startMariadb()])
  database = new pg.Client({ connectionString: postgres.url() })
  await database.connect()
  warehouse = await mysql.createConnection({
    uri: mariadb.url('mysql'),
    multipleStatements: true,
    timezone: 'Z',
  })
  await warehouse.query('CREATE DATABASE erp; USE erp')
})
afterAll(async () => {
  await warehouse?.end()
  await database?.end()
  await Promise.all([postgres?.remove(), mariadb?.remove()])
})

async function comparing<T>(
  tables: readonly object[],
  work: (collector: Collecting) => Promise<T>,
  given: object = {},
): Promise<T> {
  const collector = collecting(drift, {
    source: { postgresql: { url: postgres.url() } },
    sink: { starrocks: { url: mariadb.url('erp') } },
    lag: '100ms',
    checksums: {},
    tables,
    ...given,
  })
  try {
    return await work(collector)
  } finally {
    await collector.stop()
  }
}

/** `key fault` of all that was found. */
function found(collector: Collecting): string[] {
  return collector.findings().flatMap(({ details }) => {
    const ranges = details.ranges as { keys: { key: string[]; fault: string }[] | null }[]
    return ranges.flatMap(({ keys }) => (keys ?? []).map(({ key, fault }) => `${key.join(',')} ${fault}`))
  })
}

const every = { source: 'public.every', sink: 'every', watermark: 'created_at' }

test('rows of every type that were written to both sides do not differ, and one that changed does', async () => {
  await database.query(`
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE every (
      id bigint PRIMARY KEY, small smallint, whole integer, big bigint, dec numeric(30, 6), money numeric(18, 4),
      free numeric, txt text, short varchar(40), fixed character(12), mood mood, flag boolean, day date,
      at timestamp, at_zone timestamptz, at_milli timestamptz, at_second timestamp, bin bytea, uid uuid,
      ratio double precision, doc jsonb, created_at timestamptz NOT NULL)`)
  await warehouse.query(`
    CREATE TABLE every (
      id bigint PRIMARY KEY, small smallint, whole int, big bigint, \`dec\` decimal(30, 6), money decimal(18, 4),
      free decimal(38, 10), txt text, short varchar(40), fixed varchar(12), mood varchar(10), flag boolean, day date,
      at datetime(6), at_zone datetime(6), at_milli datetime(3), at_second datetime, bin varbinary(100), uid varchar(36),
      ratio double, doc text, created_at datetime(6) NOT NULL)`)

  async function fill(rows: readonly GeneratedRow[]): Promise<void> {
    await database.query('TRUNCATE every')
    await warehouse.query('TRUNCATE TABLE every')
    for (const { source, sink } of rows) {
      const names = Object.keys(source)
      await database.query(
        `INSERT INTO every (${names.join(', ')}) VALUES (${names.map((_, i) => `$${i + 1}`).join(', ')})`,
        Object.values(source),
      )
      const values = Object.entries(sink).map(([name, value]) => {
        if (name === 'bin' && typeof value === 'string') return Buffer.from(value, 'hex')
        // Times end in Z, which no MySQL reads.
        return typeof value === 'string' && /^\d{4}-.*\dZ$/.test(value) ? value.slice(0, -1) : value
      })
      const columns = Object.keys(sink).map((name) => `\`${name}\``)
      await warehouse.query(`INSERT INTO every (${columns.join(', ')}) VALUES (?)`, [values])
    }
  }

  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(anyRow, { minLength: 1, maxLength: 30, selector: ({ id }) => id }),
      async (rows) => {
        await fill(rows)
        await comparing([{ ...every, sums: ['money', 'small'] }], async (collector) => {
          const lines = await collector.run()
          expect(collector.failedParts).toEqual([])
          expect(found(collector)).toEqual([])
          expect(collector.findings()[0]?.details).toMatchObject({
            columns_left_out: ['ratio', 'doc'],
            source_rows: String(rows.length),
            row_difference: '0',
            sums: [{ difference: '0' }, { difference: '0' }],
          })
          expect(lines).toContain('cdc_reconcile_differing_rows{target="test",table="every",tenant=""} 0')
        })
        const [first] = rows
        const changed = first?.source.txt === 'changed' ? 'changed again' : 'changed'
        await database.query('UPDATE every SET txt = $1 WHERE id = $2', [changed, first?.id])
        // Nothing but a value differs: only a check of all rows sees it at once.
        await comparing([every], async (collector) => {
          await collector.run()
          expect(found(collector)).toEqual([`${first?.id} different`])
        })
      },
    ),
    { numRuns: 10 },
  )
})

test('tenants by column and by database, keys of several columns, deleted rows and a gone one', async () => {
  await database.query(`
    CREATE TABLE lines (company text, id bigint, amount numeric(12, 2), made timestamp, PRIMARY KEY (company, id));
    INSERT INTO lines SELECT CASE WHEN n % 2 = 0 THEN 'alpha' ELSE 'bravo' END, n, n * 1.25, '2026-01-01'
    FROM generate_series(1, 6000) n`)
  await warehouse.query(`
    CREATE TABLE \`lines\` (tenant varchar(10), id bigint, amount decimal(12, 2), made_at datetime, gone tinyint DEFAULT 0,
      PRIMARY KEY (tenant, id));
    INSERT INTO \`lines\` (tenant, id, amount, made_at)
    SELECT if(seq % 2 = 0, 'alpha', 'bravo'), seq, seq * 1.25, '2026-01-01' FROM seq_1_to_6000;
    INSERT INTO \`lines\` VALUES ('alpha', 7000, 1, '2026-01-01', 1)`)
  const lines = {
    source: 'public.lines',
    sink: 'erp.lines',
    source_tenant_column: 'company',
    sink_tenant_column: 'tenant',
    rename: { company: 'tenant', made: 'made_at' },
    watermark: 'made',
    deleted: 'gone',
  }
  await comparing(
    [lines],
    async (collector) => {
      await collector.run()
      expect(collector.failedParts).toEqual([])
      expect(
        collector.findings().map(({ details }) => [details.source_rows, details.differing_rows]),
      ).toEqual([
        ['3000', 0],
        ['3000', 0],
      ])
      await warehouse.query(`
        DELETE FROM \`lines\` WHERE id = 4242;
        UPDATE \`lines\` SET amount = 0 WHERE id = 17;
        UPDATE \`lines\` SET gone = 0 WHERE id = 7000`)
      const series = await collector.run()
      expect(found(collector).sort()).toEqual([
        'alpha,4242 missing',
        'alpha,7000 extra',
        'bravo,17 different',
      ])
      expect(series).toContain('cdc_reconcile_differing_rows{target="test",table="lines",tenant="alpha"} 2')
    },
    { tenants: ['alpha', 'bravo'], estimates: true },
  )
})

test('between two counts a run reads what is new and a slice', async () => {
  const rows = (from: number, to: number) => `FROM generate_series(${from}, ${to}) n`
  await database.query(`CREATE TABLE steady (id int PRIMARY KEY, note text, created_at timestamp);
    INSERT INTO steady SELECT n, 'note ' || n, '2026-01-01' ${rows(1, 5000)}`)
  await warehouse.query(`CREATE TABLE steady (id int PRIMARY KEY, note text, created_at datetime);
    INSERT INTO steady SELECT seq, concat('note ', seq), '2026-01-01' FROM seq_1_to_5000`)
  const steady = { source: 'public.steady', sink: 'steady', watermark: 'created_at' }
  await comparing(
    [steady],
    async (collector) => {
      const read = async () => {
        const lines = await collector.run()
        expect(collector.failedParts).toEqual([])
        const value = (name: string) =>
          Number(lines.find((line) => line.startsWith(`${name}{`))?.split(' ')[1])
        return { rows: value('cdc_source_rows'), difference: value('cdc_row_difference') }
      }
      expect(await read()).toEqual({ rows: 5000, difference: 0 })
      await database.query(`INSERT INTO steady SELECT n, 'new', '2026-01-01' ${rows(5001, 5003)}`)
      await warehouse.query("UPDATE steady SET note = 'tampered' WHERE id = 3500")
      // Rows 1001 to 2000, and those that are new; counted is nothing.
      expect(await read()).toEqual({ rows: 5000, difference: 0 })
      expect(found(collector).sort()).toEqual(['5001 missing', '5002 missing', '5003 missing'])
      await read()
      await read()
      expect(found(collector).sort()).toEqual([
        '3500 different',
        '5001 missing',
        '5002 missing',
        '5003 missing',
      ])
      await warehouse.query(`UPDATE steady SET note = 'note 3500' WHERE id = 3500;
        INSERT INTO steady SELECT seq, 'new', '2026-01-01' FROM seq_5001_to_5003`)
      await read()
      expect(found(collector)).toEqual([])
    },
    { checksums: { slice: 1000, count_every: '1h' } },
  )
})

test('the bounds of a run leave out and count what they leave out', async () => {
  await database.query(`CREATE TABLE bounded (id int PRIMARY KEY, note text, created_at timestamp);
    INSERT INTO bounded SELECT n, 'note ' || n, '2026-01-01' FROM generate_series(1, 3000) n`)
  await warehouse.query(`CREATE TABLE bounded (id int PRIMARY KEY, note text, created_at datetime);
    INSERT INTO bounded SELECT seq, concat('note ', seq), '2026-01-01' FROM seq_1_to_3000`)
  const bounded = { source: 'public.bounded', sink: 'bounded', watermark: 'created_at' }
  const runs = async (count: number, given: object, table: object = bounded) =>
    await comparing(
      [table],
      async (collector) => {
        let lines: string[] = []
        for (let i = 0; i < count; i++) lines = await collector.run()
        expect(collector.failedParts).toEqual([])
        return lines
          .filter((line) => /^cdc_(reconcile_skipped_total|row_difference)/.test(line) && !/lag/.test(line))
          .map((line) => line.replace(/\{.*?(?:reason="(\w+)")?\}/, ' $1'))
      },
      given,
    )
  expect(await runs(1, {})).toEqual(['cdc_row_difference  0'])
  expect(await runs(2, { max_time: '0s' })).toEqual(['cdc_reconcile_skipped_total time 2'])
  const allDay = ['00:00-12:00', '12:00-00:00']
  expect(await runs(2, { quiet_hours: allDay })).toEqual(['cdc_reconcile_skipped_total quiet 2'])
  expect(await runs(1, { checksums: { slice: 2000, max_rows: 1000 } })).toEqual([
    'cdc_reconcile_skipped_total rows 1',
    'cdc_row_difference  0',
  ])
  // Not its turn again: what was known stays, and is no skip.
  await comparing([{ ...bounded, every: '1h' }], async (collector) => {
    const first = await collector.run()
    await warehouse.query('DELETE FROM bounded WHERE id = 1')
    const second = await collector.run()
    const known = (lines: readonly string[]) => lines.filter((line) => !/statement_seconds/.test(line))
    expect(known(second)).toEqual(known(first))
  })
}, 120_000)

test('a row of the same version is corrupt, and one of an older version late', async () => {
  await database.query(`CREATE TABLE versions (id int PRIMARY KEY, note text, version bigint, created_at timestamp);
    INSERT INTO versions SELECT n, 'note ' || n, 9, '2026-01-01' FROM generate_series(1, 20) n`)
  await warehouse.query(`CREATE TABLE versions (id int PRIMARY KEY, note text, version bigint, created_at datetime);
    INSERT INTO versions SELECT seq, concat('note ', seq), 9, '2026-01-01' FROM seq_1_to_20;
    UPDATE versions SET note = 'tampered' WHERE id = 5;
    UPDATE versions SET note = 'as it was', version = 8 WHERE id = 6;
    UPDATE versions SET note = 'from nowhere', version = 10 WHERE id = 7`)
  const versions = {
    source: 'public.versions',
    sink: 'versions',
    watermark: 'created_at',
    version: 'version',
  }
  await comparing([versions], async (collector) => {
    const skipped = (lines: readonly string[]) => lines.filter((line) => /skipped_total.*lag/.test(line))
    expect(skipped(await collector.run())).toEqual([
      'cdc_reconcile_skipped_total{target="test",table="versions",tenant="",reason="lag"} 1',
    ])
    expect(found(collector).sort()).toEqual(['5 corrupt', '7 different'])
  })
}, 120_000)

test('nothing is written, and a table that is not there fails', async () => {
  await warehouse.query(`
    CREATE TABLE written (id int);
    CREATE FUNCTION writes() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO written VALUES (1); RETURN 1; END;
    CREATE VIEW writing AS SELECT writes() AS id, '2026-01-01' AS created_at`)
  await database.query('CREATE TABLE small (id int PRIMARY KEY, created_at timestamp)')
  const small = { source: 'public.small', sink: 'writing', watermark: 'created_at' }
  await comparing([{ ...small, sums: ['id'] }], async (collector) => {
    await expect(collector.run()).rejects.toThrow('Cannot execute statement in a READ ONLY transaction')
  })
  const [rows] = await warehouse.query('SELECT * FROM written')
  expect(rows).toEqual([])
  await comparing([{ ...small, sink: 'nowhere' }], async (collector) => {
    await expect(collector.run()).rejects.toThrow(/^starrocks at 127.0.0.1:\d+: SELECT count\(\*\).*nowhere/)
  })
})

test('the client sends nothing but a SELECT, and is not held up by a frozen server', async () => {
  const reader = connectStarrocks(() => ({ url: mariadb.url('erp'), statementTimeout: 60_000 }))
  try {
    const signal = AbortSignal.timeout(60_000)
    await expect(reader.query('DELETE FROM written', [], signal)).rejects.toThrow('only a SELECT is sent')
    const injected = await reader.query('SELECT ? AS text', ["'; DROP TABLE written; -- \\"], signal)
    expect(injected).toEqual([{ text: "'; DROP TABLE written; -- \\" }])
    expect(await reader.query('SELECT ? + 1 AS sum', [9007199254740993n], signal)).toEqual([
      { sum: '9007199254740994' },
    ])
    mariadb.freeze()
    await expect(reader.query('SELECT 1', [], AbortSignal.timeout(500))).rejects.toThrow(
      /^starrocks at .*timeout/,
    )
    mariadb.thaw()
    expect(await reader.query('SELECT 2 AS two', [], signal)).toEqual([{ two: '2' }])
  } finally {
    mariadb.thaw()
    reader.close()
  }
  const refused = connectStarrocks(() => ({
    url: 'mysql://u:secret@127.0.0.1:1/erp',
    statementTimeout: 1000,
  }))
  await expect(refused.query('SELECT 1', [], AbortSignal.timeout(10_000))).rejects.toThrow(
    /^starrocks at 127.0.0.1:1: connect: /,
  )
})

test('values, assertions and freshness', async () => {
  await database.query(`CREATE TABLE cash (account int, amount numeric(38, 10), created_at timestamp);
    INSERT INTO cash VALUES (1101, 1234567890123456789012345678.0123456789, '2026-01-01'), (1101, -0.0000000001, '2026-01-01'),
      (1102, 9007199254740993, now() - interval '1 day')`)
  await warehouse.query(`CREATE TABLE cash (account int, amount decimal(38, 10), created_at datetime, gone tinyint);
    INSERT INTO cash VALUES (1101, 1234567890123456789012345678.0123456788, '2026-01-01', 0),
      (1102, 9007199254740992, utc_timestamp() - INTERVAL 2 DAY, 0), (1102, 1, '2026-01-01', 0),
      (1102, 0, utc_timestamp(), 1);
    CREATE TABLE lines_of (journal int, debit decimal(18, 2), credit decimal(18, 2))`)
  const given = {
    values: [
      {
        name: 'cash_balance',
        groups: ['account'],
        value: 'balance',
        source: { sql: 'SELECT account, sum(amount) AS balance FROM cash GROUP BY account' },
        sink: {
          sql: 'SELECT account, sum(amount) AS balance FROM cash WHERE gone = ? GROUP BY account;',
          parameters: [0],
        },
      },
      { name: 'writing', value: 'n', source: { sql: 'SELECT 1 AS n' }, sink: { sql: 'DELETE FROM cash' } },
    ],
    assertions: [
      {
        name: 'unbalanced',
        on: 'sink',
        sql: 'SELECT journal, sum(debit) AS debit FROM lines_of GROUP BY journal HAVING sum(debit) <> sum(credit)',
        sample: 1,
      },
    ],
  }
  const table = {
    source: 'public.cash',
    sink: 'cash',
    watermark: 'created_at',
    freshness: 'created_at',
    deleted: 'gone',
  }
  await comparing(
    [table],
    async (collector) => {
      const seriesOf = async (name: string) =>
        (await collector.run()).flatMap((line) =>
          line.startsWith(`${name}{`) ? [line.slice(name.length).replace('target="test",', '')] : [],
        )
      expect(await seriesOf('cdc_value_differing_groups')).toEqual(['{value="cash_balance",tenant=""} 0'])
      const failed = collector.failedParts.map(({ cause }) => String(cause))
      expect(failed).toEqual([expect.stringMatching(/value writing: starrocks at .*SQL syntax/)])
      await warehouse.query('UPDATE cash SET amount = amount + 0.0000000001 WHERE account = 1101')
      expect(await seriesOf('cdc_value_difference')).toEqual([
        '{value="cash_balance",tenant="",group="1101"} -1e-10',
        '{value="cash_balance",tenant="",group="1102"} 0',
      ])
      expect(await seriesOf('cdc_value_differing_groups')).toEqual(['{value="cash_balance",tenant=""} 1'])

      await warehouse.query('INSERT INTO lines_of SELECT seq, 1, 0 FROM seq_1_to_1500')
      expect(await seriesOf('cdc_assertion_violations')).toEqual([
        '{assertion="unbalanced",tenant="",side="sink"} 1500',
      ])
      expect(collector.findings().map(({ details }) => details.sample)).toContainEqual([
        { journal: expect.any(String), debit: '1.00' },
      ])

      const ages = (await seriesOf('cdc_freshness_seconds')).map((line) => Number(line.split(' ')[1]))
      expect(ages).toHaveLength(2)
      const [atSink = 0, atSource = 0] = ages
      expect(atSink).toBeGreaterThanOrEqual(2 * 86_400)
      expect(atSource).toBeGreaterThanOrEqual(86_400)
      expect(atSource).toBeLessThan(atSink)
    },
    { lag: '1ms', ...given, checksums: undefined },
  )
})
