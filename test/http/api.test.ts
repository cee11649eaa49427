import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { javaTrace, observed, slotLost } from '../operations/observed.ts'
import { type Answer, type Fleets, people, serveFleets } from './api-fixture.ts'

let fleets: Fleets
afterEach(() => fleets.stop())

const get = (path: string, token?: string) =>
  fleets.ask('GET', `/api/v1/${path}`, token === undefined ? {} : { token })
const post = (path: string, token?: string) =>
  fleets.ask('POST', `/api/v1/${path}`, token === undefined ? {} : { token })
const firstId = async (filter = '', token?: string): Promise<number> =>
  Number((await get(`failures?${filter}`, token)).body.items[0]?.id)

const converter = javaTrace('org.apache.kafka.connect.errors.DataException: Unknown magic byte!')

describe('failures', () => {
  test('are listed, filtered and paged', async () => {
    fleets = await serveFleets(undefined)
    await fleets.observe('erp', [observed(), observed({ task: '', trace: converter, labels: {} })])
    await fleets.observe('crm', [observed({ connector: 'customers', labels: { team: 'Sales' } })])

    const all = await get('failures')
    expect(all.status).toBe(200)
    expect(all.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(all.body).toMatchObject({ total: 3, limit: 50, offset: 0 })
    expect((await get('failures?environment=production&team=Finance')).body.items).toEqual([
      {
        id: expect.any(Number),
        target: 'erp',
        environment: 'production',
        platform: 'kafka',
        connector: 'orders',
        task: 0,
        team: 'Finance',
        labels: {
          target: 'erp',
          environment: 'production',
          platform: 'kafka',
          team: 'Finance',
          dbms: 'PostgreSQL',
        },
        worker: '10.0.0.1:8083',
        state: 'open',
        exception_class: 'org.apache.kafka.connect.errors.ConnectException',
        root_class: 'org.postgresql.util.PSQLException',
        root_cause: 'org.postgresql.util.PSQLException: ERROR: replication slot "erp" does not exist',
        opened_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        ended_at: null,
        resolved_at: null,
        resolution: null,
        resolved_by: null,
      },
    ])
    const page = (await get('failures?limit=1&offset=2')).body
    expect([page.items.length, page.total, page.limit, page.offset]).toEqual([1, 3, 1, 2])
    expect((await get('failures?platform=raft&state=open')).body.total).toBe(1)
    expect((await get('failures?state=resolved')).body.total).toBe(0)
    expect((await get('failures?connector=customers')).body.items[0]?.team).toBe('Sales')
    expect(
      (await get('failures?exception_class=org.apache.kafka.connect.errors.DataException')).body.total,
    ).toBe(1)
    // The connector itself.
    expect(
      (await get('failures?target=erp&exception_class=org.apache.kafka.connect.errors.DataException')).body
        .items[0]?.task,
    ).toBeNull()
  })

  test('each has its trace, first steps and what failed there before', async () => {
    fleets = await serveFleets(undefined)
    await fleets.observe('erp', [observed({ trace: converter })])
    await fleets.observe('erp', [])
    await fleets.observe('erp', [observed()])
    const { status, body } = await get(`failures/${await firstId('state=open')}`)
    expect(status).toBe(200)
    expect(body.trace).toBe(slotLost)
    expect(body.hint.id).toBe('slot-lost')
    expect(body.hint.first_steps[0]).toContain('pg_replication_slots')
    expect(body.history).toHaveLength(1)
    expect(body.history[0]).toMatchObject({ state: 'resolved', resolution: 'recovery', task: 0 })
    expect(body.history[0]?.ended_at).toBe(body.history[0]?.resolved_at)
  })

  test('are counted by environment, platform and team', async () => {
    fleets = await serveFleets(undefined)
    await fleets.observe('erp', [observed(), observed({ task: '1' })])
    await fleets.observe('erp', [observed()])
    await fleets.observe('crm', [observed({ labels: { team: 'Sales' } })])
    const { body } = await get('failures/stats')
    expect(body).toMatchObject({
      open: 2,
      resolved: 1,
      environments: [
        { name: 'production', open: 1, resolved: 1 },
        { name: 'staging', open: 1, resolved: 0 },
      ],
      platforms: [{ name: 'kafka' }, { name: 'raft' }],
      teams: [{ name: 'Finance' }, { name: 'Sales' }],
      exception_classes: [{ open: 2, resolved: 1 }],
    })
    expect((await get('failures/stats?platform=raft')).body).toMatchObject({
      open: 1,
      resolved: 0,
      teams: [{ name: 'Sales', open: 1 }],
    })
  })

  test('are resolved by hand, opened again, and closed by recovery', async () => {
    fleets = await serveFleets(people)
    await fleets.observe('erp', [observed()])
    const id = await firstId('', 'vic')
    const resolved = await post(`failures/${id}/resolve`, 'lea')
    expect(resolved.status).toBe(200)
    expect(resolved.body).toMatchObject({ id, state: 'resolved', resolution: 'hand', resolved_by: 'lea' })
    // Another pass sees it still, and does not open it again.
    await fleets.observe('erp', [observed()])
    expect((await get('failures?state=open', 'vic')).body.total).toBe(0)
    expect((await post(`failures/${id}/resolve`, 'ada')).status).toBe(409)

    expect((await post(`failures/${id}/unresolve`, 'ada')).body).toMatchObject({
      state: 'open',
      resolved_by: null,
    })
    await fleets.observe('erp', [])
    expect((await get(`failures/${id}`, 'vic')).body).toMatchObject({ resolution: 'recovery' })
    expect(await post(`failures/${id}/unresolve`, 'ada')).toMatchObject({
      status: 409,
      body: { error: 'it is over: only a failure that persists can be opened again' },
    })

    const { items } = (await get('audit', 'ada')).body
    expect(items.map((entry) => [entry.who, entry.operation, entry.result])).toEqual([
      ['ada', 'failures unresolve', 'failed'],
      ['ada', 'failures unresolve', 'done'],
      ['ada', 'failures resolve', 'failed'],
      ['lea', 'failures resolve', 'done'],
    ])
    expect(items.at(-1)).toEqual({
      id: 1,
      who: 'lea',
      from: '127.0.0.1',
      operation: 'failures resolve',
      object: `erp/orders/0#${id}`,
      result: 'done',
      detail: '',
      at: expect.stringMatching(/Z$/),
    })
  })
})

describe('access', () => {
  test('without tokens everybody reads and nobody changes anything', async () => {
    fleets = await serveFleets(undefined)
    await fleets.observe('erp', [observed()])
    const id = await firstId()
    expect(await post(`failures/${id}/resolve`)).toMatchObject({
      status: 403,
      body: { error: expect.stringContaining('api.tokens_file') },
    })
    expect((await get('audit')).status).toBe(403)
    expect((await get(`failures/${id}`)).body.state).toBe('open')
    expect(fleets.audited()).toMatchObject([
      { level: 'WARNING', who: 'anonymous', operation: 'failures resolve', result: 'refused' },
      { who: 'anonymous', operation: 'audit list', result: 'refused' },
    ])
  })

  test('with tokens nobody reads without one, and a wrong one is none', async () => {
    fleets = await serveFleets(people)
    const none = await get('failures')
    expect(none.status).toBe(401)
    expect(none.headers.get('www-authenticate')).toBe('Bearer realm="cdc-exporter"')
    expect((await get('failures', 'cdc_wrong')).status).toBe(401)
    expect((await get('failures', 'vic')).status).toBe(200)
    expect((await fetch(`${fleets.url}/metrics`)).status).toBe(200)
    expect(fleets.audited()).toHaveLength(2)
  })

  test("a viewer's token changes nothing, a team lead's nothing of another team; both tries are audited", async () => {
    fleets = await serveFleets(people)
    await fleets.observe('erp', [
      observed({ labels: { team: 'Sales' } }),
      observed({ task: '1', labels: {} }),
    ])
    const sales = await firstId('team=Sales', 'ada')
    const nobodys = await firstId('team=', 'ada')
    const refused: readonly Answer[] = [
      await post(`failures/${sales}/resolve`, 'vic'),
      await post(`failures/${sales}/resolve`, 'lea'),
      await post(`failures/${nobodys}/resolve`, 'lea'),
      await get('audit', 'lea'),
    ]
    expect(refused.map(({ status }) => status)).toEqual([403, 403, 403, 403])
    expect(refused[1]?.body.error).toBe('it belongs to the team Sales, which lea does not lead')
    expect((await get('failures?state=open', 'vic')).body.total).toBe(2)
    const { items, total } = (await get('audit?result=refused', 'ada')).body
    expect(total).toBe(4)
    expect(items.map(({ who, object }) => [who, object])).toEqual([
      ['lea', '/api/v1/audit'],
      ['lea', `erp/orders/1#${nobodys}`],
      ['lea', `erp/orders/0#${sales}`],
      ['vic', `/api/v1/failures/${sales}/resolve`],
    ])
    expect((await get('audit?who=vic', 'ada')).body.total).toBe(1)
    expect((await post(`failures/${nobodys}/resolve`, 'ada')).status).toBe(200)
  })

  test('a reload takes new tokens into force and old ones out of it', async () => {
    fleets = await serveFleets(people)
    await fleets.reload(people.filter(({ name }) => name !== 'vic'))
    expect((await get('failures', 'vic')).status).toBe(401)
    expect((await get('failures', 'lea')).status).toBe(200)
  })

  test('a token stands in no file, log or answer', async () => {
    fleets = await serveFleets(people)
    const answer = await get('failures', 'cdc_planted-token')
    const file = readFileSync(join(fleets.folder, 'state', 'cdc-exporter.sqlite-wal'), 'latin1')
    expect(JSON.stringify([answer.body, fleets.audited()]) + file).not.toContain('planted')
  })
})

describe('what is kept of a connector', () => {
  const forget = (path: string, token: string, body: object = {}) =>
    fleets.ask('POST', `/api/v1/connectors${path}`, { token, body: JSON.stringify(body) })

  test('is forgotten by who may operate it, and by nobody else; all of it is audited', async () => {
    fleets = await serveFleets(people)
    await fleets.observe('erp', [observed(), observed({ connector: 'stock', labels: { team: 'Sales' } })])
    await fleets.observe('erp', [])
    expect((await forget('/erp/orders/forget', 'vic')).status).toBe(403)
    expect((await forget('/erp/stock/forget', 'lea')).status).toBe(403)
    // One of another team is among them.
    expect((await forget(':forget', 'lea', { target: 'erp' })).status).toBe(403)
    expect((await forget(':forget', 'ada', { state: 'failed' })).status).toBe(400)
    expect((await forget(':forget', 'ada', { connectors: [] })).status).toBe(400)
    expect((await forget('/crm/orders/forget', 'ada')).status).toBe(404)
    const planned = await forget(':forget', 'lea', { team: 'Finance', dry_run: true })
    expect(planned.body.items).toMatchObject([
      { connector: 'orders', result: 'planned', detail: '1 failure' },
    ])
    expect((await get('failures', 'vic')).body.total).toBe(2)

    expect((await forget('/erp/orders/forget', 'lea')).body).toEqual({
      ok: true,
      items: [
        {
          target: 'erp',
          environment: 'production',
          team: 'Finance',
          connector: 'orders',
          operation: 'forget',
          result: 'done',
          state: 'forgotten',
          detail: '1 failure',
        },
      ],
    })
    expect((await get('failures', 'vic')).body.items).toMatchObject([{ connector: 'stock' }])
    expect((await forget(':forget', 'ada', { all: true })).status).toBe(200)
    expect((await get('failures', 'vic')).body.total).toBe(0)
    const { items } = (await get('audit', 'ada')).body
    expect(items.map(({ who, object, result }) => [who, object, result])).toEqual([
      ['ada', 'erp/stock', 'done'],
      ['lea', 'erp/orders', 'done'],
      ['lea', 'erp/stock', 'refused'],
      ['lea', 'erp/stock', 'refused'],
      ['vic', '/api/v1/connectors/erp/orders/forget', 'refused'],
    ])
  })
})

describe('requests', () => {
  test.each([
    ['failures?teams=x', 400, 'unknown query parameter "teams"'],
    ['failures?limit=0', 400, 'limit: expected a whole number from 1 to 500'],
    ['failures?limit=501', 400, 'limit: expected'],
    ['failures?offset=-1', 400, 'offset: expected'],
    ['failures?state=broken', 400, 'state: expected open or resolved'],
    ['failures?team=a&team=b', 400, 'team is given more than once'],
    ['failures/1?x=1', 400, 'there are none'],
    ['failures/999', 404, 'no such failure'],
    ['failures/one', 404, 'no such failure'],
    ['failures/%ff', 400, 'percent-encoded'],
    ['nothing', 404, 'no such path'],
  ])('%s is answered with %i', async (path, status, error) => {
    fleets = await serveFleets(undefined)
    const answer = await get(path)
    expect(answer.status).toBe(status)
    expect(answer.body.error).toContain(error)
  })

  test('a method that a path does not know is answered with those that it does', async () => {
    fleets = await serveFleets(people)
    const answer = await fleets.ask('DELETE', '/api/v1/failures', { token: 'ada' })
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET'])
    expect((await fetch(`${fleets.url}/api/v1/failures`, { method: 'HEAD' })).status).toBe(401)
  })

  test('a body that is too long or no JSON is refused, and the next request is answered', async () => {
    fleets = await serveFleets(people)
    const ask = (body: string) => fleets.ask('POST', '/api/v1/failures/1/resolve', { token: 'ada', body })
    expect((await ask('x'.repeat(100_000))).status).toBe(413)
    expect(await ask('{')).toMatchObject({ status: 400, body: { error: 'the body is no JSON' } })
    expect((await ask('{}')).status).toBe(404)
  })

  test('a client that goes in the middle of its body does no harm', async () => {
    fleets = await serveFleets(people)
    const sent = request(`${fleets.url}/api/v1/failures/1/resolve`, {
      method: 'POST',
      headers: { 'content-length': 100 },
    })
    sent.on('error', () => {})
    sent.write('{')
    await new Promise((resolve) => sent.once('response', resolve))
    sent.destroy()
    expect((await get('failures', 'ada')).status).toBe(200)
  })
})
