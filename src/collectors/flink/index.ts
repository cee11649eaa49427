import { within } from '../../clients/call.ts'
import { connectFlink } from '../../clients/flink.ts'
import { defineCollector, seconds } from '../../collection/collector.ts'
import { addressOf } from './address.ts'
import { checks } from './checks.ts'
import { settings } from './config.ts'
import { details, healthOf } from './health.ts'
import { Jobs, newestOfEachName } from './jobs.ts'
import * as metrics from './metrics.ts'

/** The states of jobs that Flink knows. */
const STATES = [
  'initializing',
  'created',
  'running',
  'failing',
  'failed',
  'cancelling',
  'canceled',
  'finished',
  'restarting',
  'suspended',
  'reconciling',
] as const

/** A Flink cluster: its task managers and slots, and its jobs. */
export const flink = defineCollector({
  kind: 'flink',
  health: { key: 'flink', title: 'Flink', details },
  settings,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(10) },
  checks,
  create(given, { clock, timeout }) {
    const { max_jobs } = given
    const cluster = connectFlink(() => addressOf(given))
    const jobs = new Jobs(cluster)
    return {
      async collect(batch, signal) {
        const { version, taskManagers, slots, slotsAvailable } = await cluster.overview(signal)
        batch.add(metrics.info, { version }, 1)
        batch.add(metrics.taskManagers, {}, taskManagers)
        batch.add(metrics.slots, {}, slots)
        batch.add(metrics.slotsAvailable, {}, slotsAvailable)
        const all = await cluster.jobs(signal)
        const newest = newestOfEachName(all)
        for (const { name: job, state: now, startedAt } of newest) {
          for (const state of new Set([...STATES, now])) {
            batch.add(metrics.jobState, { job, state }, Number(state === now))
          }
          batch.add(metrics.startTime, { job }, startedAt / 1000)
        }
        // The states do not wait for a JobManager that is slow with the rest.
        await within(timeout / 2, clock, signal, (limited) =>
          jobs.collect(all, newest.slice(0, max_jobs), batch, limited),
        )
        signal.throwIfAborted()
      },
      health: healthOf,
      async stop() {
        cluster.close()
      },
    }
  },
})
