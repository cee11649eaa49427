// Numbers as Grafana writes them, with three significant digits where the field says no more of it.

type Format = (value: number, decimals?: number) => string

/** `[factor, unit]`, rising: a value is written in the last unit whose factor it reaches. */
type Scale = readonly (readonly [number, string])[]

const powers = (base: number, units: readonly string[], from = 0): Scale =>
  units.map((unit, index) => [base ** (index + from), unit])

const COUNTS = powers(1000, ['', 'K', 'M', 'B', 'T'])

const FORMATS: Readonly<Record<string, Format>> = {
  none: digits,
  short: scaled(powers(1000, ['', ' K', ' Mil', ' Bil', ' Tri'])),
  percentunit: (value, decimals) => `${digits(value * 100, decimals)}%`,
  bytes: scaled(powers(1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB'])),
  Bps: scaled(powers(1000, [' B/s', ' kB/s', ' MB/s', ' GB/s'])),
  ops: counted('ops/s'),
  cps: counted('c/s'),
  cpm: counted('c/m'),
  reqps: counted('req/s'),
  s: (value, decimals) => {
    const text = scaled([
      ...powers(1000, [' ns', ' µs', ' ms', ' s'], -3),
      [60, ' mins'],
      [3_600, ' hours'],
      [86_400, ' days'],
      [604_800, ' weeks'],
      [31_536_000, ' years'],
    ])(value, decimals)
    return value === 0 ? '0 s' : text.replace(/^(-?1 (?:min|hour|day|week|year))s$/, '$1')
  },
  dateTimeFromNow: (value) => ago((Date.now() - value) / 1000),
}

/** Writes a number in a unit of Grafana's. Throws for a unit that is not known here. */
export function written(value: number, unit: string, decimals?: number): string {
  const format = FORMATS[unit]
  if (!format) throw new Error(`the preview does not know the unit ${unit}`)
  return Number.isFinite(value) ? format(value, decimals) : String(value)
}

function digits(value: number, decimals?: number): string {
  return value.toFixed(decimals ?? decimalsOf(value))
}

function decimalsOf(value: number): number {
  if (Number.isInteger(value)) return 0
  return Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))))
}

function scaled(scale: Scale): Format {
  return (value, decimals) => {
    const [smallest = [1, ''] as const] = scale
    const [factor, unit] = scale.findLast(([least]) => Math.abs(value) >= least) ?? smallest
    return `${digits(value / factor, decimals)}${unit}`
  }
}

function counted(unit: string): Format {
  const count = scaled(COUNTS)
  return (value, decimals) => `${count(value, decimals)} ${unit}`
}

/** How long ago, roughly. */
function ago(seconds: number): string {
  const steps = [
    [45, 'a few seconds'],
    [90, 'a minute'],
    [45 * 60, `${Math.round(seconds / 60)} minutes`],
    [90 * 60, 'an hour'],
    [22 * 3_600, `${Math.round(seconds / 3_600)} hours`],
    [36 * 3_600, 'a day'],
    [Number.POSITIVE_INFINITY, `${Math.round(seconds / 86_400)} days`],
  ] as const
  const [, text] = steps.find(([below]) => Math.abs(seconds) < below) ?? steps[0]
  return seconds < 0 ? `in ${text}` : `${text} ago`
}
