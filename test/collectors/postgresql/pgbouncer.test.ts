import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import { connectPostgresql } from '../../../src/clients/postgresql.ts'
import { postgresql } from '../../../src/collectors/postgresql/index.ts'
import { type PgbouncerPart, startPgbouncer } from '../../testbed/parts/pgbouncer.ts'
import { type PostgresPart, startPostgres } from '../../testbed/parts/postgres.ts'
import { waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

let server: PostgresPart
let pooler: PgbouncerPart
let collector: Collecting

beforeAll(async () => {
  server = await startPostgres()
  pooler = await startPgbouncer(server)
  // Short, so that the frozen one is given up soon; the server has more than a moment to answer.
  const kind = { ...postgresql, defaults: { ...postgresql.defaults, timeout: 8_000 } }
  collector = collecting(kind, { url: server.url(), pgbouncer: { url: pooler.url('pgbouncer') } })
})
afterEach(() => pooler.thaw())
afterAll(async () => {
  await collector?.stop()
  await pooler?.remove()
  await server?.remove()
})

const value = (lines: readonly string[], series: string) => {
  const line = lines.find((line) => line.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

test('its pools, databases, totals and limits are there', async () => {
  const client = new pg.Client({ connectionString: pooler.url('postgres') })
  await client.connect()
  onTestFinished(() => client.end())
  await client.query('SELECT 1')
  const POOL = 'target="test",database="postgres",user="postgres"'
  const total = 'pgbouncer_stats_totals_queries_pooled_total{target="test",database="postgres"}'
  const idle = await collector.run()
  expect(collector.failedParts).toEqual([])
  expect(value(idle, 'pgbouncer_up{target="test"}')).toBe(1)
  expect(value(idle, `pgbouncer_pools_server_active_connections{${POOL}}`)).toBe(0)
  expect(value(idle, `pgbouncer_pools_server_idle_connections{${POOL}}`)).toBe(1)
  expect(value(idle, 'pgbouncer_config_max_client_connections{target="test"}')).toBe(100)
  expect(value(idle, 'pgbouncer_pools{target="test"}')).toBeGreaterThanOrEqual(2)
  expect(idle.join('\n')).toMatch(/^pgbouncer_version_info\{target="test",version="\d+\.\d+\.\d+"\} 1$/m)
  expect(idle.join('\n')).toMatch(/^pgbouncer_databases_pool_size\{target="test",name="postgres",.*\} 20$/m)

  await client.query('BEGIN')
  const active = await collector.run()
  expect(value(active, `pgbouncer_pools_server_active_connections{${POOL}}`)).toBe(1)
  expect(value(active, `pgbouncer_pools_client_active_connections{${POOL}}`)).toBe(1)
  const { details, problems } = collector.health()
  const pool = { database: 'postgres', user: 'postgres' }
  expect(details).toMatchObject({
    pgbouncer: {
      up: true,
      connections: expect.arrayContaining([{ name: 'postgres', used: 1, pool_size: 20 }]),
      pools: expect.arrayContaining([
        { ...pool, clients_active: 1, clients_waiting: 0, servers_active: 1, servers_idle: 0 },
      ]),
    },
  })
  expect(problems).toEqual([])
  expect(value(active, total)).toBeGreaterThanOrEqual((value(idle, total) ?? Number.NaN) + 1)
})

test('a run through a pool a transaction is the same, and cannot write', async () => {
  const through = collecting(postgresql, { url: pooler.url('postgres') })
  const lines = await through.run()
  expect(through.failedParts).toEqual([])
  expect(lines.join('\n')).toContain('pg_stat_database_xact_commit')
  await through.stop()

  const reader = connectPostgresql(() => ({ url: pooler.url('postgres'), statementTimeout: 5_000 }))
  const ask = (sql: string) => reader.query(sql, [], AbortSignal.timeout(20_000))
  await expect(ask('CREATE TABLE forbidden (id int)')).rejects.toThrow('in a read-only transaction')
  expect(await ask('SHOW statement_timeout')).toEqual([{ statement_timeout: '5s' }])
  reader.close()
})

test('one that hangs or is gone is a part that fails, the server is read, and it is read again', async () => {
  await collector.run()
  const failing = async () => {
    const lines = await collector.run(60_000)
    expect(value(lines, 'pgbouncer_up{target="test"}')).toBe(0)
    expect(lines.join('\n')).toContain('pg_stat_database_xact_commit')
    expect(lines.filter((line) => line.startsWith('pgbouncer_')).length).toBe(1)
    expect(collector.failedParts.map(({ labels }) => labels)).toEqual([{ request: 'pgbouncer' }])
    return String(collector.failedParts[0]?.cause)
  }
  pooler.freeze()
  expect(await failing()).toMatch(/pgbouncer at 127\.0\.0\.1:\d+: .*timeout/)
  pooler.thaw()
  await pooler.kill()
  expect(await failing()).toMatch(/pgbouncer at 127\.0\.0\.1:\d+: connect: .*ECONNREFUSED/)
  await pooler.start()
  await waitFor(
    'it to be read',
    async () => value(await collector.run(), 'pgbouncer_up{target="test"}') === 1,
  )
  expect(collector.failedParts).toEqual([])
})
