import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from 'redis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { redis } from '../../../src/collectors/redis/index.ts'
import { type Authority, certificateAuthority } from '../../testbed/certificates.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type RedisPart, startRedis } from '../../testbed/parts/redis.ts'
import { waitFor } from '../../testbed/process.ts'
import { checked, complaints } from '../check.ts'
import { type Collecting, collecting } from '../collect.ts'

let collector: Collecting | undefined
afterEach(async () => {
  await collector?.stop()
  collector = undefined
})

const collectorOf = (settings: object): Collecting => {
  collector = collecting(redis, settings)
  return collector
}

async function ask(server: RedisPart, ...command: string[]): Promise<unknown> {
  const client = createClient({ url: server.url, RESP: 2, disableClientInfo: true })
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.sendCommand(command)
  } finally {
    client.destroy()
  }
}

describe('TLS', () => {
  const folder = temporaryFolder('redis-tls')
  let server: RedisPart
  let own: Authority
  let foreign: Authority
  let monitor: { readonly cert: string; readonly key: string }
  const url = () => `rediss://127.0.0.1:${server.port}`
  const trusted = () => ({
    ca_file: own.cert,
    cert_file: monitor.cert,
    key_file: monitor.key,
    server_name: 'redis.internal',
  })

  beforeAll(async () => {
    own = await certificateAuthority(folder.path, 'authority')
    foreign = await certificateAuthority(folder.path, 'foreign')
    const certificate = await own.issue('server', ['DNS:redis.internal'])
    monitor = await own.issue('monitor', ['DNS:monitor'])
    server = await startRedis({ tls: { ca: own.cert, ...certificate } })
  })
  afterAll(async () => {
    await server?.remove()
    folder.remove()
  })

  test('with its authority and a certificate of ours it is read', async () => {
    expect(await collectorOf({ url: url(), queues: ['votes'], tls: trusted() }).run()).toContain(
      'redis_queue_length{target="test",queue="votes"} 0',
    )
  })

  test.each([
    ['another authority', () => ({ ...trusted(), ca_file: foreign.cert })],
    ['the name of another host', () => ({ ...trusted(), server_name: 'other.internal' })],
    ['no certificate of ours', () => ({ ca_file: own.cert, server_name: 'redis.internal' })],
  ])('with %s it is not', async (_, tls) => {
    await expect(collectorOf({ url: url(), tls: tls() }).run()).rejects.toThrow(
      /^redis at 127\.0\.0\.1:\d+: /,
    )
  })

  test('is not asked for in vain', async () => {
    const plain = collectorOf({ url: url().replace('rediss', 'redis'), tls: trusted() })
    await expect(plain.run()).rejects.toThrow(/: tls needs a url of rediss/)
  })
})

describe('Sentinel', () => {
  const folder = temporaryFolder('redis-sentinel')
  let master: RedisPart
  let replica: RedisPart
  let sentinel: RedisPart

  beforeAll(async () => {
    master = await startRedis()
    replica = await startRedis({ settings: { replicaof: `127.0.0.1 ${master.port}` } })
    const file = join(folder.path, 'sentinel.conf')
    writeFileSync(file, `sentinel monitor votes 127.0.0.1 ${master.port} 1\n`)
    sentinel = await startRedis({ sentinelFile: file })
    await waitFor('the sentinel to know the replica', async () => {
      const found = (await ask(sentinel, 'SENTINEL', 'REPLICAS', 'votes')) as unknown[]
      return found.length === 1
    })
  })
  afterAll(async () => {
    await sentinel?.remove()
    await replica?.remove()
    await master?.remove()
    folder.remove()
  })

  const settings = () => ({
    // Nobody listens at the first.
    sentinel: { master: 'votes', addresses: ['127.0.0.1:1', `127.0.0.1:${sentinel.port}`] },
    database: 2,
    queues: ['votes'],
  })
  const portOf = (lines: readonly string[]) =>
    Number(/tcp_port="(\d+)"/.exec(lines.find((line) => line.startsWith('redis_instance_info')) ?? '')?.[1])

  test('check tells of a sentinel that is away, and of a master that none knows', async () => {
    const found = await checked(redis, settings())
    expect(complaints(found)).toEqual({
      'sentinel_knows_master 127.0.0.1:1': expect.stringContaining('ECONNREFUSED'),
    })
    expect(found[`sentinel_knows_master 127.0.0.1:${sentinel.port}`]?.message).toBe(
      `votes is 127.0.0.1:${master.port}`,
    )
    const { sentinel: at } = settings()
    expect(complaints(await checked(redis, { sentinel: { ...at, master: 'others' } }))).toEqual({
      reachable: expect.stringMatching(
        /it knows no master others.* → start the sentinels and the master, or/,
      ),
    })
  })

  test('the master is found, and the new one after a failover', async () => {
    const its = collectorOf(settings())
    const lines = await its.run()
    expect(portOf(lines)).toBe(master.port)
    expect(lines).toContain('redis_key_size{target="test",db="db2",key="votes"} 0')
    await waitFor('the replica to be fit for it', async () => {
      const text = String(await ask(replica, 'INFO', 'replication'))
      return text.includes('master_link_status:up')
    })
    await waitFor('the failover to begin', async () => {
      try {
        return (await ask(sentinel, 'SENTINEL', 'FAILOVER', 'votes')) === 'OK'
      } catch (error) {
        // Asked too early, and once again after it had begun.
        if (String(error).includes('INPROG')) return true
        throw error
      }
    })
    await waitFor('the former master to be a replica', async () =>
      String(await ask(master, 'INFO', 'replication')).includes('role:slave'),
    )
    // The connection to the former master is lost or not: the run after it reads the new one.
    await waitFor('the new master to be read', async () => portOf(await its.run()) === replica.port)
  })

  test('a name that no sentinel knows, and sentinels that do not answer, are errors that say so', async () => {
    const { sentinel: at } = settings()
    const other = collectorOf({ sentinel: { ...at, master: 'others' } })
    await expect(other.run()).rejects.toThrow(
      /^redis sentinel at .*: master others: .*it knows no master others/,
    )
    await other.stop()
    const gone = collectorOf({ sentinel: { ...at, addresses: ['127.0.0.1:1'] } })
    await expect(gone.run()).rejects.toThrow(/master votes: .*ECONNREFUSED/)
  })
})

describe('Cluster', () => {
  let nodes: RedisPart[] = []

  beforeAll(async () => {
    nodes = await Promise.all([0, 1, 2].map(() => startRedis({ cluster: true })))
    const ranges = [
      ['0', '5460'],
      ['5461', '10922'],
      ['10923', '16383'],
    ] as const
    const [first] = nodes
    for (const [i, node] of nodes.entries()) {
      await ask(node, 'CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
      await ask(node, 'CLUSTER', 'ADDSLOTSRANGE', ...(ranges[i] ?? []))
      if (node !== first) {
        await ask(node, 'CLUSTER', 'MEET', '127.0.0.1', String(first?.port), String(first?.busPort))
      }
    }
    await waitFor('the cluster to be whole', async () => {
      const texts = await Promise.all(nodes.map((node) => ask(node, 'CLUSTER', 'INFO')))
      return texts.every((text) =>
        ['cluster_state:ok', 'cluster_known_nodes:3'].every((line) => String(text).includes(line)),
      )
    })
  })
  afterAll(async () => {
    for (const node of nodes) await node.remove()
  })

  // Their slots are on the third, the second and the first node.
  const KEYS = ['a', 'c', 'b']

  test('queues of all masters are read, by name and by pattern, and a lost master fails its own', async () => {
    for (const key of KEYS) {
      const slot = Number(await ask(nodes[0] as RedisPart, 'CLUSTER', 'KEYSLOT', key))
      const owner = nodes[Math.min(2, Math.floor(slot / 5461))] as RedisPart
      await ask(owner, 'RPUSH', key, 'one', 'two')
    }
    const [first] = nodes
    const its = collectorOf({
      url: first?.url,
      cluster: true,
      queues: KEYS,
      scan: { interval: '1ms' },
      patterns: ['?'],
    })
    const lengths = (lines: readonly string[]) =>
      lines.filter((line) => line.startsWith('redis_queue_length'))
    const lines = await its.run()
    expect(its.failedParts).toEqual([])
    expect(lengths(lines)).toEqual(
      KEYS.toSorted().map((key) => `redis_queue_length{target="test",queue="${key}"} 2`),
    )
    expect(lines).toContain('redis_queue_scan_complete{target="test",pattern="?"} 1')
    expect(lines).toContain('redis_cluster_size{target="test"} 3')

    const settings = { url: first?.url, cluster: true, queues: ['a', 'b'] }
    const found = await checked(redis, settings)
    expect(complaints(found)).toEqual({})
    expect(found.cluster_whole?.message).toBe('cluster_state is ok, 16384 of 16384 slots are served')
    expect(complaints(await checked(redis, { ...settings, cluster: false }))).toEqual({
      cluster_setting: expect.stringContaining('queues on other nodes are not found → cluster: true'),
    })

    await its.stop()
    await nodes[2]?.kill()
    const broken = collectorOf({ url: first?.url, cluster: true, queues: KEYS })
    const left = await broken.run()
    expect(lengths(left).length).toBeGreaterThan(0)
    expect(lengths(left).length).toBeLessThan(KEYS.length)
    const [part] = broken.failedParts
    expect(String(part?.cause)).toMatch(/redis at 127\.0\.0\.1:\d+: TYPE \w: /)
    await ask(first as RedisPart, 'CLUSTER', 'DELSLOTS', '1')
    await waitFor('the cluster to be no more whole', async () => {
      const found = complaints(await checked(redis, settings))
      return found.cluster_whole?.includes('cluster_state is fail, 16383 of 16384') ?? false
    })
    await broken.run()
    expect(broken.health().problems).toEqual(['the cluster cannot serve all queries'])
  })
})
