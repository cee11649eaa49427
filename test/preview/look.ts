import { readFileSync } from 'node:fs'
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { panelsOf } from '../grafana/shipped.ts'
import { photograph } from './browser.ts'
import { type Page, placeOf, WIDTH } from './page.ts'

/** A page as somebody sees it. Sizes and places are in pixels. */
export interface Seen {
  readonly png: { readonly width: number; readonly height: number }
  /** By the panel's id. */
  readonly panels: Readonly<Record<string, SeenPanel>>
  /** What is wider or higher than the place that it has, as `panel: text`. */
  readonly cut: readonly string[]
}

interface SeenPanel {
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
  readonly title: string
  readonly text: string
}

const script = readFileSync(new URL('look-in-page.js', import.meta.url), 'utf8')

/** Draws the page into a file, and looks at it. */
export async function lookAt(page: Page, file: string): Promise<Seen> {
  const scripts = `<script type="application/json" id="seen"></script><script>${script}</script>`
  const html = page.html.replace('</body>', () => `${scripts}</body>`)
  const dom = await photograph({ ...page, html }, file)
  const [, seen = '{}'] = /<script type="application\/json" id="seen">(.*?)<\/script>/s.exec(dom) ?? []
  const header = readFileSync(file)
  return {
    png: { width: header.readUInt32BE(16), height: header.readUInt32BE(20) },
    ...(JSON.parse(seen) as Pick<Seen, 'panels' | 'cut'>),
  }
}

/** What is wrong with the picture: errors, panels that are not where the dashboard has them, text that is cut. */
export function complaintsOf(dashboard: Dashboard, page: Page, { png, panels, cut }: Seen): string[] {
  const complaints = [...page.mistakes, ...cut]
  if (png.width !== WIDTH || png.height !== page.height)
    complaints.push(`the picture has ${png.width} × ${png.height} pixels`)
  const expected = panelsOf(dashboard)
  if (Object.keys(panels).length !== expected.length) complaints.push('there are more panels, or fewer')
  for (const { id, title = '', gridPos } of expected) {
    const seen = panels[String(id)]
    const place = placeOf(gridPos ?? { x: 0, y: 0, w: 0, h: 0 })
    const isThere =
      seen !== undefined &&
      (['left', 'top', 'width', 'height'] as const).every((side) => Math.abs(seen[side] - place[side]) < 1)
    if (!isThere) complaints.push(`${title}: it is not in its place`)
    if (seen?.title !== title) complaints.push(`${title}: the title is ${seen?.title}`)
    if (seen?.text === '') complaints.push(`${title}: it is empty`)
  }
  const all = Object.values(panels)
  for (const [index, one] of all.entries()) {
    if (one.left < 0 || one.left + one.width > WIDTH) complaints.push(`${one.title}: it is beyond the edge`)
    for (const other of all.slice(index + 1))
      if (overlap(one, other)) complaints.push(`${one.title}: it overlaps ${other.title}`)
  }
  return complaints.map((complaint) => `${dashboard.uid}: ${complaint}`)
}

function overlap(one: SeenPanel, other: SeenPanel): boolean {
  return (
    one.left < other.left + other.width &&
    other.left < one.left + one.width &&
    one.top < other.top + other.height &&
    other.top < one.top + one.height
  )
}
