import { z } from 'zod'
import type { Parameters } from '../clients/databases.ts'

/** What stands in a query, or in a text among its parameters, for the name of each tenant. */
export const TENANT = '{tenant}'

const scalar = z.union([z.string(), z.number(), z.boolean()])

const parameter = z.union([scalar, z.array(scalar)], {
  error: 'expected a text, a number, true, false or a list of them',
})

/** The values of a query that somebody else has made. */
export const parameters = () =>
  z
    .union([z.array(parameter), z.record(z.string(), parameter)], {
      error: 'expected a list for PostgreSQL and StarRocks, or a map for ClickHouse',
    })
    .optional()
    .describe(
      'Values of $1, $2, … in a list for PostgreSQL, of each ? in a list for StarRocks, of {name:Type} in a map for ClickHouse. {tenant} in a text stands for the tenant.',
    )

interface GivenQuery {
  readonly sql: string
  readonly parameters?: Parameters | undefined
}

/** What is wrong with parameters for this database; undefined for nothing. */
export function parametersFault(
  { parameters }: GivenQuery,
  database: 'postgresql' | 'clickhouse' | 'starrocks',
): string | undefined {
  const byName = database === 'clickhouse'
  if (parameters === undefined || byName !== Array.isArray(parameters)) return undefined
  return byName ? 'expected a map for ClickHouse' : 'expected a list: only ClickHouse has names for them'
}

/** Whether it runs once for each tenant. */
export const isByTenant = ({ sql, parameters }: GivenQuery): boolean =>
  [sql, ...Object.values(parameters ?? [])].some((text) => typeof text === 'string' && text.includes(TENANT))

/** The parameters with the tenant filled in. */
export function withTenant(parameters: Parameters, tenant: string): Parameters {
  const filled = (value: unknown) =>
    typeof value === 'string' ? value.replaceAll(TENANT, () => tenant) : value
  return Array.isArray(parameters)
    ? parameters.map(filled)
    : Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, filled(value)]))
}
