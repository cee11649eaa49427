import { within } from '../../clients/call.ts'
import { connectRedis, isRedisRefusal, masterBy, RedisRefusal } from '../../clients/redis.ts'
import {
  advised,
  authenticated,
  type CheckContext,
  type CheckReport,
  firstAnswer,
  type KindChecks,
  named,
  reachable,
  required,
  type Verdict,
  versionSupported,
  versionVerdict,
} from '../../collection/checks.ts'
import type { SampleBatch } from '../../collection/collector.ts'
import { addressOf } from './address.ts'
import { metaKey, readBullmq } from './bullmq.ts'
import { readCelery } from './celery.ts'
import type { Settings } from './config.ts'
import { addKeys, queueTypes } from './keys.ts'
import { queueLength } from './metrics.ts'
import { QueueSamples, type Reading } from './queues.ts'
import { KeySearch, literally } from './scan.ts'
import { fieldsOf, readServer, type ServerReading } from './server.ts'
import { readSidekiq } from './sidekiq.ts'

const sentinelKnows = advised(
  'sentinel_knows_master',
  'Each sentinel answers and knows the master; one of them is enough.',
  'sentinel',
)
const statistics = advised(
  'statistics_allowed',
  'The user may ask for all that is told of the server: its limits, slow log and latency.',
)
const noEviction = advised(
  'queues_not_evicted',
  'The server never removes a queue to gain memory: no `maxmemory`, or a `maxmemory_policy` that spares keys without an expiry.',
)
const clusterSetting = required(
  'cluster_setting',
  '`cluster` is set where queues are watched on a node of a cluster, and only there.',
)
const clusterWhole = required('cluster_whole', 'The cluster is whole: all of its slots are served.')
const queueReadable = required(
  'queue_readable',
  'The user may read the queue, and it has the layout that the configuration says.',
  'queue',
)
const patternReadable = required(
  'pattern_readable',
  'The user may look for the keys of the pattern, and read them.',
  'pattern',
)
const bullmqKnown = advised(
  'bullmq_queue_known',
  'BullMQ has used the queue: else its name or the prefix is another.',
  'queue',
)

export const checks: KindChecks<Settings> = {
  items: [
    reachable,
    authenticated,
    sentinelKnows,
    versionSupported,
    statistics,
    noEviction,
    clusterSetting,
    clusterWhole,
    queueReadable,
    bullmqKnown,
    patternReadable,
  ],
  async run(settings, report, context) {
    const { clock, timeout, signal } = context
    const redis = connectRedis(() => addressOf(settings), settings.cluster)
    try {
      const server = await firstAnswer(report, signal, {
        ask: () => within(timeout / 2, clock, signal, (limited) => readServer(redis, limited)),
        isRefusal: isRedisRefusal,
        remedy: {
          reachable: settings.sentinel
            ? 'start the sentinels and the master, or correct sentinel: its master and addresses'
            : 'start the server, or correct host and port in url; one with TLS needs a url of rediss',
          authenticated: `correct username and password; or: ACL SETUSER ${userOf(settings)} on >… (its rights: docs/redis.md)`,
        },
      })
      if (!server) return
      await checkSentinels(settings, report, context)
      checkServer(settings, server, report)
      if (!isWatching(settings) || !checkCluster(settings, server, report)) return
      await checkQueues(settings, { redis, now: clock.now(), signal }, report)
      await checkPatterns(settings, { redis, now: clock.now(), signal }, report, context)
    } finally {
      redis.close()
    }
  },
}

const OLDEST = 5

const isWatching = ({ queues, patterns, bullmq, celery, sidekiq }: Settings): boolean =>
  queues.length + patterns.length > 0 || Boolean(bullmq ?? celery ?? sidekiq)

/** The user of the ACL, for a statement. */
function userOf({ url, username }: Settings): string {
  const text = url?.reveal() ?? ''
  const inUrl = URL.canParse(text) ? decodeURIComponent(new URL(text).username) : ''
  return inUrl || username || 'default'
}

async function checkSentinels(
  settings: Settings,
  report: CheckReport,
  { clock, timeout, signal }: CheckContext,
): Promise<void> {
  const { sentinel } = addressOf(settings)
  if (!sentinel) return
  const looks = await Promise.allSettled(
    sentinel.addresses.map((address) =>
      within(timeout / 4, clock, signal, (limited) => masterBy(address, sentinel, limited)),
    ),
  )
  signal.throwIfAborted()
  for (const [i, look] of looks.entries()) {
    report.add(
      sentinelKnows,
      look.status === 'fulfilled'
        ? { ok: true, message: `${sentinel.master} is ${look.value.host}:${look.value.port}` }
        : {
            ok: false,
            message: messageOf(look.reason),
            remedy: 'start it, let it monitor the master, or take it out of sentinel.addresses',
          },
      sentinel.addresses[i],
    )
  }
}

function checkServer(settings: Settings, { info, refused }: ServerReading, report: CheckReport): void {
  const version = info.get('redis_version') ?? ''
  report.add(
    versionSupported,
    versionVerdict(version, Number.parseInt(version, 10) >= OLDEST, String(OLDEST)),
  )
  const lacking = refused.flatMap(({ cause }) => (cause instanceof RedisRefusal && cause.lacks) || [])
  report.add(
    statistics,
    refused.length === 0
      ? { ok: true, message: 'the user may' }
      : {
          ok: false,
          message: `refused: ${named(refused.map(({ request }) => request))}`,
          remedy: `ACL SETUSER ${userOf(settings)} ${[...new Set(lacking)].join(' ')}`,
        },
  )
  const policy = info.get('maxmemory_policy')
  if (!isWatching(settings) || policy === undefined) return
  const isBounded = Number(info.get('maxmemory') ?? 0) > 0
  report.add(
    noEviction,
    isBounded && policy.startsWith('allkeys')
      ? {
          ok: false,
          message: `maxmemory_policy is ${policy}: at maxmemory whole queues are removed`,
          remedy: 'CONFIG SET maxmemory-policy noeviction; CONFIG REWRITE',
        }
      : { ok: true, message: isBounded ? `maxmemory_policy is ${policy}` : 'maxmemory is not set' },
  )
}

/** False where queues cannot be found as it is configured. */
function checkCluster({ cluster }: Settings, { info, answers }: ServerReading, report: CheckReport): boolean {
  const isNode = info.get('cluster_enabled') === '1'
  if (!isNode && !cluster) return true
  if (isNode !== cluster) {
    report.add(
      clusterSetting,
      isNode
        ? {
            ok: false,
            message: 'the server is a node of a cluster: queues on other nodes are not found',
            remedy: 'cluster: true',
          }
        : { ok: false, message: 'the server is no node of a cluster', remedy: 'take cluster: true out' },
    )
    return false
  }
  report.add(clusterSetting, { ok: true, message: 'the server is a node of a cluster' })
  const fields = fieldsOf(String(answers.get('CLUSTER INFO') ?? ''))
  // The user may not ask: that is told among the statistics.
  if (!fields.has('cluster_state')) return true
  const found = `cluster_state is ${fields.get('cluster_state')}, ${fields.get('cluster_slots_ok')} of 16384 slots are served`
  report.add(
    clusterWhole,
    fields.get('cluster_state') === 'ok' && fields.get('cluster_slots_ok') === '16384'
      ? { ok: true, message: found }
      : { ok: false, message: found, remedy: 'redis-cli --cluster check, then --cluster fix' },
  )
  return true
}

/** Takes the place of a run's batch, to hear what could not be read, and of the lengths. */
class Looks {
  readonly lengths = new Map<string, number>()
  readonly failures = new Map<string, unknown>()
  readonly batch: SampleBatch = {
    add: (family, labels: Readonly<Record<string, string>>, value) => {
      if (Object.is(family, queueLength)) this.lengths.set(labels.queue ?? '', value)
    },
    addRow: () => {},
    addHistogram: () => {},
    partFailed: ({ queue }, cause) => {
      if (queue !== undefined && !this.failures.has(queue)) this.failures.set(queue, cause)
    },
  }
}

async function checkQueues(settings: Settings, reading: Reading, report: CheckReport): Promise<void> {
  const { queues, bullmq, celery, sidekiq } = settings
  const looks = new Looks()
  const samples = new QueueSamples(looks.batch, reading.now)
  await addKeys(looks.batch, samples, reading, queues, [])
  for (const found of await Promise.all([
    bullmq ? readBullmq(reading, bullmq.prefix, bullmq.queues) : [],
    celery ? readCelery(reading, celery) : [],
    sidekiq ? readSidekiq(reading, sidekiq) : [],
  ])) {
    for (const each of found) samples.add(each)
  }
  for (const queue of new Set([...looks.lengths.keys(), ...looks.failures.keys()])) {
    const cause = looks.failures.get(queue)
    const verdict =
      cause === undefined ? { ok: true, message: `${looks.lengths.get(queue)} wait` } : undefined
    report.add(queueReadable, verdict ?? failureVerdict(cause, settings), queue)
  }
  for (const queue of bullmq?.queues ?? []) {
    if (looks.failures.has(queue)) continue
    const key = metaKey(bullmq?.prefix ?? '', queue)
    await report.ask(bullmqKnown, () => knownVerdict(key, reading), queue)
  }
}

function failureVerdict(cause: unknown, settings: Settings): Verdict {
  const lacks = cause instanceof RedisRefusal ? cause.lacks : undefined
  return {
    ok: false,
    message: messageOf(cause),
    remedy:
      lacks === undefined
        ? 'correct its name; or put it under the layout that it has: queues, bullmq, celery or sidekiq'
        : `ACL SETUSER ${userOf(settings)} ${lacks} (all that it needs: docs/redis.md)`,
  }
}

async function knownVerdict(key: string, { redis, signal }: Reading): Promise<Verdict | undefined> {
  const [type] = await redis.askKeys([['TYPE', key]], signal)
  if (type instanceof RedisRefusal) return undefined
  return type === 'none'
    ? {
        ok: false,
        message: `there is no key ${key}`,
        remedy: 'correct the name of the queue or bullmq.prefix; one that nobody has used yet is fine',
      }
    : { ok: true, message: `${key} is there` }
}

async function checkPatterns(
  settings: Settings,
  { redis, now, signal }: Reading,
  report: CheckReport,
  { clock }: CheckContext,
): Promise<void> {
  const { patterns, scan, bullmq } = settings
  const prefix = literally(bullmq?.prefix ?? '')
  const wanted = [
    ...patterns.map((pattern) => ({ pattern, types: queueTypes })),
    ...(bullmq?.patterns ?? []).map((name) => ({ pattern: metaKey(prefix, name), types: ['hash'] })),
  ]
  for (const { pattern, types } of wanted) {
    await report.ask(
      patternReadable,
      async () => {
        const search = new KeySearch(pattern, types, scan, clock)
        const { keys, complete, cut } = await search.keys(redis, signal)
        const looks = new Looks()
        const samples = new QueueSamples(looks.batch, now)
        if (types === queueTypes) await addKeys(looks.batch, samples, { redis, now, signal }, [], keys)
        const [failure = cut instanceof RedisRefusal ? cut : undefined] = looks.failures.values()
        if (failure !== undefined) return failureVerdict(failure, settings)
        const bounds = complete ? '' : ' within the bounds of scan'
        return { ok: true, message: `${keys.length} found${bounds}` }
      },
      pattern,
    )
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
