import { execFile, spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allKinds } from '../../src/collectors/index.ts'
import type { Daemon } from '../commands/daemon.ts'
import { liveDashboards, needlessReasons } from '../grafana/in-prometheus.ts'
import { offered } from '../grafana/offered.ts'
import { waitFor } from '../testbed/process.ts'
import { keptNames } from './kept-names.ts'
import { startWholePipeline, type WholePipeline } from './whole-pipeline.ts'

const collectorKinds = await allKinds()

let whole: WholePipeline
let daemon: Daemon

beforeAll(async () => {
  whole = await startWholePipeline()
  daemon = whole.daemon
})
afterAll(() => whole?.stop())

/** `promtool check metrics`, which lints as Prometheus's authors would: a complaint a line. */
async function complaintsOf(metrics: string): Promise<string[]> {
  const promtool = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'ignore', 'pipe'] })
  promtool.stdin.end(metrics)
  return (await text(promtool.stderr)).split('\n').filter((line) => line !== '')
}

test('promtool complains of the kept names, and of nothing else', async () => {
  await waitFor('every kind to have been read', async () => {
    const metrics = await daemon.get('/metrics')
    const read = metrics.matchAll(/^cdc_collector_success\{.*collector="(\w+)".*\s1$/gm)
    const kinds = new Set([...read].map(([, kind]) => kind))
    const missing = collectorKinds.filter(({ kind }) => !kinds.has(kind)).map(({ kind }) => kind)
    if (missing.length === 0) return true
    throw new Error(`not read: ${missing.join(', ')}`)
  })
  const kept = keptNames()
  const nameOf = (complaint: string) => complaint.split(' ')[0] ?? ''
  let complaints: string[] = []
  let withoutComplaint: string[] = []
  // What is known only in a later run, such as the lag of a group that had committed nothing yet, comes with it.
  await waitFor('a complaint of each kept name', async () => {
    complaints = await complaintsOf(await daemon.get('/metrics'))
    const complainedOf = new Set(complaints.map(nameOf))
    withoutComplaint = [...kept].filter((name) => !complainedOf.has(name))
    return withoutComplaint.length === 0
  }).catch(() => {})
  expect(complaints.filter((complaint) => !kept.has(nameOf(complaint)))).toEqual([])
  // The list holds no more than is needed.
  expect(withoutComplaint).toEqual([])
})

test('the dashboards ask for what Prometheus has of it, all chosen and with each value of each variable', async () => {
  await whole.trouble()
  const { withoutData, valuesWithoutData, withDataAfterAll, count } = liveDashboards(whole.prometheus)
  const none = async (what: string, asked: () => Promise<string[]>) => {
    let left: string[] = []
    await waitFor(what, async () => {
      left = await asked()
      return left.length === 0
    }).catch((error) => {
      if (left.length === 0) throw error
    })
    expect(left).toEqual([])
  }
  await waitFor('the failure of a connector to be seen', async () => {
    return (await whole.prometheus.query('kafka_connect_failure_open_timestamp_seconds')).length > 0
  })
  // What has had data once is remembered.
  await withoutData()
  await whole.repair()
  await none('data for every panel', withoutData)
  await none('data for every value of a variable', valuesWithoutData)
  expect(await withDataAfterAll()).toEqual([])
  expect(needlessReasons()).toEqual([])
  expect(count()).toBeGreaterThan(1000)
})

test('variables of other dashboards have their values', async () => {
  const ask = (query: unknown, regex = '', choices = {}) =>
    offered({ name: 'release', type: 'query', query, regex }, whole.prometheus, choices)
  expect(
    await ask('query_result(pg_up{target="$target"})', '/.*target="([^"]+).*/', { target: 'erp' }),
  ).toEqual(['erp'])
  expect(await ask({ query: 'label_values(pg_up, target)', refId: 'A' })).toEqual(['erp'])
  expect(await ask('label_values(pm2_processes_expected, name)', '/^click(.*)-etl$/')).toEqual(['house'])
  expect(await ask('metrics(^pg_up$)')).toEqual(['pg_up'])
})

test('the share of a dashboard that has data is told, with what has none', async () => {
  const share = fileURLToPath(new URL('../grafana/share.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [
    share,
    'grafana/dashboards/cdc-host.json',
    ...['--prometheus', whole.prometheus.url],
  ])
  expect(stdout).toMatch(/^PM2 and hosts: \d+ of \d+ queries have data$/m)
  expect(stdout).toContain('Memory of containers: no series container_memory_working_set_bytes')
})

test('promtool does complain', async () => {
  expect(await complaintsOf('# HELP votes Votes.\n# TYPE votes counter\nvotes 1\n')).toEqual([
    'votes counter metrics should have "_total" suffix',
  ])
})

test('the daemon has nothing to say on standard error, warnings of Node included', async () => {
  await daemon.stop()
  expect((await daemon.ended).stderr).toBe('')
})
