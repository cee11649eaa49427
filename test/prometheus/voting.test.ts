import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type PostgresPart, startPostgres } from '../testbed/parts/postgres.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { type RedisPart, startRedis } from '../testbed/parts/redis.ts'
import { waitFor } from '../testbed/process.ts'
import { startVoting, type VotingApp } from '../testbed/voting/voting.ts'
import { savedSeries } from './declared-series.ts'

const rules = temporaryFolder('rules')
let redis: RedisPart
let postgres: PostgresPart
let app: VotingApp
let daemon: DaemonPart
let prometheus: PrometheusPart

interface RuleFile {
  readonly groups: readonly { readonly rules: readonly { readonly expr: string; readonly for?: string }[] }[]
}

/** The shipped rules with a second in place of each minute. */
function hurriedRules(): string {
  const hurried = (text: string) => text.replaceAll(/\b(\d+)m\b/g, '$1s')
  const { groups } = parse(readFileSync('prometheus/rules/redis.yml', 'utf8')) as RuleFile
  const file = join(rules.path, 'redis.yml')
  const changed = groups.map((group) => ({
    ...group,
    rules: group.rules.map((rule) => ({
      ...rule,
      expr: hurried(rule.expr),
      ...(rule.for === undefined ? {} : { for: hurried(rule.for) }),
    })),
  }))
  writeFileSync(file, stringify({ groups: changed }))
  return file
}

beforeAll(async () => {
  ;[redis, postgres] = await Promise.all([startRedis(), startPostgres()])
  app = await startVoting({ redis: redis.url, postgres: postgres.url() })
  daemon = await startDaemon({
    config: {
      defaults: { interval: '2s', timeout: '2s' },
      collectors: [
        { kind: 'redis', target: 'voting', url: redis.url, queues: ['votes'] },
        { kind: 'postgresql', target: 'voting', url: postgres.url() },
        {
          kind: 'sql',
          target: 'voting',
          connection: { postgresql: { url: postgres.url() } },
          packs: [{ pack: 'votes', timeout: '1s' }],
        },
      ],
    },
  })
  const job = (name: string, url: string) => ({
    job_name: name,
    static_configs: [{ targets: [new URL(url).host] }],
  })
  prometheus = await startPrometheus({
    config: {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [hurriedRules()],
      scrape_configs: [
        { ...job('cdc-exporter', daemon.url), honor_labels: true },
        job('vote', app.vote.url),
        job('worker', app.worker.url),
        job('result', app.result.url),
      ],
    },
  })
})
afterAll(async () => {
  await Promise.all([prometheus?.remove(), daemon?.remove(), app?.remove()])
  await Promise.all([redis?.remove(), postgres?.remove()])
  rules.remove()
})

let voters = 0

/** Casts this many votes, the first for a, the others in turn. */
async function castVotes(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 20) {
    const batch = Array.from({ length: Math.min(20, left) }, () => {
      const voter = voters++
      return { voter: `voter-${voter}`, vote: voter % 2 === 0 ? 'a' : 'b' }
    })
    const answers = await Promise.all(
      batch.map((body) => fetch(`${app.vote.url}/vote`, { method: 'POST', body: JSON.stringify(body) })),
    )
    expect(answers.map(({ status }) => status)).toEqual(batch.map(() => 202))
    await Promise.all(answers.map((answer) => answer.text()))
  }
}

async function numberOf(expression: string): Promise<number | undefined> {
  return (await prometheus.query(expression))[0]?.value
}

/** Waits for a sample that says so. */
async function shows(expression: string, expected: number): Promise<void> {
  await waitFor(`${expression} to be ${expected}`, async () => {
    const value = await numberOf(expression)
    if (value !== expected) throw new Error(`it is ${value}`)
    return true
  })
}

const backlog = 'ALERTS{alertname="RedisQueueBacklog",alertstate="firing"}'
const critical = 'ALERTS{alertname="CriticalVoteQueueBacklog",alertstate="firing"}'
/** Pending or firing, now. */
const anyAlert = 'count(ALERTS{alertname=~"RedisQueueBacklog|CriticalVoteQueueBacklog"})'

test('votes go through, are counted on their way, and no alert is near', async () => {
  await castVotes(40)
  await shows('voting_votes_total{target="voting"}', 40)
  await shows('redis_queue_length{target="voting",queue="votes"}', 0)
  await waitFor('the rules to have seen it', async () => {
    return ((await numberOf('count_over_time(redis_queue_length[1h])')) ?? 0) >= 5
  })
  expect(await numberOf(anyAlert)).toBeUndefined()
  // Of the app itself.
  await shows('sum(votes_total)', 40)
  await shows('sum by (vote) (votes_total{vote="b"})', 20)
  await shows('http_requests_total{job="vote",method="POST",route="/vote",status="202"}', 40)
  await shows('http_request_duration_seconds_count{job="vote",route="/vote"}', 40)
  await shows('worker_processing_seconds_count{job="worker"}', 40)
  await shows('min(up)', 1)
  // The tests of the rules feed series of these names and labels.
  const others = [...savedSeries('other-series.txt')].filter(([name]) => /^(http|worker)_/.test(name))
  expect(others.length).toBeGreaterThan(2)
  for (const [name, labels] of others) {
    const [sample] = await prometheus.query(`{__name__="${name}"}`)
    const { __name__, instance, job, ...own } = sample?.labels ?? {}
    expect(Object.keys(own).toSorted(), name).toEqual(labels)
  }
})

test('a dead worker: both alerts fire, each at its own length', async () => {
  await app.worker.stop()
  await shows('up{job="worker"}', 0)
  await castVotes(501)
  await shows('redis_queue_length{target="voting",queue="votes"}', 501)
  await shows(backlog, 1)
  expect(await numberOf(`count_over_time(ALERTS{alertname="CriticalVoteQueueBacklog"}[1h])`)).toBeUndefined()

  await castVotes(500)
  await shows('redis_queue_length{target="voting",queue="votes"}', 1001)
  await shows(critical, 1)
  expect(await prometheus.query(critical)).toMatchObject([
    { labels: { severity: 'critical', target: 'voting', queue: 'votes' } },
  ])
})

test('a worker that is back: nothing is lost, and both alerts end', async () => {
  await app.worker.start()
  await shows('voting_votes_total{target="voting"}', 1041)
  await shows('voting_option_votes{target="voting",option="a"}', 521)
  await shows('voting_option_votes{target="voting",option="b"}', 520)
  await shows('worker_processing_seconds_count{job="worker"}', 1001)
  await waitFor('both alerts to end', async () => (await numberOf(anyAlert)) === undefined)
  const result = await fetch(`${app.result.url}/votes`)
  expect(await result.json()).toEqual({ a: 521, b: 520 })
  await shows('http_requests_total{job="result",route="/votes",status="200"}', 1)
})
