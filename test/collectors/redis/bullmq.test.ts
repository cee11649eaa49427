import { Queue, Worker } from 'bullmq'
import { createClient } from 'redis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { redis } from '../../../src/collectors/redis/index.ts'
import { Exposition } from '../../../src/metrics/exposition.ts'
import { type RedisPart, startRedis } from '../../testbed/parts/redis.ts'
import { waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

const HOUR = 3_600_000

let server: RedisPart
let connection: ReturnType<typeof createClient>
let collector: Collecting | undefined
const open: { close(): Promise<void> }[] = []

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
afterEach(async () => {
  await collector?.stop()
  for (const each of open.splice(0).reverse()) await each.close()
})

function queueOf(name: string, prefix = 'bull'): Queue {
  const queue = new Queue(name, { connection, prefix })
  open.push(queue)
  return queue
}

/** Sample lines of queues at `now`, without the target. */
async function linesOf(bullmq: unknown, now = Date.now()): Promise<string[]> {
  const clock = { ...systemClock, now: () => now }
  await collector?.stop()
  collector = collecting(redis, { url: server.url, bullmq }, new Exposition(), clock)
  const lines = await collector.run()
  expect(collector.failedParts).toEqual([])
  return lines
    .filter((line) => line.startsWith('redis_queue_'))
    .map((line) => line.replace('target="test",', ''))
}

test('jobs of every state are counted as BullMQ itself counts them', async () => {
  const queue = queueOf('emails')
  const fails = { fails: true }
  await queue.add('done', {})
  await queue.add('failed', fails)
  const { promise: release, resolve } = Promise.withResolvers<void>()
  const worker = new Worker(
    'emails',
    async ({ data, name }) => {
      if (name === 'busy') await release
      if (data.fails) throw new Error('as wanted')
    },
    { connection },
  )
  open.push(worker)
  await waitFor('both to be done', async () => {
    const { completed, failed } = await queue.getJobCounts()
    return completed === 1 && failed === 1
  })
  await queue.add('busy', {})
  await waitFor('one to be busy', async () => (await queue.getJobCounts()).active === 1)
  try {
    await queue.addBulk([1, 2, 3].map((i) => ({ name: `waits ${i}`, data: {} })))
    await queue.addBulk([1, 2].map((priority) => ({ name: 'prioritized', data: {}, opts: { priority } })))
    await queue.add('delayed', {}, { delay: HOUR })

    const lines = await linesOf({ queues: ['emails'] })
    const counts = await queue.getJobCounts()
    expect(counts).toEqual({
      active: 1,
      completed: 1,
      delayed: 1,
      failed: 1,
      prioritized: 2,
      waiting: 3,
      'waiting-children': 0,
    })
    for (const [state, count] of Object.entries(counts))
      expect(lines).toContain(`redis_queue_jobs{queue="emails",state="${state}"} ${count}`)
    expect(lines).toContain('redis_queue_length{queue="emails"} 5')
  } finally {
    resolve()
    await worker.close()
  }
})

test('a paused queue keeps its length, and says that it is paused', async () => {
  const queue = queueOf('emails')
  await queue.addBulk([1, 2].map((i) => ({ name: `mail ${i}`, data: {} })))
  expect(await linesOf({ queues: ['emails'] })).toContain('redis_queue_paused{queue="emails"} 0')
  await queue.pause()
  const lines = await linesOf({ queues: ['emails'] })
  expect(lines).toContain('redis_queue_paused{queue="emails"} 1')
  expect(lines).toContain('redis_queue_length{queue="emails"} 2')
})

test('jobs that BullMQ before 5 moved aside in a paused queue are counted (its layout, written by hand)', async () => {
  await connection.hSet('bull:old:meta', 'paused', '1')
  await connection.lPush('bull:old:paused', ['1', '2'])
  await connection.hSet('bull:old:1', { timestamp: '1000' })
  const lines = await linesOf({ queues: ['old'] }, 61_000)
  expect(lines).toContain('redis_queue_length{queue="old"} 2')
  expect(lines).toContain('redis_queue_jobs{queue="old",state="paused"} 2')
  expect(lines).toContain('redis_queue_oldest_age_seconds{queue="old"} 60')
})

const ageOf = (lines: readonly string[]) => lines.filter((line) => line.startsWith('redis_queue_oldest_age'))

test('the oldest job is the next one of those that wait, or the first of its priority', async () => {
  const now = Date.now()
  const queue = queueOf('reports')
  expect(ageOf(await linesOf({ queues: ['reports'] }, now))).toEqual([])
  await queue.add('first', {}, { timestamp: now - 5_000 })
  await queue.add('second', {}, { timestamp: now - 4_000 })
  expect(ageOf(await linesOf({ queues: ['reports'] }, now))).toEqual([
    'redis_queue_oldest_age_seconds{queue="reports"} 5',
  ])
  // What is least important starves.
  await queue.add('least', {}, { timestamp: now - 60_000, priority: 1_000 })
  await queue.add('less', {}, { timestamp: now - 30_000, priority: 10 })
  await queue.add('late', {}, { timestamp: now - 3_000, priority: 1_000 })
  expect(ageOf(await linesOf({ queues: ['reports'] }, now))).toEqual([
    'redis_queue_oldest_age_seconds{queue="reports"} 60',
  ])
  // Among too many priorities it is not looked for.
  for (let priority = 20; priority < 40; priority++) await queue.add('one more', {}, { priority })
  expect(ageOf(await linesOf({ queues: ['reports'] }, now))).toEqual([])
})

test('a delayed job waits from the time at which it was due', async () => {
  const now = Date.now()
  const queue = queueOf('reports')
  const worker = new Worker('reports', async () => {}, { connection, autorun: false })
  open.push(worker)
  await queue.add('hourly', {}, { timestamp: now - HOUR, delay: HOUR - 2_000 })
  await queue.pause()
  // It is the worker that moves what is due to those that wait.
  const running = worker.run()
  await waitFor('it to be due', async () => (await queue.getJobCounts()).waiting === 1)
  expect(ageOf(await linesOf({ queues: ['reports'] }, now))).toEqual([
    'redis_queue_oldest_age_seconds{queue="reports"} 2',
  ])
  await worker.close()
  await running
})

test('queues are found by patterns of their names, under a prefix of their own', async () => {
  for (const name of ['report-day', 'report-night', 'emails'])
    await queueOf(name, '{erp}:jobs').add('job', {})
  await queueOf('report-other').add('job', {})
  const lines = await linesOf({ prefix: '{erp}:jobs', patterns: ['report-*'], queues: ['later'] })
  expect(lines.filter((line) => line.startsWith('redis_queue_length'))).toEqual([
    'redis_queue_length{queue="later"} 0',
    'redis_queue_length{queue="report-day"} 1',
    'redis_queue_length{queue="report-night"} 1',
  ])
  expect(lines).toContain('redis_queue_scan_complete{pattern="{erp}:jobs:report-*:meta"} 1')
})
