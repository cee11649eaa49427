import { userInfo } from 'node:os'
import { createInterface } from 'node:readline/promises'
import type { ConnectOperation } from '../clients/connect-operations.ts'
import { systemClock } from '../clock.ts'
import { connectFleets } from '../collectors/connect/fleets.ts'
import { collectorKinds } from '../collectors/index.ts'
import { type Config, loadConfig } from '../config/load.ts'
import { Audit } from '../operations/audit.ts'
import {
  type ConnectorList,
  type ConnectorSelector,
  connectorDetails,
  type ListedConnector,
  listConnectors,
  type OperationResult,
  operate,
  planned,
} from '../operations/connect-operations.ts'
import { FailureLog } from '../operations/failure-log.ts'
import { forget, plannedForget, remembered } from '../operations/forget.ts'
import { OperationLog } from '../operations/operation-log.ts'
import { openStore } from '../operations/store.ts'
import { openSwitches, switched } from '../operations/switches.ts'
import { plainTable } from './plain-table.ts'
import { UsageError } from './usage-error.ts'

export interface SelectOptions {
  readonly config: string
  readonly environment?: string
  /** The target of a connect collector. */
  readonly cluster?: string
  readonly team?: string
  readonly state?: string
  readonly connector?: RegExp
  readonly json?: boolean
}

export interface ChangeOptions extends SelectOptions {
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

export interface OperateCommandOptions extends ChangeOptions {
  readonly allTasks?: boolean
  /** Milliseconds. */
  readonly within: number
  readonly settle: number
}

/** Milliseconds that a cluster has to tell of its connectors. */
const READ_WITHIN = 10_000

/** Lists the connectors of the selection; throws when a cluster could not be read, with what the others have shown. */
export async function listCommand(
  names: readonly string[],
  options: SelectOptions,
  signal: AbortSignal,
): Promise<void> {
  const { fleets, secrets } = await open(options)
  const { connectors, unread } = await listConnectors(
    fleets,
    selectorOf(names, options),
    secrets,
    readSignal(signal),
  )
  if (options.json) printJson(connectors)
  else if (connectors.length > 0) print(listTable(connectors))
  else if (unread.length === 0) print('no such connector')
  requireRead(unread)
}

function listTable(connectors: readonly ListedConnector[]): string {
  const table = plainTable(
    ['CONNECTOR', 'STATE', 'TASKS', 'TEAM', 'DBMS', 'ENVIRONMENT', 'CLUSTER', 'CAUSE'],
    () => false,
  )
  for (const each of connectors) {
    const running = each.tasks.filter(({ state }) => state === 'running').length
    table.push([
      each.connector,
      each.state,
      `${running}/${each.tasks_expected}`,
      each.team,
      each.dbms,
      each.environment,
      each.target,
      shortened(each.root_cause),
    ])
  }
  return table.toString()
}

const readSignal = (signal: AbortSignal) => AbortSignal.any([signal, AbortSignal.timeout(READ_WITHIN)])

function requireRead(unread: ConnectorList['unread']): void {
  if (unread.length === 0) return
  throw new Error(unread.map(({ target, error }) => `${target}: ${error}`).join('; '))
}

/** The connectors of the selection; throws where a cluster could not be read: it may have some of them. */
async function select(
  names: readonly string[],
  options: SelectOptions,
  { fleets, secrets }: Awaited<ReturnType<typeof open>>,
  signal: AbortSignal,
): Promise<readonly ListedConnector[]> {
  const selector = selectorOf(names, options)
  const { connectors, unread } = await listConnectors(fleets, selector, secrets, readSignal(signal))
  requireRead(unread)
  return connectors
}

/** Shows one connector with its configuration, secrets masked. */
export async function showCommand(name: string, options: SelectOptions, signal: AbortSignal): Promise<void> {
  const opened = await open(options)
  const { fleets, secrets } = opened
  const found = await select([name], options, opened, signal)
  const [only, ...more] = found
  if (!only) throw new Error(`there is no connector ${name}`)
  if (more.length > 0) {
    const clusters = found.map(({ target }) => target).join(', ')
    throw new UsageError(`there are several connectors ${name}: choose with --cluster: ${clusters}`)
  }
  const fleet = fleets.find(({ target }) => target === only.target)
  const details = fleet && (await connectorDetails(fleet, only, secrets, readSignal(signal)))
  if (!details) throw new Error(`there is no connector ${name}`)
  if (options.json) return printJson(details)
  const { config: settings, tasks, ...facts } = details
  const table = plainTable(['', ''], () => false)
  for (const [key, value] of Object.entries(facts)) table.push([key, String(value)])
  for (const { id, state } of tasks) table.push([`task ${id}`, state])
  for (const [key, value] of Object.entries(settings)) table.push([`config ${key}`, value])
  print(table.toString().trimStart())
}

/** Does it to the selection; resolves to whether all came out right. */
export async function operateCommand(
  operation: ConnectOperation,
  names: readonly string[],
  options: OperateCommandOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { dryRun, yes, json } = options
  requireSelection(names, options)
  const opened = await open(options)
  const { config, fleets, secrets } = opened
  const connectors = await select(names, options, opened, signal)
  requireFound(names, connectors)
  if (dryRun) {
    report(
      connectors.map((each) => planned(operation, each)),
      json,
    )
    return true
  }
  const dangerous = operation === 'delete' || operation === 'stop' || connectors.length > 1
  const listed = connectors.map(({ target, connector, state }) => `${target}/${connector} (${state})`)
  if (dangerous && !yes && !(await confirmed(operation, listed, signal))) return false

  const operations = operationLogOf(config)
  try {
    progress(
      `${operation}: ${count(connectors.length)}; what comes of it is watched for up to ${options.within / 1000} s each`,
    )
    let ended = 0
    const { allTasks = false, within, settle } = options
    const results = await operate(
      operation,
      fleets,
      connectors,
      { clock: systemClock, allTasks, within, settle, secrets },
      signal,
      (result) => {
        progress(`${++ended}/${connectors.length} ${line(result)}`)
        operations.record(result)
      },
    )
    report(results, json)
    return results.every(({ result }) => result !== 'failed')
  } finally {
    operations.close()
  }
}

/** Drops what the failure log keeps of the selection; resolves to whether it was confirmed. */
export async function forgetCommand(
  names: readonly string[],
  options: ChangeOptions,
  signal: AbortSignal,
): Promise<boolean> {
  requireSelection(names, options)
  const { config, secrets } = await open(options)
  const { stateDir, history } = config
  if (stateDir === undefined) {
    throw new Error(`${options.config} has no state_dir: POST /api/v1/connectors:forget asks the daemon`)
  }
  const store = openStore(stateDir)
  try {
    const log = new FailureLog(store, { clock: systemClock, bounds: () => history, secrets })
    const chosen = remembered(log, selectorOf(names, options))
    requireFound(names, chosen)
    if (options.dryRun) {
      report(chosen.map(plannedForget), options.json)
      return true
    }
    const listed = chosen.map(({ target, connector }) => `${target}/${connector}`)
    if (!options.yes && !(await confirmed('forget', listed, signal))) return false
    const results = chosen.map((each) => forget(log, each))
    const operations = operationLogOf(config)
    for (const result of results) operations.record(result)
    operations.close()
    report(results, options.json)
    return true
  } finally {
    store.close()
  }
}

function requireSelection(names: readonly string[], options: ChangeOptions): void {
  const { all = false, cluster, environment, team, state, connector } = options
  const given = [cluster, environment, team, state, connector].some((value) => value !== undefined)
  if (!given && !all && names.length === 0) {
    throw new UsageError('say which connectors: their names, a selector such as --team, or --all')
  }
  if (all && (given || names.length > 0)) throw new UsageError('give --all or a selection, not both')
}

function requireFound(names: readonly string[], found: readonly { readonly connector: string }[]): void {
  const missing = names.filter((name) => !found.some((each) => each.connector === name))
  if (missing.length > 0) throw new Error(`there is no connector ${missing.join(', ')}`)
  if (found.length === 0) throw new Error('no connector fits the selection')
}

async function open({ config: file }: SelectOptions) {
  const config = await loadConfig(file, { kinds: collectorKinds, env: process.env })
  const switches = openSwitches(config.stateDir)
  const fleets = connectFleets(config.collectors.map((settings) => switched(settings, switches)))
  if (fleets.length === 0) throw new Error(`${file} has no connect collector`)
  const secrets = () => config.secrets.flatMap((secret) => secret.known ?? [])
  return { config, fleets, secrets }
}

function selectorOf(names: readonly string[], options: SelectOptions): ConnectorSelector {
  const { environment, cluster, team, state, connector } = options
  return { names, environment, target: cluster, team, state: state?.toLowerCase(), connector }
}

/** Kept where the daemon keeps it; nowhere without a state_dir. */
function operationLogOf({ stateDir, history }: Config) {
  const store = stateDir === undefined ? undefined : openStore(stateDir)
  const audit = store && new Audit(store, { clock: systemClock, maxEntries: () => history.maxAuditEntries })
  const operations = store && audit && new OperationLog(store, audit)
  return {
    record: (result: OperationResult) =>
      operations?.record(result, { who: userInfo().username, from: 'command line' }),
    close: () => store?.close(),
  }
}

async function confirmed(
  operation: OperationResult['operation'],
  connectors: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError(`${operation} of ${count(connectors.length)} wants to be confirmed: give --yes`)
  }
  for (const connector of connectors) progress(`  ${connector}`)
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`${operation} ${count(connectors.length)}? [y/N] `, { signal })
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}

const count = (n: number): string => (n === 1 ? '1 connector' : `${n} connectors`)

const line = ({ target, connector, result, state, detail }: OperationResult): string =>
  `${target}/${connector}: ${result}, ${state}${detail === '' ? '' : `: ${detail}`}`

function report(results: readonly OperationResult[], json: boolean | undefined): void {
  if (json) {
    printJson(results)
    return
  }
  const table = plainTable(['CONNECTOR', 'CLUSTER', 'RESULT', 'STATE', ''], () => false)
  for (const { connector, target, result, state, detail } of results) {
    table.push([connector, target, result, state, shortened(detail)])
  }
  print(table.toString())
}

/** The first line; no text of a backend moves the cursor of a terminal. */
function shortened(text: string): string {
  const first = (text.split('\n', 1)[0] ?? '').replace(/\p{Cc}/gu, ' ')
  return first.length > 120 ? `${first.slice(0, 119)}…` : first
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)
const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))
const progress = (text: string): void => void process.stderr.write(`${text.replace(/\p{Cc}/gu, ' ')}\n`)
