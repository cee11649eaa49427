import { counter, gauge } from '../../metrics/family.ts'

export const up = gauge(
  'pm2_up',
  'Whether the PM2 daemon answered the last background run on its RPC socket.',
)

export const state = gauge(
  'pm2_process_state',
  '1 for the state a process is in, from PM2 monitor data, collected in the background.',
  ['name', 'pm_id', 'state'],
)

export const restarts = counter(
  'pm2_process_restarts_total',
  'Restarts since the process was added, restart_time of PM2 monitor data, collected in the background.',
  ['name', 'pm_id'],
)

export const startTime = gauge(
  'pm2_process_start_time_seconds',
  'Unix time of the last start of a running process, from PM2 monitor data, collected in the background.',
  ['name', 'pm_id'],
)

export const memory = gauge(
  'pm2_process_memory_bytes',
  'Resident memory of a running process, from PM2 monitor data, collected in the background.',
  ['name', 'pm_id'],
)

export const cpu = gauge(
  'pm2_process_cpu_ratio',
  'CPU of a running process as a part of one core, from PM2 monitor data, collected in the background.',
  ['name', 'pm_id'],
)

export const expected = gauge(
  'pm2_processes_expected',
  'Instances of a process that the configuration expects to be online.',
  ['name'],
)

export const online = gauge(
  'pm2_processes_online',
  'Instances of an expected process that are online, from PM2 monitor data, collected in the background; 0 when PM2 does not list it.',
  ['name'],
)
