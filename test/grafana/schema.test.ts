import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../testbed/part.ts'
import { panelsOf, shipped } from './shipped.ts'

// Grafana generates the types of `@grafana/schema` from its schema of dashboards. Each dashboard is written as a
// constant of these types, which the compiler looks at: an option that Grafana does not know, a value that it does not
// take, a field that it misses. Of queries, which Grafana keeps elsewhere, the Foundation SDK has the types. The schema
// leaves out what Grafana itself writes: the definition of a variable, the texts of an annotation from Prometheus. And
// three options came after 11.0, which does without them: perPage of timelines, percentChangeColorMode of numbers, and
// sort of pies, which the newest wants and the SDK cannot give.

const packageOf = (name: string): string =>
  join(import.meta.dirname, '..', '..', 'node_modules', ...name.split('/'))

/** Type of a panel, with its name in the files of the schema and whether it has options of fields. */
const PANELS = {
  timeseries: ['TimeSeries', true],
  stat: ['Stat', false],
  table: ['Table', true],
  'state-timeline': ['StateTimeline', true],
  piechart: ['PieChart', true],
  logs: ['Logs', false],
} as const satisfies Record<string, readonly [name: string, fields: boolean]>

function isKnown(type: string): type is keyof typeof PANELS {
  return type in PANELS
}

/** What the schema of a version says of dashboards: a line a complaint, with the dashboard's file. */
async function complaints(schema: string, dashboards: readonly Dashboard[]): Promise<string[]> {
  const folder = temporaryFolder('grafana-schema')
  try {
    const files = dashboards.map((dashboard) => {
      const file = join(folder.path, `${dashboard.uid}.ts`)
      writeFileSync(file, asConstants(schema, dashboard))
      return file
    })
    const { types } = JSON.parse(readFileSync(join(packageOf(schema), 'package.json'), 'utf8'))
    const config = join(folder.path, 'tsconfig.json')
    writeFileSync(
      config,
      JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          skipLibCheck: true,
          module: 'esnext',
          moduleResolution: 'bundler',
          types: [],
          paths: { '@grafana/schema': [join(packageOf(schema), types)] },
        },
        files,
      }),
    )
    const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
    const run = promisify(execFile)(process.execPath, [tsc, '-p', config, '--pretty', 'false'])
    const output = await run.then(
      () => '',
      ({ stdout }: { stdout: string }) => stdout,
    )
    return output.split('\n').filter((line) => /error TS/.test(line))
  } finally {
    folder.remove()
  }
}

function asConstants(schema: string, dashboard: Dashboard): string {
  const names = Object.entries(PANELS).map(([type, [name]]) => {
    const folder = `dist/esm/raw/composable/${type.replace('-', '')}/panelcfg/x/${name}PanelCfg_types.gen`
    return `import type * as ${name} from '${join(packageOf(schema), folder)}'`
  })
  const sdk = join(packageOf('@grafana/grafana-foundation-sdk'), 'dist')
  return [
    "import type * as schema from '@grafana/schema'",
    ...names,
    `import type { Dataquery } from '${sdk}/prometheus/types.gen'`,
    `import type { dataquery } from '${sdk}/loki/types.gen'`,
    // What is an enumeration in TypeScript is its bare value in JSON, and methods are not there.
    `type Json<T> = unknown extends T ? T
      : T extends string ? \`\${T}\`
      : T extends number ? (number extends T ? T : \`\${T}\` extends \`\${infer N extends number}\` ? N : never)
      : T extends readonly (infer E)[] ? Json<E>[]
      : T extends object ? { [K in keyof T as T[K] extends () => void ? never : K]: Json<T[K]> }
      : T`,
    `type Panel<Options, Field, Query> = Json<Omit<schema.Panel, 'options' | 'fieldConfig' | 'targets'> & {
      options: Omit<Options, 'sort'> & { perPage?: number; percentChangeColorMode?: string }
      fieldConfig: Omit<schema.FieldConfigSource, 'defaults'> & {
        defaults: Omit<schema.FieldConfig, 'custom'> & { custom?: Field }
      }
      targets: Query[]
    }>`,
    `type Page = Json<Omit<schema.Dashboard, 'panels' | 'annotations' | 'templating'> & {
      annotations: { list: (schema.AnnotationQuery<Dataquery & { refId: string }> & AnnotationOfPrometheus)[] }
      panels: schema.RowPanel[]
      templating: { list: (schema.VariableModel & { definition?: string })[] }
    }>`,
    `interface AnnotationOfPrometheus { titleFormat: string; textFormat: string; useValueForTime: boolean }`,
    `export const page: Page = ${JSON.stringify({
      ...dashboard,
      panels: (dashboard.panels ?? []).filter(({ type }) => type === 'row'),
    })}`,
    ...panelsOf(dashboard).map((panel) => {
      if (!isKnown(panel.type)) throw new Error(`${dashboard.uid}: a panel of type ${panel.type}`)
      const [name, fields] = PANELS[panel.type]
      const field = fields ? `${name}.FieldConfig` : 'Record<string, never>'
      const query = panel.type === 'logs' ? 'dataquery' : 'Dataquery'
      return `export const panel${panel.id}: Panel<${name}.Options, ${field}, ${query}> = ${JSON.stringify(panel)}`
    }),
  ].join('\n')
}

/** Names of packages: the first version of Grafana that the dashboards are for, and one of today. */
const VERSIONS = ['grafana-schema-11', '@grafana/schema']

test.each(VERSIONS)('the dashboards are as the schema %s says', async (schema) => {
  expect(await complaints(schema, shipped)).toEqual([])
})

test.each(VERSIONS)('the schema %s finds what is wrong with a dashboard', async (schema) => {
  const [dashboard] = shipped
  if (!dashboard) throw new Error('no dashboard')
  const broken = (uid: string, change: (copy: Dashboard) => unknown): Dashboard => {
    const copy = { ...structuredClone(dashboard), uid }
    change(copy)
    return copy
  }
  const graph = (copy: Dashboard) => {
    const panel = panelsOf(copy).find(({ type }) => type === 'timeseries')
    const { options, fieldConfig, targets } = panel ?? {}
    const custom = fieldConfig?.defaults.custom
    if (!options || !custom || !targets?.[0]) throw new Error(`${copy.uid}: no graph`)
    return { options, custom, query: targets[0] }
  }
  const found = await complaints(schema, [
    broken('option', (copy) => Object.assign(graph(copy).options, { colour: 'red' })),
    broken('value', (copy) => Object.assign(graph(copy).custom, { drawStyle: 'lines' })),
    broken('field', (copy) => Object.assign(graph(copy).custom, { width: 1 })),
    broken('missing', (copy) => delete (graph(copy).options as { legend?: unknown }).legend),
    broken('query', (copy) => Object.assign(graph(copy).query, { expression: 'up' })),
    broken('variable', (copy) => Object.assign(copy.templating.list?.[0] ?? {}, { type: 'list' })),
    broken('dashboard', (copy) => Object.assign(copy, { graphTooltip: 'crosshair' })),
  ])
  const files = found.map((line) => /(\w+)\.ts\(/.exec(line)?.[1])
  expect(files.toSorted()).toEqual(['dashboard', 'field', 'missing', 'option', 'query', 'value', 'variable'])
})
