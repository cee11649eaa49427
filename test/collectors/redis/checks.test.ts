import { createClient } from 'redis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { redis } from '../../../src/collectors/redis/index.ts'
import { type RedisPart, startRedis } from '../../testbed/parts/redis.ts'
import { checked, complaints } from '../check.ts'

let server: RedisPart
let connection: ReturnType<typeof createClient>

beforeAll(async () => {
  server = await startRedis()
  connection = createClient({ url: server.url })
  await connection.connect()
})
afterAll(async () => {
  connection?.destroy()
  await server?.remove()
})

const write = async (...commands: string[][]) => {
  for (const command of commands) await connection.sendCommand(command)
}

/** As docs/redis.md has it. */
const RIGHTS =
  '+info +config|get +slowlog|len +slowlog|get +latency|latest +cluster|info +select +ping +type +llen +zcard +scard +xlen +scan +lindex +hget +hmget +hlen +zrangebyscore +smembers +xinfo|stream +xinfo|groups +xpending +xrange'

const permit = (rights: string, keys = '%R~*') =>
  write(['ACL', 'SETUSER', 'monitor', 'reset', 'on', '>monitor-secret', keys, ...rights.split(' ')])

const all = () => ({
  url: server.url,
  username: 'monitor',
  password: 'monitor-secret',
  queues: ['votes', 'events', 'none-yet'],
  patterns: ['v*'],
  bullmq: { queues: ['emails'], patterns: ['*'] },
  celery: {},
  sidekiq: { queues: ['default'] },
})

beforeEach(async () => {
  await connection.flushAll()
  await write(
    ['RPUSH', 'votes', 'a', 'b'],
    ['XADD', 'events', '1-1', 'field', 'value'],
    ['HSET', 'bull:emails:meta', 'version', '5'],
    ['RPUSH', 'bull:emails:wait', '1'],
  )
  await permit(RIGHTS)
})

test('a server that is as it should be has nothing to complain of', async () => {
  const found = await checked(redis, all())
  expect(complaints(found)).toEqual({})
  expect(Object.keys(found)).toEqual([
    'reachable',
    'authenticated',
    'version_supported',
    'statistics_allowed',
    'queues_not_evicted',
    'queue_readable votes',
    'queue_readable events',
    'queue_readable none-yet',
    'queue_readable emails',
    'queue_readable celery',
    'queue_readable default',
    'bullmq_queue_known emails',
    'pattern_readable v*',
    'pattern_readable bull:*:meta',
    'completed',
  ])
  expect(found).toMatchObject({
    'queue_readable votes': { message: '2 wait' },
    'pattern_readable v*': { message: '1 found' },
    queues_not_evicted: { message: 'maxmemory is not set' },
  })
})

test('a key of another layout, and a queue that BullMQ does not know, are named', async () => {
  await write(
    ['DEL', 'votes'],
    ['SET', 'votes', '2'],
    ['RPUSH', 'celery\u0006\u00163', 'a'],
    ['SET', 'celery', '2'],
  )
  const settings = { ...all(), patterns: [], bullmq: { queues: ['emails'], prefix: 'jobs' } }
  expect(complaints(await checked(redis, settings))).toEqual({
    'queue_readable votes': expect.stringMatching(
      /key votes is a string, not a list, zset, set or stream → correct its name; or put it under/,
    ),
    'queue_readable celery': expect.stringContaining('LLEN celery: WRONGTYPE'),
    'bullmq_queue_known emails': expect.stringContaining(
      'there is no key jobs:emails:meta → correct the name of the queue or bullmq.prefix',
    ),
  })
})

describe('rights', () => {
  test('that are missing are told with the statement that gives them', async () => {
    await permit(RIGHTS.replace('+xlen ', '').replace('+config|get ', '').replace('+slowlog|len ', ''))
    expect(complaints(await checked(redis, all()))).toEqual({
      statistics_allowed: expect.stringMatching(/→ ACL SETUSER monitor \+config\|get \+slowlog\|len$/),
      'queue_readable events': expect.stringMatching(/NOPERM.* → ACL SETUSER monitor \+xlen \(all/),
    })
    await permit(RIGHTS.replace('+scan ', ''), '%R~votes')
    expect(
      complaints(await checked(redis, { ...all(), bullmq: { queues: [] }, sidekiq: undefined })),
    ).toEqual({
      'queue_readable events': expect.stringContaining('→ ACL SETUSER monitor %R~events ('),
      'queue_readable none-yet': expect.stringContaining('→ ACL SETUSER monitor %R~none-yet ('),
      'queue_readable celery': expect.stringContaining('→ ACL SETUSER monitor %R~celery ('),
      'queue_readable unacked': expect.stringContaining('→ ACL SETUSER monitor %R~unacked ('),
      'pattern_readable v*': expect.stringContaining('→ ACL SETUSER monitor +scan ('),
    })
  })

  test('of a key that a pattern has found', async () => {
    await write(['RPUSH', 'vault', 'a'])
    await permit(RIGHTS, '%R~votes')
    const found = await checked(redis, {
      ...all(),
      bullmq: undefined,
      celery: undefined,
      sidekiq: undefined,
      queues: [],
    })
    expect(complaints(found)).toEqual({
      'pattern_readable v*': expect.stringContaining('→ ACL SETUSER monitor %R~vault ('),
    })
  })
})

test('a server that may remove queues is told', async () => {
  await write(['CONFIG', 'SET', 'maxmemory', '100mb', 'maxmemory-policy', 'allkeys-lru'])
  try {
    expect(complaints(await checked(redis, all()))).toEqual({
      queues_not_evicted: expect.stringMatching(/maxmemory_policy is allkeys-lru.* → CONFIG SET/),
    })
    // Who watches no queue has a cache.
    expect(complaints(await checked(redis, { url: server.url }))).toEqual({})
    await write(['CONFIG', 'SET', 'maxmemory-policy', 'volatile-lru'])
    expect(complaints(await checked(redis, all()))).toEqual({})
  } finally {
    await write(['CONFIG', 'SET', 'maxmemory', '0', 'maxmemory-policy', 'noeviction'])
  }
})

test('cluster: true on a server that is none', async () => {
  expect(complaints(await checked(redis, { ...all(), cluster: true }))).toEqual({
    cluster_setting: 'false: the server is no node of a cluster → take cluster: true out',
  })
})

test('who may not log in is told apart from a server that is away; no password is told', async () => {
  for (const wrong of [
    { password: 'old-secret' },
    { username: 'nobody', password: 'old-secret' },
    { database: 99 },
  ]) {
    const found = await checked(redis, { ...all(), ...wrong })
    expect(complaints(found)).toEqual({
      authenticated: expect.stringMatching(/(WRONGPASS|out of range).* → correct username and password/),
    })
    expect(found.reachable?.ok).toBe(true)
    expect(JSON.stringify(found)).not.toContain('old-secret')
  }
  await permit(RIGHTS.replace('+info ', ''))
  expect(complaints(await checked(redis, all()))).toEqual({
    authenticated: expect.stringContaining('INFO all: NOPERM'),
  })
  expect(complaints(await checked(redis, { ...all(), url: 'redis://:old-secret@127.0.0.1:1' }))).toEqual({
    reachable: expect.stringMatching(/ECONNREFUSED.* → start the server, or correct host and port in url/),
  })
})
