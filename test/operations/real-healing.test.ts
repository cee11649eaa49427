import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { produce } from '../testbed/kafka-client.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type ConnectPart, startConnect } from '../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../testbed/parts/kafka.ts'
import { waitFor } from '../testbed/process.ts'
import { createTopics } from '../testbed/topics.ts'

const folder = temporaryFolder('real-healing')
const { token, hash } = newToken()
let kafka: KafkaPart
let connect: ConnectPart
let daemon: DaemonPart

beforeAll(async () => {
  kafka = await startKafka()
  connect = await startConnect({ bootstrap: kafka.bootstrap })
  await createTopics(kafka.bootstrap, [{ topic: 'lines' }])
  await produce(kafka.bootstrap, 'lines', [{ value: '"a line"' }])
  for (const name of ['live', 'dry', 'mend']) await putFailing(name)

  writeFileSync(
    join(folder.path, 'tokens.yaml'),
    stringify({ users: [{ name: 'ada', role: 'admin', hash }] }),
  )
  const fleet = (target: string, environment: string, self_healing: object) => ({
    ...{ kind: 'connect', target, environment, urls: connect.url },
    self_healing: { backoff: '1s', max_backoff: '1s', max_per_hour: 2, ...self_healing },
  })
  daemon = await startDaemon({
    folder: folder.path,
    config: {
      state_dir: 'state',
      api: { tokens_file: 'tokens.yaml' },
      environments: { staging: { enabled: false } },
      defaults: { interval: '3s', timeout: '3s' },
      collectors: [
        fleet('erp', 'production', { connectors: ['^live$'], exception_classes: ['ConnectException$'] }),
        fleet('rehearsal', 'production', { connectors: ['^dry$'], dry_run: true }),
        fleet('repair', 'staging', { connectors: ['^mend$'] }),
      ],
    },
  })
})
afterAll(async () => {
  await daemon?.remove()
  await connect?.remove()
  await kafka?.remove()
  folder.remove()
})

/** Where the sink writes: it fails until there is such a folder. */
const outputOf = (name: string) => join(connect.folder, `of-${name}`)

async function putFailing(name: string): Promise<void> {
  await connect.putConnector(name, {
    'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector',
    topics: 'lines',
    file: join(outputOf(name), 'lines.txt'),
    'consumer.override.auto.offset.reset': 'earliest',
  })
  await waitFor(`${name} to fail`, async () => (await taskOf(name)) === 'FAILED')
}

const taskOf = async (name: string) => (await connect.status(name))?.tasks[0]?.state

async function value(name: string, wanted: Readonly<Record<string, string>>): Promise<number | undefined> {
  const samples = await daemon.scrape()
  return samples.find(
    (sample) =>
      sample.name === name && Object.entries(wanted).every(([label, text]) => sample.labels[label] === text),
  )?.value
}
const stateOf = (connector: string, state: string) =>
  value('kafka_connect_self_healing_state', { connector, state })
const restartsOf = (connector: string, result: string) =>
  value('kafka_connect_self_healing_restarts_total', { connector, result })

async function ask<T>(method: string, path: string): Promise<T> {
  const response = await fetch(`${daemon.url}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as T
}

/** What self-healing did to the connector, the last first: each with its result and its detail. */
async function actsOn(object: string): Promise<Readonly<Record<string, string>>[]> {
  const { items } = await ask<{ items: Readonly<Record<string, string>>[] }>('GET', 'audit?who=self-healing')
  return items.filter((item) => item.object === object)
}

test('a task that fails again is restarted as often as it may be, and no more, over kill -9 too', async () => {
  await waitFor('it to be exhausted', async () => (await stateOf('live', 'exhausted')) === 1)
  const acts = await actsOn('erp/live')
  expect(acts).toHaveLength(2)
  expect(acts).toMatchObject([
    { operation: 'connect restart', from: 'daemon', result: 'failed' },
    { operation: 'connect restart', from: 'daemon', result: 'failed' },
  ])
  expect(acts[0]?.detail).toMatch(/^task 0 failed: /)
  expect(await restartsOf('live', 'failed')).toBe(2)
  expect(await restartsOf('live', 'done')).toBe(0)
  expect(await value('kafka_connect_failures_total', { target: 'erp', connector: 'live' })).toBeGreaterThan(0)
  const counted = { operation: 'restart', result: 'failed', target: 'erp' }
  await waitFor('the count', async () => (await value('kafka_connect_operations_total', counted)) === 2)

  await daemon.kill()
  await daemon.start()
  await waitFor('it to be exhausted', async () => (await stateOf('live', 'exhausted')) === 1)
  expect(await actsOn('erp/live')).toEqual(acts)
  expect(await taskOf('live')).toBe('FAILED')
})

test('a dry run changes nothing, and tells what it would do', async () => {
  // From here on a restart would do.
  mkdirSync(outputOf('dry'))
  await waitFor('it to be exhausted', async () => (await stateOf('dry', 'exhausted')) === 1)
  expect(await actsOn('rehearsal/dry')).toMatchObject([
    { result: 'done', detail: 'planned' },
    { result: 'done', detail: 'planned' },
  ])
  expect(await taskOf('dry')).toBe('FAILED')
})

test('in an environment that is switched off nothing is restarted; switched on, it heals', async () => {
  mkdirSync(outputOf('mend'))
  expect(await actsOn('repair/mend')).toEqual([])
  expect(await taskOf('mend')).toBe('FAILED')
  await ask('POST', 'environments/staging/enable')
  const ended = async () =>
    ((await restartsOf('mend', 'done')) ?? 0) + ((await restartsOf('mend', 'unconfirmed')) ?? 0)
  await waitFor('it to be restarted', async () => (await ended()) === 1)
  expect(await taskOf('mend')).toBe('RUNNING')
  expect(await actsOn('repair/mend')).toMatchObject([{ result: 'done' }])
  await waitFor('it to be idle', async () => (await stateOf('mend', 'idle')) === 1)
  expect(await ask('GET', 'failures?target=repair&connector=mend')).toMatchObject({
    total: 1,
    items: [{ resolution: 'recovery' }],
  })
})
