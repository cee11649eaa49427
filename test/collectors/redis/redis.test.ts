import { createClient } from 'redis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { redis } from '../../../src/collectors/redis/index.ts'
import { type RedisPart, startRedis } from '../../testbed/parts/redis.ts'
import { waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

const PASSWORD = 'pass:word/1'

let server: RedisPart
let collector: Collecting

beforeAll(async () => {
  server = await startRedis({ password: PASSWORD })
})
afterAll(() => server?.remove())

beforeEach(() => {
  collector = collecting(redis, {
    url: `redis://127.0.0.1:${server.port}`,
    password: PASSWORD,
    queues: ['votes', 'delayed', 'members', 'events', 'gone', 'profile'],
  })
})
afterEach(() => collector.stop())

async function write(commands: readonly string[][]): Promise<void> {
  const client = createClient({ url: server.url })
  await client.connect()
  for (const command of commands) await client.sendCommand(command)
  client.destroy()
}

async function read(family: string): Promise<number> {
  const line = (await collector.run()).find((line) => line.startsWith(`${family}{`))
  return Number(line?.split(' ').at(-1))
}

describe('what it reads', () => {
  beforeEach(async () => {
    await write([
      ['FLUSHALL'],
      ['RPUSH', 'votes', 'a', 'b', 'c'],
      ['ZADD', 'delayed', '1', 'a', '2', 'b'],
      ['SADD', 'members', 'a'],
      ['XADD', 'events', '*', 'field', 'value'],
      ['HSET', 'profile', 'field', 'value'],
    ])
  })

  test('a queue of each type has its length, and a key that does not exist is 0', async () => {
    const lines = await collector.run()
    expect(lines.filter((line) => line.startsWith('redis_queue_length'))).toEqual([
      'redis_queue_length{target="test",queue="delayed"} 2',
      'redis_queue_length{target="test",queue="events"} 1',
      'redis_queue_length{target="test",queue="gone"} 0',
      'redis_queue_length{target="test",queue="members"} 1',
      'redis_queue_length{target="test",queue="votes"} 3',
    ])
  })

  test('a key that is no queue is a failed part that says so', async () => {
    await collector.run()
    expect(collector.failedParts).toEqual([
      {
        labels: { queue: 'profile' },
        cause: new Error('redis: key profile is a hash, not a list, zset, set or stream'),
      },
    ])
  })

  test('memory, uptime and clients come from INFO', async () => {
    expect(await read('redis_memory_used_bytes')).toBeGreaterThan(100_000)
    expect(await read('redis_memory_max_bytes')).toBe(0)
    expect(await read('redis_uptime_in_seconds')).toBeGreaterThanOrEqual(0)
  })

  test('all runs share one connection', async () => {
    // The server may take a while to see that those of the tests before have gone.
    await waitFor('one connection', async () => (await read('redis_connected_clients')) === 1)
    await collector.run()
    await collector.run()
    expect(await read('redis_connected_clients')).toBe(1)
  })
})

test('a wrong password is an error that names the server and not the password', async () => {
  const wrong = collecting(redis, { url: `redis://127.0.0.1:${server.port}`, password: 'guess' })
  await expect(wrong.run()).rejects.toThrow(/^redis at 127\.0\.0\.1:\d+: connect: WRONGPASS (?!.*guess)/)
  await wrong.stop()
})

test('a killed server fails the run, and the run after its return works', async () => {
  await collector.run()
  await server.kill()
  // It may still find the connection that is being lost.
  await expect(collector.run()).rejects.toThrow(/^redis at 127\.0\.0\.1:\d+: /)
  await expect(collector.run()).rejects.toThrow(/: connect: .*ECONNREFUSED/)
  await server.start()
  await expect(collector.run()).resolves.toContain('redis_queue_length{target="test",queue="votes"} 0')
})

describe('a frozen server', () => {
  afterEach(() => server.thaw())

  test('fails the run at its time-out on an open connection, and the run after its return works', async () => {
    await collector.run()
    server.freeze()
    await expect(collector.run(300)).rejects.toThrow(/^redis at .*: INFO all and \d+ more: .*timeout/)
    server.thaw()
    await expect(collector.run()).resolves.toContain('redis_queue_length{target="test",queue="gone"} 0')
  })

  test('fails the run at its time-out on a new connection', async () => {
    server.freeze()
    await expect(collector.run(300)).rejects.toThrow(/^redis at .*: connect: .*timeout/)
    server.thaw()
    await waitFor(
      'the abandoned connection to be gone',
      async () => (await read('redis_connected_clients')) === 1,
    )
  })
})
