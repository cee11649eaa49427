import type { Instance } from '../../collection/instance.ts'
import { ApiError, type ApiRequest, type ApiRoute, PAGED } from '../api.ts'

const FILTERS = ['target', 'environment', 'table', 'tenant', 'differs'] as const

/** `/api/v1/drift`: every table that is compared, as of its last comparison; and the keys that differ in one. */
export function driftRoutes(input: {
  readonly instances: () => readonly Instance[]
  /** Takes secrets out. */
  readonly clean: (text: string) => string
}): readonly ApiRoute[] {
  const { instances, clean } = input
  const tables = () =>
    instances()
      .filter(({ settings }) => settings.kind.kind === 'drift')
      .flatMap(({ settings, findings }) =>
        findings.map(({ labels, details, alarm }) => ({
          target: settings.target,
          environment: settings.labels.environment ?? null,
          ...labels,
          differs: alarm !== undefined,
          details,
        })),
      )

  return [
    {
      method: 'GET',
      path: '/api/v1/drift',
      role: 'viewer',
      operation: 'drift list',
      query: [...FILTERS, ...PAGED],
      handle({ query, page: { limit, offset } }) {
        const wanted = filterOf(query)
        const chosen = tables().filter((table) => wanted(table))
        const items = chosen.slice(offset, offset + limit).map(({ details, ...about }) => {
          const { ranges, columns, columns_left_out, ...summary } = details
          const count = Array.isArray(ranges) ? ranges.length : 0
          return masked({ ...about, ...summary, confirmed_ranges: count }, clean)
        })
        return { status: 200, body: { items, total: chosen.length, limit, offset } }
      },
    },
    {
      method: 'GET',
      path: '/api/v1/drift/{target}/{table}',
      role: 'viewer',
      operation: 'drift show',
      query: ['tenant', ...PAGED],
      handle({ params, query, page: { limit, offset } }) {
        const tenant = query.get('tenant') ?? ''
        const found = tables().find(
          (table) =>
            table.target === params.target &&
            'table' in table.details &&
            table.details.table === params.table &&
            table.details.tenant === tenant,
        )
        if (!found) throw new ApiError(404, 'no such table is compared; see ?tenant= where it is by tenant')
        const { details, ...about } = found
        const ranges = Array.isArray(details.ranges) ? details.ranges : []
        const page = { ranges: ranges.slice(offset, offset + limit), total: ranges.length, limit, offset }
        return { status: 200, body: masked({ ...about, ...details, ...page }, clean) }
      },
    },
  ]
}

function filterOf(query: ApiRequest['query']): (table: Readonly<Record<string, unknown>>) => boolean {
  const differs = query.get('differs')
  if (differs !== null && differs !== 'true' && differs !== 'false') {
    throw new ApiError(400, 'differs: expected true or false')
  }
  return (table) =>
    FILTERS.every((name) => query.get(name) === null || query.get(name) === String(table[name] ?? ''))
}

/** Keys and column names come from the databases: a secret may be in any text. */
function masked(value: unknown, clean: (text: string) => string): unknown {
  if (typeof value === 'string') return clean(value)
  if (Array.isArray(value)) return value.map((item) => masked(item, clean))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, masked(item, clean)]))
}
