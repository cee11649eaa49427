import type { Connector } from '../clients/connect.ts'
import { connectKafkaConnect, secretsOf } from '../clients/connect.ts'
import {
  type ConnectOperation,
  type ConnectOperator,
  type ConnectorNow,
  type ConnectorPart,
  connectOperator,
} from '../clients/connect-operations.ts'
import { readTrace } from '../clients/java-trace.ts'
import type { RestAddress } from '../clients/rest.ts'
import type { Clock } from '../clock.ts'
import type { Schedule } from '../collection/schedule.ts'
import { isSecretName, redact } from '../log.ts'

/** A Connect cluster of the configuration. */
export interface ConnectFleet {
  readonly target: string
  /** False where it or its environment is switched off. */
  readonly enabled: boolean
  /** Empty for none. */
  readonly environment: string
  readonly platform: string
  readonly address: () => RestAddress
  readonly meaningOf: (connector: Connector) => Meaning
  /** Undefined where nothing is restarted but by somebody. */
  readonly selfHealing: HealingPolicy | undefined
}

/** Which failed tasks are restarted by the daemon itself, and how often. */
export interface HealingPolicy {
  /** Nothing is restarted; what would be is told. */
  readonly dryRun: boolean
  /** Over names of connectors. */
  readonly connectors: readonly RegExp[]
  /** Over the first class of a trace and its root's; undefined for any. */
  readonly exceptionClasses: readonly RegExp[] | undefined
  /** Milliseconds from a failure to the first restart; each of the last hour doubles them, up to `maxBackoff`. */
  readonly backoff: number
  readonly maxBackoff: number
  /** Restarts of one connector. */
  readonly maxPerHour: number
  readonly maintenanceWindows: readonly { readonly schedule: Schedule; readonly duration: number }[]
}

interface Meaning {
  readonly dbms: string
  readonly team: string
  readonly business_cluster: string
}

/** A connector as lists show it; nothing in it is secret. */
export interface ListedConnector extends Meaning {
  readonly target: string
  readonly environment: string
  readonly platform: string
  readonly connector: string
  readonly class: string
  readonly kind: string
  /** `failed` where the connector or one of its tasks has failed, else the connector's. */
  readonly state: string
  readonly tasks: readonly { readonly id: number; readonly state: string }[]
  readonly tasks_expected: number
  /** Why: of its first failed part, the last cause of the trace; empty for none. */
  readonly root_cause: string
}

export interface ConnectorDetails extends ListedConnector {
  /** Without its secrets. */
  readonly config: Readonly<Record<string, string>>
}

/** Which connectors; what is absent selects all, but a cluster that is switched off has to be named. */
export interface ConnectorSelector {
  readonly names?: readonly string[] | undefined
  readonly connector?: RegExp | undefined
  readonly target?: string | undefined
  readonly environment?: string | undefined
  readonly team?: string | undefined
  readonly state?: string | undefined
}

export interface OperationResult {
  readonly target: string
  readonly environment: string
  readonly team: string
  readonly connector: string
  /** forget: of what is kept here of a connector; it asks no cluster. */
  readonly operation: ConnectOperation | 'forget'
  /**
   * done: it came out as wanted. unconfirmed: it says so, and nothing else shows it. skipped: there was nothing to
   * do. planned: of a dry run.
   */
  readonly result: 'done' | 'unconfirmed' | 'failed' | 'skipped' | 'planned'
  /** What it was when it was last looked at; `deleted` where it is gone. */
  readonly state: string
  /** Why it failed or was skipped; without secrets. */
  readonly detail: string
}

type OperatedConnector = Pick<ListedConnector, 'target' | 'environment' | 'team' | 'connector' | 'state'>

export interface OperateOptions {
  readonly clock: Clock
  /** Restarts tasks too that have not failed. */
  readonly allTasks?: boolean
  /** Milliseconds after which what has not come out counts as failed, or as unconfirmed where it says that it runs. */
  readonly within: number
  /**
   * Milliseconds that a connector has to run without a failure, and to have read something, before it counts as
   * running: a task of Debezium says that it runs for some seconds before it finds that its publication or its
   * slot is gone, and for as long as it cannot reach its database.
   */
  readonly settle: number
  /** Texts that may appear nowhere. */
  readonly secrets: () => readonly string[]
}

const MASK = '<secret>'
const POLL_MS = 250
const SETTLING_POLL_MS = 500

/** Until then an unchanged failure may be the one from before the operation. */
const STALE_MS = 10_000

/** One cluster is changed by so many operations at once. */
const AT_ONCE = 4

export interface ConnectorList {
  /** In order of target and name. */
  readonly connectors: readonly ListedConnector[]
  /** Clusters that could not be read, and why; without secrets. */
  readonly unread: readonly { readonly target: string; readonly error: string }[]
}

/** The connectors that a selector names. A cluster has until `signal` aborts to answer. */
export async function listConnectors(
  fleets: readonly ConnectFleet[],
  selector: ConnectorSelector,
  secrets: () => readonly string[],
  signal: AbortSignal,
): Promise<ConnectorList> {
  const isNamed = selector.target !== undefined || selector.environment !== undefined
  const chosen = fleets.filter(
    ({ target, environment, enabled }) =>
      (isNamed || enabled) &&
      (selector.target === undefined || selector.target === target) &&
      (selector.environment === undefined || selector.environment === environment),
  )
  const lists = await Promise.all(
    chosen.map(async (fleet) => {
      try {
        return { connectors: await listFleet(fleet, secrets, signal), unread: [] }
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error)
        return { connectors: [], unread: [{ target: fleet.target, error: redact(text, secrets()) }] }
      }
    }),
  )
  return {
    connectors: lists
      .flatMap(({ connectors }) => connectors)
      .filter((listed) => isSelected(listed, selector))
      .toSorted((a, b) => compare(a.target, b.target) || compare(a.connector, b.connector)),
    unread: lists.flatMap(({ unread }) => unread),
  }
}

async function listFleet(
  fleet: ConnectFleet,
  secrets: () => readonly string[],
  signal: AbortSignal,
): Promise<ListedConnector[]> {
  const reader = connectKafkaConnect(fleet.address)
  try {
    const { connectors } = await reader.read(signal)
    if (!connectors) throw new Error(`${fleet.target}: its workers are rebalancing; ask again in a moment`)
    return connectors.map((connector) => listed(fleet, connector, secrets()))
  } finally {
    reader.close()
  }
}

function listed(fleet: ConnectFleet, connector: Connector, secrets: readonly string[]): ListedConnector {
  const parts = [connector, ...connector.tasks]
  const failed = parts.find(({ state }) => state === 'failed')
  return {
    target: fleet.target,
    environment: fleet.environment,
    platform: fleet.platform,
    connector: connector.name,
    class: connector.class,
    kind: connector.kind,
    ...fleet.meaningOf(connector),
    state: failed ? 'failed' : connector.state,
    tasks: connector.tasks.map(({ id, state }) => ({ id, state })),
    tasks_expected: connector.state === 'stopped' ? 0 : connector.configuredTasks,
    root_cause: failed ? redact(readTrace(failed.trace).rootCause, [...secrets, ...connector.secrets]) : '',
  }
}

function isSelected(listed: ListedConnector, { names, connector, team, state }: ConnectorSelector): boolean {
  return (
    (names === undefined || names.length === 0 || names.includes(listed.connector)) &&
    (connector?.test(listed.connector) ?? true) &&
    (team === undefined || listed.team === team) &&
    (state === undefined || listed.state === state || listed.tasks.some((task) => task.state === state))
  )
}

/** Adds its configuration, secrets masked; undefined where there is no such connector any more. */
export async function connectorDetails(
  fleet: ConnectFleet,
  listed: ListedConnector,
  secrets: () => readonly string[],
  signal: AbortSignal,
): Promise<ConnectorDetails | undefined> {
  const operator = connectOperator(fleet.address)
  try {
    const now = await operator.look(listed.connector, signal)
    return now && { ...listed, config: maskedConfig(now.config, secrets()) }
  } finally {
    operator.close()
  }
}

/** Values of keys that hold secrets are masked whole; elsewhere the texts that are known as secrets. */
function maskedConfig(
  config: Readonly<Record<string, string>>,
  secrets: readonly string[],
): Record<string, string> {
  const known = [...secrets, ...secretsOf(config)]
  const entries = Object.entries(config).map(([key, value]) => [
    key,
    isSecretName(key) && !/^(true|false)$/.test(value) ? MASK : redact(value, known),
  ])
  return Object.fromEntries(entries.toSorted(([a = ''], [b = '']) => compare(a, b)))
}

/**
 * Does it to each, a few at a time, and watches what comes of it: a result says what the connector was
 * afterwards, not that Connect took the request. `onResult` hears of each as it ends, also of those that `signal`
 * cut short. Never rejects for a connector that goes wrong, only for `signal`.
 */
export async function operate(
  operation: ConnectOperation,
  fleets: readonly ConnectFleet[],
  connectors: readonly OperatedConnector[],
  options: OperateOptions,
  signal: AbortSignal,
  onResult: (result: OperationResult) => void = () => {},
): Promise<OperationResult[]> {
  const operators = new Map(fleets.map((fleet) => [fleet.target, connectOperator(fleet.address)]))
  const results: OperationResult[] = []
  const queue = [...connectors.entries()]
  const work = async () => {
    for (let next = queue.shift(); next && !signal.aborted; next = queue.shift()) {
      const [index, connector] = next
      const operator = operators.get(connector.target)
      if (!operator) continue
      const result = await operateOne(operation, operator, connector, options, signal)
      results[index] = result
      onResult(result)
    }
  }
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    signal.throwIfAborted()
    return results
  } finally {
    for (const operator of operators.values()) operator.close()
  }
}

/** What an operation would be done to. */
export function planned(
  operation: OperationResult['operation'],
  { target, environment, team, connector, state }: OperatedConnector,
): OperationResult {
  return { target, environment, team, connector, operation, result: 'planned', state, detail: '' }
}

type Outcome = Pick<OperationResult, 'result' | 'state' | 'detail'>

async function operateOne(
  operation: ConnectOperation,
  operator: ConnectOperator,
  listed: OperatedConnector,
  options: OperateOptions,
  signal: AbortSignal,
): Promise<OperationResult> {
  const { target, environment, team, connector } = listed
  const known = new Set<string>()
  let outcome: Outcome
  try {
    outcome = await outcomeOf(operation, operator, connector, options, known, signal)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const detail = signal.aborted ? `${reason}: it was not watched to its end` : reason
    outcome = { result: 'failed', state: listed.state, detail }
  }
  const detail = redact(outcome.detail, [...options.secrets(), ...known])
  return { target, environment, team, connector, operation, ...outcome, detail }
}

/** `known` gets the secrets of its configuration. */
async function outcomeOf(
  operation: ConnectOperation,
  operator: ConnectOperator,
  connector: string,
  { clock, allTasks = false, within, settle }: OperateOptions,
  known: Set<string>,
  signal: AbortSignal,
): Promise<Outcome> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(within)])
  const look = () => operator.look(connector, bounded)
  // Without an answer it is not known.
  const progress = async () => await operator.progress(connector, bounded).catch(() => undefined)
  const before = await look()
  if (!before) return { result: 'failed', state: 'deleted', detail: 'there is no such connector' }
  for (const secret of secretsOf(before.config)) known.add(secret)
  const needless = operation === 'restart' ? needlessRestart(before, allTasks) : undefined
  if (needless !== undefined) return { result: 'skipped', state: stateOf(before), detail: needless }

  await operator.ask(operation, connector, allTasks, bounded)
  const askedAt = clock.monotonic()
  const stale = new Map(before.parts.filter(hasFailed).map((part) => [part.task, part.trace]))
  // Since when it has been as wanted, and how far it had come by then.
  let well: { readonly since: number; progress: string | undefined } | undefined
  let now: ConnectorNow | undefined = before
  while (clock.monotonic() - askedAt < within) {
    await clock.sleep(well ? SETTLING_POLL_MS : POLL_MS, signal)
    try {
      now = await look()
    } catch (error) {
      // A worker that is away for a moment is no result.
      if (bounded.aborted) break
      if (!(error instanceof Error)) throw error
      continue
    }
    const elapsed = clock.monotonic() - askedAt
    if (!now) {
      if (operation === 'delete') return { result: 'done', state: 'deleted', detail: '' }
      return { result: 'failed', state: 'deleted', detail: 'it was deleted meanwhile' }
    }
    // What has left its failure once can only have failed anew.
    for (const part of now.parts) {
      if (!hasFailed(part) || part.trace !== stale.get(part.task)) stale.delete(part.task)
    }
    const failed = now.parts.find((part) => hasFailed(part) && (elapsed > STALE_MS || !stale.has(part.task)))
    if (failed && (operation === 'restart' || operation === 'resume')) {
      return { result: 'failed', state: 'failed', detail: reasonOf(failed) }
    }
    if (!isAsWanted(operation, now)) {
      well = undefined
      continue
    }
    const { state } = now.parts[0]
    if (operation === 'pause') return { result: 'done', state, detail: stillAtWork(now) }
    if (operation === 'stop') return { result: 'done', state, detail: '' }
    well ??= { since: clock.monotonic(), progress: await progress() }
    if (clock.monotonic() - well.since < settle) continue
    const reached = await progress()
    well.progress ??= reached
    if (reached !== well.progress && reached !== undefined) return { result: 'done', state, detail: '' }
  }
  if (well && now && clock.monotonic() - well.since >= settle) {
    return { result: 'unconfirmed', state: now.parts[0].state, detail: SILENT }
  }
  const state = now ? stateOf(now) : 'deleted'
  const failed = now?.parts.find(hasFailed)
  const reason = failed ? reasonOf(failed) : operation === 'pause' && now ? stillAtWork(now) : ''
  return {
    result: 'failed',
    state,
    detail: `it is ${state} after ${within / 1000} s${reason === '' ? '' : `: ${reason}`}`,
  }
}

function needlessRestart({ parts }: ConnectorNow, allTasks: boolean): string | undefined {
  const { state } = parts[0]
  if (state === 'paused' || state === 'stopped') return `it is ${state}: resume it`
  if (!allTasks && !parts.some(hasFailed)) return 'nothing of it has failed'
  return undefined
}

function isAsWanted(operation: ConnectOperation, { parts, configuredTasks }: ConnectorNow): boolean {
  const [own, ...tasks] = parts
  switch (operation) {
    case 'pause':
      // A task that has failed stays so.
      return own.state === 'paused' && tasks.every(({ state }) => state === 'paused' || state === 'failed')
    case 'stop':
      return own.state === 'stopped' && tasks.length === 0
    case 'delete':
      return false
    default:
      return parts.every(({ state }) => state === 'running') && tasks.length >= Math.max(1, configuredTasks)
  }
}

/**
 * Debezium that cannot reach its database, or waits for a slot that another reads, tries again and again and says
 * that it runs. Only what it reads shows that it does.
 */
const SILENT = 'it says that it runs, but has read nothing since: nothing is there to read, or it still tries'

function stillAtWork({ parts }: ConnectorNow): string {
  const others = parts.filter(({ state }) => state !== 'paused')
  return others.map(({ task, state }) => `task ${task} still says ${state}`).join(', ')
}

const hasFailed = ({ state }: ConnectorPart): boolean => state === 'failed'

const stateOf = ({ parts }: ConnectorNow): string => (parts.some(hasFailed) ? 'failed' : parts[0].state)

function reasonOf({ task, trace }: ConnectorPart): string {
  const part = task === undefined ? 'the connector' : `task ${task}`
  return `${part} failed: ${readTrace(trace).rootCause}`
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
