import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import {
  type AnnotationQuery,
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  RowBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { COLOUR, type Meaning } from './meaning.ts'
import type { Panel } from './panels.ts'
import { type Choice, PROMETHEUS, variables } from './variables.ts'

const COLUMNS = 24

/** A row of the dashboard, with the question that its panels answer. */
interface Section {
  readonly title: string
  readonly panels: readonly Panel[]
}

interface Page {
  readonly uid: string
  readonly title: string
  /** The question that its reader has. */
  readonly about: string
  readonly choices: Readonly<Partial<Record<Choice, string>>>
  readonly annotations: readonly Builder<AnnotationQuery>[]
  readonly sections: readonly Section[]
  /** Whether it shows logs. */
  readonly logs?: boolean
}

/** All dashboards have this tag, by which each lists the others. */
const TAG = 'cdc'

/** Panels stand from left to right, and below where the row is full. */
export function dashboard({
  uid,
  title,
  about,
  choices,
  annotations,
  sections,
  logs = false,
}: Page): Dashboard {
  const page = new DashboardBuilder(title)
    .uid(uid)
    .description(about)
    .tags([TAG])
    .readonly()
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .variables(variables(choices, logs))
    .annotations([...annotations])
    .link(
      new DashboardLinkBuilder('CDC')
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    )
  let id = 0
  let y = 0
  for (const section of sections) {
    page.withRow(new RowBuilder(section.title).id(++id).gridPos({ x: 0, y, w: COLUMNS, h: 1 }))
    y += 1
    let x = 0
    let highest = 0
    for (const panel of section.panels) {
      if (x + panel.width > COLUMNS) {
        y += highest
        x = 0
        highest = 0
      }
      page.withPanel(panel.at(++id, x, y))
      x += panel.width
      highest = Math.max(highest, panel.height)
    }
    y += highest
  }
  return plain(page.build())
}

/**
 * Without what the builders add of themselves: places in menus of newer Grafanas, what variables of other types have, and
 * what tables had in older ones.
 */
function plain(page: Dashboard): Dashboard {
  for (const each of [...(page.links ?? []), ...(page.annotations.list ?? [])]) delete each.placement
  for (const each of page.templating.list ?? []) {
    delete each.allowCustomValue
    delete each.auto
    delete each.auto_min
    delete each.auto_count
  }
  for (const panel of page.panels ?? []) if ('options' in panel) delete panel.options?.footer
  return page
}

interface Mark {
  readonly name: string
  readonly meaning: Meaning
  readonly title: string
  /** With labels in braces: `{{connector}}`. */
  readonly text: string
  readonly expression: string
  /** Whether the values are the moments, in milliseconds since the epoch. Else it is as long as there is a value. */
  readonly moments?: boolean
  readonly hidden?: boolean
}

/** What happened when, as marks on all panels. */
export function annotation({
  name,
  meaning,
  title,
  text,
  expression,
  moments = false,
  hidden = false,
}: Mark) {
  return new AnnotationQueryBuilder()
    .name(name)
    .datasource(PROMETHEUS)
    .enable(!hidden)
    .hide(false)
    .iconColor(COLOUR[meaning])
    .titleFormat(title)
    .textFormat(text)
    .useValueForTime(moments)
    .target(
      new DataqueryBuilder().datasource(PROMETHEUS).refId('Anno').expr(expression).interval('1m').range(),
    )
}
