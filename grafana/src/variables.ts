import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'

type Variable = Builder<VariableModel>

export const PROMETHEUS = { type: 'prometheus', uid: `\${prometheus_datasource}` } as const
export const LOKI = { type: 'loki', uid: `\${loki_datasource}` } as const

const SCOPE = ['environment=~"$environment"', 'platform=~"$platform"'] as const

/** Variables that a dashboard may have besides data source, environment and platform. */
export type Choice = 'target' | 'team' | 'tenant' | 'table'

/** A selector of the series of a collector, within what the reader has chosen: `name{environment=~"$environment",…}`. */
export function of(name: string, ...matchers: readonly string[]): string {
  return `${name}{${[...SCOPE, 'target=~"$target"', ...matchers].join(',')}}`
}

/** The same for series that are sums of targets. */
export function ofEnvironment(name: string, ...matchers: readonly string[]): string {
  return `${name}{${['environment=~"$environment"', ...matchers].join(',')}}`
}

/** Of one table of a tenant. A series that has no tenant is every tenant's. */
export const BY_TABLE = ['tenant=~"$tenant"', 'table=~"$table"'] as const
export const BY_TENANT = ['tenant=~"$tenant"'] as const
export const BY_TEAM = ['team=~"$team"'] as const

const LABEL: Readonly<Record<string, string>> = {
  environment: 'Environment',
  platform: 'Platform',
  target: 'Target',
  team: 'Team',
  tenant: 'Tenant',
  table: 'Table',
}

/** Any of the values that a label has in a series, several at once, or all; a series without the label is among all. */
function labelOf(label: string, series: string): Variable {
  const query = `label_values(${series}, ${label})`
  return new QueryVariableBuilder(label)
    .label(LABEL[label] ?? label)
    .datasource(PROMETHEUS)
    .query(query)
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ text: 'All', value: '$__all' })
}

function source(type: 'prometheus' | 'loki', label: string): Variable {
  return new DatasourceVariableBuilder(`${type}_datasource`)
    .label(label)
    .type(type)
    .multi(false)
    .includeAll(false)
    .current({ text: '', value: '' })
}

/** `choices`: by variable, the series that has the label, without braces or with those of `of`. */
export function variables(choices: Readonly<Partial<Record<Choice, string>>>, logs: boolean): Variable[] {
  const collectors = 'cdc_collector_enabled'
  return [
    source('prometheus', 'Prometheus data source'),
    ...(logs ? [source('loki', 'Loki data source')] : []),
    labelOf('environment', collectors),
    labelOf('platform', `${collectors}{environment=~"$environment"}`),
    ...Object.entries(choices).map(([label, series]) => labelOf(label, series)),
  ]
}

/** For the variable `target`: the instances of some kinds of collectors. */
export function targetsOf(...kinds: readonly string[]): string {
  const which = kinds.length === 0 ? [] : [`collector=~"${kinds.join('|')}"`]
  return `cdc_collector_enabled{${[...SCOPE, ...which].join(',')}}`
}
