import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { sync } from '../../../src/collectors/sync/index.ts'
import { runCommand, startDaemon } from '../../commands/daemon.ts'
import { type GuardedKafka, type Right, startGuardedKafka } from '../../testbed/guarded-kafka.ts'
import { commitOffsets } from '../../testbed/offsets.ts'
import { PATIENCE_MS, waitFor } from '../../testbed/process.ts'
import { createTopics } from '../../testbed/topics.ts'
import { type Checked, checked, complaints } from '../check.ts'

let part: GuardedKafka

const RIGHTS: readonly Right[] = [
  ['DESCRIBE', 'GROUP', '*'],
  ['DESCRIBE', 'TOPIC', '*'],
  ['READ', 'TOPIC', 'erp.journals'],
  ['READ', 'TOPIC', '__consumer_offsets'],
]

beforeAll(async () => {
  part = await startGuardedKafka()
  await createTopics(part.bootstrap, [
    { topic: 'erp.journals' },
    { topic: 'erp.lines' },
    { topic: 'erp.dlq' },
  ])
  await commitOffsets(part.bootstrap, 'clickhouse-etl', { 'erp.journals': { 0: 0 } })
  await part.permit(...RIGHTS)
})
afterAll(() => part?.remove())

const COLLECTORS = [
  { kind: 'kafka', target: 'erp' },
  { kind: 'connect', target: 'erp' },
  { kind: 'redis', target: 'votes' },
]

const check = (more: object = {}): Promise<Checked> =>
  checked(
    sync,
    {
      ...part.as('monitor'),
      broker_timeout: '3m',
      groups: ['^clickhouse-'],
      topics: [{ match: '^erp\\.(?<table>journals)$' }],
      targets: ['erp'],
      ...more,
    },
    PATIENCE_MS,
    COLLECTORS,
  )

/** Until it complains of something, or of nothing: rights count a moment after they were given or taken. */
async function settled(complains: boolean): Promise<Checked> {
  let found = await check()
  await waitFor('the rights to count', async () => {
    found = await check()
    return Object.keys(complaints(found)).length > 0 === complains
  })
  return found
}

test('a pipeline that is as it should be has nothing to complain of', async () => {
  const found = await settled(false)
  expect(Object.keys(found)).toEqual([
    'target_there erp',
    'reachable',
    'authenticated',
    'topic_rule_applies ^erp\\.(?<table>journals)$',
    'group_there ^clickhouse-',
    'topics_consumed',
    'topics_readable',
    'commit_log_readable',
    'completed',
  ])
  expect(found['target_there erp']?.message).toBe('kafka, connect')
})

test('a target that no collector has, or one of another kind, is told', async () => {
  const said = /no kafka, connect, flink or starrocks collector has it; there are erp → correct targets/
  expect(complaints(await check({ targets: ['erp', 'erb', 'votes'] }))).toEqual({
    'target_there erb': expect.stringMatching(said),
    'target_there votes': expect.stringMatching(said),
  })
})

test('rules and groups that match nothing, and topics that nobody reads', async () => {
  expect(
    complaints(
      await check({
        groups: ['^clickhouse-', '^flink-'],
        topics: [{ match: '^erp\\.(?<table>journals|lines)$' }, { match: '^crm\\.(?<table>.+)$' }],
        read: { records: 0 },
      }),
    ),
  ).toEqual({
    'group_there ^flink-': expect.stringContaining('it matches no consumer group that the user sees'),
    'topic_rule_applies ^crm\\.(?<table>.+)$': expect.stringContaining(
      'it matches no topic; there are erp.journals, erp.lines → correct match',
    ),
    topics_consumed: expect.stringContaining('none of the groups has committed anything of erp.lines →'),
  })
})

test.each([
  [
    RIGHTS[0],
    // The cluster lists what the user may describe.
    { 'group_there ^clickhouse-': expect.stringContaining('no consumer group that the user sees') },
  ],
  [
    RIGHTS[2],
    { topics_readable: expect.stringContaining("User:monitor --operation Read --topic 'erp.journals'") },
  ],
  [
    RIGHTS[3],
    { commit_log_readable: expect.stringContaining("--operation Read --topic '__consumer_offsets'") },
  ],
])('without the right %s it is told', async (right, expected) => {
  if (!right) throw new Error('no such right')
  await part.forbid(right)
  try {
    expect(complaints(await settled(true))).toEqual(expected)
  } finally {
    await part.permit(right)
    await settled(false)
  }
})

test('a broker that is away ends with that', async () => {
  expect(complaints(await check({ brokers: '127.0.0.1:1' }))).toEqual({
    reachable: expect.stringMatching(/ECONNREFUSED.* → start the broker, or correct brokers/),
  })
  const sasl = { mechanism: 'plain', username: 'monitor', password: 'old-secret' }
  expect(complaints(await check({ sasl }))).toEqual({
    authenticated: expect.stringContaining('SASL PLAIN authentication failed'),
  })
})

test('the command and the daemon know the collectors of the configuration', async () => {
  const brokers = '127.0.0.1:1'
  const collectors = [
    {
      ...{ kind: 'sync', target: 'erp', brokers, check_interval: '1s' },
      groups: ['^clickhouse-'],
      topics: [{ match: '^erp\\.(?<table>.+)$' }],
      targets: ['erp', 'off'],
    },
    { kind: 'kafka', target: 'erp', brokers },
    { kind: 'kafka', target: 'off', brokers, enabled: false },
  ]
  const file = join(part.folder, 'config.yaml')
  writeFileSync(file, stringify({ collectors }))
  const { stdout } = await runCommand('check', 'sync/erp', '--config', file)
  expect(stdout).toMatch(/^✓ +sync\/erp +target_there +erp +kafka$/m)
  expect(stdout).toMatch(/^✗ +sync\/erp +target_there +off +no kafka, .*; there are erp$/m)

  const daemon = await startDaemon(collectors)
  const there = (target: string) =>
    daemon.sample(
      `cdc_check_ok{target="erp",collector="sync",check="target_there",subject="${target}",level="required"}`,
    )
  try {
    await waitFor('the first look', async () => (await there('erp')) === 1)
    expect(await there('off')).toBe(0)
  } finally {
    await daemon.stop()
  }
})
