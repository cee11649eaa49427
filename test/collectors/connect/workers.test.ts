import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connect } from '../../../src/collectors/connect/index.ts'
import { type ConnectPart, startConnect } from '../../testbed/parts/connect.ts'
import { type KafkaPart, startKafka } from '../../testbed/parts/kafka.ts'
import { waitFor } from '../../testbed/process.ts'
import { type Collecting, collecting } from '../collect.ts'

// Two workers of one group.

let kafka: KafkaPart
let stays: ConnectPart
let goes: ConnectPart
let collector: Collecting
const names = ['a', 'b', 'c', 'd']

beforeAll(async () => {
  kafka = await startKafka()
  // What a worker leaves stays unassigned for so long.
  const options = { bootstrap: kafka.bootstrap, rebalanceDelay: 10_000 }
  stays = await startConnect(options)
  goes = await startConnect(options)
  const file = join(stays.folder, 'lines.txt')
  writeFileSync(file, 'a line\n')
  for (const name of names) {
    await stays.putConnector(name, {
      'connector.class': 'org.apache.kafka.connect.file.FileStreamSourceConnector',
      topic: name,
      file,
    })
  }
  collector = collecting(connect, { urls: [goes.url, stays.url] })
  await until('all to run', allRun)
})
afterAll(async () => {
  await collector?.stop()
  for (const part of [goes, stays, kafka]) await part?.remove()
})

/** What runs on this worker, as the other says. */
async function workOf(worker: ConnectPart): Promise<{ connectors: string[]; tasks: number }> {
  const statuses = await Promise.all(names.map((name) => stays.status(name)))
  const isHere = ({ worker_id }: { readonly worker_id: string }) => worker_id === new URL(worker.url).host
  return {
    connectors: statuses.flatMap((status) => (status && isHere(status.connector) ? [status.name] : [])),
    tasks: statuses.flatMap((status) => status?.tasks.filter(isHere) ?? []).length,
  }
}

const ofConnector = (name: string, state: string) =>
  `kafka_connect_connector_state{target="test",connector="${name}",state="${state}"} 1`
const ofTask = (name: string, state: string) =>
  `kafka_connect_task_state{target="test",connector="${name}",task="0",state="${state}"} 1`

const allRun = (lines: readonly string[]) =>
  names.every(
    (name) => lines.includes(ofConnector(name, 'running')) && lines.includes(ofTask(name, 'running')),
  )

/** What a run said that must not be said while workers come and go. */
const alarms = new Set<string>()

/** Runs the collector until `isReached`. */
async function until(
  what: string,
  isReached: (lines: readonly string[]) => boolean | Promise<boolean>,
): Promise<void> {
  await waitFor(what, async () => {
    const lines = await collector.run()
    for (const line of lines) {
      if (/state="failed"} 1$|task_failure_info|failure_open|failures_total{.*} [^0]/.test(line)) {
        alarms.add(line)
      }
    }
    return await isReached(lines)
  })
}

const isAlone = async (lines: readonly string[]) => {
  const { connectors, tasks } = await workOf(goes)
  return connectors.length + tasks === 0 && allRun(lines)
}

test('a worker is killed: the other takes its work over, and nothing has failed', async () => {
  const { connectors, tasks } = await workOf(goes)
  expect(connectors.length + tasks).toBeGreaterThan(0)
  await goes.kill()
  await until('the other to have all', isAlone)
  expect([...alarms]).toEqual([])
})

test('a worker leaves: what it leaves is unassigned until the other has it, and nothing has failed', async () => {
  await goes.start()
  let left: string[] = []
  await until('it to have connectors', async (lines) => {
    left = (await workOf(goes)).connectors
    return left.length > 0 && allRun(lines)
  })
  const stopped = goes.stop()
  await until('its connectors to be unassigned', (lines) => {
    const isRebalancing = lines.includes('kafka_connect_rebalancing{target="test"} 1')
    return isRebalancing && left.some((name) => lines.includes(ofConnector(name, 'unassigned')))
  })
  await stopped
  await until('the other to have all', isAlone)
  expect(await collector.run()).toContain('kafka_connect_rebalancing{target="test"} 0')
  expect([...alarms]).toEqual([])
})
