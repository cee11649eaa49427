import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { pm2 } from '../../../src/collectors/pm2/index.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type Pm2Part, startPm2 } from '../../testbed/parts/pm2.ts'
import { waitFor } from '../../testbed/process.ts'
import { collect, collecting } from '../collect.ts'

let daemon: Pm2Part

beforeAll(async () => {
  daemon = await startPm2()
})
afterAll(() => daemon?.remove())

const expected = { 'clickhouse-etl': 1, 'erp-backend': '2' }

/** Starts an application that does nothing but run. */
async function startIdle(name: string): Promise<void> {
  const script = join(daemon.home, 'idle.cjs')
  writeFileSync(script, 'setInterval(() => {}, 1000)')
  await daemon.startApp({ name, script, env: { DATABASE_PASSWORD: 'hidden' } })
}

/** Pids of daemons and applications of a PM2_HOME. */
function processesOf(home: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`PM2_HOME=${home}`)
      } catch {
        // It has ended meanwhile, or is another user's.
        return false
      }
    })
    .map(Number)
}

function read(lines: readonly string[], series: string): number {
  return Number(lines.find((line) => line.startsWith(`${series} `))?.slice(series.length + 1))
}

test('a running process has its state, start, memory and CPU, and nothing of its environment', async () => {
  const before = Math.floor(Date.now() / 1000)
  await startIdle('clickhouse-etl')
  const id = 'target="test",name="clickhouse-etl",pm_id="0"'
  let lines: string[] = []
  await waitFor('PM2 to have measured it', async () => {
    lines = await collect(pm2, { home: daemon.home, expect: expected })
    return read(lines, `pm2_process_memory_bytes{${id}}`) > 1_000_000
  })
  expect(lines.filter((line) => /_state|_restarts|_processes_/.test(line))).toEqual([
    `pm2_process_restarts_total{${id}} 0`,
    `pm2_process_state{${id},state="errored"} 0`,
    `pm2_process_state{${id},state="launching"} 0`,
    `pm2_process_state{${id},state="one-launch-status"} 0`,
    `pm2_process_state{${id},state="online"} 1`,
    `pm2_process_state{${id},state="stopped"} 0`,
    `pm2_process_state{${id},state="stopping"} 0`,
    `pm2_process_state{${id},state="waiting restart"} 0`,
    'pm2_processes_expected{target="test",name="clickhouse-etl"} 1',
    'pm2_processes_expected{target="test",name="erp-backend"} 2',
    'pm2_processes_listed{target="test",name="clickhouse-etl"} 1',
    'pm2_processes_listed{target="test",name="erp-backend"} 0',
    'pm2_processes_online{target="test",name="clickhouse-etl"} 1',
    'pm2_processes_online{target="test",name="erp-backend"} 0',
  ])
  expect(read(lines, `pm2_process_start_time_seconds{${id}}`)).toBeGreaterThanOrEqual(before)
  expect(read(lines, `pm2_process_cpu_ratio{${id}}`)).toBeGreaterThanOrEqual(0)
  expect(lines.join('\n')).not.toContain('hidden')
})

test('restarts are counted', async () => {
  await daemon.restartApp('clickhouse-etl')
  const lines = await collect(pm2, { home: daemon.home })
  expect(lines).toContain('pm2_process_restarts_total{target="test",name="clickhouse-etl",pm_id="0"} 1')
})

test('a stopped process has a state and is not online; its start, memory and CPU are unknown', async () => {
  await daemon.stopApp('clickhouse-etl')
  const lines = await collect(pm2, { home: daemon.home, expect: expected })
  expect(lines).toContain(
    'pm2_process_state{target="test",name="clickhouse-etl",pm_id="0",state="stopped"} 1',
  )
  expect(lines).toContain('pm2_processes_online{target="test",name="clickhouse-etl"} 0')
  expect(lines.join('\n')).not.toMatch(/start_time|memory|cpu/)
})

test('an expected process that PM2 no longer lists is 0', async () => {
  await daemon.deleteApp('clickhouse-etl')
  expect(await collect(pm2, { home: daemon.home, expect: { 'clickhouse-etl': 1 } })).toEqual([
    'pm2_processes_expected{target="test",name="clickhouse-etl"} 1',
    'pm2_processes_listed{target="test",name="clickhouse-etl"} 0',
    'pm2_processes_online{target="test",name="clickhouse-etl"} 0',
  ])
})

describe('without a daemon', () => {
  test('the run fails, and no daemon is started', async () => {
    const home = temporaryFolder('pm2-empty')
    await expect(collect(pm2, { home: home.path })).rejects.toThrow(
      /^pm2 in .*: getMonitorData: connect ENOENT .*rpc\.sock/,
    )
    expect(existsSync(join(home.path, 'rpc.sock'))).toBe(false)
    home.remove()
  })

  test('a killed one fails the run and is not started; the run after its return works', async () => {
    const collector = collecting(pm2, { home: daemon.home })
    await collector.run()
    expect(processesOf(daemon.home)).toContain(daemon.process.pid)
    await daemon.kill()
    for (let i = 0; i < 3; i++) {
      await expect(collector.run()).rejects.toThrow(/: getMonitorData: connect ECONNREFUSED/)
    }
    expect(processesOf(daemon.home)).toEqual([])
    await daemon.start()
    await expect(collector.run()).resolves.toEqual([])
  })
})

describe('a frozen daemon', () => {
  afterEach(() => daemon.thaw())

  test('fails the run at its time-out, and the run after its return works', async () => {
    const collector = collecting(pm2, { home: daemon.home })
    await collector.run()
    daemon.freeze()
    await expect(collector.run(300)).rejects.toThrow(/: getMonitorData: .*timeout/)
    daemon.thaw()
    await expect(collector.run()).resolves.toEqual([])
  })
})

describe('something else behind the socket', () => {
  let server: Server
  const home = temporaryFolder('pm2-other')
  const answer = async (bytes: Buffer) => {
    server = createServer((peer) => peer.once('data', () => peer.write(bytes)))
    server.listen(join(home.path, 'rpc.sock'))
    await waitFor('the socket', () => server.listening)
  }
  afterEach(() => void server.close())
  afterAll(() => home.remove())

  test('an answer that is not JSON fails the run and not the process', async () => {
    const broken = Buffer.from('j:{no')
    const length = Buffer.alloc(4)
    length.writeUInt32BE(broken.length)
    await answer(Buffer.concat([Buffer.from([0x11]), length, broken]))
    await expect(collecting(pm2, { home: home.path }).run()).rejects.toThrow(/: getMonitorData: .*JSON/)
  })
})
