// Loaded into the daemon before its main module: writes a line for each pass to the file that BENCH_PASSES names.
import { appendFileSync } from 'node:fs'

/** From the scheduler's first act of a pass to the moment at which a scrape gets it. Milliseconds. */
export interface PassTimes {
  readonly collect: number
  /** Laying out and rendering what the pass wrote. */
  readonly render: number
  /** Compressing it. */
  readonly publish: number
  readonly total: number
  /** CPU of the whole process, its threads included. */
  readonly cpu: number
}

const file = process.env.BENCH_PASSES
const code = process.env.BENCH_CODE
if (file !== undefined && code !== undefined) {
  // The modules that run, which are the built ones.
  const batch = await import(new URL('metrics/batch.js', code).href)
  const { InstanceSeries, RunBatch } = batch as typeof import('../../src/metrics/batch.ts')
  const exposition = await import(new URL('metrics/exposition.js', code).href)
  const { Exposition } = exposition as typeof import('../../src/metrics/exposition.ts')

  const now = () => performance.now()
  const begin = InstanceSeries.prototype.begin
  const commit = RunBatch.prototype.commit
  const publish = Exposition.prototype.publish
  let begunAt: number | undefined
  let cpu = process.cpuUsage()
  let collectedAt = 0
  let renderedAt: number | undefined

  InstanceSeries.prototype.begin = function () {
    // The engine's own series begin too, after those of the pass.
    if ([...this.families].some(({ family }) => family.name === 'kafka_brokers')) {
      begunAt = now()
      cpu = process.cpuUsage()
    }
    return begin.call(this)
  }
  RunBatch.prototype.commit = async function (...args) {
    collectedAt = now()
    await commit.apply(this, args)
    renderedAt = now()
  }
  Exposition.prototype.publish = async function () {
    const from = renderedAt
    await publish.call(this)
    if (from === undefined || begunAt === undefined || renderedAt !== from) return
    const end = now()
    const { user, system } = process.cpuUsage(cpu)
    const times: PassTimes = {
      collect: collectedAt - begunAt,
      render: from - collectedAt,
      publish: end - from,
      total: end - begunAt,
      cpu: (user + system) / 1000,
    }
    begunAt = undefined
    renderedAt = undefined
    appendFileSync(file, `${JSON.stringify(times)}\n`)
  }
}
