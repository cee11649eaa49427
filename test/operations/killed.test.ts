import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { systemClock } from '../../src/clock.ts'
import { FailureLog } from '../../src/operations/failure-log.ts'
import { openStore, storeFile } from '../../src/operations/store.ts'
import { temporaryFolder } from '../testbed/part.ts'
import { waitFor } from '../testbed/process.ts'

const folder = temporaryFolder('killed')
afterAll(() => folder.remove())

const flapping = fileURLToPath(new URL('flapping.ts', import.meta.url))
const config = join(folder.path, 'config.yaml')
const state = join(folder.path, 'state')
const output = join(folder.path, 'output')
writeFileSync(
  config,
  stringify({
    web: { listen: '127.0.0.1:0' },
    state_dir: 'state',
    history: { max_failures: 1_000_000 },
    defaults: { interval: '1ms' },
    collectors: [{ kind: 'flapping', target: 'erp' }],
  }),
)

/** Starts the daemon and kills it as soon as it has told of so many more failures; answers the last that it told. */
async function runAndKill(more: number): Promise<number> {
  const reported = () => Number(readFileSync(output, 'utf8').trimEnd().split('\n').at(-1))
  const before = openSync(output, 'w')
  const daemon = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, flapping, config], {
    stdio: ['ignore', before, 'inherit'],
  })
  closeSync(before)
  const ended = once(daemon, 'exit')
  await waitFor('reports', () => reported() > 0)
  const first = reported()
  await waitFor('more reports', () => reported() > first + more)
  daemon.kill('SIGKILL')
  await ended
  return reported()
}

test('the failure log is whole after kill -9 in the middle of its writing, again and again', async () => {
  let kept = 0
  for (let round = 0; round < 4; round++) {
    const told = await runAndKill(50 + 37 * round)
    expect(told).toBeGreaterThan(kept)

    const file = new DatabaseSync(storeFile(state))
    expect(file.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    const sum = file
      .prepare('SELECT sum(failures) AS failures, sum(recoveries) AS recoveries FROM totals')
      .get()
    const rows = file
      .prepare('SELECT count(*) AS failures, count(ended_at) AS recoveries FROM failures')
      .get()
    file.close()
    // A report is kept as a whole or not at all, and what was told is kept.
    expect(sum).toEqual(rows)
    expect(Number(rows?.failures) - Number(rows?.recoveries)).toBe(5)
    expect(Number(rows?.failures)).toBeGreaterThanOrEqual(told)
    kept = Number(rows?.failures)
  }

  const store = openStore(state)
  const log = new FailureLog(store, {
    clock: systemClock,
    bounds: () => ({ maxAge: Number.MAX_SAFE_INTEGER, maxFailures: 1_000_000 }),
    secrets: () => [],
  })
  expect(log.statistics({ target: 'erp' })).toMatchObject({ open: 5, resolved: kept - 5 })
  store.close()
})
