import { pm2Processes } from '../../clients/pm2.ts'
import { defineCollector, seconds } from '../../collection/collector.ts'
import { settings } from './config.ts'
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

/** Process state from a PM2 daemon. Never starts one, and calls nothing that changes one. */
export const pm2 = defineCollector({
  kind: 'pm2',
  health: { key: 'pm2', title: 'PM2' },
  settings,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(5) },
  create({ home, expect }) {
    return {
      async collect(batch, signal) {
        const processes = await pm2Processes(home, signal)
        for (const process of processes) {
          const id = { name: process.name, pm_id: String(process.id) }
          for (const state of new Set([...STATES, process.state])) {
            batch.add(metrics.state, { ...id, state }, Number(process.state === state))
          }
          batch.add(metrics.restarts, id, process.restarts)
          if (process.startedAt !== undefined) batch.add(metrics.startTime, id, process.startedAt / 1000)
          if (process.memory !== undefined) batch.add(metrics.memory, id, process.memory)
          if (process.cpu !== undefined) batch.add(metrics.cpu, id, process.cpu)
        }
        for (const [name, instances] of Object.entries(expect)) {
          const online = processes.filter((process) => process.name === name && process.state === 'online')
          batch.add(metrics.expected, { name }, instances)
          batch.add(metrics.online, { name }, online.length)
        }
      },
    }
  },
})
