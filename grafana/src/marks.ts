import { annotation } from './dashboard.ts'
import { BY_TABLE, of } from './variables.ts'

// Series that hold a moment as seconds since the epoch become marks at that moment.

/** Alerts that fire, of the environment. */
export const alertsFire = annotation({
  name: 'Critical alerts',
  meaning: 'bad',
  title: '{{alertname}}',
  text: '{{target}} {{connector}} {{topic}} {{table}}',
  expression: 'ALERTS{alertstate="firing",severity="critical",environment=~"$environment"}',
})

export const connectorsFail = annotation({
  name: 'Failures',
  meaning: 'bad',
  title: 'failure of {{connector}}',
  text: '{{target}} task {{task}}',
  expression: `${of('kafka_connect_failure_open_timestamp_seconds')} * 1000`,
  moments: true,
})

export const connectorsRestart = annotation({
  name: 'Restarts by self-healing',
  meaning: 'moving',
  title: 'restart of {{connector}}',
  text: '{{target}}',
  expression: `sum by (target, connector) (increase(${of('kafka_connect_self_healing_restarts_total', 'result="done"')}[$__rate_interval])) > 0`,
})

export const processesStart = annotation({
  name: 'Starts under PM2',
  meaning: 'moving',
  title: 'start of {{name}}',
  text: '{{target}} {{pm_id}}',
  expression: `${of('pm2_process_start_time_seconds')} * 1000`,
  moments: true,
})

/** A new version is a deploy. */
export const processesDeployed = annotation({
  name: 'Deploys under PM2',
  meaning: 'idle',
  title: 'new version of {{name}}',
  text: '{{target}} version {{version}}',
  expression: `max by (target, name, version) (${of('pm2_process_info')} unless ${of('pm2_process_info')} offset 5m) and on (target) ${of('pm2_up')} offset 5m == 1`,
})

export const jobsStart = annotation({
  name: 'Jobs submitted',
  meaning: 'idle',
  title: 'start of {{job}}',
  text: '{{target}}',
  expression: `${of('flink_job_start_time_seconds')} * 1000`,
  moments: true,
})

export const jobsRestart = annotation({
  name: 'Restarts by Flink',
  meaning: 'moving',
  title: 'restart of {{job}}',
  text: '{{target}}',
  expression: `increase(${of('flink_job_restarts_total')}[$__rate_interval]) > 0`,
})

export const driftConfirmed = annotation({
  name: 'Drift confirmed',
  meaning: 'bad',
  title: 'drift of {{table}} confirmed',
  text: '{{target}} {{tenant}}',
  expression: `${of('cdc_reconcile_confirmed_ranges', ...BY_TABLE)} > 0`,
})

export const configurationLoaded = annotation({
  name: 'Configuration of cdc-exporter',
  meaning: 'idle',
  title: 'configuration loaded',
  text: '{{instance}}',
  expression: 'cdc_config_last_reload_success_timestamp_seconds{job="cdc-exporter"} * 1000',
  moments: true,
})

export const daemonStarts = annotation({
  name: 'Starts of cdc-exporter',
  meaning: 'moving',
  title: 'start of cdc-exporter',
  text: '{{instance}}',
  expression: 'process_start_time_seconds{job="cdc-exporter"} * 1000',
  moments: true,
})
