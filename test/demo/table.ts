import type { Sample } from '../testbed/exposition-text.ts'
import type { Rates } from './rates.ts'
import type { Scrape } from './scrape.ts'
import type { Addresses } from './start.ts'

type Row = readonly (string | number | undefined)[]

/** The state of the pipeline as lines of text. Every number is from the scrape. */
export function frame(addresses: Addresses, scrape: Scrape, rates?: Rates): string[] {
  return [
    ...table(
      ['open', ''],
      [
        ['daemon', `${addresses.daemon}/`],
        ['prometheus', `${addresses.prometheus}/graph`],
        ['alertmanager', `${addresses.alertmanager}/`],
        ['connect rest', `${addresses.connect}/connectors?expand=status`],
      ],
    ),
    '',
    ...table(['topic', 'group', 'lag', 'produced/s', 'consumed/s'], lagRows(scrape, rates)),
    '',
    ...table(['connector', 'state', 'tasks'], connectorRows(scrape)),
    '',
    ...table(['pm2 process', 'state', 'online', 'restarts', 'memory', 'cpu'], processRows(scrape)),
    '',
    ...table(
      ['redis queue', 'length'],
      scrape.of('redis_queue_length').map(({ labels, value }) => [labels.queue, value]),
    ),
    '',
    ...driftTable(scrape),
    ...table(['collector', 'state', 'runs', 'failed', 'last run', 'took', 'series'], collectorRows(scrape)),
  ]
}

function lagRows(scrape: Scrape, rates: Rates | undefined): Row[] {
  const pairs = scrape.of('kafka_consumergroup_lag_sum').map(({ labels, value }) => ({
    topic: labels.topic ?? '',
    group: labels.consumergroup ?? '',
    lag: value,
  }))
  const rows = pairs.map(({ topic, group, lag }) => [
    topic,
    group,
    lag,
    perSecond(rates?.produced(topic)),
    perSecond(rates?.consumed(group, topic)),
  ])
  const sum = (rate: (pair: (typeof pairs)[number]) => number | undefined) => {
    const known = pairs.flatMap((pair) => rate(pair) ?? [])
    return perSecond(known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0))
  }
  return [
    ...byName(rows),
    [
      'all',
      '',
      pairs.reduce((total, { lag }) => total + lag, 0),
      sum(({ topic }) => rates?.produced(topic)),
      sum(({ group, topic }) => rates?.consumed(group, topic)),
    ],
  ]
}

function connectorRows(scrape: Scrape): Row[] {
  return current(scrape, 'kafka_connect_connector_state').map(({ labels: { connector = '', state } }) => [
    connector,
    state,
    current(scrape, 'kafka_connect_task_state')
      .filter(({ labels }) => labels.connector === connector)
      .map(({ labels }) => `${labels.task}: ${labels.state}`)
      .join(', '),
  ])
}

function processRows(scrape: Scrape): Row[] {
  return current(scrape, 'pm2_process_state').map(({ labels: { name = '', pm_id = '', state } }) => {
    const process = { name, pm_id }
    const cpu = scrape.value('pm2_process_cpu_ratio', process)
    const memory = scrape.value('pm2_process_memory_bytes', process)
    const online = scrape.value('pm2_processes_online', { name })
    const expected = scrape.value('pm2_processes_expected', { name })
    return [
      `${name} ${pm_id}`,
      state,
      expected === undefined ? online : `${online} of ${expected}`,
      scrape.value('pm2_process_restarts_total', process),
      memory === undefined ? undefined : `${(memory / 2 ** 20).toFixed(0)} MiB`,
      cpu === undefined ? undefined : `${(cpu * 100).toFixed(0)} %`,
    ]
  })
}

/** No lines at all where the daemon has no drift collector. */
function driftTable(scrape: Scrape): string[] {
  const rows = scrape.of('cdc_row_difference').map(({ labels: { table = '', tenant = '' }, value }) => {
    const which = { table, ...(tenant === '' ? {} : { tenant }) }
    return [
      table,
      tenant,
      scrape.value('cdc_source_rows', which),
      scrape.value('cdc_sink_rows', which),
      value,
    ]
  })
  if (rows.length === 0) return []
  return [...table(['drift of table', 'tenant', 'source rows', 'sink rows', 'difference'], byName(rows)), '']
}

function collectorRows(scrape: Scrape): Row[] {
  return scrape.of('cdc_collector_runs_total').map(({ labels: { collector = '', target = '' }, value }) => {
    const which = { collector, target }
    const success = scrape.value('cdc_collector_success', which)
    const lastRun = scrape.value('cdc_collector_last_run_timestamp_seconds', which)
    const took = scrape.value('cdc_collector_duration_seconds', which)
    const failed = scrape
      .of('cdc_collector_failures_total', which)
      .reduce((total, { value }) => total + value, 0)
    return [
      `${collector}/${target}`,
      success === undefined ? 'waiting' : success === 1 ? 'ok' : 'FAILED',
      value,
      failed,
      lastRun === undefined ? undefined : `${Math.max(0, Date.now() / 1000 - lastRun).toFixed(0)} s ago`,
      took === undefined ? undefined : `${(took * 1000).toFixed(0)} ms`,
      scrape.value('cdc_collector_series', which),
    ]
  })
}

/** Of a family with a `state` label: the samples of the states that hold now. */
function current(scrape: Scrape, name: string): Sample[] {
  return scrape.of(name).filter(({ value }) => value === 1)
}

/** The daemon promises no order; rows that change places could not be followed. */
function byName(rows: readonly Row[]): Row[] {
  return rows.toSorted((a, b) => a.join(' ').localeCompare(b.join(' ')))
}

function perSecond(value: number | undefined): string | undefined {
  return value?.toFixed(1)
}

/** Columns as wide as their widest cell; what reads as a number stands right, what is unknown is a dash. */
function table(header: readonly string[], rows: readonly Row[]): string[] {
  const texts = rows.map((row) => row.map((cell) => (cell === undefined ? '-' : String(cell))))
  const lines = [header.map((title) => title.toUpperCase()), ...texts]
  const columns = header.map((_, column) => ({
    width: Math.max(...lines.map((line) => (line[column] ?? '').length)),
    numeric:
      texts.length > 0 && texts.every((line) => /^(-|[\d.]+( \S+)?( ago)?|)$/.test(line[column] ?? '')),
  }))
  return lines.map((line) =>
    columns
      .map(({ width, numeric }, column) => {
        const cell = line[column] ?? ''
        return numeric ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd(),
  )
}
