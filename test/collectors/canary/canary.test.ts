import { createClient } from '@clickhouse/client'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../src/clock.ts'
import { canary } from '../../../src/collectors/canary/index.ts'
import { Exposition } from '../../../src/metrics/exposition.ts'
import { installClickHouse } from '../../testbed/clickhouse.ts'
import { erpPublication } from '../../testbed/erp/schema.ts'
import { installJars } from '../../testbed/java.ts'
import { etlApp, type Pipeline, startPipeline } from '../../testbed/pipeline.ts'
import { waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { type Collecting, collecting } from '../collect.ts'

const CANARIES = `(id text PRIMARY KEY, sequence bigint NOT NULL, written_at timestamptz NOT NULL)`

let pipeline: Pipeline
let source: pg.Pool

beforeAll(async () => {
  await installJars()
  await installClickHouse()
  pipeline = await startPipeline({ tenants: ['alpha'] })
  source = new pg.Pool({ connectionString: pipeline.postgres.url('erp'), max: 2 })
  source.on('error', () => {})
  await createTopics(pipeline.kafka.bootstrap, [{ topic: 'erp.alpha.cdc_canary', numPartitions: 3 }])
  await inSink(`
    CREATE TABLE cdc_canary (tenant String, id String, sequence UInt64, written_at DateTime64(6, 'UTC'),
      arrived_at DateTime64(6, 'UTC') DEFAULT now64(6), _version UInt64, _deleted UInt8)
    ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY id`)
  await inSink(`
    CREATE TABLE plain_canary ("the id" String, seq Int64, written_at DateTime64(6, 'UTC'))
    ENGINE = MergeTree ORDER BY seq TTL toDateTime(written_at) + INTERVAL 1 DAY`)
  await inSink(`
    CREATE MATERIALIZED VIEW to_plain TO plain_canary AS
    SELECT id AS "the id", toInt64(sequence) AS seq, written_at FROM cdc_canary`)
  await ask(`
    CREATE TABLE alpha.cdc_canary ${CANARIES};
    ALTER PUBLICATION ${erpPublication} ADD TABLE alpha.cdc_canary;
    CREATE ROLE canary LOGIN PASSWORD 'canary';
    GRANT USAGE ON SCHEMA alpha TO canary;
    GRANT SELECT, INSERT, UPDATE ON alpha.cdc_canary TO canary`)
  // It reads the topics that exist when it starts.
  await pipeline.pm2.restartApp(etlApp)
  await withCanary('first', {}, (collector) =>
    waitFor('the first canary', async () => valuesOf(await collector.run()).freshness_ok === 1),
  )
})
afterAll(async () => {
  await source?.end()
  await pipeline?.stop()
})

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

const inSink = (query: string) => withSink((client) => client.command({ query }))

/** As a user that may do nothing else. */
const asCanary = (): string => {
  const url = new URL(pipeline.postgres.url('erp'))
  url.username = 'canary'
  url.password = 'canary'
  return url.href
}

/** Real time, that can be moved on; and notes when somebody first had to wait. */
class LeapingClock implements Clock {
  firstSleepAt: number | undefined
  #leapt = 0

  now = () => Date.now() + this.#leapt
  monotonic = () => systemClock.monotonic() + this.#leapt
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.firstSleepAt ??= Date.now()
    return systemClock.sleep(ms, signal)
  }
  leap(ms: number): void {
    this.#leapt += ms
  }
}

const MINUTE = 60_000

/** Runs `work` with a collector that has an id of its own, so that no test sees another's canaries. */
async function withCanary<T>(
  name: string,
  given: Readonly<Record<string, unknown>>,
  work: (collector: Collecting, clock: LeapingClock) => Promise<T>,
): Promise<T> {
  const clock = new LeapingClock()
  const collector = collecting(
    canary,
    {
      name,
      tenant: 'alpha',
      source: { postgresql: { url: asCanary() }, table: 'alpha.cdc_canary' },
      sink: { clickhouse: { url: pipeline.clickhouse.url, database: 'erp' } },
      watch: '2m',
      statement_timeout: '20s',
      // Longer than any machine takes: what is late here is so by a leap of the clock.
      late_after: '10m',
      lost_after: '30m',
      ...given,
    },
    new Exposition(),
    clock,
  )
  try {
    return await work(collector, clock)
  } finally {
    await collector.stop()
  }
}

/** By short name: `sent_total`, `in_flight`, `latency_seconds_count`; and `freshness_ok`. */
function valuesOf(lines: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = /^cdc_(?:canary_)?(\w+)\{target="test",table="cdc_canary",tenant="alpha"\} (\S+)$/.exec(
        line,
      )
      return match ? [[match[1], Number(match[2])]] : []
    }),
  )
}

/** No time is told, and nothing of buckets. */
const countsOf = (lines: readonly string[]) => {
  const { newest_seen_timestamp_seconds: _, latency_seconds_sum: __, ...counts } = valuesOf(lines)
  return counts
}

/** While the consumer is stopped, and started again. */
async function withoutConsumer<T>(work: () => Promise<T>): Promise<T> {
  await pipeline.pm2.stopApp(etlApp)
  return await work().finally(() => pipeline.pm2.restartApp(etlApp))
}

test('a canary is seen at the sink, and its latency is what it took', async () => {
  await withCanary('seen', {}, async (collector, clock) => {
    const begun = Date.now()
    const lines = await collector.run()
    const ended = Date.now()
    expect(countsOf(lines)).toEqual({
      sent_total: 1,
      late_total: 0,
      lost_total: 0,
      in_flight: 0,
      latency_seconds_count: 1,
      freshness_ok: 1,
    })
    // The sink's own clock, which is that of this machine, says when it came.
    const arrivedAt = await withSink(async (client) => {
      const query = `SELECT toUnixTimestamp64Milli(arrived_at) AS at FROM cdc_canary WHERE id = 'seen/0'`
      const [row] = await (await client.query({ query, format: 'JSONEachRow' })).json<{ at: string }>()
      return Number(row?.at)
    })
    const { latency_seconds_sum, newest_seen_timestamp_seconds } = valuesOf(lines)
    const latency = Number(latency_seconds_sum) * 1000
    // It was committed before somebody waited for it, and after the run began. Two clocks, of milliseconds.
    expect(latency).toBeGreaterThanOrEqual(arrivedAt - Number(clock.firstSleepAt) - 50)
    expect(latency).toBeLessThanOrEqual(ended - begun + 50)
    expect(newest_seen_timestamp_seconds).toBeGreaterThanOrEqual(begun / 1000)
    expect(newest_seen_timestamp_seconds).toBeLessThanOrEqual(Number(clock.firstSleepAt) / 1000)
    // Each bucket has what is in the ones below.
    const buckets = lines.flatMap((line) => {
      const match = /^cdc_canary_latency_seconds_bucket\{.*le="([^"]+)"\} (\d+)$/.exec(line)
      return match ? [[Number(match[1]?.replace('+Inf', 'Infinity')), Number(match[2])] as const] : []
    })
    expect(buckets).toHaveLength(15)
    for (const [bound, count] of buckets) expect(count, String(bound)).toBe(Number(latency <= bound * 1000))
  })
})

test('canaries write over one row each, and write nothing else', async () => {
  const others = `SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables
    WHERE relname <> 'cdc_canary' ORDER BY 1`
  const before = await ask(others)
  await withCanary('again', {}, async (collector) => {
    for (let runs = 1; runs <= 3; runs++) {
      const { sent_total, latency_seconds_count } = valuesOf(await collector.run())
      expect([sent_total, latency_seconds_count]).toEqual([runs, runs])
    }
  })
  expect(await ask(`SELECT id FROM alpha.cdc_canary WHERE id LIKE 'again/%'`)).toEqual([{ id: 'again/0' }])
  expect(await ask(others)).toEqual(before)
})

test('while nothing arrives the sink is not fresh, and canaries are late, then lost; and all is well again after it', async () => {
  await withCanary('stopped', { watch: '100ms' }, async (collector, clock) => {
    await withoutConsumer(async () => {
      // Nothing is known yet.
      expect(countsOf(await collector.run())).toEqual({
        sent_total: 1,
        late_total: 0,
        lost_total: 0,
        in_flight: 1,
        latency_seconds_count: 0,
      })
      clock.leap(11 * MINUTE)
      expect(countsOf(await collector.run())).toEqual({
        sent_total: 2,
        late_total: 1,
        lost_total: 0,
        in_flight: 2,
        latency_seconds_count: 0,
        freshness_ok: 0,
      })
      clock.leap(20 * MINUTE)
      expect(countsOf(await collector.run())).toEqual({
        sent_total: 3,
        late_total: 2,
        lost_total: 1,
        in_flight: 2,
        latency_seconds_count: 0,
        freshness_ok: 0,
      })
      expect(collector.health()).toMatchObject({
        details: { fresh: false, in_flight: 2, late: 2, lost: 1 },
        problems: ['what the source has committed is late at the sink'],
      })
      // The slot of the one that is lost is written over, those of others are not.
      expect(countsOf(await collector.run())).toMatchObject({ sent_total: 4, in_flight: 3 })
      expect(await ask(`SELECT id FROM alpha.cdc_canary WHERE id LIKE 'stopped/%' ORDER BY 1`)).toEqual(
        ['stopped/0', 'stopped/1', 'stopped/2'].map((id) => ({ id })),
      )
    })
    let lines: string[] = []
    await waitFor('the sink to be fresh', async () => {
      lines = await collector.run()
      return valuesOf(lines).freshness_ok === 1 && valuesOf(lines).in_flight === 0
    })
    const { sent_total, ...rest } = countsOf(lines)
    expect(rest).toEqual({
      late_total: 2,
      lost_total: 1,
      in_flight: 0,
      // All but the one that is lost; one of them took longer than twenty minutes.
      latency_seconds_count: Number(sent_total) - 1,
      freshness_ok: 1,
    })
    expect(collector.health()).toMatchObject({
      details: { fresh: true, newest_seen: expect.any(String) },
      problems: [],
    })
    const upTo = (seconds: number) =>
      Number(
        lines
          .find((line) => line.includes(`le="${seconds}"}`))
          ?.split(' ')
          .at(-1),
      )
    expect(upTo(600)).toBe(Number(sent_total) - 2)
    expect(upTo(1800)).toBe(Number(sent_total) - 1)
  })
})

test('after a restart nothing is lost: what the daemon before it sent is not known', async () => {
  await withoutConsumer(async () => {
    await withCanary('restarted', { watch: '100ms' }, (collector) => collector.run())
    await withCanary('restarted', { watch: '100ms' }, async (collector, clock) => {
      clock.leap(60 * MINUTE)
      expect(countsOf(await collector.run())).toEqual({
        sent_total: 1,
        late_total: 0,
        lost_total: 0,
        in_flight: 1,
        latency_seconds_count: 0,
      })
    })
  })
})

test('a sink that does not answer is a failed part: no freshness, no loss, and no latency of what came meanwhile', async () => {
  const given = { watch: '100ms', statement_timeout: '5s' }
  await withCanary('frozen', given, async (collector, clock) => {
    await waitFor('a canary to arrive', async () => valuesOf(await collector.run()).freshness_ok === 1)
    const before = valuesOf(await collector.run())
    pipeline.clickhouse.freeze()
    try {
      const lines = await collector.run()
      expect(collector.failedParts).toEqual([
        {
          labels: { table: 'cdc_canary', tenant: 'alpha' },
          cause: expect.any(Error),
          families: expect.any(Array),
        },
      ])
      expect(String(collector.failedParts[0]?.cause)).toMatch(/clickhouse at .*no answer within 5000 ms/)
      expect(valuesOf(lines)).not.toHaveProperty('freshness_ok')
      expect(valuesOf(lines)).not.toHaveProperty('in_flight')
      expect(valuesOf(lines)).toMatchObject({ sent_total: Number(before.sent_total) + 1, late_total: 0 })
      clock.leap(60 * MINUTE)
    } finally {
      pipeline.clickhouse.thaw()
    }
    await waitFor('the sink to be fresh', async () => {
      const { freshness_ok, in_flight } = valuesOf(await collector.run())
      return freshness_ok === 1 && in_flight === 0
    })
    const lines = await collector.run()
    expect(valuesOf(lines).latency_seconds_sum).toBeLessThan(3600)
  })
})

test('a plain table does, and columns that are called otherwise', async () => {
  const sink = {
    clickhouse: { url: pipeline.clickhouse.url },
    table: 'erp.plain_canary',
    columns: { id: 'the id', sequence: 'seq' },
  }
  await withCanary('plain', { sink }, async (collector) => {
    await collector.run()
    expect(countsOf(await collector.run())).toMatchObject({
      sent_total: 2,
      latency_seconds_count: 2,
      freshness_ok: 1,
    })
  })
})

test('a table that is not one of canaries alone is refused, and not written to', async () => {
  await ask(`
    CREATE SCHEMA refused;
    CREATE TABLE refused.more (id text PRIMARY KEY, sequence bigint, written_at timestamptz, amount numeric);
    CREATE TABLE refused.less (id text PRIMARY KEY, sequence bigint);
    CREATE TABLE refused.types (id text PRIMARY KEY, sequence numeric, written_at timestamptz);
    CREATE TABLE refused.keyless (id text, sequence bigint, written_at timestamptz);
    CREATE TABLE refused.composite (id text, sequence bigint, written_at timestamptz, PRIMARY KEY (id, sequence));
    CREATE TABLE refused.acting ${CANARIES};
    CREATE FUNCTION refused.act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER act AFTER INSERT ON refused.acting EXECUTE FUNCTION refused.act();
    CREATE TABLE refused.ruled ${CANARIES};
    CREATE RULE also AS ON INSERT TO refused.ruled DO ALSO NOTIFY written;
    CREATE VIEW refused.view AS SELECT * FROM alpha.cdc_canary`)
  const url = pipeline.postgres.url('erp')
  const refused: Readonly<Record<string, string>> = {
    more: 'it has a column amount',
    less: 'it has no column written_at',
    types: 'its column sequence is numeric',
    keyless: 'its primary key is not id',
    composite: 'its primary key is not id',
    acting: 'it has a trigger or a rule',
    ruled: 'it has a trigger or a rule',
    view: 'it is no plain table',
    missing: 'it is not there',
  }
  for (const [table, why] of Object.entries(refused)) {
    const given = { source: { postgresql: { url }, table: `refused.${table}` } }
    await withCanary('refused', given, (collector) =>
      expect(collector.run(), table).rejects.toThrow(
        new RegExp(`^postgresql at .*: INSERT INTO refused.${table}: nothing is written to it, .*: ${why}$`),
      ),
    )
  }
  for (const table of Object.keys(refused).filter((table) => table !== 'missing' && table !== 'view')) {
    expect(await ask(`SELECT id FROM refused.${table}`), table).toEqual([])
  }
  expect(await ask(`SELECT id FROM alpha.cdc_canary WHERE id LIKE 'refused/%'`)).toEqual([])
})

test('a source that refuses, or that may not be written to, fails the run', async () => {
  const nowhere = { postgresql: { url: 'postgres://localhost:1/erp' } }
  await withCanary('down', { source: nowhere }, (collector) =>
    expect(collector.run()).rejects.toThrow(/^postgresql at localhost:1: connect: /),
  )
  await ask(`CREATE TABLE alpha.forbidden ${CANARIES}`)
  const forbidden = { postgresql: { url: asCanary() }, table: 'alpha.forbidden' }
  await withCanary('down', { source: forbidden }, (collector) =>
    expect(collector.run()).rejects.toThrow(/permission denied for table forbidden/),
  )
})
