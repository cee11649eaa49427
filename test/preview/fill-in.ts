import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { variablesOf } from '../grafana/shipped.ts'
import type { TimeRange } from './prometheus.ts'

/** As `timeInterval` in grafana/provisioning/datasources/cdc.yaml, in seconds. */
const SCRAPED_EVERY = 15

/** What Grafana takes for steps, in seconds. */
const STEPS = [
  1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
]

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** `5m` → 300; undefined for what is no such duration. */
export function secondsOf(duration: string): number | undefined {
  const [, amount = '', unit = ''] = /^(\d+)([smhd])$/.exec(duration) ?? []
  const seconds = SECONDS[unit]
  return seconds === undefined ? undefined : Number(amount) * seconds
}

/** Seconds between two samples of a panel that is `points` pixels wide; `interval` is the least that its query wants. */
export function stepOf({ from, to }: TimeRange, points: number, interval: string | undefined): number {
  const wanted = (to - from) / points
  const rounded = STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted)
  return Math.max(rounded, leastStep(interval))
}

function leastStep(interval: string | undefined): number {
  return secondsOf(interval ?? '') ?? SCRAPED_EVERY
}

/** Where Grafana lets a range begin and end: at multiples of the step. */
export function aligned({ from, to }: TimeRange, step: number): TimeRange {
  return { from: Math.floor(from / step) * step, to: Math.floor(to / step) * step }
}

interface Filling {
  readonly range: TimeRange
  readonly step: number
  readonly interval: string | undefined
}

/** The expression that Grafana would send while every variable is *All*. Throws for a variable that it cannot fill in. */
export function filledInForAll(
  expression: string,
  dashboard: Dashboard,
  { range, step, interval }: Filling,
): string {
  const scraped = leastStep(interval)
  const builtIn: Readonly<Record<string, string>> = {
    __interval: `${step}s`,
    __rate_interval: `${Math.max(step + scraped, 4 * scraped)}s`,
    __range: `${Math.round(range.to - range.from)}s`,
  }
  return expression.replaceAll(/\$(?:(\w+)|\{(\w+)(?::\w+)?\})/g, (_, plain?: string, braced?: string) => {
    const name = plain ?? braced ?? ''
    const variable = variablesOf(dashboard).find((each) => each.name === name)
    const value = builtIn[name] ?? variable?.allValue
    if (value === undefined) throw new Error(`the variable ${name} has no value for all`)
    return value
  })
}
