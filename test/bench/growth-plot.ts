import type { GrowthStep } from './growth.ts'
import { exponent } from './statistics.ts'

const WIDTH = 720
const HEIGHT = 420
const LEFT = 70
const RIGHT = 190
const TOP = 50
const BOTTOM = 60

interface Line {
  readonly label: string
  readonly color: string
  readonly value: (step: GrowthStep) => number
}

const MIB = 1024 ** 2

export const growthLines: readonly Line[] = [
  { label: 'wall, ms', color: '#1f6feb', value: ({ wallMs }) => wallMs },
  { label: 'CPU, ms', color: '#bf5700', value: ({ cpuMs }) => cpuMs },
  { label: 'RSS, MiB', color: '#2da44e', value: ({ residentBytes }) => residentBytes / MIB },
]

/** Both axes logarithmic: a straight line that rises one decade a decade, like the dashed one, is linear. */
export function growthPlot(steps: readonly GrowthStep[], machine: string): string {
  const xs = steps.map(({ series }) => series)
  const ys = growthLines.flatMap(({ value }) => steps.map(value))
  const x = scale(Math.min(...xs), Math.max(...xs), LEFT, WIDTH - RIGHT)
  const y = scale(
    10 ** Math.floor(Math.log10(Math.min(...ys))),
    decadeAbove(Math.max(...ys)),
    HEIGHT - BOTTOM,
    TOP,
  )
  const parts: string[] = []
  for (const { at, decade } of decades(y.from, y.to)) {
    const place = y.of(at)
    parts.push(rule(LEFT, place, WIDTH - RIGHT, place), text(LEFT - 8, place + 4, decade, 'end'))
  }
  for (const { series } of steps) {
    const place = x.of(series)
    parts.push(
      rule(place, TOP, place, HEIGHT - BOTTOM),
      text(place, HEIGHT - BOTTOM + 20, thousands(series), 'middle'),
    )
  }
  parts.push(linearGuide(steps, x, y))
  const ends = growthLines.map((line) => ({
    line,
    place: y.of(line.value(steps.at(-1) ?? (steps[0] as GrowthStep))),
  }))
  const labelAt = spread(ends.map(({ place }) => place))
  for (const [i, { line }] of ends.entries()) {
    const points = steps.map((step) => `${fixed(x.of(step.series))},${fixed(y.of(line.value(step)))}`)
    parts.push(`<polyline points="${points.join(' ')}" fill="none" stroke="${line.color}" stroke-width="2"/>`)
    for (const point of points) {
      const [cx, cy] = point.split(',')
      parts.push(`<circle cx="${cx}" cy="${cy}" r="3" fill="${line.color}"/>`)
    }
    const power = exponent(steps.map((step) => [step.series, line.value(step)] as const)).toFixed(2)
    parts.push(
      text(WIDTH - RIGHT + 10, (labelAt[i] ?? 0) + 4, `${line.label} (n^${power})`, 'start', line.color),
    )
  }
  parts.push(text(LEFT, 26, `A pass by number of series, both axes logarithmic. ${machine}`, 'start'))
  parts.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, 'series', 'middle'))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<title>A pass by number of series</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`
}

interface Scale {
  readonly from: number
  readonly to: number
  of(value: number): number
}

function scale(from: number, to: number, start: number, end: number): Scale {
  const low = Math.log(from)
  const width = Math.log(to) - low
  return { from, to, of: (value) => start + ((Math.log(value) - low) / width) * (end - start) }
}

const decadeAbove = (value: number): number => 10 ** Math.ceil(Math.log10(value))

function decades(from: number, to: number): { at: number; decade: string }[] {
  const result: { at: number; decade: string }[] = []
  for (let at = from; at <= to * 1.001; at *= 10)
    result.push({ at, decade: String(Number(at.toPrecision(1))) })
  return result
}

/** From the first point of the first line, as it would go on if it were linear. */
function linearGuide(steps: readonly GrowthStep[], x: Scale, y: Scale): string {
  const [first] = steps
  const [line] = growthLines
  if (!first || !line) return ''
  const start = line.value(first)
  const reach = Math.min(y.to / start, x.to / x.from)
  return `<line x1="${fixed(x.of(first.series))}" y1="${fixed(y.of(start))}" x2="${fixed(x.of(first.series * reach))}" y2="${fixed(y.of(start * reach))}" stroke="#8c959f" stroke-dasharray="4 4"/>`
}

/** Moves labels apart that would lie on one another. */
function spread(places: readonly number[]): number[] {
  const result = [...places]
  const order = places.map((_, i) => i).sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0))
  let last = Number.NEGATIVE_INFINITY
  for (const i of order) {
    last = Math.max(result[i] ?? 0, last + 16)
    result[i] = last
  }
  return result
}

const rule = (x1: number, y1: number, x2: number, y2: number): string =>
  `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" stroke="#eaeef2"/>`

const text = (x: number, y: number, content: string, anchor: string, color = '#24292f'): string =>
  `<text x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}" fill="${color}">${content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`

const fixed = (value: number): string => value.toFixed(1)

const thousands = (value: number): string => value.toLocaleString('en')
