import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../src/clock.ts'
import { drift } from '../../../src/collectors/drift/index.ts'
import { Exposition } from '../../../src/metrics/exposition.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { type Collecting, collecting } from '../collect.ts'

let postgres: PostgresPart
let clickhouse: ClickHousePart
let source: pg.Pool
let sink: ReturnType<typeof createClient>
const open: Collecting[] = []

beforeAll(async () => {
  await installClickHouse()
  ;[postgres, clickhouse] = await Promise.all([startPostgres(), startClickHouse()])
  source = new pg.Pool({ connectionString: postgres.url(), max: 1 })
  source.on('error', () => {})
  sink = createClient({ url: clickhouse.url })
  for (const tenant of ['alpha', 'bravo']) {
    await source.query(`
      CREATE SCHEMA ${tenant};
      CREATE TABLE ${tenant}.cash_entries (id bigint PRIMARY KEY, account int, amount numeric, created_at timestamptz);
      CREATE TABLE ${tenant}.journal_lines (
        id bigint PRIMARY KEY, journal_id bigint, debit numeric(18, 2), credit numeric(18, 2), created_at timestamptz)`)
  }
  await inSink(`CREATE TABLE cash_entries (tenant String, id UInt64, account Int32, amount Decimal(38, 18),
    created_at DateTime64(6, 'UTC'), _version UInt64, _deleted UInt8)
    ENGINE = ReplacingMergeTree(_version) ORDER BY (tenant, id) PARTITION BY toYYYYMM(created_at)`)
  await inSink(`CREATE TABLE journal_lines (tenant String, id UInt64, journal_id UInt64, debit Decimal(18, 2),
    credit Decimal(18, 2), created_at DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY (tenant, id)`)
  await source.query(`CREATE TABLE written (n int);
    CREATE FUNCTION writing() RETURNS int LANGUAGE sql AS 'INSERT INTO written VALUES (1) RETURNING n'`)
})
afterAll(async () => {
  await sink?.close()
  await source?.end()
  await Promise.all([postgres?.remove(), clickhouse?.remove()])
})

/** Beyond what a float holds: their sum is 20 digits before the point and 18 behind it. */
const LARGE = '12345678901234567890.123456789012345678'

beforeEach(async () => {
  await source.query(
    ['alpha', 'bravo'].map((t) => `TRUNCATE ${t}.cash_entries, ${t}.journal_lines`).join(';'),
  )
  for (const table of ['cash_entries', 'journal_lines']) await inSink(`TRUNCATE TABLE ${table}`)
  for (const [tenant, id, account, amount] of [
    ['alpha', 1, 1101, LARGE],
    ['alpha', 2, 1101, '-0.000000000000000001'],
    ['alpha', 3, 1102, '9007199254740993'],
    ['bravo', 1, 1101, '-1.10'],
  ] as const) {
    await atSource(tenant, id, account, amount)
    await atSink(tenant, id, account, amount)
  }
})
afterEach(async () => {
  for (const collector of open.splice(0)) await collector.stop()
})

async function inSink(query: string): Promise<void> {
  await sink.command({ query, clickhouse_settings: { mutations_sync: '1' } })
}

/** Made two days ago. */
async function atSource(tenant: string, id: number, account: number, amount: string): Promise<void> {
  await source.query(
    `INSERT INTO ${tenant}.cash_entries VALUES ($1, $2, $3, now() - interval '2 days')
     ON CONFLICT (id) DO UPDATE SET amount = excluded.amount`,
    [id, account, amount],
  )
}

let version = 0

async function atSink(tenant: string, id: number, account: number, amount: string): Promise<void> {
  await inSink(`INSERT INTO cash_entries SELECT '${tenant}', ${id}, ${account}, toDecimal128('${amount}', 18),
    now64(6) - INTERVAL 2 DAY, ${++version}, 0`)
}

/** A lag that no run sleeps: `clock` does what happens meanwhile. */
const LAG = 3_600_000

function clockOf(meanwhile: () => Promise<void> | void): Clock {
  return {
    ...systemClock,
    sleep: async (ms, signal) => (ms === LAG ? await meanwhile() : await systemClock.sleep(ms, signal)),
  }
}

function collectorOf(given: Readonly<Record<string, unknown>>, clock: Clock = systemClock): Collecting {
  const settings = {
    source: { postgresql: { url: postgres.url() } },
    sink: { clickhouse: { url: clickhouse.url } },
    lag: '1ms',
    ...given,
  }
  const collector = collecting(drift, settings, new Exposition(), clock)
  open.push(collector)
  return collector
}

const balance = {
  name: 'cash_balance',
  groups: ['account'],
  value: 'balance',
  source: {
    sql: `SELECT account, sum(amount) AS balance FROM {tenant}.cash_entries
      WHERE created_at < to_timestamp({watermark}) GROUP BY account -- no more`,
  },
  sink: {
    sql: `SELECT account, sumIf(amount, created_at < fromUnixTimestamp({watermark})) AS balance
      FROM cash_entries FINAL WHERE tenant = {tenant:String} AND _deleted = 0 GROUP BY account
      HAVING countIf(created_at < fromUnixTimestamp({watermark})) > 0;`,
    parameters: { tenant: '{tenant}' },
  },
}

const balances = { tenants: ['alpha', 'bravo'], values: [balance] }

/** Lines of these series, without what tells the target. */
const linesOf = (lines: readonly string[], ...names: readonly string[]): string[] =>
  lines.flatMap((line) => {
    const [name = '', rest = ''] = line.split(/(?=\{)/)
    return names.includes(name) ? [`${name} ${rest.replace('target="test",', '')}`] : []
  })

const detailsOf = (collector: Collecting, name: string, tenant = '') =>
  collector
    .findings()
    .find(({ labels }) => (labels.value ?? labels.assertion) === name && labels.tenant === tenant)

describe('values', () => {
  test('agree exactly, group by group and tenant by tenant, though they are beyond a float', async () => {
    const collector = collectorOf(balances)
    const lines = await collector.run()
    expect(collector.failedParts).toEqual([])
    expect(linesOf(lines, 'cdc_value_source', 'cdc_value_sink', 'cdc_value_difference')).toEqual([
      'cdc_value_difference {value="cash_balance",tenant="alpha",group="1101"} 0',
      'cdc_value_difference {value="cash_balance",tenant="alpha",group="1102"} 0',
      'cdc_value_difference {value="cash_balance",tenant="bravo",group="1101"} 0',
      'cdc_value_sink {value="cash_balance",tenant="alpha",group="1101"} 12345678901234567000',
      'cdc_value_sink {value="cash_balance",tenant="alpha",group="1102"} 9007199254740992',
      'cdc_value_sink {value="cash_balance",tenant="bravo",group="1101"} -1.1',
      'cdc_value_source {value="cash_balance",tenant="alpha",group="1101"} 12345678901234567000',
      'cdc_value_source {value="cash_balance",tenant="alpha",group="1102"} 9007199254740992',
      'cdc_value_source {value="cash_balance",tenant="bravo",group="1101"} -1.1',
    ])
    expect(
      linesOf(lines, 'cdc_value_groups', 'cdc_value_differing_groups', 'cdc_value_skipped_total'),
    ).toEqual([
      'cdc_value_differing_groups {value="cash_balance",tenant="alpha"} 0',
      'cdc_value_differing_groups {value="cash_balance",tenant="bravo"} 0',
      'cdc_value_groups {value="cash_balance",tenant="alpha"} 2',
      'cdc_value_groups {value="cash_balance",tenant="bravo"} 1',
      'cdc_value_skipped_total {value="cash_balance",tenant="alpha",reason="lag"} 0',
      'cdc_value_skipped_total {value="cash_balance",tenant="bravo",reason="lag"} 0',
    ])
    expect(linesOf(lines, 'cdc_value_statement_seconds_total')).toHaveLength(4)
    expect(linesOf(lines, 'cdc_value_last_success_timestamp_seconds')).toHaveLength(2)
  })

  test('of which one changed by the least digit is found, in its exact digits, and gone after its repair', async () => {
    const collector = collectorOf(balances)
    await atSink('alpha', 2, 1101, '-0.000000000000000002')
    const lines = await collector.run()
    expect(linesOf(lines, 'cdc_value_differing_groups', 'cdc_value_difference')).toEqual([
      'cdc_value_difference {value="cash_balance",tenant="alpha",group="1101"} 1e-18',
      'cdc_value_difference {value="cash_balance",tenant="alpha",group="1102"} 0',
      'cdc_value_difference {value="cash_balance",tenant="bravo",group="1101"} 0',
      'cdc_value_differing_groups {value="cash_balance",tenant="alpha"} 1',
      'cdc_value_differing_groups {value="cash_balance",tenant="bravo"} 0',
    ])
    const difference = {
      tenant: 'alpha',
      group: '1101',
      source: '12345678901234567890.123456789012345677',
      sink: '12345678901234567890.123456789012345676',
      difference: '0.000000000000000001',
    }
    expect(detailsOf(collector, 'cash_balance', 'alpha')).toMatchObject({
      details: { groups: 2, differing_groups: 1, moving_groups: 0, differences: [difference] },
      alarm: {
        problem: 'value cash_balance of alpha: 1 of 2 groups differ',
        about: { differing_groups: 1, differences: [difference] },
      },
    })
    expect(detailsOf(collector, 'cash_balance', 'bravo')?.alarm).toBeUndefined()

    await atSink('alpha', 2, 1101, '-0.000000000000000001')
    expect(linesOf(await collector.run(), 'cdc_value_differing_groups')).toEqual([
      'cdc_value_differing_groups {value="cash_balance",tenant="alpha"} 0',
      'cdc_value_differing_groups {value="cash_balance",tenant="bravo"} 0',
    ])
    expect(detailsOf(collector, 'cash_balance', 'alpha')?.alarm).toBeUndefined()
  })

  test('that are on their way are no difference, and lost ones are, at the pass that the settings ask for', async () => {
    let waited = 0
    const clock = clockOf(async () => {
      waited++
      if (waited === 1) await atSink('alpha', 4, 1101, '5')
    })
    const collector = collectorOf({ ...balances, lag: '1h', checksums: { passes: 3 } }, clock)
    await atSource('alpha', 4, 1101, '5')
    const arrived = await collector.run()
    expect(waited).toBe(1)
    expect(linesOf(arrived, 'cdc_value_differing_groups')[0]).toMatch(/tenant="alpha"\} 0$/)
    expect(detailsOf(collector, 'cash_balance', 'alpha')?.alarm).toBeUndefined()

    await atSource('alpha', 5, 1101, '7')
    const lost = await collector.run()
    expect(waited).toBe(3)
    expect(linesOf(lost, 'cdc_value_differing_groups')[0]).toMatch(/tenant="alpha"\} 1$/)
  })

  test('that move all the time are not judged, but for what was confirmed before', async () => {
    let amount = 10
    const clock = clockOf(() => atSource('alpha', 4, 1101, String(amount++)))
    const collector = collectorOf({ ...balances, lag: '1h' }, clock)
    await atSource('alpha', 4, 1101, '3')
    const moving = await collector.run()
    expect(linesOf(moving, 'cdc_value_differing_groups', 'cdc_value_difference')).toEqual([
      'cdc_value_difference {value="cash_balance",tenant="alpha",group="1102"} 0',
      'cdc_value_difference {value="cash_balance",tenant="bravo",group="1101"} 0',
      'cdc_value_differing_groups {value="cash_balance",tenant="alpha"} 0',
      'cdc_value_differing_groups {value="cash_balance",tenant="bravo"} 0',
    ])
    expect(linesOf(moving, 'cdc_value_skipped_total')).toContain(
      'cdc_value_skipped_total {value="cash_balance",tenant="alpha",reason="changing"} 1',
    )
    expect(detailsOf(collector, 'cash_balance', 'alpha')?.details).toMatchObject({ moving_groups: 1 })

    // It stands still, and is confirmed; that it moves again is no news of it.
    let isMoving = false
    const other = collectorOf(
      { ...balances, lag: '1h' },
      clockOf(() => (isMoving ? atSource('alpha', 4, 1101, String(amount++)) : undefined)),
    )
    for (isMoving of [false, true]) {
      expect(linesOf(await other.run(), 'cdc_value_differing_groups')[0]).toMatch(/tenant="alpha"\} 1$/)
    }
    expect(detailsOf(other, 'cash_balance', 'alpha')?.details).toMatchObject({
      moving_groups: 1,
      differing_groups: 1,
      differences: [{ group: '1101', difference: null }],
    })
  })

  test('that one side has not are a difference, whatever the tolerance', async () => {
    await atSource('alpha', 6, 1103, '0')
    await atSink('alpha', 7, 1104, '0.5')
    const collector = collectorOf({ ...balances, values: [{ ...balance, tolerance: 10 }] })
    const lines = await collector.run()
    expect(
      linesOf(lines, 'cdc_value_source', 'cdc_value_sink', 'cdc_value_difference').filter((l) =>
        /110[34]/.test(l),
      ),
    ).toEqual([
      'cdc_value_difference {value="cash_balance",tenant="alpha",group="1103"} 0',
      'cdc_value_difference {value="cash_balance",tenant="alpha",group="1104"} -0.5',
      'cdc_value_sink {value="cash_balance",tenant="alpha",group="1104"} 0.5',
      'cdc_value_source {value="cash_balance",tenant="alpha",group="1103"} 0',
    ])
    expect(linesOf(lines, 'cdc_value_differing_groups')[0]).toMatch(/tenant="alpha"\} 2$/)
  })

  test('may differ by a tolerance, absolute or relative', async () => {
    await atSource('bravo', 9, 1105, '1000')
    await atSink('bravo', 9, 1105, '1001')
    const given = ['0.99', '1', 0].map((tolerance, i) => ({
      ...balance,
      name: `by_${i}`,
      tolerance,
      ...(tolerance === 0 ? { relative_tolerance: '0.001' } : {}),
    }))
    const lines = await collectorOf({ ...balances, tenants: ['bravo'], values: given }).run()
    expect(linesOf(lines, 'cdc_value_differing_groups')).toEqual([
      'cdc_value_differing_groups {value="by_0",tenant="bravo"} 1',
      'cdc_value_differing_groups {value="by_1",tenant="bravo"} 0',
      'cdc_value_differing_groups {value="by_2",tenant="bravo"} 0',
    ])
  })

  test('whose tenant is a column, and that have several groups or none', async () => {
    const given = {
      values: [
        {
          name: 'by_column',
          groups: ['tenant', 'account', 'sign'],
          value: 'n',
          source: {
            sql: `SELECT 'alpha' AS tenant, account, NULL AS sign, count(*) AS n FROM alpha.cash_entries GROUP BY 2
              UNION ALL SELECT 'bravo', account, 'x', count(*) FROM bravo.cash_entries GROUP BY 2`,
          },
          sink: {
            sql: `SELECT tenant, account, tenant = 'bravo' ? 'x' : NULL AS sign, count() AS n
              FROM cash_entries FINAL GROUP BY tenant, account`,
          },
        },
        {
          name: 'in_total',
          value: 'n',
          source: {
            sql: 'SELECT count(*) AS n, NULL AS nothing FROM alpha.cash_entries WHERE id < $1',
            parameters: [3],
          },
          sink: { sql: 'SELECT toFloat64(2) AS n' },
        },
        {
          name: 'nothing',
          value: 'n',
          source: { sql: 'SELECT sum(id) AS n FROM alpha.cash_entries WHERE false' },
          sink: { sql: 'SELECT NULL AS n' },
        },
      ],
    }
    const lines = await collectorOf(given).run()
    expect(linesOf(lines, 'cdc_value_difference', 'cdc_value_groups')).toEqual([
      'cdc_value_difference {value="by_column",tenant="alpha",group="1101/"} 0',
      'cdc_value_difference {value="by_column",tenant="alpha",group="1102/"} 0',
      'cdc_value_difference {value="by_column",tenant="bravo",group="1101/x"} 0',
      'cdc_value_difference {value="in_total",tenant="",group=""} 0',
      'cdc_value_groups {value="by_column",tenant=""} 3',
      'cdc_value_groups {value="in_total",tenant=""} 1',
      'cdc_value_groups {value="nothing",tenant=""} 0',
    ])
  })
})

describe('a query that fails', () => {
  const value = (name: string, atSource: string, atSink = 'SELECT 1 AS n', given: object = {}) => ({
    name,
    value: 'n',
    source: { sql: atSource },
    sink: { sql: atSink },
    ...given,
  })

  test('fails alone, and says which it is and why, but never a value', async () => {
    const secret = "'4711-secret'"
    const collector = collectorOf({
      values: [
        value('good', 'SELECT 1 AS n'),
        value('broken', 'SELECT nothing AS n'),
        value('broken_there', 'SELECT 1 AS n', 'SELECT nothing AS n'),
        value('other_column', 'SELECT 1 AS m'),
        value('a_text', `SELECT ${secret} AS n`),
        value('not_a_number', "SELECT 'NaN'::numeric AS n"),
        value('infinite', 'SELECT 1 AS n', 'SELECT 1 / 0 AS n'),
        value('twice', 'SELECT 1 AS n UNION ALL SELECT 2'),
        value('many', 'SELECT n, n AS g FROM generate_series(1, 4) n', 'SELECT 1 AS n, 1 AS g', {
          groups: ['g'],
          max_groups: 3,
        }),
        value('two', 'SELECT 1 AS n; SELECT 2'),
        value('writing', 'SELECT writing() AS n'),
        value('deleting', 'DELETE FROM written RETURNING 1 AS n'),
        value('writing_there', 'SELECT 1 AS n', 'INSERT INTO journal_lines SELECT * FROM journal_lines'),
      ],
      assertions: [
        { name: 'none', on: 'sink', sql: 'SELECT nothing' },
        { name: 'drops', on: 'sink', sql: 'DROP TABLE journal_lines' },
        { name: 'writes', on: 'source', sql: 'SELECT writing()' },
      ],
    })
    const lines = await collector.run()
    expect(linesOf(lines, 'cdc_value_differing_groups')).toEqual([
      'cdc_value_differing_groups {value="good",tenant=""} 0',
    ])
    expect(linesOf(lines, 'cdc_assertion_violations')).toEqual([])
    const said = Object.fromEntries(
      collector.failedParts.map(({ labels, cause }) => [
        labels.value ?? labels.assertion,
        cause instanceof Error ? cause.message : '',
      ]),
    )
    expect(said).toEqual({
      broken: expect.stringMatching(/^value broken: postgresql at .*"nothing" does not exist/),
      broken_there: expect.stringMatching(/^value broken_there: clickhouse at .*nothing/),
      other_column: 'value other_column: its source: its rows have no column n',
      a_text: 'value a_text: its source: the column n is not a number',
      not_a_number: 'value not_a_number: its source: the column n is not a number',
      infinite: 'value infinite: its sink: the column n is not a number',
      twice: 'value twice: its source: two rows are of the same group: it has no groups',
      many: 'value many: its source gives more than 3 groups',
      two: expect.stringMatching(/^value two: .*multiple commands/),
      writing: expect.stringMatching(/^value writing: .*cannot execute INSERT in a read-only transaction/),
      deleting: expect.stringMatching(/^value deleting: .*syntax error/),
      writing_there: expect.stringMatching(/^value writing_there: .*Syntax error/),
      none: expect.stringMatching(/^assertion none: clickhouse at .*nothing/),
      drops: expect.stringMatching(/^assertion drops: .*Syntax error/),
      writes: expect.stringMatching(/^assertion writes: .*cannot execute INSERT in a read-only transaction/),
    })
    expect(Object.values(said).join()).not.toContain('4711')
    expect((await source.query('SELECT * FROM written')).rows).toEqual([])
  })

  test('is given up by the server after the time that a statement may take', async () => {
    const slow = value('slow', 'SELECT 1 AS n FROM pg_sleep(600)')
    const collector = collectorOf({ values: [slow], statement_timeout: '500ms' })
    await collector.run()
    expect(String(collector.failedParts[0]?.cause)).toMatch(
      /value slow: .*(canceling statement due to statement timeout|no answer within 1500 ms)/,
    )
  })

  test('fails again between its turns, and its values are none until it goes well', async () => {
    await source.query('CREATE TABLE later (n int)')
    const collector = collectorOf({
      values: [value('rare', 'SELECT n FROM later', 'SELECT 3 AS n', { every: '1h' })],
    })
    await source.query('DROP TABLE later')
    for (let i = 0; i < 2; i++) {
      expect(linesOf(await collector.run(), 'cdc_value_groups')).toEqual([])
      expect(collector.failedParts).toMatchObject([{ labels: { value: 'rare' } }])
    }
  })

  test('is told from a database that does not answer, and from settings that cannot be', async () => {
    const good = { values: [value('good', 'SELECT 1 AS n')] }
    const refused = [
      [
        { source: { postgresql: { url: 'postgres://localhost:1/erp' } } },
        /^postgresql at localhost:1: connect: /,
      ],
      [{ sink: { clickhouse: { url: 'http://localhost:1' } } }, /^clickhouse at localhost:1: /],
      [{ sink: { clickhouse: { url: clickhouse.url, tls: {} } } }, /: tls needs a url of https/],
    ] as const
    for (const [given, message] of refused) {
      await expect(collectorOf({ ...good, ...given }).run()).rejects.toThrow(message)
    }
  })

  test('leaves tables theirs, and a table that fails leaves queries theirs', async () => {
    const table = { source: 'alpha.cash_entries', sink: 'nowhere', watermark: 'created_at' }
    const collector = collectorOf({ tables: [table], values: [value('good', 'SELECT 1 AS n')] })
    expect(linesOf(await collector.run(), 'cdc_value_groups')).toHaveLength(1)
    expect(collector.failedParts).toMatchObject([{ labels: { table: 'cash_entries' } }])
  })
})

describe('what bounds tables bounds queries', () => {
  const given = { ...balances, assertions: [{ name: 'none', on: 'sink', sql: 'SELECT 1 WHERE 0' }] }
  const skipped = (lines: readonly string[]) =>
    linesOf(lines, 'cdc_value_skipped_total', 'cdc_assertion_skipped_total').filter(
      (line) => !/lag/.test(line),
    )

  test('the time of a run, and quiet hours', async () => {
    const late = collectorOf({ ...given, max_time: '0s' })
    await late.run()
    expect(skipped(await late.run())).toEqual([
      'cdc_assertion_skipped_total {assertion="none",tenant="",side="sink",reason="time"} 2',
      'cdc_value_skipped_total {value="cash_balance",tenant="alpha",reason="time"} 2',
      'cdc_value_skipped_total {value="cash_balance",tenant="bravo",reason="time"} 2',
    ])
    const quiet = await collectorOf({ ...given, quiet_hours: ['00:00-12:00', '12:00-00:00'] }).run()
    expect(skipped(quiet)).toEqual([
      'cdc_assertion_skipped_total {assertion="none",tenant="",side="sink",reason="quiet"} 1',
      'cdc_value_skipped_total {value="cash_balance",tenant="alpha",reason="quiet"} 1',
      'cdc_value_skipped_total {value="cash_balance",tenant="bravo",reason="quiet"} 1',
    ])
    expect(linesOf(quiet, 'cdc_value_groups', 'cdc_assertion_violations')).toEqual([])
  })

  test('every', async () => {
    const collector = collectorOf({ ...balances, values: [{ ...balance, every: '1h' }] })
    const first = await collector.run()
    await atSink('alpha', 2, 1101, '9')
    expect(await collector.run()).toEqual(first)
  })
})

const unbalanced = {
  name: 'unbalanced_journals',
  sql: `SELECT journal_id, sum(debit) AS debits, sum(credit) AS credits FROM journal_lines
    GROUP BY journal_id HAVING debits <> credits ORDER BY journal_id`,
  on: 'sink',
}

async function bookAtSink(journal: number, debit: string, credit: string): Promise<void> {
  await inSink(`INSERT INTO journal_lines VALUES
    ('alpha', ${journal} * 2, ${journal}, '${debit}', 0, now() - 90000), ('alpha', ${journal} * 2 + 1, ${journal}, 0, '${credit}', now() - 90000)`)
}

describe('assertions', () => {
  const violations = (lines: readonly string[]) => linesOf(lines, 'cdc_assertion_violations')
  const atSink = (count: number) => [
    `cdc_assertion_violations {assertion="unbalanced_journals",tenant="",side="sink"} ${count}`,
  ]

  test('count the rows that they find, show a sample where it is asked for, and are quiet after the repair', async () => {
    const collector = collectorOf({ assertions: [{ ...unbalanced, sample: 2 }] })
    const silent = collectorOf({ assertions: [unbalanced] })
    await bookAtSink(1, '10.50', '10.50')
    expect(violations(await collector.run())).toEqual(atSink(0))
    expect(detailsOf(collector, 'unbalanced_journals')?.alarm).toBeUndefined()
    for (const journal of [2, 3, 4]) await bookAtSink(journal, '10.50', '10.49')
    const lines = await collector.run()
    expect(violations(lines)).toEqual(atSink(3))
    expect(detailsOf(collector, 'unbalanced_journals')).toMatchObject({
      labels: { assertion: 'unbalanced_journals', tenant: '', side: 'sink' },
      details: {
        violations: '3',
        sample: [
          { journal_id: '2', debits: '10.5', credits: '10.49' },
          { journal_id: '3', debits: '10.5', credits: '10.49' },
        ],
      },
      alarm: {
        problem: 'assertion unbalanced_journals: 3 rows at the sink that should not be',
        about: { violations: '3' },
      },
    })
    expect(violations(await silent.run())).toEqual(atSink(3))
    expect(detailsOf(silent, 'unbalanced_journals')?.details.sample).toEqual([])
    expect(linesOf(lines, 'cdc_assertion_statement_seconds_total')).toHaveLength(1)
    await inSink('TRUNCATE TABLE journal_lines')
    expect(violations(await collector.run())).toEqual(atSink(0))
    expect(detailsOf(collector, 'unbalanced_journals')?.details.sample).toEqual([])
  })

  test('count only rows that are there at each pass, as they were', async () => {
    let meanwhile = async () => {}
    const collector = collectorOf(
      { lag: '1h', assertions: [{ ...unbalanced, sample: 5 }] },
      clockOf(() => meanwhile()),
    )
    await bookAtSink(1, '1', '2')
    await inSink("INSERT INTO journal_lines VALUES ('alpha', 100, 50, '7', 0, now())")
    // One arrives whole, and another begins to.
    meanwhile = async () =>
      await inSink(
        "INSERT INTO journal_lines VALUES ('alpha', 101, 50, 0, '7', now()), ('alpha', 102, 51, '1', 0, now())",
      )
    const lines = await collector.run()
    expect(violations(lines)).toEqual(atSink(1))
    expect(detailsOf(collector, 'unbalanced_journals')?.details).toMatchObject({
      sample: [{ journal_id: '1' }],
    })
    expect(linesOf(lines, 'cdc_assertion_skipped_total')).toContain(
      'cdc_assertion_skipped_total {assertion="unbalanced_journals",tenant="",side="sink",reason="changing"} 1',
    )
  })

  test('count exactly what is too much to be read, at the source and tenant by tenant', async () => {
    await source.query(`INSERT INTO bravo.journal_lines SELECT n, n, n, 0, now() - interval '1 day'
      FROM generate_series(1, 4321) n`)
    const sql = `SELECT * FROM {tenant}.journal_lines WHERE debit <> credit AND created_at < to_timestamp({watermark});`
    const assertion = { name: 'unbalanced', on: 'source', sql, sample: 1 }
    const collector = collectorOf({ tenants: ['alpha', 'bravo'], assertions: [assertion] })
    expect(violations(await collector.run())).toEqual([
      'cdc_assertion_violations {assertion="unbalanced",tenant="alpha",side="source"} 0',
      'cdc_assertion_violations {assertion="unbalanced",tenant="bravo",side="source"} 4321',
    ])
    expect(collector.failedParts).toEqual([])
    expect(detailsOf(collector, 'unbalanced', 'bravo')?.details).toMatchObject({
      violations: '4321',
      sample: [{ id: expect.any(String), credit: '0.00' }],
      watermark: expect.stringMatching(/^\d{4}-/),
    })
  })
})

describe('freshness', () => {
  const entries = {
    source: '{tenant}.cash_entries',
    sink: 'cash_entries',
    sink_tenant_column: 'tenant',
    watermark: 'created_at',
    deleted: '_deleted',
  }
  const ages = (lines: readonly string[]): Record<string, number> =>
    Object.fromEntries(
      linesOf(lines, 'cdc_freshness_seconds').map((line) => {
        const [, tenant, side, age] = /tenant="(\w*)",side="(\w+)"\} (\S+)$/.exec(line) ?? []
        return [`${tenant} ${side}`, Number(age)]
      }),
    )
  const TWO_DAYS = 2 * 86_400

  test('is the age of the newest row of each side, and moves with it', async () => {
    await source.query('TRUNCATE bravo.cash_entries')
    const collector = collectorOf({
      tenants: ['alpha', 'bravo', 'empty'],
      tables: [{ ...entries, freshness: 'created_at', every: '1h' }],
    })
    await source.query('CREATE SCHEMA empty; CREATE TABLE empty.cash_entries (LIKE alpha.cash_entries)')
    const before = ages(await collector.run())
    expect(Object.keys(before).sort()).toEqual(['alpha sink', 'alpha source', 'bravo sink'])
    for (const age of Object.values(before)) expect(age).toBeGreaterThanOrEqual(TWO_DAYS)

    await source.query(
      "INSERT INTO alpha.cash_entries VALUES (20, 1, 1, now() - interval '1 day'), (21, 1, 1, 'infinity')",
    )
    await inSink(`INSERT INTO cash_entries SELECT 'alpha', 30, 1, 1, now64(6) - INTERVAL 1 HOUR, 1, 1`)
    // Though the table has not its turn.
    const after = ages(await collector.run())
    expect(after['alpha source']).toBeLessThan(before['alpha source'] ?? 0)
    expect(after['alpha source']).toBeGreaterThanOrEqual(TWO_DAYS / 2)
    // Deleted rows do not count.
    expect(after['alpha sink']).toBeGreaterThanOrEqual(before['alpha sink'] ?? 0)
  })

  test('by another column, which fails alone where it cannot be read', async () => {
    const tables = [
      { ...entries, source: 'alpha.cash_entries', sink_tenant_column: undefined, freshness: 'account' },
      {
        ...entries,
        source: 'alpha.journal_lines',
        sink: 'journal_lines',
        sink_tenant_column: undefined,
        deleted: undefined,
      },
    ]
    const collector = collectorOf({ lag: '0s', tables })
    const lines = await collector.run()
    expect(ages(lines)).toEqual({})
    expect(linesOf(lines, 'cdc_row_difference')).toHaveLength(2)
    expect(collector.failedParts).toMatchObject([{ labels: { table: 'cash_entries', tenant: '' } }])
  })
})
