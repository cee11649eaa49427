import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Daemon, startDaemon } from '../../commands/daemon.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { etlApp, type Pipeline, startPipeline } from '../../testbed/pipeline.ts'
import { waitFor } from '../../testbed/process.ts'

const [N, M, K] = [23, 11, 7]

const state = temporaryFolder('sync-state')
let pipeline: Pipeline
let database: pg.Client

beforeAll(async () => {
  pipeline = await startPipeline({ tenants: ['alpha'] })
  database = new pg.Client({ connectionString: pipeline.postgres.url('erp') })
  await database.connect()
})

afterAll(async () => {
  await database?.end()
  await pipeline?.stop()
  state.remove()
})

const start = () =>
  startDaemon(
    [
      {
        kind: 'kafka',
        target: 'erp',
        interval: '3s',
        brokers: pipeline.kafka.bootstrap,
        broker_timeout: '3m',
      },
      {
        kind: 'sync',
        target: 'erp',
        interval: '3s',
        brokers: pipeline.kafka.bootstrap,
        broker_timeout: '3m',
        groups: ['^clickhouse-etl$'],
        topics: [{ match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$' }],
      },
    ],
    { settings: { state_dir: state.path } },
  )

const JOURNALS = 'target="erp",table="journals",tenant="alpha"'

/** By operation; undefined while there is no such series. */
async function processed(daemon: Daemon): Promise<Record<string, number | undefined>> {
  const sample = (operation: string) =>
    daemon.sample(`sync_records_processed_total{${JOURNALS},operation="${operation}"}`)
  const [insert, update, deleted, unknown] = await Promise.all(
    ['insert', 'update', 'delete', 'unknown'].map(sample),
  )
  return { insert, update, delete: deleted, unknown }
}

async function shows(daemon: Daemon, insert: number, update: number, deleted: number): Promise<void> {
  const wanted = { insert, update, delete: deleted, unknown: undefined }
  let now = {}
  const done = waitFor('the totals', async () => {
    now = await processed(daemon)
    return JSON.stringify(now) === JSON.stringify(wanted)
  })
  await done.catch(() => {})
  expect(now).toEqual(wanted)
}

const endOfJournals = async (daemon: Daemon) =>
  (await daemon.sample('kafka_topic_current_offset{target="erp",topic="erp.alpha.journals"}')) ?? Number.NaN

test('N inserts, M updates, K deletes, over restarts, a kill -9 and a consumer that stops', async () => {
  const insert = () =>
    database.query(`INSERT INTO alpha.journals (number) SELECT 'JV-' || n FROM generate_series(1, ${N}) AS n`)
  let daemon = await start()
  await shows(daemon, 0, 0, 0)
  await insert()
  await shows(daemon, N, 0, 0)

  // What is written and arrives meanwhile counts too.
  await daemon.stop()
  await database.query(`UPDATE alpha.journals SET description = 'x' WHERE id <= ${M}`)
  daemon = await start()
  await shows(daemon, N, M, 0)

  daemon.kill('SIGKILL')
  await daemon.ended
  await database.query(`DELETE FROM alpha.journals WHERE id <= ${K}`)
  daemon = await start()
  await shows(daemon, N, M, K)

  await pipeline.pm2.stopApp(etlApp)
  const before = await endOfJournals(daemon)
  await insert()
  await waitFor('the log to grow', async () => (await endOfJournals(daemon)) >= before + N)
  expect(await processed(daemon)).toEqual({ insert: N, update: M, delete: K })
  await waitFor(
    'the lag to grow',
    async () => ((await daemon.sample(`sync_lag_seconds{${JOURNALS}}`)) ?? 0) > 0,
  )
  await pipeline.pm2.restartApp(etlApp)
  await shows(daemon, 2 * N, M, K)
  await waitFor('the lag to end', async () => (await daemon.sample(`sync_lag_seconds{${JOURNALS}}`)) === 0)
  await daemon.stop()
})

test('the latency of real changes, by operation', async () => {
  const daemon = await start()
  const measured = () =>
    daemon.sample(`sync_processing_latency_seconds_count{${JOURNALS},operation="update"}`)
  await shows(daemon, 2 * N, M, K)
  const before = (await measured()) ?? 0
  // The first commit that is seen is not measured; the one after it is.
  await waitFor('an update to be measured', async () => {
    await database.query(`UPDATE alpha.journals SET description = 'y' WHERE id = ${M}`)
    return ((await measured()) ?? 0) > before
  })
  await daemon.stop()
})
