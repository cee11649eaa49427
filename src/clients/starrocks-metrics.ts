import { backendAt, call } from './call.ts'
import { Agents } from './rest.ts'
import { undici } from './undici.ts'

export interface NodeSample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface NodeMetricsReader {
  /** The samples of these names at the URL of a node's metrics, in the text format of Prometheus. */
  read(url: string, names: ReadonlySet<string>, signal: AbortSignal): Promise<readonly NodeSample[]>
  close(): void
}

/** Reads what StarRocks' front ends and backends tell Prometheus; without credentials. */
export function connectNodeMetrics(): NodeMetricsReader {
  const agents = new Agents()
  return {
    read: (url, names, signal) =>
      call(
        { backend: backendAt('starrocks', url), request: 'GET /metrics', signal, release: () => {} },
        async () => {
          const { statusCode, body } = await undici().request(url, {
            dispatcher: agents.get(undefined),
            signal,
          })
          if (statusCode !== 200) {
            await body.dump()
            throw new Error(`status ${statusCode}`)
          }
          return samplesOf(await body.text(), names)
        },
      ),
    close: () => agents.close(),
  }
}

/** https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format; what is no number is left out. */
function samplesOf(text: string, names: ReadonlySet<string>): readonly NodeSample[] {
  return text.split('\n').flatMap((line) => {
    const [, name = '', labels = '', value = ''] = /^([\w:]+)(?:\{(.*)\})?\s+(\S+)/.exec(line) ?? []
    if (!names.has(name) || !Number.isFinite(Number(value))) return []
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
    return [
      {
        name,
        labels: Object.fromEntries(pairs.map(([, key = '', quoted = '']) => [key, unquoted(quoted)])),
        value: Number(value),
      },
    ]
  })
}

const unquoted = (text: string): string => text.replace(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char))
