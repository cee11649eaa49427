import type { Dashboard, GridPos, Panel } from '@grafana/grafana-foundation-sdk/dashboard'
import { variablesOf } from '../grafana/shipped.ts'
import type { Size } from './charts.ts'
import { type Asked, marksOf } from './frames.ts'
import { drawPanel, escaped } from './panels.ts'
import type { Prometheus, TimeRange } from './prometheus.ts'
import { STYLE } from './style.ts'

/** The screen that the dashboards are made for, in pixels. */
export const WIDTH = 1366

// Grafana's grid.
const COLUMNS = 24
const ROW = 30
const GAP = 8
const SIDE = 16
const HEADER = 96
const TITLE = 32
const PADDING = 8

const COLUMN = (WIDTH - 2 * SIDE - (COLUMNS - 1) * GAP) / COLUMNS

/** Where a panel stands on the page, in pixels. */
export function placeOf({ x, y, w, h }: GridPos): Size & { readonly left: number; readonly top: number } {
  return {
    left: SIDE + x * (COLUMN + GAP),
    top: HEADER + y * (ROW + GAP),
    width: w * (COLUMN + GAP) - GAP,
    height: h * (ROW + GAP) - GAP,
  }
}

export interface Page extends Size {
  readonly html: string
  /** What could not be drawn, as `panel: why`. */
  readonly mistakes: readonly string[]
}

/** A dashboard as a page without scripts, all of its variables being *All*. */
export async function pageOf(dashboard: Dashboard, prometheus: Prometheus, range: TimeRange): Promise<Page> {
  const asked: Asked = { prometheus, dashboard, range }
  const marks = await marksOf(asked)
  const mistakes: string[] = []
  const panels = await Promise.all(
    (dashboard.panels ?? []).map(async (panel) => {
      const place = placeOf(panel.gridPos ?? { x: 0, y: 0, w: 0, h: 0 })
      const style = `left:${place.left}px;top:${place.top}px;width:${place.width}px;height:${place.height}px`
      const title = escaped(panel.title ?? '')
      if (panel.type === 'row') return `<h2 style="${style}"><span>${title}</span></h2>`
      const inner = { width: place.width - 2 * PADDING - 2, height: place.height - TITLE - PADDING - 2 }
      const content = await drawPanel(panel as Panel, inner, asked, marks).catch((error: Error) => {
        mistakes.push(`${panel.title}: ${error.message}`)
        return `<p class="mistake">${escaped(error.message)}</p>`
      })
      return `<section data-id="${panel.id}" style="${style}"><h3>${title}</h3><div>${content}</div></section>`
    }),
  )
  const rows = (dashboard.panels ?? []).map(({ gridPos }) => (gridPos?.y ?? 0) + (gridPos?.h ?? 0))
  const height = HEADER + Math.max(...rows) * (ROW + GAP) + GAP
  const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escaped(dashboard.title ?? '')}</title>
<style>${STYLE}</style>
<body style="width:${WIDTH}px;height:${height}px">
${headerOf(dashboard, range)}
${panels.join('\n')}
</body></html>`
  return { html, mistakes, width: WIDTH, height }
}

function headerOf(dashboard: Dashboard, range: TimeRange): string {
  const choices = variablesOf(dashboard).map(({ label = '', type }) =>
    type === 'datasource' ? '' : `<span class="choice"><b>${escaped(label)}</b>All</span>`,
  )
  const time = (at: number) => new Date(at * 1000).toISOString().slice(0, 16).replace('T', ' ')
  return `<header>
    <h1>${escaped(dashboard.title ?? '')}</h1>
    <p>${escaped(dashboard.description ?? '')}</p>
    <p class="preview">A preview, drawn by cdc-exporter's own tool from the answers of Prometheus. Not Grafana.</p>
    <p class="choices">${choices.join('')}<span class="time">${time(range.from)} to ${time(range.to)} UTC</span></p>
  </header>`
}
