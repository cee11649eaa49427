import { userInfo } from 'node:os'
import { createInterface } from 'node:readline/promises'
import type { ConnectOperation } from '../clients/connect-operations.ts'
import { systemClock } from '../clock.ts'
import { connectFleets } from '../collectors/connect/fleets.ts'
import { collectorKinds } from '../collectors/index.ts'
import { type Config, loadConfig } from '../config/load.ts'
import { Audit } from '../operations/audit.ts'
import {
  type ConnectorSelector,
  connectorDetails,
  type ListedConnector,
  listConnectors,
  type OperationResult,
  operate,
  planned,
} from '../operations/connect-operations.ts'
import { openStore } from '../operations/store.ts'
import { plainTable } from './plain-table.ts'

interface SelectOptions {
  readonly config: string
  readonly environment?: string
  /** The target of a connect collector. */
  readonly cluster?: string
  readonly team?: string
  readonly state?: string
  readonly connector?: RegExp
  readonly json?: boolean
}

export interface OperateCommandOptions extends SelectOptions {
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly allTasks?: boolean
  /** Milliseconds. */
  readonly within: number
  readonly settle: number
}

/** What the command was called with makes no sense: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Lists the connectors of the selection. */
export async function listCommand(
  names: readonly string[],
  options: SelectOptions,
  signal: AbortSignal,
): Promise<void> {
  const { config, fleets, secrets } = open(options)
  const connectors = await listConnectors(fleets, selectorOf(names, options), secrets(config), signal)
  if (options.json) return printJson(connectors)
  if (connectors.length === 0) return print('no such connector')
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
  print(table.toString())
}

/** Shows one connector with its configuration, secrets masked. */
export async function showCommand(name: string, options: SelectOptions, signal: AbortSignal): Promise<void> {
  const { config, fleets, secrets } = open(options)
  const found = await listConnectors(fleets, selectorOf([name], options), secrets(config), signal)
  const [only, ...more] = found
  if (!only) throw new Error(`there is no connector ${name}`)
  if (more.length > 0) {
    const clusters = found.map(({ target }) => target).join(', ')
    throw new UsageError(`there are several connectors ${name}: choose with --cluster: ${clusters}`)
  }
  const fleet = fleets.find(({ target }) => target === only.target)
  const details = fleet && (await connectorDetails(fleet, only, secrets(config), signal))
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
  const { all, cluster, environment, team, state, connector, dryRun, yes, json } = options
  const given = [cluster, environment, team, state, connector].some((value) => value !== undefined)
  if (!given && !all && names.length === 0) {
    throw new UsageError('say which connectors: their names, a selector such as --team, or --all')
  }
  const { config, fleets, secrets } = open(options)
  const known = secrets(config)
  const connectors = await listConnectors(fleets, selectorOf(names, options), known, signal)
  const missing = names.filter((name) => !connectors.some((each) => each.connector === name))
  if (missing.length > 0) throw new Error(`there is no connector ${missing.join(', ')}`)
  if (connectors.length === 0) throw new Error('no connector fits the selection')
  if (dryRun) {
    report(
      connectors.map((each) => planned(operation, each)),
      json,
    )
    return true
  }
  const dangerous = operation === 'delete' || operation === 'stop' || connectors.length > 1
  if (dangerous && !yes && !(await confirmed(operation, connectors, signal))) return false

  const audit = auditOf(config)
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
      { clock: systemClock, allTasks, within, settle, secrets: known },
      signal,
      (result) => {
        progress(`${++ended}/${connectors.length} ${line(result)}`)
        audit.record(result)
      },
    )
    report(results, json)
    return results.every(({ result }) => result !== 'failed')
  } finally {
    audit.close()
  }
}

function open({ config: file }: SelectOptions) {
  const config = loadConfig(file, { kinds: collectorKinds, env: process.env })
  const fleets = connectFleets(config.collectors)
  if (fleets.length === 0) throw new Error(`${file} has no connect collector`)
  const secrets = (of: Config) => () => of.secrets.flatMap((secret) => secret.known ?? [])
  return { config, fleets, secrets }
}

function selectorOf(names: readonly string[], options: SelectOptions): ConnectorSelector {
  const { environment, cluster, team, state, connector } = options
  return { names, environment, target: cluster, team, state: state?.toLowerCase(), connector }
}

/** Kept where the daemon keeps it; nowhere without a state_dir. */
function auditOf({ stateDir, history }: Config) {
  const store = stateDir === undefined ? undefined : openStore(stateDir)
  const audit = store && new Audit(store, { clock: systemClock, maxEntries: () => history.maxAuditEntries })
  return {
    record({ operation, target, connector, result, detail }: OperationResult) {
      audit?.record({
        who: userInfo().username,
        from: 'command line',
        operation: `connect ${operation}`,
        object: `${target}/${connector}`,
        result: result === 'failed' ? 'failed' : 'done',
        detail,
      })
    },
    close: () => store?.close(),
  }
}

async function confirmed(
  operation: ConnectOperation,
  connectors: readonly ListedConnector[],
  signal: AbortSignal,
): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError(`${operation} of ${count(connectors.length)} wants to be confirmed: give --yes`)
  }
  for (const { target, connector, state } of connectors) progress(`  ${target}/${connector} (${state})`)
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
