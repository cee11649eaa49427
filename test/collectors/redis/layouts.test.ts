import { createClient } from 'redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { redis } from '../../../src/collectors/redis/index.ts'
import { Exposition } from '../../../src/metrics/exposition.ts'
import { type RedisPart, startRedis } from '../../testbed/parts/redis.ts'
import { type Collecting, collecting } from '../collect.ts'

// The layouts of Celery and Sidekiq are written by hand, as their documentation has them.

const NOW = 1_800_000_000_000

let server: RedisPart
let connection: ReturnType<typeof createClient>
let collector: Collecting

beforeAll(async () => {
  server = await startRedis()
  connection = createClient({ url: server.url })
  await connection.connect()
})
afterAll(async () => {
  connection?.destroy()
  await server?.remove()
})
beforeEach(async () => {
  await connection.flushAll()
})
afterEach(() => collector.stop())

const write = async (...commands: string[][]) => {
  for (const command of commands) await connection.sendCommand(command)
}

function collectorOf(settings: object): Collecting {
  const clock = { ...systemClock, now: () => NOW }
  collector = collecting(redis, { url: server.url, ...settings }, new Exposition(), clock)
  return collector
}

/** Sample lines of queues and streams, without the target. */
async function linesOf(its: Collecting): Promise<string[]> {
  return (await its.run())
    .filter((line) => /^redis_(queue|stream|key)_/.test(line))
    .map((line) => line.replace(/target="test",?/, ''))
}

test('Celery: a list for each priority, and what was not acknowledged', async () => {
  await write(
    ['LPUSH', 'celery', '{}', '{}'],
    ['LPUSH', 'celery\u0006\u00163', '{}'],
    ['LPUSH', 'celery\u0006\u00169', '{}', '{}', '{}'],
    ['HSET', 'unacked', 'tag', '[]'],
  )
  expect(await linesOf(collectorOf({ celery: { queues: ['celery', 'mails'] } }))).toEqual([
    'redis_queue_jobs{queue="celery",state="waiting"} 6',
    'redis_queue_jobs{queue="mails",state="waiting"} 0',
    'redis_queue_jobs{queue="unacked",state="unacked"} 1',
    'redis_queue_length{queue="celery"} 6',
    'redis_queue_length{queue="mails"} 0',
  ])
})

test('Sidekiq: its queues are found, and are as old as both eras say', async () => {
  const job = (enqueued_at: number) => JSON.stringify({ class: 'Mail', args: [], enqueued_at })
  await write(
    ['SADD', 'queues', 'default', 'mails'],
    ['LPUSH', 'queue:default', job(NOW - 30_000), job(NOW - 10_000)],
    ['LPUSH', 'queue:mails', job((NOW - 1_500) / 1000)],
    ['ZADD', 'retry', '1', 'a', '2', 'b'],
    ['ZADD', 'dead', '1', 'a'],
  )
  expect(await linesOf(collectorOf({ sidekiq: { queues: ['later'] } }))).toEqual([
    'redis_queue_jobs{queue="dead",state="dead"} 1',
    'redis_queue_jobs{queue="default",state="waiting"} 2',
    'redis_queue_jobs{queue="later",state="waiting"} 0',
    'redis_queue_jobs{queue="mails",state="waiting"} 1',
    'redis_queue_jobs{queue="retry",state="retry"} 2',
    'redis_queue_jobs{queue="schedule",state="scheduled"} 0',
    'redis_queue_length{queue="default"} 2',
    'redis_queue_length{queue="later"} 0',
    'redis_queue_length{queue="mails"} 1',
    'redis_queue_oldest_age_seconds{queue="default"} 30',
    'redis_queue_oldest_age_seconds{queue="mails"} 1.5',
  ])
})

describe('streams', () => {
  const entry = (ago: number) => ['XADD', 'events', `${NOW - ago}-1`, 'field', 'value']
  const only = (lines: readonly string[], name: string) => lines.filter((line) => line.startsWith(`${name}{`))
  const AGE = 'redis_queue_oldest_age_seconds'
  const LAG = 'redis_stream_group_lag'
  const settings = { queues: ['events'] }

  test('without groups the first entry is the oldest; with them, what one has not acknowledged', async () => {
    await write(entry(9_000), entry(8_000), entry(7_000))
    const its = collectorOf(settings)
    expect(only(await linesOf(its), AGE)).toEqual([`${AGE}{queue="events"} 9`])

    await write(['XGROUP', 'CREATE', 'events', 'readers', '0'])
    await write(['XREADGROUP', 'GROUP', 'readers', 'one', 'COUNT', '2', 'STREAMS', 'events', '>'])
    await write(['XACK', 'events', 'readers', `${NOW - 9_000}-1`])
    const lines = await linesOf(its)
    expect(only(lines, AGE)).toEqual([`${AGE}{queue="events"} 8`])
    expect(lines).toContain(`${LAG}{db="db0",stream="events",group="readers"} 1`)
    expect(lines).toContain('redis_stream_group_messages_pending{db="db0",stream="events",group="readers"} 1')

    await write(['XACK', 'events', 'readers', `${NOW - 8_000}-1`])
    expect(only(await linesOf(its), AGE)).toEqual([`${AGE}{queue="events"} 7`])
    await write(['XREADGROUP', 'GROUP', 'readers', 'one', 'STREAMS', 'events', '>'])
    await write(['XACK', 'events', 'readers', `${NOW - 7_000}-1`])
    expect(only(await linesOf(its), AGE)).toEqual([])
  })

  test('a lag that Redis does not know is absent', async () => {
    await write(entry(9_000), entry(8_000), entry(7_000), ['XGROUP', 'CREATE', 'events', 'readers', '0'])
    await write(['XREADGROUP', 'GROUP', 'readers', 'one', 'COUNT', '1', 'STREAMS', 'events', '>'])
    await write(['XDEL', 'events', `${NOW - 8_000}-1`])
    const its = collectorOf(settings)
    expect(only(await linesOf(its), LAG)).toEqual([])
    expect(its.failedParts).toEqual([])
  })
})

describe('patterns', () => {
  const keys = Array.from({ length: 30 }, (_, i) => `jobs:${String(i).padStart(2, '0')}`)
  const COMPLETE = 'redis_queue_scan_complete{pattern="jobs:*"}'
  const lengths = (lines: readonly string[]) => lines.filter((line) => line.startsWith('redis_queue_length'))

  beforeEach(async () => {
    await write(...keys.map((key) => ['RPUSH', key, 'a']), ['SET', 'jobs:text', 'x'], ['RPUSH', 'other', 'a'])
  })

  test('find the keys that are queues; one that goes has no series any more', async () => {
    const its = collectorOf({ patterns: ['jobs:*'] })
    const lines = await linesOf(its)
    expect(lengths(lines)).toEqual(keys.map((key) => `redis_queue_length{queue="${key}"} 1`))
    expect(lines).toContain(`${COMPLETE} 1`)
    expect(its.failedParts).toEqual([])
    await write(['DEL', 'jobs:00'])
    expect(lengths(await linesOf(its)).length).toBe(29)
  })

  test('beyond max_keys it is said that there are more', async () => {
    const its = collectorOf({ patterns: ['jobs:*'], scan: { max_keys: 10 } })
    const lines = await linesOf(its)
    expect(lengths(lines).length).toBe(10)
    expect(lines).toContain(`${COMPLETE} 0`)
    expect(its.failedParts.map(({ cause }) => String(cause))).toEqual([
      'Error: redis: more than 10 keys match jobs:*: others are not counted (scan.max_keys)',
    ])
  })

  test('a look that takes longer than one run goes on in the next', async () => {
    // Without time each run does one SCAN.
    const its = collectorOf({ patterns: ['jobs:*'], scan: { count: 5, max_time: '0s', interval: '1h' } })
    const first = await linesOf(its)
    expect(first).toContain(`${COMPLETE} 0`)
    expect(String(its.failedParts[0]?.cause)).toMatch(/has not seen all keys/)
    let last = first
    let runs = 1
    for (; runs < 100 && !last.includes(`${COMPLETE} 1`); runs++) last = await linesOf(its)
    expect(runs).toBeGreaterThan(2)
    expect(lengths(last).length).toBe(30)
    expect(its.failedParts).toEqual([])
  })
})

test('two queues of one name are told once, and that there are two', async () => {
  await write(['RPUSH', 'default', 'a'], ['SADD', 'queues', 'default'])
  const its = collectorOf({ queues: ['default'], sidekiq: {} })
  expect(await linesOf(its)).toContain('redis_queue_length{queue="default"} 1')
  expect(its.failedParts.map(({ cause }) => String(cause))).toEqual([
    'Error: redis: there are two queues called default',
  ])
})

test.each([
  [{}, 'missing: give url, url_file or sentinel'],
  [{ url: 'redis://a', sentinel: { master: 'm', addresses: ['b:1'] } }, 'give url or sentinel, not both'],
  [{ url: 'redis://a', queues: ['a'], bullmq: { queues: ['a'] } }, 'a is there already'],
])('%o is an error of the configuration', (settings, message) => {
  collector = collectorOf({})
  expect(JSON.stringify(redis.settings.safeParse(settings).error?.issues)).toContain(message)
})

describe('an ACL', () => {
  const user = (password = 'secret') => ({ username: 'monitor', password })
  // As the documentation has it.
  const RIGHTS =
    '+info +config|get +slowlog|len +slowlog|get +latency|latest +cluster|info +cluster|slots +cluster|shards +select +ping +type +llen +zcard +scard +xlen +scan +lindex +hget +hmget +hlen +zrangebyscore +smembers +xinfo|stream +xinfo|groups +xpending +xrange'
  const permit = async (rights: string, keys = '%R~*') => {
    await connection.sendCommand(['ACL', 'DELUSER', 'monitor'])
    await write(['ACL', 'SETUSER', 'monitor', 'on', '>secret', 'resetchannels', keys, ...rights.split(' ')])
  }
  const causes = (its: Collecting) => its.failedParts.map(({ cause }) => String(cause))
  const all = {
    ...user(),
    queues: ['votes', 'events'],
    patterns: ['v*'],
    bullmq: { queues: ['emails'] },
    celery: {},
    sidekiq: { queues: ['default'] },
  }

  beforeEach(() =>
    write(
      ['RPUSH', 'votes', 'a'],
      ['XADD', 'events', '1-1', 'field', 'value'],
      ['XGROUP', 'CREATE', 'events', 'readers', '0'],
      ['ZADD', 'bull:emails:prioritized', '1', '7'],
    ),
  )

  test('with the rights of the documentation everything is read', async () => {
    await permit(RIGHTS)
    const its = collectorOf(all)
    await its.run()
    expect(causes(its)).toEqual([])
  })

  test('a right that is missing is named, and the other parts are read', async () => {
    await permit(RIGHTS.replace('+llen ', '').replace('+config|get ', ''), '%R~votes')
    const its = collectorOf({ ...user(), queues: ['votes', 'events'] })
    expect(await linesOf(its)).toEqual([])
    const said = causes(its).join('\n')
    expect(said).toMatch(
      /redis at 127\.0\.0\.1:\d+: CONFIG GET maxclients: NOPERM .*\(the user lacks \+config\|get\)/,
    )
    expect(said).toMatch(/: LLEN votes: NOPERM .*\(the user lacks \+llen\)/)
    expect(said).toMatch(/: TYPE events: NOPERM .*\(the user lacks %R~events, /)
  })

  test('without INFO, and without a password, the run fails and says why', async () => {
    await permit(RIGHTS.replace('+info ', ''))
    await expect(collectorOf(user()).run()).rejects.toThrow(/: INFO all: NOPERM .*\(the user lacks \+info\)/)
    await connection.sendCommand(['CONFIG', 'SET', 'requirepass', 'other'])
    try {
      await expect(collectorOf({}).run()).rejects.toThrow(
        /: INFO all: NOAUTH .*\(give a username and a password\)/,
      )
    } finally {
      await connection.sendCommand(['CONFIG', 'SET', 'requirepass', ''])
    }
  })
})

test('a pass over a thousand queues is a handful of round trips, and changes nothing', async () => {
  const queues = Array.from({ length: 1_000 }, (_, i) => `queue ${i}`)
  await write(...queues.map((key) => ['RPUSH', key, 'a']))
  const its = collectorOf({ queues })
  await its.run()
  const reads = async () => {
    const info = String(await connection.sendCommand(['INFO', 'all']))
    const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1])
    return { reads: field('total_reads_processed'), changes: field('rdb_changes_since_last_save') }
  }
  const before = await reads()
  const lines = await its.run()
  const after = await reads()
  expect(lines.filter((line) => line.startsWith('redis_queue_length')).length).toBe(1_000)
  expect(after.changes).toBe(before.changes)
  // Two thousand commands: the server reads 16 KiB at a time.
  expect(after.reads - before.reads).toBeLessThan(100)
})
