import { counter, gauge } from '../../metrics/family.ts'

export const up = gauge(
  'pm2_up',
  'Whether the PM2 daemon answered the last background run on its RPC socket.',
)

export const state = gauge(
  'pm2_process_state',
  '1 for the state a process is in, from PM2 monitor data, collected in the background; waiting restart only while PM2 is going to restart it, else errored or stopped.',
  ['name', 'pm_id', 'state'],
)

export const restarts = counter(
  'pm2_process_restarts_total',
  'Restarts since the process was added or reset, restart_time of PM2 monitor data, collected in the background.',
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

export const eventLoopLatency = gauge(
  'pm2_process_event_loop_latency_seconds',
  'Median delay of the event loop as a process last reported it to PM2, from PM2 monitor data, collected in the background; absent without PM2 metrics in the process.',
  ['name', 'pm_id'],
)

export const eventLoopLatencyP95 = gauge(
  'pm2_process_event_loop_latency_p95_seconds',
  '95th percentile of the delay of the event loop as a process last reported it to PM2, from PM2 monitor data, collected in the background.',
  ['name', 'pm_id'],
)

export const info = gauge(
  'pm2_process_info',
  'Always 1; version of the application from its package.json, version of Node it runs on, fork or cluster, namespace, from PM2 monitor data, collected in the background.',
  ['name', 'pm_id', 'version', 'node_version', 'exec_mode', 'namespace'],
)

export const errorLogBytes = counter(
  'pm2_error_log_bytes_total',
  'Bytes appended to the error logs of all instances of a process since the exporter started, at least: what was written just before a rotation may be missed. From the size of the files, looked at in the background; absent where one cannot be reached.',
  ['name'],
)

export const listed = gauge(
  'pm2_processes_listed',
  'Instances of a process that PM2 has in its list, in whatever state, from PM2 monitor data, collected in the background; 0 when an expected process is not listed.',
  ['name'],
)

export const expected = gauge(
  'pm2_processes_expected',
  'Instances of a process that the configuration expects to be online.',
  ['name'],
)

export const online = gauge(
  'pm2_processes_online',
  'Instances of a process that are online, from PM2 monitor data, collected in the background; 0 when PM2 does not list an expected process.',
  ['name'],
)
