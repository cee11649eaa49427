import type { AnnotationQuery, Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard'
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus'
import { annotationsOf } from '../grafana/shipped.ts'
import { aligned, filledInForAll, stepOf } from './fill-in.ts'
import type { Prometheus, Series, TimeRange } from './prometheus.ts'

/** One line of a panel. */
export interface Line {
  readonly name: string
  /** `[seconds since the epoch, value]`, with undefined where a sample is missing between two others. */
  readonly points: readonly (readonly [number, number | undefined])[]
  /** Seconds from point to point. */
  readonly step: number
}

/** A row of a table, by the field's name before it is renamed. */
export type Row = Readonly<Record<string, string | number>>

export interface Asked {
  readonly prometheus: Prometheus
  readonly dashboard: Dashboard
  readonly range: TimeRange
}

/** The lines of all queries of a panel that is `width` pixels wide. An instant query gives one point. */
export async function linesOf({ targets = [] }: Panel, width: number, asked: Asked): Promise<Line[]> {
  const answers = await Promise.all((targets as Dataquery[]).map((query) => answerOf(query, width, asked)))
  return answers.flatMap(({ query, series, step }) =>
    series.map(({ labels, samples }) => ({
      name: legendOf(query, labels),
      points: withGaps(samples, step),
      step,
    })),
  )
}

/** Their values by label, those of several queries in one row where the labels are the same. */
export async function rowsOf({ targets = [] }: Panel, asked: Asked): Promise<Row[]> {
  const answers = await Promise.all((targets as Dataquery[]).map((query) => answerOf(query, 1, asked)))
  const rows = new Map<string, Row>()
  for (const { query, series } of answers) {
    const column = targets.length > 1 ? `Value #${query.refId}` : 'Value'
    for (const { labels, samples } of series) {
      const key = JSON.stringify(Object.entries(labels).toSorted())
      const value = samples.at(-1)?.[1]
      rows.set(key, { ...rows.get(key), ...labels, ...(value === undefined ? {} : { [column]: value }) })
    }
  }
  return [...rows.values()]
}

/** When something happened, or lasted. In seconds since the epoch. */
export interface Mark {
  readonly from: number
  readonly to: number
  readonly colour: string
}

/** All annotations that are switched on. */
export async function marksOf(asked: Asked): Promise<Mark[]> {
  const enabled = annotationsOf(asked.dashboard).filter(({ enable }) => enable)
  return (await Promise.all(enabled.map((annotation) => marksOfOne(annotation, asked)))).flat()
}

async function marksOfOne(annotation: AnnotationQuery, asked: Asked): Promise<Mark[]> {
  const { series, step } = await answerOf(annotation.target as unknown as Dataquery, ANNOTATION_POINTS, asked)
  const { from, to } = asked.range
  const marks = series.flatMap(({ samples }) =>
    annotation.useValueForTime
      ? [...new Set(samples.map(([, value]) => value / 1000))].map((at) => ({ from: at, to: at }))
      : stretches(samples, step),
  )
  return marks
    .filter((mark) => mark.to >= from && mark.from <= to)
    .map((mark) => ({ ...mark, colour: annotation.iconColor }))
}

/** Annotations are asked for with as many points as there are pixels in the widest panel. */
const ANNOTATION_POINTS = 1_300

function stretches(samples: Series['samples'], step: number): { from: number; to: number }[] {
  const found: { from: number; to: number }[] = []
  for (const [at, value] of samples) {
    if (value === 0) continue
    const last = found.at(-1)
    if (last && at - last.to <= step) last.to = at
    else found.push({ from: at, to: at })
  }
  return found
}

async function answerOf(query: Dataquery, width: number, { prometheus, dashboard, range }: Asked) {
  const { interval } = query
  const step = stepOf(range, width, interval)
  const expression = filledInForAll(query.expr, dashboard, { range, step, interval })
  const series = query.instant
    ? await prometheus.instant(expression, range.to)
    : await prometheus.range(expression, aligned(range, step), step)
  return { query, series, step }
}

function legendOf({ legendFormat = '', expr }: Dataquery, labels: Series['labels']): string {
  if (legendFormat !== '')
    return legendFormat.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '')
  const named = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  return named.length === 0 ? expr : `{${named.join(', ')}}`
}

function withGaps(samples: Series['samples'], step: number): Line['points'] {
  return samples.flatMap(([at, value], index) => {
    const before = samples[index - 1]
    const point = [at, value] as const
    return before && at - before[0] > step * 1.5 ? [[before[0] + step, undefined] as const, point] : [point]
  })
}
