import { z } from 'zod'
import { duration, integer, settings as keys, shown } from '../../config/fields.ts'
import { isByTenant, parameters, parametersFault } from '../../config/query.ts'
import { canonical, isDecimal } from './decimals.ts'

/** What stands in a query for the watermark: whole seconds since the epoch. */
export const WATERMARK = '{watermark}'

const SQL =
  'One SELECT. {tenant} in it, a name in quotes for the database, makes it run once for each tenant. {watermark} is the time, in whole seconds since the epoch, below which rows are old enough to be judged.'

const column = () => z.string().min(1)

const decimal = () => {
  const error = ({ input }: { readonly input?: unknown }) =>
    `expected a decimal number from 0, such as 0.01, got ${shown(input)}`
  return z
    .union([z.number({ error }), z.string({ error })], { error })
    .transform(String)
    .refine((text) => isDecimal(text) && !text.startsWith('-'), { error })
    .transform(canonical)
}

const every = () =>
  duration()
    .optional()
    .describe('Run not oftener than this; at each run where absent. Between, its last values stay.')

const query = (where: string) =>
  keys({ sql: z.string().min(1).describe(SQL), parameters: parameters() }).describe(where)

const value = keys({
  name: z.string().min(1).describe('The label value of its series.'),
  source: query('What the source says.'),
  sink: query('What the sink says; the same columns.'),
  groups: z
    .array(column())
    .default([])
    .describe(
      'Columns that name a row, written alike on both sides. One that is called tenant is the label tenant; the others, with / between them, are the label group.',
    ),
  value: column().describe('Column that is compared, a number; NULL is as if the row were not there.'),
  tolerance: decimal()
    .default('0')
    .describe('A difference up to this is none, such as 0.01. A group that one side has not is one anyway.'),
  relative_tolerance: decimal()
    .default('0')
    .describe('Neither is one up to this share of the source’s value, such as 0.001.'),
  max_groups: integer(1, 100_000)
    .default(1_000)
    .describe('A query that gives more rows is not judged: each has three series.'),
  every: every(),
})

export type ValueSettings = z.output<typeof value>

const assertion = keys({
  name: z.string().min(1).describe('The label assertion of its series.'),
  on: z.enum(['source', 'sink']).describe('Where the query runs.'),
  sql: z.string().min(1).describe(`Its rows are what should not be. ${SQL}`),
  parameters: parameters(),
  sample: integer(0, 100)
    .default(0)
    .describe(
      'Rows that the API shows. They may be personal data; none of them gets into a series or the log.',
    ),
  every: every(),
})

export type AssertionSettings = z.output<typeof assertion>

export const values = z
  .array(value)
  .default([])
  .describe('Pairs of queries, one at each side, whose values are compared group by group.')

export const assertions = z
  .array(assertion)
  .default([])
  .describe('Queries, each at one side, that should give no row.')

type Complain = (path: readonly (string | number)[], message: string) => void

/** Whether one of the queries runs once for each tenant. */
export const hasTenants = (
  values: readonly ValueSettings[],
  assertions: readonly AssertionSettings[],
): boolean => values.some(({ source }) => isByTenant(source)) || assertions.some(isByTenant)

/** Complains of what is wrong with them together. */
export function checkQueries(
  values: readonly ValueSettings[],
  assertions: readonly AssertionSettings[],
  sink: 'clickhouse' | 'starrocks',
  complain: Complain,
): void {
  for (const [index, { name, source, sink: atSink, groups, value }] of values.entries()) {
    const at = ['values', index] as const
    if (values.findIndex((other) => other.name === name) < index) {
      complain([...at, 'name'], `${shown(name)} is there already`)
    }
    const faults = {
      source: parametersFault(source, 'postgresql'),
      sink: parametersFault(atSink, sink),
    }
    for (const [side, fault] of Object.entries(faults)) {
      if (fault !== undefined) complain([...at, side, 'parameters'], fault)
    }
    if (isByTenant(source) !== isByTenant(atSink)) {
      const [has, lacks] = isByTenant(source) ? ['source', 'sink'] : ['sink', 'source']
      complain([...at, lacks ?? ''], `the ${has}’s query is by tenant, this one is not: missing {tenant}`)
    }
    if (source.sql.includes(WATERMARK) !== atSink.sql.includes(WATERMARK)) {
      const lacks = source.sql.includes(WATERMARK) ? 'sink' : 'source'
      complain([...at, lacks, 'sql'], 'the other query is bounded by {watermark}, this one is not')
    }
    for (const [place, group] of groups.entries()) {
      const path = [...at, 'groups', place]
      if (groups.indexOf(group) < place) complain(path, `${shown(group)} is there already`)
      if (group === value) complain(path, 'it is the value already')
      if (group === 'tenant' && isByTenant(source)) complain(path, 'the label tenant is that of {tenant}')
    }
  }
  for (const [index, { name, on, ...query }] of assertions.entries()) {
    if (assertions.findIndex((other) => other.name === name) < index) {
      complain(['assertions', index, 'name'], `${shown(name)} is there already`)
    }
    const fault = parametersFault(query, on === 'source' ? 'postgresql' : sink)
    if (fault !== undefined) complain(['assertions', index, 'parameters'], fault)
  }
}
