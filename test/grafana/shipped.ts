import { globSync, readFileSync } from 'node:fs'
import type {
  AnnotationQuery,
  Dashboard,
  Panel,
  VariableModel,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus'

/** The files that are shipped, as Grafana reads them. */
export const shipped: readonly Dashboard[] = globSync('grafana/dashboards/*.json')
  .toSorted()
  .map((file) => JSON.parse(readFileSync(file, 'utf8')) as Dashboard)

/** All panels with data, without the titles of rows. */
export function panelsOf(dashboard: Dashboard): Panel[] {
  return (dashboard.panels ?? []).filter((panel): panel is Panel => panel.type !== 'row')
}

export function variablesOf({ templating }: Dashboard): readonly VariableModel[] {
  return templating.list ?? []
}

export function annotationsOf({ annotations }: Dashboard): readonly AnnotationQuery[] {
  return annotations.list ?? []
}

export interface ShippedQuery {
  /** Of the panel or the annotation. */
  readonly title: string
  /** `stat`, `timeseries`, … or `annotation`. */
  readonly type: string
  readonly query: Dataquery
}

/** Every query for Prometheus, of panels and annotations. */
export function queriesOf(dashboard: Dashboard): ShippedQuery[] {
  const ofPanels = panelsOf(dashboard)
    .filter(({ type }) => type !== 'logs')
    .flatMap(({ title = '', type, targets = [] }) =>
      targets.map((query) => ({ title, type, query: query as Dataquery })),
    )
  const ofAnnotations = annotationsOf(dashboard).map(({ name, target }) => ({
    title: name,
    type: 'annotation',
    query: target as unknown as Dataquery,
  }))
  return [...ofPanels, ...ofAnnotations]
}

/** The series that a variable lists the values of a label of, and that label; undefined for a data source. */
export function labelValuesOf({ query }: VariableModel): { series: string; label: string } | undefined {
  const [, series, label] = /^label_values\((.+), (\w+)\)$/.exec(String(query)) ?? []
  return series === undefined || label === undefined ? undefined : { series, label }
}

/** The expression that Grafana would send: times filled in, and each variable by its choice, or all where none is given. */
export function filledIn(expression: string, choices: Readonly<Record<string, string>> = {}): string {
  return expression.replaceAll(
    /\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)(?::\w+)?\]\]/g,
    (_, plain: string | undefined, braced: string | undefined, old: string | undefined) => {
      const name = plain ?? braced ?? old ?? ''
      return TIMES[name] ?? choices[name] ?? '.*'
    },
  )
}

const TIMES: Readonly<Record<string, string>> = {
  __rate_interval: '4m',
  __interval: '1m',
  __interval_ms: '60000',
  __range: '1h',
  __range_s: '3600',
}
