import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { isAnother, type SlotIdentity, slotHistory } from '../../../src/collectors/postgresql/slot-history.ts'
import { walRate } from '../../../src/collectors/postgresql/wal-rate.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

describe.each(['embedded', '15'] as const)('a slot of version %s', (version) => {
  let server: PostgresPart
  let client: pg.Client
  let collector: Collecting

  beforeAll(async () => {
    server = await startPostgres({ version })
    client = new pg.Client({ connectionString: server.url() })
    await client.connect()
    await client.query('CREATE TABLE journals (id int)')
    await client.query('CREATE PUBLICATION moves FOR TABLE journals')
  })
  afterAll(async () => {
    await client?.end()
    await server?.remove()
  })
  beforeEach(async () => {
    collector = collecting(postgresql, { url: server.url() })
    await create()
  })
  afterEach(async () => {
    await collector.stop()
    await drop()
  })

  const create = () => client.query("SELECT pg_create_logical_replication_slot('moves', 'pgoutput')")
  const drop = () => client.query("SELECT pg_drop_replication_slot('moves')")
  const recreated = async () =>
    (await collector.run()).filter((line) => line.startsWith('cdc_slot_recreated_total'))
  const times = (count: number) => [`cdc_slot_recreated_total{target="test",slot_name="moves"} ${count}`]

  /** Writes a row and reads it from the slot; resolves when the server has counted it. */
  async function decode(): Promise<void> {
    await client.query('INSERT INTO journals VALUES (1)')
    await client.query(
      "SELECT pg_logical_slot_get_binary_changes('moves', NULL, NULL, 'proto_version', '1', 'publication_names', 'moves')",
    )
    await waitFor('the statistics of the slot', async () => {
      const { rows } = await client.query('SELECT total_txns FROM pg_stat_replication_slots')
      return Number(rows[0]?.total_txns) > 0
    })
  }

  test('that is read, advanced or has its statistics reset is the same', async () => {
    expect(await recreated()).toEqual(times(0))
    await decode()
    expect(await recreated()).toEqual(times(0))
    await client.query("SELECT pg_replication_slot_advance('moves', pg_current_wal_lsn())")
    expect(await recreated()).toEqual(times(0))
    await client.query("SELECT pg_stat_reset_replication_slot('moves')")
    expect(await recreated()).toEqual(times(0))
  })

  test('that was dropped and made anew between two runs is another one', async () => {
    await decode()
    expect(await recreated()).toEqual(times(0))
    await drop()
    await create()
    await waitFor('it to be noticed', async () => (await recreated())[0] === times(1)[0])
    expect(await recreated()).toEqual(times(1))
  })

  test('that a run did not find is another one when it is there again', async () => {
    expect(await recreated()).toEqual(times(0))
    await drop()
    expect(await recreated()).toEqual([])
    await create()
    expect(await recreated()).toEqual(times(1))
  })

  test('of another type is another one', async () => {
    expect(await recreated()).toEqual(times(0))
    await drop()
    await client.query("SELECT pg_create_physical_replication_slot('moves')")
    expect(await recreated()).toEqual(times(1))
  })
})

describe('the identity of a slot', () => {
  const identity = (change: Partial<SlotIdentity> = {}): SlotIdentity => ({
    definition: 'logical pgoutput erp',
    timeline: '00000001',
    statistics: { decoded: [10n, 1_000n], resetAt: undefined, since: 'monday' },
    ...change,
  })
  const statistics = (decoded: readonly bigint[], resetAt?: string, since = 'monday') => ({
    statistics: { decoded, resetAt, since },
  })

  test.each<[string, SlotIdentity, boolean]>([
    ['nothing has changed', identity(), false],
    ['it has decoded more', identity(statistics([11n, 1_100n])), false],
    ['it has decoded less', identity(statistics([1n, 1_100n])), true],
    ['its statistics were reset', identity(statistics([0n, 0n], 'tuesday')), false],
    ['the server lost its statistics', identity(statistics([0n, 0n], undefined, 'tuesday')), false],
    ['it is on another timeline', identity({ timeline: '00000002' }), true],
    ['it goes over to new primaries', identity({ timeline: undefined }), false],
    ['it has another plugin', identity({ definition: 'logical wal2json erp' }), true],
  ])('%s', (_, now, another) => {
    expect(isAnother(identity(), now)).toBe(another)
  })

  test('a standby has slots of its own', () => {
    const history = slotHistory()
    const slots = new Map([['moves', identity()]])
    expect(history(slots, false)).toEqual([['moves', 0]])
    expect(history(new Map(), true)).toEqual([])
    expect(history(slots, false)).toEqual([['moves', 0]])
  })

  test('of names that have gone the last thousand are known', () => {
    const history = slotHistory()
    history(new Map([['first', identity()]]), false)
    for (let i = 0; i <= 1_000; i++) history(new Map([[`slot ${i}`, identity()]]), false)
    expect(history(new Map([['slot 0', identity()]]), false)).toEqual([['slot 0', 1]])
    expect(history(new Map([['first', identity()]]), false)).toEqual([['first', 0]])
  })
})

describe('the rate of the WAL', () => {
  const MINUTE = 60_000

  test('is that of the last ten minutes', () => {
    const rate = walRate()
    expect(rate(0, 0, false)).toBeUndefined()
    expect(rate(MINUTE, 6_000, false)).toBe(100)
    expect(rate(2 * MINUTE, 6_000, false)).toBe(50)
    // The first minute, in which it was busy, is out of the window.
    expect(rate(11 * MINUTE, 6_000, false)).toBe(0)
  })

  test('is that between two runs where they lie further apart', () => {
    const rate = walRate()
    rate(0, 0, false)
    expect(rate(60 * MINUTE, 3_600_000, false)).toBe(1_000)
    expect(rate(120 * MINUTE, 3_600_000, false)).toBe(0)
  })

  test('begins anew on another server', () => {
    const rate = walRate()
    rate(0, 1_000, false)
    expect(rate(MINUTE, 500, false)).toBeUndefined()
    expect(rate(2 * MINUTE, 6_500, false)).toBe(100)
    expect(rate(3 * MINUTE, 6_500, true)).toBeUndefined()
  })
})
