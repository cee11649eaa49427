import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import {
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TableCellDisplayMode,
  TableSortByFieldStateBuilder,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  type Panel as BuiltPanel,
  DashboardLinkBuilder,
  type DataTransformerConfig,
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  type GridPos,
  MappingType,
  SpecialValueMatch,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as LogsBuilder } from '@grafana/grafana-foundation-sdk/logs'
import { DataqueryBuilder as LokiQueryBuilder } from '@grafana/grafana-foundation-sdk/loki'
import {
  PanelBuilder as PieBuilder,
  PieChartLegendOptionsBuilder,
  PieChartLegendValues,
  PieChartType,
} from '@grafana/grafana-foundation-sdk/piechart'
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TimelineBuilder } from '@grafana/grafana-foundation-sdk/statetimeline'
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import { COLOUR, NEUTRAL, type States, type Steps } from './meaning.ts'
import { LOKI, PROMETHEUS } from './variables.ts'

/** A panel of a size, in columns of 24 and rows of 30 pixels; where it stands and its id come with the dashboard. */
export interface Panel {
  readonly width: number
  readonly height: number
  at(id: number, x: number, y: number): Builder<BuiltPanel>
}

interface Placeable extends Builder<BuiltPanel> {
  id(id: number): unknown
  gridPos(position: GridPos): unknown
}

function sized(width: number, height: number, panel: Placeable): Panel {
  return {
    width,
    height,
    at(id, x, y) {
      panel.id(id)
      panel.gridPos({ x, y, w: width, h: height })
      return panel
    },
  }
}

/** An expression, and what its series are called: `{{topic}}`. */
type Query = readonly [expression: string, legend: string]

interface Content {
  readonly title: string
  /** What it shows, and what to do when it is not well. */
  readonly about: string
  /** What stands there without data: why that may be. */
  readonly empty: string
  /** Grafana's id of a unit. */
  readonly unit: string
  readonly steps?: Steps
  readonly width?: number
  readonly height?: number
}

const letter = (index: number): string => String.fromCharCode('A'.charCodeAt(0) + index)

/**
 * The window of a rate is `$__rate_interval`, at least four times the interval that Grafana believes the series have.
 * Ours are as new as the last collection, which may be rarer than the scrape: hence a minute.
 */
const COLLECTED_EVERY = '1m'

function query([expression, legend]: Query, index: number, every = COLLECTED_EVERY): DataqueryBuilder {
  const built = new DataqueryBuilder()
    .datasource(PROMETHEUS)
    .refId(letter(index))
    .expr(expression)
    .legendFormat(legend)
    .range()
  return expression.includes('$__rate_interval') ? built.interval(every) : built
}

/** The value now, as of the end of the time range. */
function instant([expression, legend]: Query, index: number): DataqueryBuilder {
  return new DataqueryBuilder()
    .datasource(PROMETHEUS)
    .refId(letter(index))
    .expr(expression)
    .legendFormat(legend)
    .instant()
}

function thresholds(steps: Steps): ThresholdsConfigBuilder {
  const [base, ...above] = steps
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([
      { value: null, color: COLOUR[base] },
      ...above.map(([value, meaning]) => ({ value, color: COLOUR[meaning] })),
    ])
}

const byThresholds = (): FieldColorBuilder => new FieldColorBuilder().mode(FieldColorModeId.Thresholds)

/** Texts and colours of states, which come as their places or as they are called. */
function mappings(states: States, as: 'places' | 'texts' = 'places'): ValueMapping[] {
  const options = Object.entries(states).map(([text, meaning], index) => [
    as === 'places' ? String(index) : text,
    { text, color: COLOUR[meaning], index },
  ])
  return [{ type: MappingType.ValueToText, options: Object.fromEntries(options) }]
}

/** What stands where there is no value. Without it Grafana colours that text as the lowest number: well, or bad. */
function nothing(text: string): ValueMapping {
  return {
    type: MappingType.SpecialValue,
    options: { match: SpecialValueMatch.Null, result: { text, color: COLOUR.unknown, index: 99 } },
  }
}

const reduced = (): ReduceDataOptionsBuilder =>
  new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false)

/** Where a click leads. Variables and time range go along; `choose` is what the row itself says of them. */
interface Drill {
  readonly title: string
  readonly to: string
  readonly choose?: Readonly<Record<string, string>>
}

/** For `choose`: what stands in a column of the row, by the column's name. */
export const cell = (column: string): string => `\${__data.fields["${column}"]:percentencode}`

const KEPT = ['prometheus_datasource', 'environment', 'platform'] as const

function urlOf({ to, choose = {} }: Drill): string {
  const kept = KEPT.filter((name) => !(name in choose)).map((name) => `\${${name}:queryparam}`)
  const chosen = Object.entries(choose).map(([name, value]) => `var-${name}=${value}`)
  return `/d/${to}?${[`\${__url_time_range}`, ...kept, ...chosen].join('&')}`
}

const link = (drill: Drill): DashboardLinkBuilder => new DashboardLinkBuilder(drill.title).url(urlOf(drill))

interface StatContent extends Content {
  readonly queries: readonly Query[]
  readonly drill?: Drill
  /** For numbers that are states. */
  readonly states?: States
  readonly decimals?: number
  /** Where the names tell all, and the numbers nothing. */
  readonly namesOnly?: boolean
}

/**
 * One number as it is now, or one for each series by its name. The last of a range would stay for hours after its
 * series has gone: the number of alerts that fired, the queue of a Redis that is down.
 */
export function stat(content: StatContent): Panel {
  const { title, about, empty, unit, queries, drill, states, decimals, namesOnly, steps = NEUTRAL } = content
  const named = namesOnly ? BigValueTextMode.Name : BigValueTextMode.ValueAndName
  const panel = new StatBuilder()
    .title(title)
    .description(about)
    .datasource(PROMETHEUS)
    .unit(unit)
    .noValue(empty)
    .thresholds(thresholds(steps))
    .colorScheme(byThresholds())
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .textMode(queries.some(([, legend]) => legend !== '') ? named : BigValueTextMode.Value)
    .mappings([...(states ? mappings(states) : []), nothing(empty)])
    .orientation(VizOrientation.Auto)
    .reduceOptions(reduced())
    .targets(queries.map(instant))
  if (drill) panel.dataLinks([link(drill)])
  if (decimals !== undefined) panel.decimals(decimals)
  return sized(content.width ?? 3, content.height ?? 4, panel)
}

interface GraphContent extends Content {
  readonly queries: readonly Query[]
  readonly drill?: Drill
  readonly stacked?: boolean
  /** How often these series are collected, where that is rarer than each minute. */
  readonly every?: string
  readonly max?: number
}

/** Lines over time. Steps are drawn as dashed lines. */
export function graph(content: GraphContent): Panel {
  const { title, about, empty, unit, queries, drill, stacked, every, max, steps = NEUTRAL } = content
  const panel = new TimeseriesBuilder()
    .title(title)
    .description(about)
    .datasource(PROMETHEUS)
    .unit(unit)
    .noValue(empty)
    .thresholds(thresholds(steps))
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName))
    .lineWidth(1)
    .fillOpacity(stacked ? 30 : 8)
    .showPoints(VisibilityMode.Auto)
    .axisSoftMin(0)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .targets(queries.map((one, index) => query(one, index, every)))
  if (steps.length > 1)
    panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed))
  if (stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'))
  if (max !== undefined) panel.max(max)
  if (drill) panel.dataLinks([link(drill)])
  return sized(content.width ?? 12, content.height ?? 8, panel)
}

interface TimelineContent extends Omit<Content, 'unit' | 'steps'> {
  readonly queries: readonly Query[]
  readonly states: States
  readonly drill?: Drill
}

/** In which state each thing was when, a row a thing. The numbers are places in `states`: see `stateNumber`. */
export function timeline(content: TimelineContent): Panel {
  const { title, about, empty, queries, states, drill } = content
  const panel = new TimelineBuilder()
    .title(title)
    .description(about)
    .datasource(PROMETHEUS)
    .unit('none')
    .noValue(empty)
    .mappings(mappings(states))
    .thresholds(thresholds(NEUTRAL))
    .colorScheme(byThresholds())
    .fillOpacity(80)
    .lineWidth(0)
    .rowHeight(0.85)
    .mergeValues(true)
    .showValue(VisibilityMode.Never)
    .perPage(20)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Single).sort(SortOrder.None))
    .targets(queries.map((one, index) => query(one, index)))
  if (drill) panel.dataLinks([link(drill)])
  return sized(content.width ?? 24, content.height ?? 8, panel)
}

/** The place in `states` of the state that each thing is in; `by`: the labels that name a thing. */
export function stateNumber(states: States, by: string, selector: (matcher: string) => string): string {
  const parts = Object.keys(states).map((state, index) => `${index} * (${selector(`state="${state}"`)} == 1)`)
  return `max by (${by}) (${parts.join(' or ')})`
}

interface PieContent extends Content {
  readonly queries: readonly Query[]
  /** Colours by the name of a series. */
  readonly states: States
}

/** How a total is shared out. */
export function pie(content: PieContent): Panel {
  const { title, about, empty, unit, queries, states } = content
  const panel = new PieBuilder()
    .title(title)
    .description(about)
    .datasource(PROMETHEUS)
    .unit(unit)
    .noValue(empty)
    .thresholds(thresholds(NEUTRAL))
    .pieType(PieChartType.Donut)
    .displayLabels([])
    .reduceOptions(reduced())
    .legend(
      new PieChartLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .values([PieChartLegendValues.Value]),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Single).sort(SortOrder.None))
    .targets(queries.map(instant))
  for (const [state, meaning] of Object.entries(states))
    panel.overrideByName(state, [{ id: 'color', value: { mode: 'fixed', fixedColor: COLOUR[meaning] } }])
  return sized(content.width ?? 6, content.height ?? 8, panel)
}

interface Column {
  /** A label, or `Value` with the letter of its query where there are several: `Value #B`. */
  readonly field: string
  readonly name: string
  readonly unit?: string
  readonly steps?: Steps
  readonly states?: States
  /** For a label: colours by its value. */
  readonly meanings?: States
  readonly decimals?: number
  /** Pixels, for a label whose values are short. */
  readonly width?: number
  readonly drill?: Drill
}

interface TableContent extends Omit<Content, 'steps'> {
  readonly expressions: readonly string[]
  readonly columns: readonly Column[]
  /** Name of the column that it is sorted by, the largest first. */
  readonly sort?: string
  /** The same with the smallest first. */
  readonly sortRising?: string
  /** Where each row has the value 1, and its labels tell all. */
  readonly labelsOnly?: boolean
}

/** Pixels. Grafana's own is too much for ten columns on a small screen. */
const NARROWEST_COLUMN = 60

/** Things now, a row a thing. All expressions have the same labels: those of `columns`. */
export function table(content: TableContent): Panel {
  const { title, about, empty, unit, expressions, columns, sort, sortRising, labelsOnly = false } = content
  const transformations: DataTransformerConfig[] = [
    ...(expressions.length > 1 ? [{ id: 'merge', options: {} }] : []),
    {
      id: 'organize',
      options: {
        excludeByName: { Time: true, ...(labelsOnly ? { Value: true } : {}) },
        indexByName: Object.fromEntries(columns.map(({ field }, index) => [field, index])),
        renameByName: Object.fromEntries(columns.map(({ field, name }) => [field, name])),
      },
    },
  ]
  const panel = new TableBuilder()
    .title(title)
    .description(about)
    .datasource(PROMETHEUS)
    .unit(unit)
    .noValue(empty)
    .thresholds(thresholds(NEUTRAL))
    .colorScheme(byThresholds())
    .cellOptions({ type: TableCellDisplayMode.Auto })
    .mappings([nothing('–')])
    .minWidth(NARROWEST_COLUMN)
    .transformations(transformations)
    .targets(
      expressions.map((expression, index) => instant([expression, ''], index).format(PromQueryFormat.Table)),
    )
  for (const column of columns) {
    const properties = propertiesOf(column)
    if (properties.length > 0) panel.overrideByName(column.name, properties)
  }
  const sorted = sort ?? sortRising
  if (sorted !== undefined)
    panel.sortBy([new TableSortByFieldStateBuilder().displayName(sorted).desc(sort !== undefined)])
  return sized(content.width ?? 24, content.height ?? 8, panel)
}

function propertiesOf(column: Column): DynamicConfigValue[] {
  const { unit, decimals, steps, states, meanings: texts, drill } = column
  const width = column.field.startsWith('Value') ? widthOf(column) : column.width
  const coloured = { id: 'custom.cellOptions', value: { type: 'color-text' } }
  return [
    ...(unit === undefined ? [] : [{ id: 'unit', value: unit }]),
    ...(steps === undefined ? [] : [{ id: 'thresholds', value: thresholds(steps).build() }]),
    ...(states === undefined ? [] : [{ id: 'mappings', value: [...mappings(states), nothing('–')] }]),
    ...(texts === undefined ? [] : [{ id: 'mappings', value: [...mappings(texts, 'texts'), nothing('–')] }]),
    ...(steps === undefined && states === undefined && texts === undefined ? [] : [coloured]),
    ...(width === undefined ? [] : [{ id: 'custom.width', value: width }]),
    ...(decimals === undefined ? [] : [{ id: 'decimals', value: decimals }]),
    ...(drill === undefined ? [] : [{ id: 'links', value: [{ title: drill.title, url: urlOf(drill) }] }]),
  ]
}

/** Of a column of numbers, in pixels; those of labels share what is left. */
function widthOf({ name, unit }: Column): number {
  return unit === 'dateTimeFromNow' ? 150 : Math.max(90, name.length * 8 + 24)
}

/** Lines of logs from Loki. */
export function logs(content: Omit<Content, 'unit' | 'steps'> & { readonly expression: string }): Panel {
  const panel = new LogsBuilder()
    .title(content.title)
    .description(content.about)
    .datasource(LOKI)
    .noValue(content.empty)
    .showTime(true)
    .wrapLogMessage(true)
    .enableLogDetails(true)
    .targets([new LokiQueryBuilder().datasource(LOKI).refId('A').expr(content.expression)])
  return sized(content.width ?? 24, content.height ?? 10, panel)
}
