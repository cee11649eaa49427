import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { runCommand } from '../commands/daemon.ts'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { produce } from '../testbed/kafka-client.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type ConnectPart, startConnect } from '../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../testbed/parts/kafka.ts'
import { waitFor } from '../testbed/process.ts'
import { createTopics } from '../testbed/topics.ts'

const folder = temporaryFolder('real-failures')
const { token, hash } = newToken()
let kafka: KafkaPart
let connect: ConnectPart
let daemon: DaemonPart

beforeAll(async () => {
  kafka = await startKafka()
  connect = await startConnect({ bootstrap: kafka.bootstrap })
  await createTopics(kafka.bootstrap, [{ topic: 'lines' }])
  await produce(kafka.bootstrap, 'lines', [{ value: 'this is no JSON' }])

  writeFileSync(
    join(folder.path, 'tokens.yaml'),
    stringify({ users: [{ name: 'ada', role: 'admin', hash }] }),
  )
  daemon = await startDaemon({
    folder: folder.path,
    config: {
      state_dir: 'state',
      api: { tokens_file: 'tokens.yaml' },
      defaults: { interval: '3s', timeout: '3s' },
      collectors: [{ kind: 'connect', target: 'erp', environment: 'production', urls: connect.url }],
    },
  })
})
afterAll(async () => {
  await daemon?.remove()
  await connect?.remove()
  await kafka?.remove()
  folder.remove()
})

interface Failure {
  readonly id: number
  readonly connector: string
  readonly root_class: string
  readonly trace: string
  readonly opened_at: string
  readonly ended_at: string | null
  readonly resolution: string | null
  readonly hint: { readonly id: string } | null
  readonly history: readonly Failure[]
}

async function ask<T>(path: string, method = 'GET'): Promise<T> {
  const response = await fetch(`${daemon.url}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as T
}

/** What is open, once there are so many. */
async function open(count: number): Promise<readonly Failure[]> {
  let items: readonly Failure[] = []
  await waitFor(`${count} open failures`, async () => {
    items = (await ask<{ items: readonly Failure[] }>('failures?state=open')).items
    return items.length === count
  })
  return items
}

/** A sink that reads each line by this converter of Connect. */
const putSink = (converter: string) =>
  connect.putConnector('lines', {
    'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector',
    topics: 'lines',
    file: join(connect.folder, 'lines.txt'),
    'consumer.override.auto.offset.reset': 'earliest',
    'database.password': 'planted-password',
    'value.converter': converter,
  })
const JSON_CONVERTER = 'org.apache.kafka.connect.json.JsonConverter'
const TEXT_CONVERTER = 'org.apache.kafka.connect.storage.StringConverter'

test('a task that fails is kept with its cause over kill -9, resolved by hand, and over by recovery', async () => {
  await putSink(JSON_CONVERTER)
  const [failure] = await open(1)
  expect(failure).toMatchObject({
    connector: 'lines',
    root_class: 'com.fasterxml.jackson.core.JsonParseException',
  })
  const id = failure?.id ?? 0
  const detail = await ask<Failure>(`failures/${id}`)
  const status = await connect.status('lines')
  expect(detail.trace).toBe(status?.tasks[0]?.trace)
  expect(detail.hint?.id).toBe('converter')

  await daemon.kill()
  await daemon.start()
  await waitFor('a run', async () => (await daemon.health()).status === 'degraded')
  expect((await daemon.health()).checks.kafka_connect?.message).toMatch(
    /^Kafka Connect is degraded: task 0 of connector lines has failed \([\w.]+\)$/,
  )
  expect(await open(1)).toEqual([failure])

  const shown = await runCommand('failures', 'show', String(id), '--config', daemon.configFile)
  expect(shown.stdout).toContain('A record cannot be read by the converter')
  const resolved = await runCommand('failures', 'resolve', String(id), '--config', daemon.configFile)
  expect(resolved.exitCode).toBe(0)
  expect(await open(0)).toEqual([])
  await ask(`failures/${id}/unresolve`, 'POST')
  await open(1)

  await putSink(TEXT_CONVERTER)
  expect(await open(0)).toEqual([])
  expect(await ask<Failure>(`failures/${id}`)).toMatchObject({ resolution: 'recovery' })

  // A run is in the log a moment before it is in the exposition.
  let series = await daemon.scrape()
  const value = (name: string) => series.find((sample) => sample.name === name)?.value
  await waitFor('the recovery as a series', async () => {
    series = await daemon.scrape()
    return value('kafka_connect_recoveries_total') === 1
  })
  expect(value('kafka_connect_failures_total')).toBe(1)

  const kept = readdirSync(join(folder.path, 'state')).map((file) => join(folder.path, 'state', file))
  const texts = [...kept, daemon.logFile].map((file) => readFileSync(file, 'latin1'))
  texts.push(JSON.stringify(await ask(`failures/${id}`)), shown.stdout, JSON.stringify(series))
  for (const text of texts) expect(text).not.toContain('planted-password')
})
