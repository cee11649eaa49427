// What stands in a panel, by its type, as HTML.

import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard'
import { graphOf, lineColour, pieOf, type Size, sparkOf, timelineOf } from './charts.ts'
import { colourOf, type Field, fieldOf, shown } from './display.ts'
import { type Asked, type Line, linesOf, type Mark, type Row, rowsOf } from './frames.ts'
import { textWidth } from './text-width.ts'

type Draw = (panel: Panel, size: Size, asked: Asked, marks: readonly Mark[]) => Promise<string>

const DRAWN_BY_TYPE: Readonly<Record<string, Draw>> = {
  stat: drawStat,
  timeseries: drawGraph,
  'state-timeline': drawTimeline,
  piechart: drawPie,
  table: drawTable,
  logs: () => Promise.resolve(message('lines of logs: the preview does not ask Loki')),
}

/** Rejects for a panel of a type that is not known here, and where Prometheus refuses a query. */
export function drawPanel(panel: Panel, size: Size, asked: Asked, marks: readonly Mark[]): Promise<string> {
  const draw = DRAWN_BY_TYPE[panel.type]
  if (!draw) throw new Error(`the preview does not draw panels of type ${panel.type}`)
  return draw(panel, size, asked, marks)
}

export function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

function message(text: string): string {
  return `<p class="empty">${escaped(text)}</p>`
}

const emptyOf = (panel: Panel): string => message(panel.fieldConfig?.defaults.noValue ?? 'No data')

/** The last value that there is. */
const lastOf = ({ points }: Line): number | undefined =>
  points.findLast(([, value]) => value !== undefined)?.[1]

async function drawStat(panel: Panel, size: Size, asked: Asked): Promise<string> {
  const lines = await linesOf(panel, size.width, asked)
  const { textMode, graphMode, colorMode } = panel.options
  const values: (Line | undefined)[] = lines.length === 0 ? [undefined] : lines
  const wide = size.width > size.height * 1.5
  const cell: Size = {
    width: wide ? size.width / values.length : size.width,
    height: wide ? size.height : size.height / values.length,
  }
  const cells = values.map((line) => {
    const name = line?.name ?? ''
    const value = shown(fieldOf(panel, name), line && lastOf(line))
    const { text, colour } = line && textMode === 'name' ? { ...value, text: name } : value
    const named = textMode === 'value_and_name' && name !== ''
    const spark = line && graphMode === 'area' && line.points.length > 1
    const height = cell.height * (spark ? 0.6 : 0.9) - (named ? NAME_HEIGHT : 0)
    const fits = Math.min(height / 1.2, ((cell.width - 8) / textWidth(text, 1)) * 0.95, 64)
    const style = `font-size:${Math.floor(fits)}px;color:${colorMode === 'none' ? colourOf('text') : colour}`
    return `<div class="stat">
      ${named ? `<div class="name">${escaped(name)}</div>` : ''}
      <div class="value" style="${style}">${escaped(text)}</div>
      ${spark ? sparkOf({ width: cell.width - 4, height: cell.height * 0.38 }, asked.range, line, colour) : ''}
    </div>`
  })
  return `<div class="stats" style="flex-direction:${wide ? 'row' : 'column'}">${cells.join('')}</div>`
}

const NAME_HEIGHT = 20

async function drawGraph(panel: Panel, size: Size, asked: Asked, marks: readonly Mark[]): Promise<string> {
  const lines = await linesOf(panel, size.width, asked)
  if (lines.length === 0) return emptyOf(panel)
  const fields = new Map(lines.map(({ name }) => [name, fieldOf(panel, name)]))
  const all = fieldOf(panel, '')
  const legend = legendOf(
    lines.map(({ name }) => ({ name, colour: lineColour(fields.get(name) ?? all, name) })),
    size,
  )
  return graphOf(legend.left, asked.range, lines, fields, all, marks) + legend.html
}

async function drawTimeline(panel: Panel, size: Size, asked: Asked): Promise<string> {
  const all = await linesOf(panel, size.width, asked)
  if (all.length === 0) return emptyOf(panel)
  const lines = all.slice(0, panel.options.perPage ?? all.length)
  const field = fieldOf(panel, '')
  const states = new Map<string, string>()
  for (const { points } of lines) {
    for (const [, value] of points) {
      if (value === undefined) continue
      const { text, colour } = shown(field, value)
      states.set(text, colour)
    }
  }
  const legend = legendOf(
    [...states].map(([name, colour]) => ({ name, colour })),
    size,
  )
  return timelineOf(legend.left, asked.range, lines, field, panel.options.rowHeight ?? 0.9) + legend.html
}

const LEGEND_LINE = 22

/** A list below the chart, of at most 35 % of the height as in Grafana, and what it leaves for the chart. */
function legendOf(entries: readonly { readonly name: string; readonly colour: string }[], size: Size) {
  let lines = 1
  let used = 0
  for (const { name } of entries) {
    const width = textWidth(name, 12) + 34
    if (used > 0 && used + width > size.width) {
      lines++
      used = 0
    }
    used += width
  }
  const most = Math.max(1, Math.floor((size.height * 0.35) / LEGEND_LINE))
  const height = Math.min(lines, most) * LEGEND_LINE
  const items = entries.map(
    ({ name, colour }) => `<li><i style="background:${colour}"></i><span>${escaped(name)}</span></li>`,
  )
  return {
    left: { width: size.width, height: size.height - height },
    html: `<ul class="legend" style="height:${height}px">${items.join('')}</ul>`,
  }
}

async function drawPie(panel: Panel, size: Size, asked: Asked): Promise<string> {
  const lines = await linesOf(panel, size.width, asked)
  if (lines.length === 0) return emptyOf(panel)
  const { pieType, legend: { showLegend = false, placement = 'bottom', values = [] } = {} } = panel.options
  const parts = lines.map((line) => {
    const field = fieldOf(panel, line.name)
    const value = lastOf(line) ?? 0
    return { name: line.name, value, text: shown(field, value).text, colour: lineColour(field, line.name) }
  })
  if (!showLegend) return pieOf(size, parts, pieType === 'donut')
  const named = parts.map(({ name, text, colour }) => ({
    name: values.includes('value') ? `${name}  ${text}` : name,
    colour,
  }))
  if (placement !== 'bottom') throw new Error(`the preview draws no legend at the ${placement}`)
  const legend = legendOf(named, size)
  return pieOf(legend.left, parts, pieType === 'donut') + legend.html
}

const LINE = 36
const NARROWEST_COLUMN = 150

async function drawTable(panel: Panel, size: Size, asked: Asked): Promise<string> {
  const rows = await rowsOf(panel, asked)
  if (rows.length === 0) return emptyOf(panel)
  const {
    renameByName = {},
    indexByName = {},
    excludeByName = {},
  } = panel.transformations?.find(({ id }) => id === 'organize')?.options ?? {}
  const columns = Object.keys(indexByName)
    .filter((key) => !excludeByName[key])
    .toSorted((a, b) => indexByName[a] - indexByName[b])
    .map((key) => ({ key, field: fieldOf(panel, renameByName[key] ?? key) }))
  const [sort] = panel.options.sortBy ?? []
  const by = columns.find(({ field }) => field.name === sort?.displayName)
  const sorted = by ? rows.toSorted((a, b) => compared(a, b, by.key) * (sort.desc ? -1 : 1)) : rows
  const fitting = sorted.slice(0, Math.ceil(size.height / LINE))
  const head = columns.map(
    ({ key, field }) => `<th class="${sideOf(rows, key)}"><span>${escaped(field.name)}</span></th>`,
  )
  const body = fitting.map((row) => {
    const cells = columns.map(({ key, field }) => cellOf(field, row[key], sideOf(rows, key)))
    return `<tr>${cells.join('')}</tr>`
  })
  const widths = columnWidths(
    columns.map(({ field }) => field),
    size.width,
  )
  return `<table style="width:${widths.reduce((sum, width) => sum + width, 0)}px">
    <colgroup>${widths.map((width) => `<col style="width:${width}px">`).join('')}</colgroup>
    <tr>${head.join('')}</tr>${body.join('')}
  </table>`
}

function cellOf(field: Field, value: string | number | undefined, side: string): string {
  const { text, colour } = shown(field, value)
  const coloured = field.custom?.cellOptions?.type === 'color-text'
  const links = (field.links ?? []).length > 0
  return `<td class="${side}${links ? ' link' : ''}"${coloured ? ` style="color:${colour}"` : ''}><span>${escaped(text)}</span></td>`
}

/** Numbers stand at the right. */
function sideOf(rows: readonly Row[], key: string): 'left' | 'right' {
  return rows.some((row) => typeof row[key] === 'number') ? 'right' : 'left'
}

function compared(a: Row, b: Row, key: string): number {
  const [left, right] = [a[key] ?? Number.NEGATIVE_INFINITY, b[key] ?? Number.NEGATIVE_INFINITY]
  return typeof left === 'string' ? left.localeCompare(String(right)) : left - Number(right)
}

/** Those that say no width share what is left, and are as wide at least as Grafana lets them be. */
function columnWidths(fields: readonly Field[], width: number): number[] {
  const fixed = fields.map(({ custom }) => custom?.width as number | undefined)
  const left = width - fixed.reduce((sum: number, each) => sum + (each ?? 0), 0)
  const share = left / fixed.filter((each) => each === undefined).length
  return fields.map(({ custom }, index) =>
    Math.floor(fixed[index] ?? Math.max(share, custom?.minWidth ?? NARROWEST_COLUMN)),
  )
}
