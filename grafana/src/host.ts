import { dashboard } from './dashboard.ts'
import { alertsFire, processesDeployed, processesStart } from './marks.ts'
import { FILLING, NEUTRAL, NONE_IS_BEST, NONE_IS_GOOD, PROCESS_STATES, type Steps } from './meaning.ts'
import { graph, logs, stat, stateNumber, table, timeline } from './panels.ts'
import { of, ofEnvironment, targetsOf } from './variables.ts'

/** Bytes, as in Pm2MemoryHigh. */
const MEMORY: Steps = ['ok', [1_073_741_824, 'warning']]
const DISKS = 'fstype!~"tmpfs|ramfs|squashfs|overlay|iso9660"'
const CONTAINER = ['name=~".+"'] as const

export const host = dashboard({
  uid: 'cdc-host',
  title: 'PM2 and hosts',
  about: 'Do the processes run that should, do they restart, and have their hosts room left?',
  choices: { target: targetsOf('pm2') },
  annotations: [alertsFire, processesStart, processesDeployed],
  logs: true,
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Processes missing',
          about: 'Instances that the configuration expects and that are not online.',
          empty: 'none expected',
          unit: 'none',
          steps: NONE_IS_GOOD,
          width: 4,
          queries: [
            [`sum(clamp_min(${of('pm2_processes_expected')} - ${of('pm2_processes_online')}, 0))`, ''],
          ],
        }),
        stat({
          title: 'Processes online',
          about: 'Instances that are online.',
          empty: 'no PM2',
          unit: 'none',
          steps: NEUTRAL,
          width: 4,
          queries: [[`sum(${of('pm2_processes_online')})`, '']],
        }),
        stat({
          title: 'Restarts in the time range',
          about: 'Restarts by PM2 and by people.',
          empty: 'no PM2',
          unit: 'none',
          decimals: 0,
          steps: NONE_IS_BEST,
          width: 4,
          queries: [[`sum(increase(${of('pm2_process_restarts_total')}[$__range]))`, '']],
        }),
        stat({
          title: 'Busiest host',
          about: 'Part of its processors that the busiest host uses.',
          empty: 'no node_exporter',
          unit: 'percentunit',
          steps: FILLING,
          width: 4,
          queries: [[`max(${ofEnvironment('instance:node_cpu:used_ratio5m')})`, '']],
        }),
        stat({
          title: 'Fullest memory',
          about: 'Part of its memory that the fullest host uses.',
          empty: 'no node_exporter',
          unit: 'percentunit',
          steps: FILLING,
          width: 4,
          queries: [
            [
              `max(1 - ${ofEnvironment('node_memory_MemAvailable_bytes')} / ${ofEnvironment('node_memory_MemTotal_bytes')})`,
              '',
            ],
          ],
        }),
        stat({
          title: 'Fullest disk',
          about: 'Part of the fullest file system in use.',
          empty: 'no node_exporter',
          unit: 'percentunit',
          steps: FILLING,
          width: 4,
          queries: [
            [
              `max(1 - ${ofEnvironment('node_filesystem_avail_bytes', DISKS)} / ${ofEnvironment('node_filesystem_size_bytes', DISKS)})`,
              '',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Processes under PM2',
      panels: [
        timeline({
          title: 'State of each process',
          about: 'What PM2 says.',
          empty: 'no PM2, or it has no process',
          states: PROCESS_STATES,
          queries: [
            [
              stateNumber(PROCESS_STATES, 'target, name, pm_id', (state) => of('pm2_process_state', state)),
              '{{name}} {{pm_id}}',
            ],
          ],
        }),
        table({
          title: 'Processes',
          about: 'Expected and online; a process that PM2 does not know is online 0 times.',
          empty: 'no process is expected',
          unit: 'none',
          width: 12,
          expressions: [
            `max by (target, name) (${of('pm2_processes_expected')})`,
            `max by (target, name) (${of('pm2_processes_online')})`,
            `max by (target, name) (${of('pm2_process_start_time_seconds')} * 1000)`,
          ],
          columns: [
            { field: 'target', name: 'Target' },
            { field: 'name', name: 'Process' },
            { field: 'Value #A', name: 'Expected' },
            { field: 'Value #B', name: 'Online' },
            { field: 'Value #C', name: 'Started', unit: 'dateTimeFromNow' },
          ],
        }),
        graph({
          title: 'Restarts',
          about: 'Restarts of each process.',
          empty: 'no PM2, or it has no process',
          unit: 'none',
          steps: NONE_IS_BEST,
          queries: [
            [
              `sum by (target, name) (increase(${of('pm2_process_restarts_total')}[$__rate_interval]))`,
              '{{name}}',
            ],
          ],
        }),
        graph({
          title: 'Memory of processes',
          about: 'Resident memory.',
          empty: 'no process runs',
          unit: 'bytes',
          steps: MEMORY,
          width: 8,
          queries: [
            [`max by (target, name, pm_id) (${of('pm2_process_memory_bytes')})`, '{{name}} {{pm_id}}'],
          ],
        }),
        graph({
          title: 'CPU of processes',
          about: 'As a part of one core.',
          empty: 'no process runs',
          unit: 'percentunit',
          width: 8,
          queries: [[`max by (target, name, pm_id) (${of('pm2_process_cpu_ratio')})`, '{{name}} {{pm_id}}']],
        }),
        graph({
          title: 'Delay of event loops',
          about: 'The 95th percentile that a process tells PM2. A process that hangs has a large one.',
          empty: 'no process tells PM2',
          unit: 's',
          width: 8,
          queries: [
            [
              `max by (target, name, pm_id) (${of('pm2_process_event_loop_latency_p95_seconds')})`,
              '{{name}} {{pm_id}}',
            ],
          ],
        }),
        graph({
          title: 'Written to error logs',
          about: 'Bytes a second that processes write to their error logs.',
          empty: 'no process has an error log',
          unit: 'Bps',
          queries: [
            [
              `sum by (target, name) (rate(${of('pm2_error_log_bytes_total')}[$__rate_interval]))`,
              '{{name}}',
            ],
          ],
        }),
        logs({
          title: 'Error logs of processes',
          about:
            'What processes under PM2 write to their error logs, of all environments, as far as Loki has it.',
          empty: 'Loki has no lines of PM2',
          width: 12,
          height: 8,
          expression: '{job="pm2", stream="error"}',
        }),
      ],
    },
    {
      title: 'Hosts',
      panels: [
        graph({
          title: 'CPU of hosts',
          about: 'Part of the processors in use.',
          empty: 'Prometheus scrapes no node_exporter',
          unit: 'percentunit',
          steps: FILLING,
          max: 1,
          width: 8,
          queries: [
            [`max by (instance) (${ofEnvironment('instance:node_cpu:used_ratio5m')})`, '{{instance}}'],
          ],
        }),
        graph({
          title: 'Memory of hosts',
          about: 'Part in use.',
          empty: 'Prometheus scrapes no node_exporter',
          unit: 'percentunit',
          steps: FILLING,
          max: 1,
          width: 8,
          queries: [
            [
              `max by (instance) (1 - ${ofEnvironment('node_memory_MemAvailable_bytes')} / ${ofEnvironment('node_memory_MemTotal_bytes')})`,
              '{{instance}}',
            ],
          ],
        }),
        graph({
          title: 'Disks of hosts',
          about: 'Part of each file system in use, that of a database among them.',
          empty: 'Prometheus scrapes no node_exporter',
          unit: 'percentunit',
          steps: FILLING,
          max: 1,
          width: 8,
          queries: [
            [
              `max by (instance, mountpoint) (1 - ${ofEnvironment('node_filesystem_avail_bytes', DISKS)} / ${ofEnvironment('node_filesystem_size_bytes', DISKS)})`,
              '{{instance}} {{mountpoint}}',
            ],
          ],
        }),
      ],
    },
    {
      title: 'Containers',
      panels: [
        graph({
          title: 'CPU of containers',
          about: 'Cores in use.',
          empty: 'Prometheus scrapes no cAdvisor',
          unit: 'none',
          width: 8,
          queries: [
            [
              `sum by (name) (rate(${ofEnvironment('container_cpu_usage_seconds_total', ...CONTAINER)}[$__rate_interval]))`,
              '{{name}}',
            ],
          ],
        }),
        graph({
          title: 'Memory of containers',
          about: 'The working set: what cannot be taken away.',
          empty: 'Prometheus scrapes no cAdvisor',
          unit: 'bytes',
          width: 8,
          queries: [
            [
              `max by (name) (${ofEnvironment('container_memory_working_set_bytes', ...CONTAINER)})`,
              '{{name}}',
            ],
          ],
        }),
        graph({
          title: 'Uptime of containers',
          about: 'Since each was started.',
          empty: 'Prometheus scrapes no cAdvisor',
          unit: 's',
          width: 8,
          queries: [
            [
              `time() - max by (name) (${ofEnvironment('container_start_time_seconds', ...CONTAINER)})`,
              '{{name}}',
            ],
          ],
        }),
      ],
    },
  ],
})
