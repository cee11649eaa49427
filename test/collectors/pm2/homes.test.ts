import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Daemon, startDaemon } from '../../commands/daemon.ts'
import { type Pm2Part, startPm2 } from '../../testbed/parts/pm2.ts'
import { waitFor } from '../../testbed/process.ts'

let alpha: Pm2Part
let bravo: Pm2Part
let daemon: Daemon

beforeAll(async () => {
  ;[alpha, bravo] = await Promise.all([startPm2(), startPm2()])
  for (const home of [alpha, bravo]) {
    const script = join(home.home, 'idle.cjs')
    writeFileSync(script, 'setInterval(() => {}, 1000)')
    await home.startApp({ name: 'worker', script, pmx: false })
  }
  daemon = await startDaemon(
    Object.entries({ alpha, bravo }).map(([target, { home }]) => ({
      kind: 'pm2',
      target,
      home,
      expect: { worker: 1 },
      interval: '1s',
      timeout: '1s',
    })),
  )
})
afterAll(async () => {
  await daemon?.stop()
  await Promise.all([alpha?.remove(), bravo?.remove()])
})

const up = (target: string) => daemon.sample(`pm2_up{target="${target}"}`)
const online = (target: string) => daemon.sample(`pm2_processes_online{target="${target}",name="worker"}`)
const runs = async (target: string) =>
  (await daemon.sample(`cdc_collector_last_success_timestamp_seconds{target="${target}",collector="pm2"}`)) ??
  0

test('a PM2 daemon that hangs is down, and the other home goes on', async () => {
  await waitFor('both homes', async () => (await up('alpha')) === 1 && (await up('bravo')) === 1)
  alpha.freeze()
  await waitFor('the frozen one to be down', async () => (await up('alpha')) === 0)
  const before = await runs('bravo')
  await bravo.stopApp('worker')
  await waitFor('the other one to tell what happens', async () => (await online('bravo')) === 0)
  expect(await runs('bravo')).toBeGreaterThan(before)
  expect(await up('alpha')).toBe(0)
  alpha.thaw()
  await waitFor('it to be up again', async () => (await up('alpha')) === 1)
  expect(await online('alpha')).toBe(1)
})
