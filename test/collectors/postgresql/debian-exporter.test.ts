import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { readExposition, type Sample } from '../../testbed/exposition-text.ts'
import { type PostgresPart, startPostgres, startStandby } from '../../testbed/parts/postgres.ts'
import { reservePort } from '../../testbed/ports.ts'
import { TestbedProcess, waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

// Debian's names a receiver by its process where 0.20 names the slot, and writes addresses without a mask.
const NOT_OF_RECEIVERS = ['slot_name', 'client_addr']

const labelsToCompare = ({ name, labels }: Sample) =>
  Object.entries(labels).filter(
    ([key]) =>
      key !== 'server' && !(name.startsWith('pg_stat_replication_') && NOT_OF_RECEIVERS.includes(key)),
  )

/** Goes up and down between two scrapes whenever the server writes some WAL of its own. */
const RECEIVER_LAG = 'pg_stat_replication_pg_wal_lsn_diff'

/** What both exporters' own sessions are in. */
const OWN_SESSIONS = [
  'pg_stat_activity_count',
  'pg_stat_activity_max_tx_duration',
  'pg_stat_database_numbackends',
  'pg_locks_count',
]

/** How long each of the two took. */
const OWN_DURATION = 'pg_exporter_last_scrape_duration_seconds'

const isComparable = ({ name, labels, value }: Sample): boolean =>
  !Number.isNaN(value) &&
  name !== OWN_DURATION &&
  labels.datid !== '0' &&
  !(OWN_SESSIONS.includes(name) && labels.datname === 'postgres')

/** Ours, added up over the labels that theirs lack: a maximum stays one. */
function aggregated(ours: readonly Sample[], their: Sample): number | undefined {
  const labels = labelsToCompare(their)
  const values = ours
    .filter(
      ({ name, labels: own }) => name === their.name && labels.every(([key, text]) => own[key] === text),
    )
    .map(({ value }) => value)
  if (values.length === 0) return undefined
  return their.name.includes('_max_') ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0)
}

const samplesOf = (lines: readonly string[]) => readExposition(`${lines.join('\n')}\n`).samples

const SETTINGS = { autovacuum: 'off' }

describe.each(['embedded', '15'] as const)('version %s', (version) => {
  let primary: PostgresPart
  let standby: PostgresPart

  beforeAll(async () => {
    primary = await startPostgres({ version, settings: SETTINGS })
    await withClient(primary.url(), async (client) => {
      await client.query('CREATE DATABASE erp')
    })
    await withClient(primary.url('erp'), async (client) => {
      await client.query('CREATE TABLE journals AS SELECT generate_series(1, 1000) AS id')
    })
    standby = await startStandby(primary, { version, settings: SETTINGS })
    await withClient(primary.url('erp'), async (client) => {
      await client.query("SELECT pg_create_logical_replication_slot('moves', 'pgoutput')")
      await client.query('INSERT INTO journals SELECT generate_series(1, 1000)')
    })
  })
  afterAll(async () => {
    await standby?.remove()
    await primary?.remove()
  })

  test('a primary has the same numbers as Debian’s exporter', async () => {
    const compared = await compare(primary)
    expect(compared).toEqual(
      expect.arrayContaining([
        'pg_up',
        'pg_static',
        'pg_database_size_bytes',
        'pg_stat_database_xact_commit',
        'pg_stat_database_numbackends',
        'pg_stat_activity_count',
        'pg_stat_activity_max_tx_duration',
        'pg_locks_count',
        'pg_settings_max_connections',
        'pg_settings_wal_sender_timeout_seconds',
        'pg_settings_shared_buffers_bytes',
        'pg_settings_max_slot_wal_keep_size_bytes',
        'pg_replication_slots_active',
        'pg_replication_slots_pg_wal_lsn_diff',
        'pg_stat_replication_pg_current_wal_lsn_bytes',
        RECEIVER_LAG,
        'pg_stat_archiver_archived_count',
        // Debian's knows the background writer's view as it was before version 17.
        ...(version === '15' ? ['pg_stat_bgwriter_checkpoints_req_total'] : []),
      ]),
    )
  })

  test('a standby has the same numbers as Debian’s exporter', async () => {
    const compared = await compare(standby)
    expect(compared).toEqual(
      expect.arrayContaining([
        'pg_up',
        'pg_database_size_bytes',
        'pg_stat_database_xact_commit',
        'pg_stat_activity_count',
        'pg_locks_count',
        'pg_settings_hot_standby',
      ]),
    )
  })

  test('a primary and its standby say who is who, and what the standby has', async () => {
    const [ofPrimary, ofStandby] = [primary, standby].map((part) =>
      collecting(postgresql, { url: part.url() }),
    )
    if (!ofPrimary || !ofStandby) throw new Error('both are started')
    const value = (lines: readonly string[], name: string) =>
      samplesOf(lines).find((sample) => sample.name === name)?.value
    const before = await ofPrimary.run()
    expect(value(before, 'pg_replication_is_replica')).toBe(0)
    expect(value(before, 'pg_replication_lag_seconds')).toBe(0)
    expect(value(before, 'pg_replication_last_replay_seconds')).toBeUndefined()
    const written = value(before, 'cdc_wal_position_bytes') ?? Number.NaN
    let lines: string[] = []
    await waitFor('the standby to have received and replayed it', async () => {
      lines = await ofStandby.run()
      return (
        (value(lines, 'cdc_wal_position_bytes') ?? 0) >= written &&
        value(lines, 'pg_replication_lag_seconds') === 0
      )
    })
    expect(ofStandby.failedParts).toEqual([])
    expect(value(lines, 'pg_replication_is_replica')).toBe(1)
    expect(value(lines, 'pg_replication_last_replay_seconds')).toBeGreaterThanOrEqual(0)
    expect(lines.filter((line) => line.includes('slot_name="moves"'))).toEqual([])
    await ofPrimary.stop()
    await ofStandby.stop()
  })
})

/** Names whose series were compared, on a server that does nothing but hold the sessions of this test. */
async function compare(server: PostgresPart): Promise<string[]> {
  const ours = collecting(postgresql, { url: server.url() })
  const idle = new pg.Client({ connectionString: server.url('erp') })
  const open = new pg.Client({ connectionString: server.url('erp') })
  await Promise.all([idle.connect(), open.connect()])
  const theirs = await startTheirs(server)
  try {
    await open.query('BEGIN')
    await open.query('SELECT count(*) FROM journals')
    const before = await theirs.scrape()
    const own = await settled(ours)
    const after = await theirs.scrape()
    const names = new Set(own.map(({ name }) => name))
    const differing: string[] = []
    const compared = new Set<string>()
    for (const sample of before.filter(({ name }) => names.has(name)).filter(isComparable)) {
      const key = JSON.stringify([sample.name, labelsToCompare(sample)])
      const later = after.find((other) => JSON.stringify([other.name, labelsToCompare(other)]) === key)
      const value = aggregated(own, sample)
      compared.add(sample.name)
      const low = Math.min(sample.value, later?.value ?? Number.NaN)
      const high = Math.max(sample.value, later?.value ?? Number.NaN)
      if (value !== undefined && ((value >= low && value <= high) || sample.name === RECEIVER_LAG)) continue
      differing.push(`${key}: ${sample.value}, ours ${value}, ${later?.value}`)
    }
    expect(differing).toEqual([])
    return [...compared]
  } finally {
    await theirs.process.stop()
    await Promise.all([idle.end(), open.end()])
    await ours.stop()
  }
}

/** What a scrape of our daemon would give; pg_up is written by the engine, which is not here. */
async function settled(collector: Collecting): Promise<readonly Sample[]> {
  const lines = await collector.run()
  expect(collector.failedParts).toEqual([])
  return samplesOf([...lines, 'pg_up{target="test"} 1'])
}

async function startTheirs(server: PostgresPart) {
  const address = `127.0.0.1:${await reservePort()}`
  const process = new TestbedProcess({
    name: 'prometheus-postgres-exporter',
    command: 'prometheus-postgres-exporter',
    args: [`--web.listen-address=${address}`],
    env: { DATA_SOURCE_NAME: `${server.url()}?sslmode=disable` },
    logFile: join(server.folder, 'exporter.log'),
    ready: async (signal) => (await fetch(`http://${address}/`, { signal })).ok,
  })
  await process.start()
  const scrape = async () => {
    const response = await fetch(`http://${address}/metrics`)
    return readExposition(await response.text()).samples
  }
  return { process, scrape }
}

async function withClient(connectionString: string, work: (client: pg.Client) => Promise<void>) {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
