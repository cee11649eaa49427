import { statfs } from 'node:fs/promises'
import { createClient } from '@clickhouse/client'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ClickhouseReader, connectClickhouse } from '../../../src/clients/clickhouse.ts'
import { clickhouse } from '../../../src/collectors/clickhouse/index.ts'
import { type ClickHousePart, startClickHouse } from '../../testbed/parts/clickhouse.ts'
import { PATIENCE_MS, waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

const PASSWORD = 'secret&word'

let server: ClickHousePart
let collector: Collecting

beforeAll(async () => {
  server = await startClickHouse({ password: PASSWORD })
  await command('CREATE DATABASE erp')
  await command('CREATE TABLE erp.journals (id UInt64) ENGINE = MergeTree ORDER BY id')
  await command('SYSTEM STOP MERGES erp.journals')
  await command('INSERT INTO erp.journals SELECT number FROM numbers(1000)')
  await command('INSERT INTO erp.journals SELECT number FROM numbers(234)')
  await command('CREATE TABLE erp.emptied (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id')
  await command('CREATE VIEW erp.seen AS SELECT id FROM erp.journals')
})
afterAll(() => server?.remove())

beforeEach(() => {
  collector = collecting(clickhouse, { url: server.url, password: PASSWORD })
})
afterEach(() => collector.stop())

async function command(query: string): Promise<void> {
  const client = createClient({ url: server.url, password: PASSWORD })
  await client.command({ query })
  await client.close()
}

async function ask(query: string): Promise<Record<string, unknown>[]> {
  const client = createClient({ url: server.url, password: PASSWORD })
  const answer = await client.query({ query, format: 'JSONEachRow' })
  const rows = await answer.json<Record<string, unknown>>()
  await client.close()
  return rows
}

const rowsOfJournals = 'clickhouse_table_rows{target="test",database="erp",table="journals"} 1234'

/** Lines of these families, without the prefix that all names have. */
const of = (lines: readonly string[], ...names: string[]): string[] =>
  lines
    .filter((line) => names.some((name) => line.startsWith(`clickhouse_${name}{`)))
    .map((line) => line.slice('clickhouse_'.length).replace('target="test",', ''))

const sampleOf = (lines: readonly string[], start: string): number =>
  Number(lines.find((line) => line.startsWith(start))?.split(' ')[1])

const all = { password: PASSWORD }

describe('a table', () => {
  test('has its rows, parts and bytes; an empty one has none; a view has no series', async () => {
    const lines = await collector.run()
    expect(of(lines, 'table_rows', 'table_parts', 'table_partition_parts_max')).toEqual([
      'table_partition_parts_max{database="erp",table="emptied"} 0',
      'table_partition_parts_max{database="erp",table="journals"} 2',
      'table_parts{database="erp",table="emptied"} 0',
      'table_parts{database="erp",table="journals"} 2',
      'table_rows{database="erp",table="emptied"} 0',
      'table_rows{database="erp",table="journals"} 1234',
    ])
    const [emptied, journals] = of(lines, 'table_bytes')
    expect(emptied).toBe('table_bytes{database="erp",table="emptied"} 0')
    expect(Number(journals?.split(' ')[1])).toBeGreaterThan(1000)
    expect(collector.failedParts).toEqual([])
  })

  test('tells of its fullest partition', async () => {
    await command('CREATE TABLE cut (id UInt64) ENGINE = MergeTree PARTITION BY id % 2 ORDER BY id')
    await command('SYSTEM STOP MERGES cut')
    for (const id of [1, 2, 3, 5]) await command(`INSERT INTO cut VALUES (${id})`)
    const lines = await collector.run()
    await command('DROP TABLE cut SYNC')
    expect(of(lines, 'table_parts').filter((line) => line.includes('cut'))).toEqual([
      'table_parts{database="default",table="cut"} 4',
    ])
    expect(of(lines, 'table_partition_parts_max').filter((line) => line.includes('cut'))).toEqual([
      'table_partition_parts_max{database="default",table="cut"} 3',
    ])
  })

  test('is as old as its last insert, whatever is merged or changed since', async () => {
    // The server keeps old parts for so long by default, the engine in process not at all.
    await command(
      `CREATE TABLE aging (id UInt64, n UInt8) ENGINE = ReplacingMergeTree ORDER BY id
       SETTINGS old_parts_lifetime = 480, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, max_cleanup_delay_period = 1`,
    )
    const newest =
      'clickhouse_table_newest_row_timestamp_seconds{target="test",database="default",table="aging"}'
    expect((await collector.run()).some((line) => line.startsWith(newest))).toBe(false)
    const nextSecond = async () => {
      const [before] = await ask('SELECT toUnixTimestamp(now()) AS at')
      await waitFor(
        'the next second',
        async () => Number((await ask('SELECT toUnixTimestamp(now()) AS at'))[0]?.at) > Number(before?.at),
      )
    }
    const modified = async () =>
      Number(
        (
          await ask(
            "SELECT toUnixTimestamp(max(modification_time)) AS at FROM system.parts WHERE table = 'aging' AND active",
          )
        )[0]?.at,
      )
    await command('SYSTEM STOP MERGES aging')
    await command('INSERT INTO aging SELECT number, 0 FROM numbers(10)')
    const first = await modified()
    expect(sampleOf(await collector.run(), newest)).toBe(first)
    await nextSecond()
    await command('INSERT INTO aging SELECT number, 0 FROM numbers(10)')
    const second = await modified()
    expect(second).toBeGreaterThan(first)
    await nextSecond()
    await command('SYSTEM START MERGES aging')
    await command('OPTIMIZE TABLE aging FINAL')
    await command('ALTER TABLE aging UPDATE n = 1 WHERE id = 1 SETTINGS mutations_sync = 2')
    expect(await modified()).toBeGreaterThan(second)
    // Also for a daemon that sees it now for the first time.
    const fresh = collecting(clickhouse, { url: server.url, ...all })
    for (const each of [collector, fresh]) expect(sampleOf(await each.run(), newest)).toBe(second)
    await fresh.stop()
    // What was merged away is forgotten, but not by who saw it.
    await command('ALTER TABLE aging MODIFY SETTING old_parts_lifetime = 0')
    await waitFor(
      'the old parts to go',
      async () => (await ask("SELECT 1 FROM system.parts WHERE table = 'aging' AND NOT active")).length === 0,
    )
    expect(sampleOf(await collector.run(), newest)).toBe(second)
    await command('DROP TABLE aging SYNC')
  })

  test('has its mutations counted until they are done', async () => {
    const pending = async () => of(await collector.run(), 'mutations_pending')
    const none = [
      'mutations_pending{database="erp",table="emptied"} 0',
      'mutations_pending{database="erp",table="journals"} 0',
    ]
    expect(await pending()).toEqual(none)
    await command('CREATE TABLE stuck (id UInt64, n UInt8) ENGINE = MergeTree ORDER BY id')
    await command('INSERT INTO stuck VALUES (1, 1)')
    await command('SYSTEM STOP MERGES stuck')
    await command('ALTER TABLE stuck UPDATE n = 2 WHERE 1 SETTINGS mutations_sync = 0')
    expect(await pending()).toEqual(['mutations_pending{database="default",table="stuck"} 1', ...none])
    await command('SYSTEM START MERGES stuck')
    await waitFor('the mutation', async () =>
      (await pending()).includes('mutations_pending{database="default",table="stuck"} 0'),
    )
    await command('DROP TABLE stuck SYNC')
    expect(await pending()).toEqual(none)
  })

  test('is chosen by its name, and the largest count first', async () => {
    const rows = async (given: Record<string, unknown>) => {
      const chosen = collecting(clickhouse, { url: server.url, ...all, ...given })
      const lines = of(await chosen.run(), 'table_rows', 'mutations_pending')
      await chosen.stop()
      return lines.map((line) => line.replace(/\{.*table="(\w+)".*/, ' $1'))
    }
    const both = [
      'mutations_pending emptied',
      'mutations_pending journals',
      'table_rows emptied',
      'table_rows journals',
    ]
    expect(await rows({})).toEqual(both)
    expect(await rows({ allow_tables: ['^erp\\.e'] })).toEqual([both[0], both[2]])
    expect(await rows({ allow_tables: ['^erp\\.'], deny_tables: ['ed$'] })).toEqual([both[1], both[3]])
    expect(await rows({ max_tables: 1 })).toEqual([both[1], both[3]])
    expect(await rows({ deny_tables: ['.'] })).toEqual([])
  })
})

describe('a replica', () => {
  const uuid = '11111111-2222-3333-4444-555555555555'

  test('that lost its Keeper is read-only and has no delay', async () => {
    await command(
      `ATTACH TABLE erp.replicated UUID '${uuid}' (id UInt64) ENGINE = ReplicatedMergeTree('/replicated', 'one') ORDER BY id`,
    )
    const lines = await collector.run()
    await command('DETACH TABLE erp.replicated SYNC')
    expect(collector.health()).toMatchObject({
      details: { replicas: 1, read_only_replicas: [{ database: 'erp', table: 'replicated' }] },
      problems: ['the replica of erp.replicated is read-only'],
    })
    expect(lines.filter((line) => line.startsWith('clickhouse_replica'))).toEqual([
      'clickhouse_replica_queue{target="test",database="erp",table="replicated"} 0',
      'clickhouse_replica_readonly{target="test",database="erp",table="replicated"} 1',
    ])
    expect(collector.failedParts).toEqual([])
  })
})

test('the server tells of its disks, merges and connections', async () => {
  const lines = await collector.run()
  const { blocks, bsize } = await statfs(server.folder)
  expect(sampleOf(lines, 'clickhouse_disk_bytes{target="test",disk="default"}')).toBe(blocks * bsize)
  const free = sampleOf(lines, 'clickhouse_disk_free_bytes{target="test",disk="default"}')
  expect(free).toBeGreaterThan(0)
  expect(free).toBeLessThan(blocks * bsize)
  // The engine in process has no listener of its own that would count.
  expect(lines).toContain('clickhouse_connections{target="test"} 0')
  expect(sampleOf(lines, 'clickhouse_merges{target="test"}')).toBeGreaterThanOrEqual(0)
})

test('a query that the server refuses is a part; the others go on', async () => {
  // More columns than that only the query of the tables reads.
  const url = `${server.url}?clickhouse_setting_max_columns_to_read=5`
  const bounded = collecting(clickhouse, { url, ...all })
  const lines = await bounded.run()
  await bounded.stop()
  expect(bounded.failedParts.map(({ labels }) => labels)).toEqual([{ request: 'tables' }])
  expect(String(bounded.failedParts[0]?.cause)).toMatch(/^Error: clickhouse at .*: SELECT .*columns/)
  expect(lines.map((line) => line.replace(/\{.*/, ''))).toEqual([
    'clickhouse_connections',
    'clickhouse_disk_bytes',
    'clickhouse_disk_free_bytes',
    'clickhouse_merges',
  ])
})

describe('a watched table', () => {
  const looked = (lines: readonly string[]) => of(lines, 'table_duplicate_rows', 'table_deleted_ratio')
  /** The same as `TABLE`, then what `looked` says of it. */
  const watching = (table: string, deleted?: string, more: Record<string, unknown> = {}) =>
    collecting(clickhouse, { url: server.url, ...all, watch: [{ table, deleted }], ...more })

  beforeAll(async () => {
    await command('CREATE DATABASE seen')
    const create = (name: string, engine: string, partition = '') =>
      command(
        `CREATE TABLE seen.${name} (id UInt64, day UInt8, version UInt64, gone UInt8, sign Int8) ENGINE = ${engine} ${partition} ORDER BY id SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1`,
      )
    await create('replacing', 'ReplacingMergeTree(version)', 'PARTITION BY day')
    await create('cleaned', 'ReplacingMergeTree(version, gone)')
    await create('collapsing', 'CollapsingMergeTree(sign)')
    await create('plain', 'MergeTree')
    await create('nothing', 'ReplacingMergeTree(version)')
    for (const name of ['replacing', 'cleaned', 'collapsing', 'plain']) {
      await command(`INSERT INTO seen.${name} SELECT number, 0, 1, 0, 1 FROM numbers(100)`)
      // Ten again, five of them deleted, in another partition where there are some.
      await command(`INSERT INTO seen.${name} SELECT number, 1, 2, number < 5, -1 FROM numbers(10)`)
    }
  })

  test.each([
    ['replacing', 'gone', ['deleted_ratio 0.05', 'duplicate_rows 10']],
    ['replacing', undefined, ['duplicate_rows 10']],
    // FINAL leaves out what is deleted, but a merge does not.
    ['cleaned', undefined, ['deleted_ratio 0.05', 'duplicate_rows 10']],
    ['cleaned', 'gone', ['deleted_ratio 0.05', 'duplicate_rows 10']],
    ['collapsing', undefined, ['duplicate_rows 20']],
    ['plain', 'gone', [`deleted_ratio ${5 / 110}`]],
    ['nothing', 'gone', ['duplicate_rows 0']],
  ])('%s with the deleted column %s', async (table, deleted, expected) => {
    const watching_ = watching(`seen.${table}`, deleted)
    const lines = looked(await watching_.run())
    expect(watching_.failedParts).toEqual([])
    await watching_.stop()
    expect(lines).toEqual(
      expected.map((line) => `table_${line.replace(' ', `{database="seen",table="${table}"} `)}`),
    )
  })

  test('is looked at again only after its own interval', async () => {
    await command('CREATE TABLE seen.growing (id UInt64) ENGINE = ReplacingMergeTree ORDER BY id')
    const duplicates = (n: number) => [`table_duplicate_rows{database="seen",table="growing"} ${n}`]
    const [seldom, often] = ['1h', '1ms'].map((watch_interval) =>
      watching('seen.growing', undefined, { watch_interval }),
    ) as [Collecting, Collecting]
    await command('SYSTEM STOP MERGES seen.growing')
    await command('INSERT INTO seen.growing VALUES (1)')
    expect(looked(await seldom.run())).toEqual(duplicates(0))
    expect(looked(await often.run())).toEqual(duplicates(0))
    await command('INSERT INTO seen.growing VALUES (1)')
    expect(looked(await seldom.run())).toEqual(duplicates(0))
    expect(looked(await often.run())).toEqual(duplicates(1))
    await Promise.all([seldom.stop(), often.stop()])
  })

  test.each([
    [
      'seen.replacing',
      undefined,
      { watch_max_rows: 109 },
      'seen.replacing has 110 rows, more than watch_max_rows',
    ],
    ['seen.missing', undefined, {}, 'there is no table seen.missing'],
    ['seen.plain', undefined, {}, 'seen.plain is a MergeTree, which keeps every row'],
    ['seen.replacing', 'deleted_at', {}, 'clickhouse at'],
  ])('%s by %s with %o is a failed part, until the next look', async (table, deleted, more, message) => {
    const failing = watching(table, deleted, more)
    for (let n = 0; n < 2; n++) {
      const lines = await failing.run()
      expect(looked(lines)).toEqual([])
      expect(lines).toContain(rowsOfJournals)
      expect(failing.failedParts.map(({ labels }) => labels)).toEqual([
        { database: 'seen', table: table.split('.')[1] },
      ])
      expect(String(failing.failedParts[0]?.cause)).toContain(message)
    }
    await failing.stop()
  })

  test('is not counted for a user who may not have partitions merged', async () => {
    const url = `${server.url}?clickhouse_setting_do_not_merge_across_partitions_select_final=1&clickhouse_setting_readonly=1`
    const held = watching('seen.replacing', 'gone', { url })
    expect(looked(await held.run())).toEqual([])
    expect(String(held.failedParts[0]?.cause)).toContain('unset do_not_merge_across_partitions_select_final')
    await held.stop()
  })

  test.each([
    [{ watch: [{ table: 'journals' }] }, 'expected database.table'],
    [{ watch: [{ table: 'erp.a' }, { table: 'erp.a' }] }, 'erp.a is there already'],
  ])('%o is an error of the configuration', (given, message) => {
    const result = clickhouse.settings.safeParse({ url: server.url, ...given })
    expect(JSON.stringify(result.error?.issues)).toContain(message)
  })
})

test('a wrong password is an error that names the server and not the password', async () => {
  const wrong = collecting(clickhouse, { url: server.url, password: 'guess' })
  await expect(wrong.run()).rejects.toThrow(
    /^clickhouse at 127\.0\.0\.1:\d+: SELECT .*: default: Authentication failed(?!.*guess)/,
  )
  await wrong.stop()
})

test('a killed server fails the run, and the run after its return works', async () => {
  await collector.run()
  await server.kill()
  // It may still find the connection that is being lost.
  await expect(collector.run()).rejects.toThrow(/^clickhouse at 127\.0\.0\.1:\d+: /)
  await expect(collector.run()).rejects.toThrow(/: connect ECONNREFUSED/)
  await server.start()
  await expect(collector.run()).resolves.toContain(rowsOfJournals)
})

describe('a frozen server', () => {
  afterEach(() => server.thaw())

  test('fails the run at its time-out, and the run after its return works', async () => {
    await collector.run()
    server.freeze()
    await expect(collector.run(300)).rejects.toThrow(/^clickhouse at .*: SELECT .*: .*timeout/)
    server.thaw()
    await expect(collector.run()).resolves.toContain(rowsOfJournals)
  })
})

describe('the client', () => {
  let reader: ClickhouseReader
  const signal = () => AbortSignal.timeout(PATIENCE_MS)

  beforeEach(() => {
    reader = connectClickhouse(() => ({ url: server.url, password: PASSWORD, database: 'erp' }))
  })
  afterEach(() => reader.close())

  test('gives every number as ClickHouse prints it', async () => {
    const rows = await reader.query(
      `SELECT toUInt64(18446744073709551615) AS big, toDecimal64('0.10', 2) AS amount, NULL AS nothing,
         {given:String} AS given, count() AS count FROM journals`,
      { given: "it's" },
      signal(),
    )
    expect(rows).toEqual([
      { big: '18446744073709551615', amount: '0.1', nothing: null, given: "it's", count: '1234' },
    ])
  })

  test('cannot write', async () => {
    await expect(reader.query('TRUNCATE TABLE journals', {}, signal())).rejects.toThrow(/readonly mode/)
  })

  test('goes on after a query that the server refuses', async () => {
    await expect(reader.query('SELECT missing FROM journals', {}, signal())).rejects.toThrow(/missing/)
    expect(await reader.query('SELECT 1 AS one', {}, signal())).toEqual([{ one: '1' }])
  })

  test.each(['1', '2'])('reads as a user whom the server holds in read-only mode %s', async (mode) => {
    const url = `${server.url}?clickhouse_setting_readonly=${mode}`
    const held = connectClickhouse(() => ({ url, password: PASSWORD, database: 'erp' }))
    const rows = await held.query("SELECT getSetting('readonly') AS mode", {}, signal())
    held.close()
    expect(rows).toEqual([{ mode }])
  })
})
