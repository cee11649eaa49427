import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pm2 } from '../../../src/collectors/pm2/index.ts'
import { type Pm2Part, startPm2 } from '../../testbed/parts/pm2.ts'
import { waitFor } from '../../testbed/process.ts'
import { collect, collecting } from '../collect.ts'

let daemon: Pm2Part
let crashing: string
let idle: string

beforeAll(async () => {
  daemon = await startPm2()
  crashing = script('crashing', 'process.exit(1)')
  idle = script('idle', 'setInterval(() => {}, 1000)')
})
afterAll(() => daemon?.remove())

function script(name: string, source: string): string {
  const path = join(daemon.home, `${name}.cjs`)
  writeFileSync(path, source)
  return path
}

/** What makes PM2 give up after three starts, however slow they are. */
const LIMITED = { max_restarts: 3, min_uptime: 600_000, pmx: false }

const lines = (expected: Readonly<Record<string, number>> = {}) =>
  collect(pm2, { home: daemon.home, expect: expected })

/** Of an application with one instance. */
function of(name: string, read: readonly string[]) {
  const own = read.filter((line) => line.includes(`name="${name}"`))
  const values = (family: string) =>
    own.filter((line) => line.startsWith(`${family}{`)).map((line) => Number(line.split(' ').at(-1)))
  return {
    states: own.filter((line) => /_state\{.* 1$/.test(line)).map((line) => /state="([^"]+)"/.exec(line)?.[1]),
    restarts: values('pm2_process_restarts_total')[0],
    startTimes: values('pm2_process_start_time_seconds'),
    online: values('pm2_processes_online')[0],
  }
}

async function inState(name: string, state: string) {
  let found = of(name, [])
  await waitFor(`${name} to be ${state}`, async () => {
    found = of(name, await lines())
    if (found.states.length !== 1) throw new Error(`it is in states ${found.states.join()}`)
    return found.states[0] === state
  })
  return found
}

test('a crash loop shows in restarts, which never go down', async () => {
  await daemon.startApp({ name: 'loop', script: crashing, restart_delay: 50, max_restarts: 1e9, pmx: false })
  const seen: number[] = []
  await waitFor('three restarts', async () => {
    seen.push(of('loop', await lines()).restarts ?? Number.NaN)
    return (seen.at(-1) ?? 0) >= 3
  })
  expect(seen).toEqual(seen.toSorted((a, b) => a - b))
  await daemon.deleteApp('loop')
})

test('one that PM2 gave up is errored, not online, and its restarts stay where unstable_restarts are 0', async () => {
  await daemon.startApp({ name: 'errored', script: crashing, ...LIMITED })
  expect(await inState('errored', 'errored')).toMatchObject({ restarts: 2, startTimes: [], online: 0 })
})

test('a reset is a reset of the counter', async () => {
  await daemon.resetApp('errored')
  const collector = collecting(pm2, { home: daemon.home, expect: { absent: 2 } })
  expect(of('errored', await collector.run())).toMatchObject({ states: ['errored'], restarts: 0 })
  expect(collector.health()).toMatchObject({
    details: { states: { errored: 1 }, expected: [{ name: 'absent', expected: 2, online: 0 }] },
    problems: [
      'absent: 0 of 2 instances are online',
      expect.stringMatching(/^process errored \(\d+\) is errored$/),
    ],
  })
})

test('one that PM2 gave up and shows as waiting restart for ever is errored', async () => {
  await daemon.startApp({ name: 'given-up', script: crashing, restart_delay: 1, ...LIMITED })
  expect(await inState('given-up', 'errored')).toMatchObject({ restarts: 2, startTimes: [], online: 0 })
})

test('one that is going to be restarted is waiting restart; it has no start time', async () => {
  const hour = 3_600_000
  await daemon.startApp({
    name: 'waiting',
    script: crashing,
    restart_delay: hour,
    max_restarts: 9,
    pmx: false,
  })
  expect(await inState('waiting', 'waiting restart')).toMatchObject({
    restarts: 0,
    startTimes: [],
    online: 0,
  })
})

test('one that has ended and is not to be restarted is stopped, with a delay of restarts too', async () => {
  const ending = script('ending', 'process.exit(0)')
  const app = { name: 'ended', script: ending, autorestart: false, restart_delay: 1, pmx: false }
  await daemon.startApp(app)
  expect(await inState('ended', 'stopped')).toMatchObject({ restarts: 0, startTimes: [], online: 0 })
})

test('each instance of a cluster is a process; all are online, or gone', async () => {
  await daemon.startApp({ name: 'api', script: idle, exec_mode: 'cluster', instances: 2, namespace: 'erp' })
  // Each tells PM2 its version of Node a little after it is online.
  const labels = `version="",node_version="${process.versions.node}",exec_mode="cluster",namespace="erp"`
  let read: string[] = []
  await waitFor('both to be online', async () => {
    read = await lines({ api: 3 })
    const isTold = (line: string) => line.startsWith('pm2_process_info{') && line.includes(labels)
    return of('api', read).online === 2 && read.filter(isTold).length === 2
  })
  expect(of('api', read)).toMatchObject({ states: ['online', 'online'] })
  expect(of('api', read).startTimes).toHaveLength(2)
  await daemon.deleteApp('api')
  expect((await lines({ api: 3 })).filter((line) => line.includes('name="api"'))).toEqual([
    'pm2_processes_expected{target="test",name="api"} 3',
    'pm2_processes_listed{target="test",name="api"} 0',
    'pm2_processes_online{target="test",name="api"} 0',
  ])
})
