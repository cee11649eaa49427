import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { redis } from '../../../src/collectors/redis/index.ts'
import { readExposition, type Sample } from '../../testbed/exposition-text.ts'
import { type RedisPart, startRedis } from '../../testbed/parts/redis.ts'
import { reservePort } from '../../testbed/ports.ts'
import { TestbedProcess, waitFor } from '../../testbed/process.ts'
import { collecting } from '../collect.ts'

/** What the exporter has and we have not. Each is in the documentation with its reason. */
const NOT_OURS = [
  // Of the exporter itself.
  'redis_exporter_last_scrape_connect_time_seconds',
  'redis_exporter_last_scrape_duration_seconds',
  'redis_exporter_last_scrape_error',
  'redis_exporter_scrape_duration_seconds_count',
  'redis_exporter_scrape_duration_seconds_sum',
  'redis_exporter_scrapes_total',
  'redis_last_key_groups_scrape_duration_milliseconds',
  'redis_target_scrape_request_errors_total',
  // The same as redis_commands_total and redis_commands_duration_seconds_total.
  'redis_latency_percentiles_usec_count',
  'redis_latency_percentiles_usec_sum',
  // Names of consumers are no labels.
  'redis_stream_group_consumer_idle_seconds',
  'redis_stream_group_consumer_messages_pending',
].toSorted()

/** Memory is not the same in any two moments, and each exporter adds its own connection. */
const BYTES = /^redis_(memory_used_|mem_|allocator_|client_recent_max_).*bytes$|^redis_mem_clients_/
const RATIOS = /^redis_(mem|allocator)_.*ratio$/
/** Times that go up and down between two scrapes; theirs takes the start from two clocks. */
const WANDERING = [
  'redis_connected_slave_lag_seconds',
  'redis_master_last_io_seconds_ago',
  'redis_start_time_seconds',
]

const CONNECTIONS = 'redis_connected_clients'

let primary: RedisPart
let replica: RedisPart
let node: RedisPart

beforeAll(async () => {
  primary = await startRedis({
    settings: {
      appendonly: 'yes',
      maxmemory: '100mb',
      'repl-diskless-sync-delay': '0',
      'slowlog-log-slower-than': '0',
      'latency-monitor-threshold': '1',
      'enable-debug-command': 'yes',
    },
  })
  await send(primary, [
    ['RPUSH', 'votes', 'a', 'b', 'c'],
    ['ZADD', 'later', '1', 'a'],
    ['SADD', 'members', 'a', 'b'],
    ['XADD', 'events', '1000-1', 'field', 'value'],
    ['XADD', 'events', '2000-1', 'field', 'value'],
    ['XGROUP', 'CREATE', 'events', 'readers', '0'],
    ['XREADGROUP', 'GROUP', 'readers', 'one', 'COUNT', '1', 'STREAMS', 'events', '>'],
    ['SET', 'session', 'x', 'EX', '100000'],
    ['GET', 'nothing'],
    ['DEBUG', 'SLEEP', '0.01'],
    // From here on nothing is slow, on any machine.
    ['CONFIG', 'SET', 'slowlog-log-slower-than', '-1'],
    ['CONFIG', 'SET', 'latency-monitor-threshold', '0'],
    ['LLEN', 'events'],
    ['NONSENSE'],
    ['SELECT', '3'],
    ['SET', 'a', 'b'],
  ])
  const [started, alone] = await Promise.all([
    startRedis({ settings: { replicaof: `127.0.0.1 ${primary.port}` } }),
    startRedis({ cluster: true }),
  ])
  replica = started
  node = alone
  await waitFor('the replica to be in step', async () => {
    const info = String(await ask(primary, ['INFO', 'all']))
    return /^slave0:.*state=online/m.test(info) && /^rdb_bgsave_in_progress:0/m.test(info)
  })
})
afterAll(async () => {
  await node?.remove()
  await replica?.remove()
  await primary?.remove()
})

describe('the same numbers as Debian’s exporter', () => {
  test('of a master with streams, a slow log, spikes and errors', async () => {
    const queues = ['votes', 'later', 'members', 'events', 'gone']
    const { compared, missing } = await compare(primary, { queues }, [
      ...['-check-single-keys', queues.map((key) => `db0=${key}`).join()],
      ...['-check-single-streams', 'db0=events'],
    ])
    expect(missing).toEqual(NOT_OURS)
    expect(compared).toEqual(
      expect.arrayContaining([
        'redis_aof_current_size_bytes',
        'redis_commands_failed_calls_total',
        'redis_connected_slave_offset_bytes',
        'redis_db_avg_ttl_seconds',
        'redis_errors_total',
        'redis_instance_info',
        'redis_key_size',
        'redis_last_slow_execution_duration_seconds',
        'redis_latency_percentiles_usec',
        'redis_latency_spike_duration_seconds',
        'redis_latency_spike_last',
        'redis_slowlog_length',
        'redis_stream_group_messages_pending',
        'redis_stream_length',
        'redis_total_system_memory_bytes',
      ]),
    )
  })

  test('of a replica', async () => {
    await waitFor('it to be connected', async () =>
      /^master_link_status:up/m.test(String(await ask(replica, ['INFO']))),
    )
    const { compared, missing } = await compare(replica)
    expect(missing.filter((name) => !NOT_OURS.includes(name))).toEqual([])
    expect(compared).toEqual(
      expect.arrayContaining([
        'redis_master_link_up',
        'redis_master_sync_in_progress',
        'redis_slave_info',
        'redis_slave_priority',
        'redis_slave_repl_offset',
      ]),
    )
  })

  test('of a node of a cluster', async () => {
    const { compared, missing } = await compare(node)
    // One for each kind of message between nodes.
    expect(
      missing.filter((name) => !NOT_OURS.includes(name) && !name.startsWith('redis_cluster_stats_')),
    ).toEqual([])
    expect(compared).toEqual(
      expect.arrayContaining([
        'redis_cluster_enabled',
        'redis_cluster_known_nodes',
        'redis_cluster_messages_sent_total',
        'redis_cluster_slots_fail',
        'redis_cluster_state',
      ]),
    )
  })
})

test('what the most used dashboards and alerts ask for is there, with its labels', () => {
  const lines = readFileSync(new URL('dashboard-series.txt', import.meta.url), 'utf8').split('\n')
  const wanted = lines.filter((line) => line !== '' && !line.startsWith('#'))
  expect(wanted.length).toBeGreaterThan(30)
  for (const line of wanted) {
    const [, name, labels] = /^(\w+)(?:\{([\w,]+)\})? /.exec(line) ?? []
    const family = redis.families.find((each) => each.name === name)
    expect(family, line).toBeDefined()
    expect(family?.labelNames, line).toEqual(expect.arrayContaining(labels?.split(',') ?? []))
  }
})

test('the documentation names what is not there', () => {
  const text = readFileSync('docs/redis.md', 'utf8')
  expect(
    NOT_OURS.filter((name) => !text.includes(name.replace(/^redis_exporter_.*/, 'redis_exporter_'))),
  ).toEqual([])
})

/** Names of theirs whose series were compared, and of those that we do not have; on a server that nobody else uses. */
async function compare(server: RedisPart, settings: object = {}, flags: readonly string[] = []) {
  const ours = collecting(redis, { url: server.url, ...settings })
  const theirs = await startTheirs(server, flags)
  try {
    // The first time of either, errors and all, is not what is compared.
    await ours.run()
    await theirs.scrape()
    await ours.run()
    const before = await theirs.scrape()
    const lines = await ours.run()
    const after = await theirs.scrape()
    expect(ours.failedParts).toEqual([])

    const key = ({ name, labels: { target: _, ...labels } }: Sample) =>
      JSON.stringify([name, Object.entries(labels).toSorted()])
    const byKey = (samples: readonly Sample[]) => new Map(samples.map((each) => [key(each), each.value]))
    // The engine writes redis_up, which is not here.
    const own = byKey(readExposition(`${[...lines, 'redis_up{target="test"} 1'].join('\n')}\n`).samples)
    const later = byKey(after)
    const names = new Set([...own.keys()].map((text) => String(JSON.parse(text)[0])))
    const isBusy = ({ labels: { cmd = '' } }: Sample) => {
      const calls = { name: 'redis_commands_total', labels: { cmd }, value: 0 }
      return byKey(before).get(key(calls)) !== later.get(key(calls))
    }
    const compared = new Set<string>()
    const differing: string[] = []
    for (const sample of before) {
      const { name, value: earlier } = sample
      if (!names.has(name)) continue
      const value = own.get(key(sample))
      const last = later.get(key(sample))
      // Percentiles of the commands that are being asked wander.
      if (name === 'redis_latency_percentiles_usec' && isBusy(sample)) continue
      compared.add(name)
      if (value !== undefined && last !== undefined && agrees(name, value, earlier, last)) continue
      differing.push(`${key(sample)}: ${earlier}, ours ${value}, ${last}`)
    }
    expect(differing).toEqual([])
    const missing = new Set(before.map(({ name }) => name).filter((name) => !names.has(name)))
    return { compared: [...compared], missing: [...missing].toSorted() }
  } finally {
    await theirs.process.stop()
    await ours.stop()
  }
}

function agrees(name: string, value: number, before: number, after: number): boolean {
  if (WANDERING.includes(name)) return Math.abs(value - before) < 3600
  if (name === CONNECTIONS) return value >= 1
  if (BYTES.test(name)) return Math.abs(value - before) < 8 * 2 ** 20
  if (RATIOS.test(name)) return value > before / 3 && value < before * 3
  return value >= Math.min(before, after) && value <= Math.max(before, after)
}

async function startTheirs(server: RedisPart, flags: readonly string[]) {
  const address = `127.0.0.1:${await reservePort()}`
  const process = new TestbedProcess({
    name: 'prometheus-redis-exporter',
    command: 'prometheus-redis-exporter',
    args: [
      ...['-web.listen-address', address, '-redis.addr', server.url],
      ...['-redis-only-metrics', '-include-system-metrics', ...flags],
    ],
    logFile: join(server.folder, 'exporter.log'),
    ready: async (signal) => (await fetch(`http://${address}/`, { signal })).ok,
  })
  await process.start()
  const scrape = async () => readExposition(await (await fetch(`http://${address}/metrics`)).text()).samples
  return { process, scrape }
}

/** One that is refused is counted by the server as an error. */
async function send(server: RedisPart, commands: readonly string[][]): Promise<void> {
  const client = createClient({ url: server.url, RESP: 2, disableClientInfo: true })
  await client.connect()
  await Promise.allSettled(commands.map((command) => client.sendCommand(command)))
  client.destroy()
}

async function ask(server: RedisPart, command: string[]): Promise<unknown> {
  const client = createClient({ url: server.url, RESP: 2, disableClientInfo: true })
  await client.connect()
  try {
    return await client.sendCommand(command)
  } finally {
    client.destroy()
  }
}
