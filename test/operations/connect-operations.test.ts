import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import { type Daemon, startDaemon } from '../commands/daemon.ts'
import { type ConnectPart, startConnect } from '../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../testbed/parts/kafka.ts'
import { waitFor } from '../testbed/process.ts'

const SECRET = 'hunter2-planted'
const tokens = { admin: newToken(), lead: newToken(), viewer: newToken() }

let kafka: KafkaPart
let worker: ConnectPart
let daemon: Daemon
/** All that the API answered. */
let answered = ''

beforeAll(async () => {
  kafka = await startKafka()
  worker = await startConnect({ bootstrap: kafka.bootstrap })
  const file = join(worker.folder, 'lines.txt')
  writeFileSync(file, 'a line\n')
  for (const name of ['fin-lines', 'hr-lines']) {
    await worker.putConnector(name, {
      'connector.class': 'org.apache.kafka.connect.file.FileStreamSourceConnector',
      topic: name,
      file,
      'api.token': SECRET,
    })
    await waitFor(name, async () => (await worker.status(name))?.tasks[0]?.state === 'RUNNING')
  }
  const tokensFile = join(worker.folder, 'tokens.yaml')
  writeFileSync(
    tokensFile,
    stringify({
      users: [
        { name: 'ann', role: 'admin', hash: tokens.admin.hash },
        { name: 'lee', role: 'team-lead', teams: ['Finance'], hash: tokens.lead.hash },
        { name: 'vic', role: 'viewer', hash: tokens.viewer.hash },
      ],
    }),
  )
  const teams = [{ match: '^fin-', team: 'Finance' }]
  daemon = await startDaemon(
    [{ kind: 'connect', target: 'erp', environment: 'staging', urls: worker.url, teams }],
    {
      settings: { api: { tokens_file: tokensFile } },
    },
  )
})
afterAll(async () => {
  await daemon?.stop()
  await worker?.remove()
  await kafka?.remove()
})

async function ask(who: keyof typeof tokens, method: string, path: string, body?: object) {
  const response = await fetch(`${daemon.url}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${tokens[who].token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  answered += text
  return { status: response.status, body: JSON.parse(text) as Readonly<Record<string, unknown>> }
}

test('connectors are listed and shown, secrets masked', async () => {
  const { body } = await ask('viewer', 'GET', 'connectors?environment=staging&limit=1')
  expect(body).toMatchObject({
    total: 2,
    items: [{ target: 'erp', connector: 'fin-lines', team: 'Finance', state: 'running' }],
  })
  expect((await ask('viewer', 'GET', 'connectors/erp/hr-lines')).body).toMatchObject({
    team: 'Lainnya',
    config: { topic: 'hr-lines', 'api.token': '<secret>' },
  })
  expect((await ask('viewer', 'GET', 'connectors/erp/nowhere')).status).toBe(404)
})

test('who may not, changes nothing', async () => {
  expect((await ask('viewer', 'POST', 'connectors/erp/fin-lines/stop')).status).toBe(403)
  expect((await ask('lead', 'DELETE', 'connectors/erp/hr-lines')).status).toBe(403)
  // One of another team is among them.
  expect((await ask('lead', 'POST', 'connectors:stop', { all: true })).status).toBe(403)
  expect((await ask('admin', 'POST', 'connectors:stop')).status).toBe(400)
  for (const name of ['fin-lines', 'hr-lines']) {
    expect((await worker.status(name))?.connector.state).toBe('RUNNING')
  }
})

test('an operation answers with what came of it; a dry run changes nothing', async () => {
  expect(
    (await ask('lead', 'POST', 'connectors:stop', { team: 'Finance', dry_run: true })).body,
  ).toMatchObject({
    ok: true,
    items: [{ connector: 'fin-lines', result: 'planned', state: 'running' }],
  })
  expect((await ask('lead', 'POST', 'connectors/erp/fin-lines/stop')).body).toMatchObject({
    ok: true,
    items: [{ connector: 'fin-lines', operation: 'stop', result: 'done', state: 'stopped' }],
  })
  expect((await worker.status('fin-lines'))?.connector.state).toBe('STOPPED')
  expect((await ask('admin', 'POST', 'connectors:restart', { state: 'stopped' })).body).toMatchObject({
    ok: true,
    items: [{ connector: 'fin-lines', result: 'skipped', detail: 'it is stopped: resume it' }],
  })
  expect((await ask('admin', 'DELETE', 'connectors/erp/fin-lines')).body).toMatchObject({
    items: [{ result: 'done', state: 'deleted' }],
  })
  // Connect forgets the state a moment after the connector.
  await waitFor('it to go', async () => (await worker.status('fin-lines')) === undefined)
})

test('each is counted and audited, refusals too, and no secret is told', async () => {
  const series =
    'kafka_connect_operations_total{target="erp",environment="staging",operation="stop",result="done"}'
  await waitFor('the counter', async () => (await daemon.sample(series)) === 1)
  const { body } = await ask('admin', 'GET', 'audit')
  const lines = (body.items as readonly Readonly<Record<string, string>>[]).map(
    ({ who, operation, object, result }) => `${who} ${operation} ${object} ${result}`,
  )
  expect(lines.toReversed()).toEqual([
    'vic connect stop /api/v1/connectors/erp/fin-lines/stop refused',
    'lee connect delete erp/hr-lines refused',
    'lee connect stop erp/hr-lines refused',
    'lee connect stop erp/fin-lines done',
    'ann connect restart erp/fin-lines done',
    'ann connect delete erp/fin-lines done',
  ])
  expect(answered).not.toContain(SECRET)
  expect(daemon.output()).not.toContain(SECRET)
  expect(await daemon.get('/metrics')).not.toContain(SECRET)
})
