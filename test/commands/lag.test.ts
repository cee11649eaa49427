import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { patientClient } from '../testbed/kafka-client.ts'
import { commitOffsets } from '../testbed/offsets.ts'
import { type KafkaPart, startKafka } from '../testbed/parts/kafka.ts'
import { createTopics } from '../testbed/topics.ts'
import { runCommand } from './daemon.ts'

let part: KafkaPart
let config: string

beforeAll(async () => {
  part = await startKafka()
  const client = patientClient(part.bootstrap)
  await createTopics(part.bootstrap, [{ topic: 'erp.alpha.journals' }, { topic: 'erp.bravo.journals' }])
  const producer = client.producer()
  await producer.connect()
  await producer.send({
    topic: 'erp.alpha.journals',
    messages: Array.from({ length: 50 }, () => ({ value: 'x', timestamp: String(Date.now() - 3_600_000) })),
  })
  await producer.disconnect()
  await commitOffsets(part.bootstrap, 'behind', { 'erp.alpha.journals': { 0: 8 } })
  await commitOffsets(part.bootstrap, 'done', {
    'erp.alpha.journals': { 0: 50 },
    'erp.bravo.journals': { 0: 0 },
  })
  config = join(part.folder, 'config.yaml')
  writeFileSync(
    config,
    stringify({
      collectors: [
        {
          kind: 'kafka',
          target: 'erp',
          brokers: part.bootstrap,
          broker_timeout: '1m',
          interval: '5m',
          timeout: '5m',
          topics: [{ match: '^erp\\.(?<tenant>[^.]+)\\.(?<table>.+)$', team: 'Finance' }],
        },
      ],
    }),
  )
})

afterAll(async () => {
  await part?.remove()
})

const lag = (...args: string[]) => runCommand('lag', '--config', config, '--interval', '200ms', ...args)

test('JSON: one object for each group and topic', async () => {
  const { exitCode, stdout, stderr } = await lag('--json', '--group', '^behind$')
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  const [row, ...more] = JSON.parse(stdout)
  expect(more).toEqual([])
  expect(row).toMatchObject({
    target: 'erp',
    group: 'behind',
    topic: 'erp.alpha.journals',
    tenant: 'alpha',
    table: 'journals',
    team: 'Finance',
    state: 'empty',
    type: 'classic',
    members: 0,
    lag: 42,
    lag_threshold: 10_000,
    messages_lost: 0,
    produced_per_second: 0,
    consumed_per_second: 0,
  })
  expect(Math.abs(row.lag_seconds - 3600)).toBeLessThan(720)
  expect(row.drain_seconds).toBeUndefined()
})

test('a table, the oldest lag first', async () => {
  const { exitCode, stdout } = await lag()
  expect(exitCode).toBe(0)
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().split(/\s{2,}/))
  expect(lines[0]?.slice(0, 6)).toEqual(['GROUP', 'TOPIC', 'STATE', 'MEMBERS', 'LAG', 'BEHIND'])
  expect(lines[1]?.slice(0, 5)).toEqual(['behind', 'erp.alpha.journals', 'empty', '0', '42'])
  expect(lines[1]).toContain('never')
  expect(lines).toHaveLength(4)
})

test('filters by tenant and by lag', async () => {
  expect(JSON.parse((await lag('--json', '--tenant', 'bravo')).stdout)).toMatchObject([
    { topic: 'erp.bravo.journals' },
  ])
  expect(JSON.parse((await lag('--json', '--behind')).stdout)).toMatchObject([{ group: 'behind' }])
})

test('a cluster that does not answer: one line, exit code 1', async () => {
  const file = join(part.folder, 'down.yaml')
  writeFileSync(file, stringify({ collectors: [{ kind: 'kafka', target: 'down', brokers: '127.0.0.1:1' }] }))
  const { exitCode, stdout, stderr } = await runCommand('lag', '--config', file)
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
  expect(stderr).toMatch(/^cdc-exporter: no broker answered; tried 127\.0\.0\.1:1: .*ECONNREFUSED.*\n$/)
})

test('bad usage: exit code 2', async () => {
  const pattern = await lag('--group', '(')
  expect(pattern.exitCode).toBe(2)
  expect(pattern.stderr).toContain('--group')
  const none = await lag('--target', 'nowhere')
  expect(none.exitCode).toBe(1)
  expect(none.stderr).toContain('has no kafka collector with target nowhere')
})
