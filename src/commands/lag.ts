import { nextTurn, systemClock } from '../clock.ts'
import { collectorKinds } from '../collectors/index.ts'
import { loadConfig } from '../config/load.ts'
import { type Collected, type OneOff, oneOff, type Sample } from './collect-once.ts'
import { plainTable } from './plain-table.ts'

export interface LagOptions {
  readonly config: string
  readonly target?: string
  readonly group?: RegExp
  readonly topic?: RegExp
  readonly tenant?: string
  readonly team?: string
  /** Only groups that are behind. */
  readonly behind?: boolean
  readonly json?: boolean
  readonly watch?: boolean
  /** Milliseconds between two passes: rates need two. */
  readonly interval: number
}

/** One consumer group in one topic. Undefined is unknown. */
interface LagRow {
  readonly target: string
  readonly group: string
  readonly topic: string
  readonly tenant: string
  readonly table: string
  readonly team: string
  readonly state: string | undefined
  readonly type: string | undefined
  readonly members: number | undefined
  readonly lag: number | undefined
  readonly lag_seconds: number | undefined
  readonly lag_threshold: number | undefined
  readonly messages_lost: number | undefined
  readonly last_commit_age_seconds: number | undefined
  /** Records a second between the two passes. */
  readonly produced_per_second: number | undefined
  readonly consumed_per_second: number | undefined
  /** At these rates; undefined when the group does not gain on the topic. */
  readonly drain_seconds: number | undefined
}

/** Lag of consumer groups, as a table or JSON. Rejects with an Error for a cluster that cannot be read. */
export async function lag(options: LagOptions, signal: AbortSignal): Promise<void> {
  const { collectors } = await loadConfig(options.config, { kinds: collectorKinds, env: process.env })
  const chosen = collectors.filter(
    ({ kind, target }) =>
      kind.kind === 'kafka' && (options.target === undefined || target === options.target),
  )
  if (chosen.length === 0) {
    const wanted = options.target === undefined ? '' : ` with target ${options.target}`
    throw new Error(`${options.config} has no kafka collector${wanted}`)
  }
  const clusters = chosen.map(oneOff)
  try {
    let before = await passes(clusters, signal)
    for (;;) {
      if (process.stderr.isTTY && !options.watch)
        process.stderr.write(`reading rates over ${options.interval / 1000} s …\r`)
      await systemClock.sleep(options.interval, signal)
      const now = await passes(clusters, signal)
      const rows = clusters
        .flatMap(({ target }, i) => lagRows(target, before[i], now[i]))
        .filter((row) => isWanted(row, options))
      print(rows, options)
      if (!options.watch) return
      before = now
      await nextTurn()
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    for (const cluster of clusters) await cluster.stop()
  }
}

const passes = (clusters: readonly OneOff[], signal: AbortSignal) =>
  Promise.all(clusters.map((cluster) => cluster.run(signal)))

function isWanted(row: LagRow, { group, topic, tenant, team, behind }: LagOptions): boolean {
  return (
    (group?.test(row.group) ?? true) &&
    (topic?.test(row.topic) ?? true) &&
    (tenant === undefined || row.tenant === tenant) &&
    (team === undefined || row.team === team) &&
    (!behind || row.lag !== 0)
  )
}

/** One row for each group and topic of the second pass; rates from the difference to the first. */
function lagRows(target: string, before: Collected | undefined, now: Collected | undefined): LagRow[] {
  if (!now) return []
  const seconds = before ? (now.at - before.at) / 1000 : 0
  const topicKey = ({ labels }: Sample) => labels.topic ?? ''
  const groupKey = ({ labels }: Sample) => labels.consumergroup ?? ''
  const bothKey = ({ labels }: Sample) => `${labels.consumergroup}\0${labels.topic}`
  const by = (from: Collected | undefined, name: string, key: (sample: Sample) => string) =>
    new Map((from?.samples.get(name) ?? []).map((sample) => [key(sample), sample]))

  const infos = by(now, 'cdc_topic_info', topicKey)
  const groups = by(now, 'kafka_consumergroup_info', groupKey)
  const members = by(now, 'kafka_consumergroup_members', groupKey)
  const lags = by(now, 'kafka_consumergroup_lag_sum', bothKey)
  const ages = by(now, 'kafka_consumergroup_lag_seconds_max', bothKey)
  const thresholds = by(now, 'kafka_consumergroup_lag_threshold', bothKey)
  const lost = by(now, 'kafka_consumergroup_messages_lost', bothKey)
  const commitAges = by(now, 'kafka_consumergroup_last_commit_age_seconds', bothKey)
  const endsBefore = by(before, 'kafka_topic_current_offset', topicKey)
  const ends = by(now, 'kafka_topic_current_offset', topicKey)
  const offsetsBefore = by(before, 'kafka_consumergroup_current_offset_sum', bothKey)

  return (now.samples.get('kafka_consumergroup_current_offset_sum') ?? []).map((sample) => {
    const both = bothKey(sample)
    const topic = topicKey(sample)
    const group = groupKey(sample)
    const produced = rate(endsBefore.get(topic)?.value, ends.get(topic)?.value, seconds)
    const consumed = rate(offsetsBefore.get(both)?.value, sample.value, seconds)
    const lag = lags.get(both)?.value
    const info = infos.get(topic)?.labels
    return {
      target,
      group,
      topic,
      tenant: info?.tenant ?? '',
      table: info?.table ?? '',
      team: info?.team ?? '',
      state: groups.get(group)?.labels.state,
      type: groups.get(group)?.labels.type,
      members: members.get(group)?.value,
      lag,
      lag_seconds: ages.get(both)?.value,
      lag_threshold: thresholds.get(both)?.value,
      messages_lost: lost.get(both)?.value,
      last_commit_age_seconds: commitAges.get(both)?.value,
      produced_per_second: produced,
      consumed_per_second: consumed,
      drain_seconds: drainSeconds(lag, produced, consumed),
    }
  })
}

/** Undefined for a value that is unknown or went back: a topic made anew, a group reset. */
function rate(before: number | undefined, now: number | undefined, seconds: number): number | undefined {
  if (before === undefined || now === undefined || now < before || seconds <= 0) return undefined
  return Math.round(((now - before) / seconds) * 100) / 100
}

/** How long until the lag is gone if both go on as they do. */
function drainSeconds(
  lag: number | undefined,
  produced: number | undefined,
  consumed: number | undefined,
): number | undefined {
  if (lag === 0) return 0
  if (lag === undefined || produced === undefined || consumed === undefined || consumed <= produced)
    return undefined
  return Math.round(lag / (consumed - produced))
}

function print(rows: readonly LagRow[], { json, watch }: LagOptions): void {
  if (json) {
    process.stdout.write(`${JSON.stringify(rows, null, watch ? undefined : 2)}\n`)
    return
  }
  const sorted = rows.toSorted(
    (a, b) => (b.lag_seconds ?? 0) - (a.lag_seconds ?? 0) || (b.lag ?? 0) - (a.lag ?? 0),
  )
  const heads = [
    'GROUP',
    'TOPIC',
    'STATE',
    'MEMBERS',
    'LAG',
    'BEHIND',
    'IN/S',
    'OUT/S',
    'DRAIN',
    'LAST COMMIT',
    'LOST',
  ]
  const table = plainTable(heads, (column) => column >= 3)
  for (const row of sorted) {
    table.push([
      row.group,
      row.topic,
      row.state ?? '?',
      number(row.members),
      number(row.lag),
      timeSpan(row.lag_seconds),
      number(row.produced_per_second),
      number(row.consumed_per_second),
      (row.lag ?? 0) > 0 && row.drain_seconds === undefined ? 'never' : timeSpan(row.drain_seconds),
      timeSpan(row.last_commit_age_seconds),
      number(row.messages_lost),
    ])
  }
  if (watch && process.stdout.isTTY) process.stdout.write('\x1b[H\x1b[2J')
  process.stdout.write(
    rows.length === 0 ? 'no consumer group has committed an offset\n' : `${table.toString()}\n`,
  )
}

const number = (value: number | undefined): string => (value === undefined ? '?' : value.toLocaleString('en'))

/** `3d 4h`, `12m 5s`, `0.4s`; a dash for unknown. */
function timeSpan(seconds: number | undefined): string {
  if (seconds === undefined) return '–'
  if (seconds < 60) return `${Math.round(seconds * 10) / 10}s`
  const whole = Math.round(seconds)
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}
