// Charts as SVG, drawn by ECharts without a browser.

import * as echarts from 'echarts'
import { colourByName, colourOf, type Field, limitsOf, shown } from './display.ts'
import type { Line, Mark } from './frames.ts'
import type { TimeRange } from './prometheus.ts'
import { FONT, textWidth } from './text-width.ts'

echarts.setPlatformAPI({
  measureText: (text, font) => ({ width: textWidth(text, Number(/([\d.]+)px/.exec(font ?? '')?.[1] ?? 12)) }),
})

export interface Size {
  readonly width: number
  readonly height: number
}

const GRID = 'rgba(204, 204, 220, 0.10)'
const LABEL = { color: 'rgba(204, 204, 220, 0.75)', fontSize: 12, fontFamily: FONT }

function svgOf(size: Size, option: echarts.EChartsOption): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, ...size })
  try {
    chart.setOption({ animation: false, useUTC: true, textStyle: { fontFamily: FONT }, ...option })
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}

const timeAxis = ({ from, to }: TimeRange): echarts.XAXisComponentOption => ({
  type: 'time',
  min: from * 1000,
  max: to * 1000,
  axisLine: { show: false },
  axisTick: { show: false },
  axisLabel: { ...LABEL, hideOverlap: true, formatter: '{HH}:{mm}' },
  splitLine: { show: true, lineStyle: { color: GRID } },
})

const PLOT = {
  left: 4,
  right: 14,
  top: 10,
  bottom: 6,
  outerBoundsMode: 'same',
  outerBoundsContain: 'axisLabel',
}

/** Lines over time, with the thresholds that the field draws, and marks. */
export function graphOf(
  size: Size,
  range: TimeRange,
  lines: readonly Line[],
  fields: ReadonlyMap<string, Field>,
  all: Field,
  marks: readonly Mark[],
): string {
  const { custom = {}, unit = 'none', min, max } = all
  const limits = custom.thresholdsStyle?.mode === 'dashed' ? limitsOf(all) : []
  return svgOf(size, {
    grid: PLOT as echarts.GridComponentOption,
    xAxis: timeAxis(range),
    yAxis: {
      type: 'value',
      min: ({ min: least }) => min ?? Math.min(custom.axisSoftMin ?? least, least),
      ...(max === undefined ? {} : { max }),
      splitNumber: Math.max(2, Math.floor(size.height / 45)),
      ...(unit === 'bytes' ? binaryTicks(lines, custom.stacking?.mode === 'normal', size) : {}),
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { ...LABEL, formatter: (value: number) => withoutZeros(shown(all, value).text) },
      splitLine: { lineStyle: { color: GRID } },
    },
    series: [
      ...lines.map((line): echarts.LineSeriesOption => {
        const colour = lineColour(fields.get(line.name) ?? all, line.name)
        const dense = line.points.length > size.width / 10
        const isLone = (index: number) =>
          line.points[index - 1]?.[1] === undefined && line.points[index + 1]?.[1] === undefined
        return {
          type: 'line',
          data: line.points.map(([at, value]) => [at * 1000, value ?? '-']),
          symbol: 'circle',
          showAllSymbol: true,
          symbolSize: (_, { dataIndex }) => (!dense || isLone(dataIndex) ? 5 : 0),
          itemStyle: { color: colour },
          lineStyle: { width: custom.lineWidth ?? 1, color: colour },
          areaStyle: { opacity: (custom.fillOpacity ?? 0) / 100, color: colour },
          ...(custom.stacking?.mode === 'normal' ? { stack: custom.stacking.group ?? 'A' } : {}),
        }
      }),
      {
        type: 'line',
        data: [],
        silent: true,
        markLine: {
          symbol: 'none',
          label: { show: false },
          data: [
            ...limits.map(({ value, colour }) => ({
              yAxis: value,
              lineStyle: { color: colour, type: 'dashed' as const, width: 1 },
            })),
            ...marks.map(({ from, colour }) => ({
              xAxis: Math.max(from, range.from) * 1000,
              lineStyle: { color: colourOf(colour), type: [4, 4], width: 1, opacity: 0.8 },
            })),
          ],
        },
        markArea: {
          data: marks
            .filter(({ from, to }) => to > from)
            .map(({ from, to, colour }) => [
              {
                xAxis: Math.max(from, range.from) * 1000,
                itemStyle: { color: colourOf(colour), opacity: 0.08 },
              },
              { xAxis: Math.min(to, range.to) * 1000 },
            ]),
        },
      },
    ],
  })
}

/** What a line is drawn in, and its legend. */
export function lineColour({ color }: Field, name: string): string {
  return color?.mode === 'fixed' && color.fixedColor !== undefined
    ? colourOf(color.fixedColor)
    : colourByName(name)
}

/** `0.500 c/s` → `0.5 c/s` */
function withoutZeros(text: string): string {
  return text.replace(/(\d\.\d*?)0+(?!\d)/, '$1').replace(/\.(?!\d)/, '')
}

/** Bytes are told in powers of two: so are their ticks. */
function binaryTicks(lines: readonly Line[], stacked: boolean, { height }: Size) {
  const tops = lines.map(({ points }) => Math.max(0, ...points.map(([, value]) => value ?? 0)))
  const top = stacked ? tops.reduce((sum, each) => sum + each, 0) : Math.max(0, ...tops)
  if (top === 0) return {}
  const interval = 2 ** Math.ceil(Math.log2(top / Math.max(2, Math.floor(height / 45))))
  return { interval, max: Math.ceil(top / interval) * interval }
}

/** A line without axes, from its least to its greatest value. */
export function sparkOf(size: Size, range: TimeRange, { points }: Line, colour: string): string {
  return svgOf(size, {
    grid: { left: 0, right: 0, top: 2, bottom: 0 },
    xAxis: { type: 'time', min: range.from * 1000, max: range.to * 1000, show: false },
    yAxis: { type: 'value', show: false, min: ({ min }) => Math.min(0, min) },
    series: [
      {
        type: 'line',
        data: points.map(([at, value]) => [at * 1000, value ?? '-']),
        showSymbol: false,
        lineStyle: { width: 1, color: colour },
        areaStyle: { color: colour, opacity: 0.2 },
      },
    ],
  })
}

/** A row for each line, coloured by state from each sample to the next. */
export function timelineOf(
  size: Size,
  range: TimeRange,
  lines: readonly Line[],
  all: Field,
  rowHeight: number,
): string {
  const stretches = lines.flatMap(({ points, step }, row) => stretchesOf(points, step, row, all))
  return svgOf(size, {
    grid: PLOT as echarts.GridComponentOption,
    xAxis: timeAxis(range),
    yAxis: {
      type: 'category',
      inverse: true,
      data: lines.map(({ name }) => name),
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { ...LABEL, interval: 0 },
    },
    series: [
      {
        type: 'custom',
        clip: true,
        encode: { x: [1, 2], y: 0 },
        data: stretches.map(({ row, from, to }) => [row, from * 1000, to * 1000]),
        renderItem({ dataIndex }, api) {
          const stretch = stretches[dataIndex]
          const [x = 0, y = 0] = api.coord([api.value(1), api.value(0)])
          const [end = 0] = api.coord([api.value(2), api.value(0)])
          const [, band = 0] = (api.size?.([0, 1]) ?? []) as number[]
          const height = band * rowHeight
          return {
            type: 'rect',
            shape: { x, y: y - height / 2, width: end - x, height },
            style: { fill: stretch?.colour ?? 'none', opacity: (all.custom?.fillOpacity ?? 70) / 100 },
          }
        },
      },
    ],
  })
}

function stretchesOf(points: Line['points'], step: number, row: number, field: Field) {
  const found: { row: number; from: number; to: number; colour: string }[] = []
  for (const [index, [at, value]] of points.entries()) {
    if (value === undefined) continue
    const { colour } = shown(field, value)
    const to = points[index + 1]?.[0] ?? at + step
    const last = found.at(-1)
    if (last && last.to === at && last.colour === colour) last.to = to
    else found.push({ row, from: at, to, colour })
  }
  return found
}

/** Parts of a whole. */
export function pieOf(
  size: Size,
  parts: readonly { readonly name: string; readonly value: number; readonly colour: string }[],
  donut: boolean,
): string {
  return svgOf(size, {
    series: [
      {
        type: 'pie',
        radius: donut ? ['58%', '92%'] : '92%',
        label: { show: false },
        data: parts.map(({ name, value, colour }) => ({ name, value, itemStyle: { color: colour } })),
      },
    ],
  })
}
