import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { reservePort } from '../ports.ts'
import { TestbedProcess } from '../process.ts'
import { dataFolder, type ProcessPart, startProcessPart } from '../process-part.ts'

export interface PrometheusOptions {
  /** Existing folder for its configuration and data; a temporary one where absent. */
  readonly folder?: string
  /** prometheus.yml as an object: `scrape_configs`, `rule_files` (absolute), `alerting`, … */
  readonly config: Readonly<Record<string, unknown>>
}

/** One element of an instant vector. */
interface PrometheusSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  /** Seconds since the epoch. */
  readonly timestamp: number
}

interface PrometheusTarget {
  readonly labels: Readonly<Record<string, string>>
  readonly scrapeUrl: string
  readonly health: 'up' | 'down' | 'unknown'
  /** Empty where the last scrape went well. */
  readonly lastError: string
}

/** What a Prometheus is asked over HTTP. */
export interface PrometheusApi {
  readonly url: string
  /** An instant query, now; a scalar is one sample. Rejects with Prometheus's own message, and where the answer is another. */
  query(expression: string): Promise<PrometheusSample[]>
  /** The values that a label has, in the series that match a selector or in all. */
  labelValues(label: string, selector?: string): Promise<string[]>
}

export interface PrometheusPart extends ProcessPart, PrometheusApi {
  /** The active targets. */
  targets(): Promise<PrometheusTarget[]>
}

/** Debian's Prometheus on loopback. */
export async function startPrometheus({ folder, config }: PrometheusOptions): Promise<PrometheusPart> {
  const data = dataFolder('prometheus', folder)
  const url = `http://127.0.0.1:${await reservePort()}`
  const configFile = join(data.path, 'prometheus.yml')
  writeFileSync(configFile, stringify(config))
  const process = new TestbedProcess({
    name: 'prometheus',
    command: 'prometheus',
    args: [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(data.path, 'data')}`,
      `--web.listen-address=${new URL(url).host}`,
    ],
    logFile: join(data.path, 'prometheus.log'),
    ready: async (signal) => (await fetch(`${url}/-/ready`, { signal })).ok,
  })
  const part = await startProcessPart(process, data)
  return {
    ...part,
    ...prometheusApi(url),
    async targets() {
      const { activeTargets } = await get<{ activeTargets: PrometheusTarget[] }>(
        `${url}/api/v1/targets?state=active`,
      )
      return activeTargets.map(({ labels, scrapeUrl, health, lastError }) => ({
        labels,
        scrapeUrl,
        health,
        lastError,
      }))
    },
  }
}

/** Of a Prometheus that runs. */
export function prometheusApi(url: string): PrometheusApi {
  return {
    url,
    async query(expression) {
      const { resultType, result } = await get<VectorAnswer | ScalarAnswer>(
        `${url}/api/v1/query?query=${encodeURIComponent(expression)}`,
      )
      if (resultType === 'scalar') return [sampleOf({}, result)]
      if (resultType !== 'vector')
        throw new Error(`prometheus: ${expression} is a ${resultType}, not a vector`)
      return result.map(({ metric, value }) => sampleOf(metric, value))
    },
    async labelValues(label, selector) {
      const match = selector === undefined ? '' : `?match[]=${encodeURIComponent(selector)}`
      return await get<string[]>(`${url}/api/v1/label/${label}/values${match}`)
    },
  }
}

type Value = readonly [timestamp: number, value: string]

interface VectorAnswer {
  readonly resultType: 'vector'
  readonly result: readonly {
    readonly metric: Readonly<Record<string, string>>
    readonly value: Value
  }[]
}

interface ScalarAnswer {
  readonly resultType: 'scalar'
  readonly result: Value
}

const sampleOf = (labels: Readonly<Record<string, string>>, [timestamp, value]: Value): PrometheusSample => ({
  labels,
  value: sampleValue(value),
  timestamp,
})

async function get<Data>(address: string): Promise<Data> {
  const response = await fetch(address, { signal: AbortSignal.timeout(60_000) })
  const answer = (await response.json()) as { status: string; error?: string; data: Data }
  if (answer.status !== 'success') throw new Error(`prometheus: ${answer.error}`)
  return answer.data
}

/** Prometheus writes `+Inf` where JavaScript reads `Infinity`. */
function sampleValue(text: string): number {
  return Number(text.replace('Inf', 'Infinity'))
}
