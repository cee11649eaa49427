import type { Pm2Measure } from '../../clients/pm2.ts'

/** The base unit of each unit that metrics of PM2 and of applications have, and its size in it. */
const UNITS: ReadonlyMap<string, readonly [base: string, size: number]> = new Map([
  ['ns', ['seconds', 1e-9]],
  ['us', ['seconds', 1e-6]],
  ['µs', ['seconds', 1e-6]],
  ['ms', ['seconds', 1e-3]],
  ['s', ['seconds', 1]],
  ['sec', ['seconds', 1]],
  ['min', ['seconds', 60]],
  ['h', ['seconds', 3600]],
  ['B', ['bytes', 1]],
  ['kB', ['bytes', 1e3]],
  ['MB', ['bytes', 1e6]],
  ['GB', ['bytes', 1e9]],
  ['KiB', ['bytes', 2 ** 10]],
  ['MiB', ['bytes', 2 ** 20]],
  ['GiB', ['bytes', 2 ** 30]],
  ['%', ['ratio', 0.01]],
])

/** The number in a base unit: `seconds`, `bytes`, `ratio`; undefined where its own unit is another or none. */
export function inBaseUnit({ value, unit }: Pm2Measure, base: string): number | undefined {
  if (unit === base) return value
  const [own, size = 1] = UNITS.get(unit) ?? []
  return own === base ? value * size : undefined
}
