import { expect, test } from 'vitest'
import { NOTHING_COMMITTED } from '../../../src/clients/kafka/committed.ts'
import type { BrokerConnection, Request } from '../../../src/clients/kafka/connection.ts'
import { KafkaPass } from '../../../src/clients/kafka/reader.ts'
import { listOffsets } from '../../../src/clients/kafka/requests.ts'

// Moments of a coordinator that are too short to be met in a real one. What answers here is a stand-in: it gives what a
// broker gives in them.

type KnownGroups = ConstructorParameters<typeof KafkaPass>[0]['groupsBefore']

const LOADING = 14
const NOT_COORDINATOR = 16

/** A pass over brokers 1, 2 and 3. `answer`: what a broker says to a request of this name. */
function passOf(answer: (broker: number, request: string) => unknown, before: KnownGroups = new Map()) {
  let after: KnownGroups = new Map()
  const brokers = [1, 2, 3].map((id) => ({ id, host: 'localhost', port: 9091 + id }))
  const pass = new KafkaPass({
    metadata: { brokers, clusterId: 'c', controllerId: 1, topics: [] },
    failedBefore: new Map(),
    groupsBefore: before,
    rememberGroups: (groups) => {
      after = groups
    },
    connect: async ({ port }) =>
      ({
        usable: true,
        version: () => 8,
        send: async ({ name }: Request<unknown>) => answer(port - 9091, name),
      }) as unknown as BrokerConnection,
    signal: new AbortController().signal,
  })
  return { pass, after: () => after }
}

const group = { group: 'etl', protocolType: 'consumer', state: 'Empty', type: 'classic' }
const listed = (...groups: unknown[]) => ({ error: 0, groups })
const all = () => true

test('a broker that still loads groups has failed in nothing else', async () => {
  const { pass, after } = passOf(
    (broker, request) => {
      if (request === 'ListGroups') return broker === 2 ? { error: LOADING, groups: [] } : listed()
      if (request === 'OffsetFetch') return [{ group: 'etl', error: LOADING, committed: NOTHING_COMMITTED }]
      return request === 'ListOffsets' ? 'offsets' : []
    },
    new Map([['etl', { ...group, coordinator: 2 }]]),
  )
  const { groups, failed } = await pass.groups(all)
  expect(groups).toEqual([])
  expect([...failed.keys()]).toEqual(['etl'])
  expect(after().get('etl')?.coordinator).toBe(2)
  expect([...pass.incompleteLists.keys()]).toEqual([2])
  expect(String(pass.incompleteLists.get(2))).toContain('ListGroups')
  expect(pass.failedBrokers).toEqual(new Map())
  expect(
    await pass.ask(
      2,
      listOffsets([], false, () => {}),
    ),
  ).toBe('offsets')
})

test('a group that was deleted while its coordinator moved is asked for at each broker, and then forgotten', async () => {
  const asked: number[] = []
  let known: KnownGroups = new Map([['etl', { ...group, coordinator: 1 }]])
  const once = async () => {
    const { pass, after } = passOf((broker, request) => {
      if (request === 'ListGroups') return listed()
      if (request !== 'OffsetFetch') return []
      asked.push(broker)
      const error = broker === 3 ? 0 : NOT_COORDINATOR
      return [{ group: 'etl', error, committed: NOTHING_COMMITTED }]
    }, known)
    const { failed } = await pass.groups(all)
    known = after()
    return [...failed.keys()]
  }
  expect([await once(), await once(), await once(), await once()]).toEqual([['etl'], ['etl'], [], []])
  expect(asked).toEqual([1, 2, 3])
})

test('so is one whose coordinator has left the cluster', async () => {
  const { pass, after } = passOf(
    (_, request) => (request === 'ListGroups' ? listed() : []),
    new Map([['etl', { ...group, coordinator: 4 }]]),
  )
  expect([...(await pass.groups(all)).failed.keys()]).toEqual(['etl'])
  expect(after().get('etl')?.coordinator).toBe(1)
})
