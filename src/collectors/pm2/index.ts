import { type Pm2Process, pm2Processes } from '../../clients/pm2.ts'
import { defineCollector, type SampleBatch, seconds } from '../../collection/collector.ts'
import { checks } from './checks.ts'
import { type CustomMetric, settings } from './config.ts'
import { countErrorLogs } from './error-logs.ts'
import { details, healthOf } from './health.ts'
import { inBaseUnit } from './measure.ts'
import * as metrics from './metrics.ts'

/** The states that PM2 knows. */
const STATES = [
  'online',
  'stopping',
  'stopped',
  'launching',
  'errored',
  'one-launch-status',
  'waiting restart',
] as const

/** What PM2 calls the delays of the event loop. */
const EVENT_LOOP = {
  'Event Loop Latency': metrics.eventLoopLatency,
  'Event Loop Latency p95': metrics.eventLoopLatencyP95,
}

/** Process state from a PM2 daemon. Never starts one, and calls nothing that changes one. */
export const pm2 = defineCollector({
  kind: 'pm2',
  health: { key: 'pm2', title: 'PM2', details },
  settings,
  families: Object.values(metrics),
  declared: ({ custom_metrics }) =>
    custom_metrics.map(({ source, family }) => ({ family, path: ['custom_metrics', source, 'metric'] })),
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(5) },
  checks,
  create({ home, expect, custom_metrics }) {
    const errorLogBytes = countErrorLogs(home)
    return {
      async collect(batch, signal) {
        const processes = await pm2Processes(home, signal)
        for (const process of processes) {
          writeProcess(batch, process)
          for (const metric of custom_metrics) writeCustom(batch, process, metric)
        }
        const byName = Map.groupBy(processes, ({ name }) => name)
        for (const name of new Set([...byName.keys(), ...Object.keys(expect)])) {
          const instances = byName.get(name) ?? []
          const online = instances.filter(({ state }) => state === 'online')
          batch.add(metrics.listed, { name }, instances.length)
          batch.add(metrics.online, { name }, online.length)
        }
        for (const [name, instances] of Object.entries(expect)) {
          batch.add(metrics.expected, { name }, instances)
        }
        for (const [name, bytes] of await errorLogBytes(processes, signal)) {
          batch.add(metrics.errorLogBytes, { name }, bytes)
        }
      },
      health: healthOf,
    }
  },
})

function writeProcess(batch: SampleBatch, process: Pm2Process): void {
  const id = { name: process.name, pm_id: String(process.id) }
  for (const state of new Set([...STATES, process.state])) {
    batch.add(metrics.state, { ...id, state }, Number(process.state === state))
  }
  const { version, nodeVersion: node_version, execMode: exec_mode, namespace } = process
  batch.add(metrics.info, { ...id, version, node_version, exec_mode, namespace }, 1)
  batch.add(metrics.restarts, id, process.restarts)
  if (process.startedAt !== undefined) batch.add(metrics.startTime, id, process.startedAt / 1000)
  if (process.memory !== undefined) batch.add(metrics.memory, id, process.memory)
  if (process.cpu !== undefined) batch.add(metrics.cpu, id, process.cpu)
  for (const [source, family] of Object.entries(EVENT_LOOP)) {
    const measure = process.reported.get(source)
    const delay = measure && inBaseUnit(measure, 'seconds')
    if (delay !== undefined) batch.add(family, id, delay)
  }
}

function writeCustom(batch: SampleBatch, process: Pm2Process, { source, family, unit }: CustomMetric): void {
  const measure = process.reported.get(source)
  if (measure === undefined) return
  const id = { name: process.name, pm_id: String(process.id) }
  // Most applications name no unit: then what the configuration says of it is believed.
  const asIs = unit === undefined || measure.unit === ''
  const value = asIs ? measure.value : inBaseUnit(measure, unit)
  if (value !== undefined) batch.add(family, id, value)
  else {
    const cause = new Error(`pm2: ${source} of ${process.name} is in ${measure.unit}, not in ${unit}`)
    batch.partFailed(id, cause, [family])
  }
}
