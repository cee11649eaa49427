// Asks Prometheus as Grafana's data source does.

/** One series: its labels, and `[seconds since the epoch, value]` rising in time. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly samples: readonly (readonly [number, number])[]
}

/** Of a picture, in seconds since the epoch. */
export interface TimeRange {
  readonly from: number
  readonly to: number
}

export interface Prometheus {
  /** The values at a moment, one sample a series. */
  instant(expression: string, at: number): Promise<Series[]>
  /** A sample each `step` seconds, where there is one. */
  range(expression: string, range: TimeRange, step: number): Promise<Series[]>
}

type Sample = readonly [number, string]

interface Answer {
  readonly status: string
  readonly error?: string
  readonly data: {
    readonly resultType: string
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>
      readonly value?: Sample
      readonly values?: readonly Sample[]
    }[]
  }
}

/** Its calls reject with Prometheus's own message, or with why there is no answer. */
export function prometheusAt(address: string): Prometheus {
  const ask = async (path: string, parameters: Readonly<Record<string, string>>): Promise<Series[]> => {
    const response = await fetch(new URL(`${address.replace(/\/*$/, '')}${path}`), {
      method: 'POST',
      body: new URLSearchParams(parameters),
      signal: AbortSignal.timeout(60_000),
    }).catch((error: Error) => {
      const { cause } = error
      const reason = cause instanceof Error && cause.message !== '' ? cause.message : error.message
      throw new Error(`no Prometheus answers at ${address}: ${reason}`, { cause: error })
    })
    const answer = (await response.json().catch(() => ({}))) as Partial<Answer>
    if (answer.status === 'error') throw new Error(answer.error)
    if (answer.status !== 'success' || !answer.data)
      throw new Error(`${address} is no Prometheus: it answers ${response.status}`)
    return answer.data.result.map(({ metric, value, values }) => ({
      labels: metric,
      samples: (values ?? (value ? [value] : [])).map(([at, text]) => [at, sampleValue(text)] as const),
    }))
  }
  return {
    instant: (query, at) => ask('/api/v1/query', { query, time: String(at) }),
    range: (query, { from, to }, step) =>
      ask('/api/v1/query_range', { query, start: String(from), end: String(to), step: String(step) }),
  }
}

/** Prometheus writes `+Inf` where JavaScript reads `Infinity`. */
function sampleValue(text: string): number {
  return Number(text.replace('Inf', 'Infinity'))
}
