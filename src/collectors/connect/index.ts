import { type Connector, connectKafkaConnect } from '../../clients/connect.ts'
import {
  defineCollector,
  type FailureSummary,
  HEALING_RESULTS,
  HEALING_STATES,
  type SampleBatch,
  seconds,
} from '../../collection/collector.ts'
import { addressOf } from './address.ts'
import { StateChanges } from './changes.ts'
import { checks } from './checks.ts'
import { settings } from './config.ts'
import { Details } from './details.ts'
import { Failures } from './failures.ts'
import { details, healthOf } from './health.ts'
import { type Meaning, meaningOf } from './meaning.ts'
import * as metrics from './metrics.ts'

/** The states of connectors and tasks that Connect knows. */
const STATES = ['running', 'failed', 'paused', 'stopped', 'restarting', 'unassigned', 'destroyed'] as const

/** Connectors and tasks of one Kafka Connect cluster. */
export const connect = defineCollector({
  kind: 'connect',
  health: { key: 'kafka_connect', title: 'Kafka Connect', details },
  settings,
  families: Object.values(metrics),
  up: metrics.up,
  defaults: { interval: seconds(15), timeout: seconds(10) },
  checks,
  create(given, context) {
    const { teams } = given
    const cluster = connectKafkaConnect(() => addressOf(given))
    const changes = new StateChanges()
    const failures = new Failures()
    const details = new Details(cluster, context.clock)
    return {
      async collect(batch, signal) {
        const { worker, connectors, unreadable } = await cluster.read(signal)
        const { version, commit, clusterId } = worker
        batch.add(metrics.workerInfo, { version, commit, kafka_cluster_id: clusterId }, 1)
        if (connectors === undefined) {
          batch.add(metrics.rebalancing, {}, 1)
          // All that was known stays: a rebalance is over in seconds.
          batch.partFailed({}, new Error('the workers of Kafka Connect are rebalancing'))
          return
        }
        const isUnassigned = connectors.some((connector) =>
          [connector, ...connector.tasks].some(({ state }) => state === 'unassigned'),
        )
        batch.add(metrics.rebalancing, {}, Number(isUnassigned))
        changes.observe(connectors, unreadable.keys(), context.clock.now())
        const meanings = new Map(connectors.map((each) => [each, meaningOf(each, teams)] as const))
        const open = failures.observe(connectors, unreadable, (each) => meaningOf(each, teams))
        const summary = context.failures.report(open)

        const names = new Set([...connectors.map(({ name }) => name), ...unreadable.keys()])
        await details.refresh(connectors, (name) => names.has(name), signal)
        await writePlugins(batch, details, worker, connectors, signal)
        for (const [connector, meaning] of meanings) {
          writeConnector(batch, connector, meaning)
          writeTopics(batch, connector, details)
          const id = { connector: connector.name }
          for (const [task, since] of changes.of(connector.name)) {
            batch.add(metrics.stateChange, { ...id, task }, since / 1000)
          }
          const position = details.position(connector.name)
          if (position !== undefined) batch.add(metrics.sourcePosition, id, position)
        }
        writeFailures(batch, connectors, summary)
        const healed = given.self_healing?.connectors ?? []
        for (const { name } of connectors) {
          if (healed.some((pattern) => pattern.test(name))) writeHealing(batch, name, summary.healing)
        }
        for (const [connector, cause] of unreadable) batch.partFailed({ connector }, cause)
        // With the request, so that no other series of the connector is kept for its sake.
        for (const [connector, request, cause] of details.failed()) {
          batch.partFailed({ connector, request }, cause)
        }
      },
      health: healthOf,
      async stop() {
        cluster.close()
      },
    }
  },
})

async function writePlugins(
  batch: SampleBatch,
  details: Details,
  worker: Parameters<Details['pluginVersions']>[0],
  connectors: readonly Connector[],
  signal: AbortSignal,
): Promise<void> {
  const classes = new Set(connectors.map((connector) => connector.class))
  try {
    for (const plugin of await details.pluginVersions(worker, classes, signal)) {
      batch.add(metrics.pluginInfo, { ...plugin }, 1)
    }
  } catch (error) {
    signal.throwIfAborted()
    for (const className of classes) batch.partFailed({ class: className }, error)
  }
}

function writeConnector(batch: SampleBatch, connector: Connector, meaning: Meaning): void {
  const id = { connector: connector.name }
  const { class: className, kind, slot } = connector
  batch.add(metrics.connectorInfo, { ...id, class: className, kind, ...meaning }, 1)
  for (const state of new Set([...STATES, connector.state])) {
    batch.add(metrics.connectorState, { ...id, state }, Number(connector.state === state))
  }
  const expected = connector.state === 'stopped' ? 0 : connector.configuredTasks
  batch.add(metrics.tasksExpected, id, expected)
  batch.add(metrics.tasksRunning, id, connector.tasks.filter(({ state }) => state === 'running').length)
  for (const task of connector.tasks) {
    for (const state of new Set([...STATES, task.state])) {
      const labels = { ...id, task: String(task.id), state }
      batch.add(metrics.taskState, labels, Number(task.state === state))
    }
  }
  if (slot) batch.add(metrics.connectorSlotInfo, { ...id, slot_name: slot.name, database: slot.database }, 1)
}

function writeTopics(batch: SampleBatch, connector: Connector, details: Details): void {
  const active = details.activeTopics(connector.name)
  const byRole = {
    consumes: [...connector.consumes, ...(connector.consumesByPattern ? active : [])],
    produces: [...connector.produces, ...(connector.kind === 'source' ? active : [])],
    dead_letter: connector.deadLetters === undefined ? [] : [connector.deadLetters],
  }
  for (const [role, topics] of Object.entries(byRole)) {
    for (const topic of new Set(topics)) {
      batch.add(metrics.connectorTopicInfo, { connector: connector.name, topic, role }, 1)
    }
  }
}

function writeHealing(batch: SampleBatch, connector: string, healing: FailureSummary['healing']): void {
  if (!healing) return
  const known = healing.get(connector)
  for (const state of HEALING_STATES) {
    batch.add(metrics.healingState, { connector, state }, Number(state === (known?.state ?? 'idle')))
  }
  for (const result of HEALING_RESULTS) {
    batch.add(metrics.healingRestarts, { connector, result }, known?.restarts[result] ?? 0)
  }
}

function writeFailures(
  batch: SampleBatch,
  connectors: readonly Connector[],
  { open, totals }: FailureSummary,
): void {
  for (const { connector, task, exceptionClass, openedAt } of open) {
    batch.add(metrics.taskFailureInfo, { connector, task, exception_class: exceptionClass }, 1)
    batch.add(metrics.failureOpen, { connector, task }, openedAt / 1000)
  }
  for (const { name: connector } of connectors) {
    const { failures, recoveries } = totals.get(connector) ?? { failures: 0, recoveries: 0 }
    batch.add(metrics.failures, { connector }, failures)
    batch.add(metrics.recoveries, { connector }, recoveries)
  }
}
