import type { PrometheusApi } from '../testbed/parts/prometheus.ts'
import { filledIn } from './shipped.ts'

/** A variable of a dashboard of any age. */
export interface Variable {
  readonly name: string
  readonly type: string
  /** A text, or an object that has it as `query`. */
  readonly query?: unknown
  /** `/…(group)…/`: of what the query gives, the values that match, and of these the group. */
  readonly regex?: string
}

/** The values that Grafana would offer; `choices`: what is chosen of the variables before it, as in `filledIn`. */
export async function offered(
  { name, type, query, regex = '' }: Variable,
  prometheus: PrometheusApi,
  choices: Readonly<Record<string, string>>,
): Promise<string[]> {
  const text = filledIn(textOf(query), choices)
  if (type === 'custom' || type === 'interval') return text.split(',').map((value) => value.trim())
  if (type === 'constant' || type === 'textbox') return [text]
  if (type !== 'query') throw new Error(`${name}: a variable of type ${type}`)
  return filtered(await answersTo(text, prometheus), regex)
}

function textOf(query: unknown): string {
  if (typeof query === 'object' && query !== null && 'query' in query) return textOf(query.query)
  return typeof query === 'string' ? query : ''
}

/** What Grafana's functions for variables give; without one it is an expression. */
async function answersTo(text: string, { query, labelValues }: PrometheusApi): Promise<string[]> {
  const [, selector, label] = /^label_values\((?:(.+),)?\s*(\w+)\s*\)$/s.exec(text) ?? []
  if (label !== undefined) return await labelValues(label, selector)
  const [, pattern] = /^metrics\((.+)\)$/.exec(text) ?? []
  if (pattern !== undefined) {
    const names = await labelValues('__name__')
    return names.filter((name) => new RegExp(pattern).test(name))
  }
  const [, expression = text] = /^query_result\((.+)\)$/s.exec(text) ?? []
  return (await query(expression)).map(({ labels: { __name__ = '', ...labels }, value, timestamp }) => {
    const pairs = Object.entries(labels).map(([name, one]) => `${name}="${one}"`)
    return `${__name__}{${pairs.join(',')}} ${value} ${timestamp * 1000}`
  })
}

function filtered(values: readonly string[], regex: string): string[] {
  if (regex === '') return [...values]
  const [, pattern = regex, flags = ''] = /^\/(.*)\/(\w*)$/s.exec(regex) ?? []
  const found = values.flatMap((value) => {
    const match = new RegExp(pattern, flags.replace('g', '')).exec(value)
    return match ? [match[1] ?? match[0]] : []
  })
  return [...new Set(found)]
}

/** A value in a matcher with `=~`, as Grafana writes it where several may be chosen. */
export const asPattern = (value: string): string => value.replaceAll(/[\\^$*+?.()|[\]{}]/g, '\\\\$&')
