import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { stringify } from 'yaml'
import { newToken } from '../../src/operations/access.ts'
import type { RunningDemo } from '../demo/running.ts'
import { type DaemonPart, startDaemon } from '../testbed/daemon.ts'
import { startTraffic } from '../testbed/erp/traffic.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { type AlertmanagerPart, startAlertmanager } from '../testbed/parts/alertmanager.ts'
import { type PrometheusPart, startPrometheus } from '../testbed/parts/prometheus.ts'
import { type Pipeline, startPipeline } from '../testbed/pipeline.ts'
import { PATIENCE_MS, waitFor } from '../testbed/process.ts'
import { scaled } from './durations.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { loopbackConfig, withAllSwitchedOn } from './shipped.ts'

// The real pipeline, the daemon, Prometheus with the shipped rules, Alertmanager with the shipped routes, and receivers.
// Each duration of rules and routes is multiplied by one factor. Collections are not: so that a busy machine is no fault,
// the factor is the greater the longer the pipeline takes to start.
const FACTOR = 1 / 20
const LARGEST_FACTOR = 1 / 10
const START_MS = 40_000
const factorAfter = (ms: number) => Math.min(LARGEST_FACTOR, FACTOR * Math.max(1, ms / START_MS))

/** Of a test that waits for what the rules do, with the largest factor. */
export const LONG = { timeout: 3_600_000 }

/** What every collector of the pipeline says of itself. */
export const production = { target: 'erp', environment: 'production', platform: 'kafka' }

/** Alerts that are no fault of the pipeline: this may be the minute of the summary; the disk is that of this machine. */
export const OF_THE_MACHINE = ['DailySummary', 'ClickHouseDiskWillFill']

export interface StageOptions {
  readonly tenants: readonly string[]
  /** Those that write; the others are idle. */
  readonly busy: readonly string[]
  /** Votes go through Redis too; no where absent. */
  readonly votes?: boolean
  /** Of the collectors of the daemon, and their timeout. */
  readonly interval: string
  collectors(pipeline: Pipeline): readonly Readonly<Record<string, unknown>>[]
}

export interface Stage {
  readonly pipeline: Pipeline
  readonly receivers: Receivers
  readonly daemon: DaemonPart
  readonly prometheus: PrometheusPart
  readonly alertmanager: AlertmanagerPart
  /** As the demo's faults know the parts. */
  readonly demo: RunningDemo
  /** An hour of the rules, in evaluations. */
  readonly hour: number
  /** Puts the daemon among the targets of Prometheus, or takes it out. */
  setTarget(isThere: boolean): void
  /** Waits for these messages; there are no others but those of the steps before. */
  receives(more: Readonly<Record<string, number>>): Promise<void>
  nothingElse(): void
  /** Waits until an expression gives a value. */
  holds(expression: string): Promise<void>
  /** Waits until the rules have been evaluated so often again. */
  evaluations(count: number): Promise<void>
  remove(): Promise<void>
}

export async function startStage(options: StageOptions): Promise<Stage> {
  const { tenants, busy, votes } = options
  const folder = temporaryFolder('alerts')
  const ends: (() => unknown)[] = [() => folder.remove()]
  const remove = async () => {
    for (const end of ends.splice(0).reverse()) await end()
  }
  try {
    const before = performance.now()
    const [pipeline, receivers] = await Promise.all([startPipeline({ tenants }), startReceivers()])
    ends.push(
      () => receivers.close(),
      () => pipeline.stop(),
    )
    const { connect, postgres, clickhouse, redis, pm2 } = pipeline
    const factor = factorAfter(performance.now() - before)
    const traffic = startTraffic({
      url: postgres.url('erp'),
      tenants: busy,
      ratePerSecond: 5,
      ...(votes ? { redisUrl: redis.url } : {}),
    })
    ends.push(() => traffic.stop())

    const { token, daemon } = await daemonOf(folder.path, receivers, factor, options, pipeline)
    ends.push(() => daemon.remove())
    // Prometheus knows the daemon before anybody hears of what it says: a slow machine takes long to the first scrape.
    const [targets, alertmanagers] = [
      join(folder.path, 'targets.yml'),
      join(folder.path, 'alertmanagers.yml'),
    ]
    const write = (file: string, urls: readonly string[]) =>
      writeFileSync(file, stringify([{ targets: urls.map((url) => new URL(url).host) }]))
    const setTarget = (isThere: boolean) => write(targets, isThere ? [daemon.url] : [])
    setTarget(true)
    write(alertmanagers, [])
    const prometheus = await prometheusOf(folder.path, targets, alertmanagers, factor)
    ends.push(() => prometheus.remove())
    const ask = asking(prometheus, factor)
    await ask.holds('up{job="cdc-exporter"} == 1')
    await ask.holds(
      `absent(ALERTS{alertstate="firing",alertname!~"${['Watchdog', ...OF_THE_MACHINE].join('|')}"})`,
    )
    const alertmanager = await startAlertmanager({
      config: loopbackConfig({
        receivers,
        folder: join(folder.path, 'secrets'),
        watchdog: { url: `${daemon.url}/api/v1/watchdog`, token },
        change: (text) =>
          scaled(withAllSwitchedOn(text).replaceAll(/^ *(active|mute)_time_intervals:.*$/gm, ''), factor),
      }),
    })
    ends.push(() => alertmanager.remove())
    write(alertmanagers, [alertmanager.url])

    const demo: RunningDemo = {
      pid: process.pid,
      postgresUrl: postgres.url('erp'),
      clickhouseUrl: clickhouse.url,
      connectUrl: connect.url,
      prometheusUrl: prometheus.url,
      redisPid: redis.process.pid,
      pm2Home: pm2.home,
    }
    // A slow machine tells of a Watchdog that does not come yet, and then that it came.
    const isOfTheDaemon = ({ channel }: { channel?: string | undefined }) => channel === undefined
    await waitFor('the Watchdog to come, and all to be told of that', async () => {
      const samples = await daemon.scrape()
      const isHeard = samples.some(({ name }) => name === 'cdc_watchdog_last_received_timestamp_seconds')
      const isOk = samples.some(({ name, value }) => name === 'cdc_watchdog_ok' && value === 1)
      const isToldOf = receivers.slack.findLast(isOfTheDaemon)?.text?.includes('stays away') !== true
      return isHeard && isOk && isToldOf
    })
    const others = receivers.slack.filter((message) => !isOfTheDaemon(message))
    receivers.slack.splice(0, receivers.slack.length, ...others)
    const parts = { pipeline, receivers, daemon, prometheus, alertmanager, demo }
    const hour = Math.round(3600 * factor)
    return {
      ...parts,
      hour,
      setTarget,
      ...counting(receivers, factor),
      ...ask,
      remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}

async function daemonOf(
  folder: string,
  receivers: Receivers,
  factor: number,
  { interval, collectors }: StageOptions,
  pipeline: Pipeline,
): Promise<{ token: string; daemon: DaemonPart }> {
  const given = collectors(pipeline)
  const { token } = newToken()
  writeFileSync(join(folder, 'slack-url'), `${receivers.url}/slack/watchdog`)
  const hash = createHash('sha256').update(token).digest('hex')
  const users = [{ name: 'alertmanager', role: 'watchdog', hash }]
  writeFileSync(join(folder, 'tokens.yaml'), stringify({ users }))
  const daemon = await startDaemon({
    folder,
    config: {
      state_dir: 'state',
      api: { tokens_file: 'tokens.yaml' },
      // Twice the usual 5m: this machine may be slow.
      watchdog: {
        timeout: `${Math.round(600_000 * factor)}ms`,
        notify: { slack: { url_file: 'slack-url' } },
      },
      defaults: { interval, timeout: interval },
      collectors: given,
    },
  })
  try {
    await waitFor('every collector to have run well', async () => {
      const runs = (await daemon.scrape()).filter(({ name }) => name === 'cdc_collector_success')
      const bad = runs.filter(({ value }) => value !== 1).map(({ labels }) => labels.collector)
      if (bad.length > 0) throw new Error(`not yet: ${bad.join()}`)
      return runs.length === given.length
    })
    return { token, daemon }
  } catch (error) {
    await daemon.remove()
    throw error
  }
}

async function prometheusOf(
  folder: string,
  targets: string,
  alertmanagers: string,
  factor: number,
): Promise<PrometheusPart> {
  const rules = join(folder, 'rules')
  mkdirSync(rules)
  for (const file of readdirSync('prometheus/rules')) {
    writeFileSync(join(rules, file), scaled(readFileSync(`prometheus/rules/${file}`, 'utf8'), factor))
  }
  return await startPrometheus({
    config: {
      // A scrape that takes long is one; several of them are a daemon that is down.
      global: {
        scrape_interval: '3s',
        scrape_timeout: '3s',
        evaluation_interval: '1s',
        external_labels: { prometheus: 'cdc' },
      },
      rule_files: [join(rules, '*.yml')],
      alerting: { alertmanagers: [{ file_sd_configs: [{ files: [alertmanagers] }] }] },
      scrape_configs: [
        { job_name: 'cdc-exporter', honor_labels: true, file_sd_configs: [{ files: [targets] }] },
      ],
    },
  })
}

/** Counts what was received since the start, by receiver and what it says. */
function counting(receivers: Receivers, factor: number): Pick<Stage, 'receives' | 'nothingElse'> {
  /** When Telegram was first told of a connector that has failed. */
  const firstTold = new Map<string, number>()
  const expected: Record<string, number> = {}

  function tally(): Record<string, number> {
    const counts: Record<string, number> = {}
    const count = (key: string) => {
      const isOfTheMachine = [...OF_THE_MACHINE, 'summary of the day'].some((name) => key.includes(name))
      if (!isOfTheMachine) counts[key] = (counts[key] ?? 0) + 1
    }
    for (const { channel, attachments, text } of receivers.slack) {
      count(`slack ${channel ?? 'of the daemon'} ${attachments?.[0]?.title ?? text?.split('\n')[0]}`)
    }
    for (const { text } of receivers.telegram) {
      count(`telegram ${text.split('\n')[0]?.replaceAll(/<\/?b>/g, '')}`)
    }
    for (const { routing_key, event_action, payload } of receivers.pagerDuty) {
      count(`pagerduty ${routing_key} ${event_action} ${payload.summary.replace(/^\[\w+\] /, '')}`)
    }
    for (const { headers } of receivers.mail) count(`mail ${headers.Subject}`)
    for (const { alerts, status } of receivers.sms) count(`sms ${status} ${alerts[0]?.labels.alertname}`)
    // At most one an hour while it stays failed: a slow machine gets to the next hour.
    for (const key of Object.keys(counts).filter((key) => /^telegram .* ConnectFailed:/.test(key))) {
      const told = counts[key] ?? 0
      if (!firstTold.has(key)) firstTold.set(key, performance.now())
      const hours = (performance.now() - (firstTold.get(key) ?? 0)) / (55 * 60_000 * factor)
      if (told > 1 && told <= 1 + hours) counts[key] = 1
    }
    return counts
  }

  function nothingElse(): void {
    expect(tally()).toEqual(expected)
    expect(receivers.refused).toEqual([])
  }

  return {
    nothingElse,
    async receives(more) {
      for (const [key, count] of Object.entries(more)) expected[key] = (expected[key] ?? 0) + count
      const arrived = () => {
        const now = tally()
        const missing = Object.keys(more).filter((key) => (now[key] ?? 0) < (expected[key] ?? 0))
        if (missing.length === 0) return true
        throw new Error(`missing: ${missing.join('; ')}; there: ${JSON.stringify(now)}`)
      }
      await waitFor(`the messages ${JSON.stringify(more)}`, arrived, patience(factor))
      nothingElse()
    },
  }
}

/** What takes longer the greater the factor, and at least as long as anything. */
const patience = (factor: number) => (PATIENCE_MS * factor) / FACTOR

function asking(prometheus: PrometheusPart, factor: number): Pick<Stage, 'holds' | 'evaluations'> {
  async function holds(expression: string): Promise<void> {
    const isTrue = async () => (await prometheus.query(expression)).length > 0
    await waitFor(`${expression} to hold`, isTrue, patience(factor))
  }
  return {
    holds,
    async evaluations(count) {
      const seen = 'count_over_time(ALERTS{alertname="Watchdog"}[1h])'
      const [before] = await prometheus.query(seen)
      await holds(`${seen} >= ${(before?.value ?? 0) + count}`)
    },
  }
}

/** A critical alert, or its end, at those who hear of it where no team has channels of its own. */
export function critical(title: string): Record<string, number> {
  return {
    [`slack #alerts [CRITICAL] ${title}`]: 1,
    [`telegram 🔴 [CRITICAL] ${title}`]: 1,
    [`pagerduty loopback-key trigger ${title}`]: 1,
    [`sms firing ${nameIn(title)}`]: 1,
  }
}
export function resolved(title: string): Record<string, number> {
  return {
    [`slack #alerts [RESOLVED] ${title}`]: 1,
    [`telegram ✅ [RESOLVED] ${title}`]: 1,
    [`pagerduty loopback-key resolve ${title}`]: 1,
    [`sms resolved ${nameIn(title)}`]: 1,
  }
}

/** The same of the team Finance, which has a channel and a pager. */
export function criticalOfFinance(title: string): Record<string, number> {
  return {
    [`slack #finance-alerts [CRITICAL] ${title}`]: 1,
    [`telegram 🔴 [CRITICAL] ${title}`]: 1,
    [`pagerduty loopback-key-finance trigger ${title}`]: 1,
    [`sms firing ${nameIn(title)}`]: 1,
  }
}
export function resolvedOfFinance(title: string): Record<string, number> {
  return {
    [`slack #finance-alerts [RESOLVED] ${title}`]: 1,
    [`telegram ✅ [RESOLVED] ${title}`]: 1,
    [`pagerduty loopback-key-finance resolve ${title}`]: 1,
    [`sms resolved ${nameIn(title)}`]: 1,
  }
}

/** The alert's, without `: production kafka` behind it. */
const nameIn = (title: string): string => title.split(':')[0] ?? ''
