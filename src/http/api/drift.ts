import type { Instance } from '../../collection/instance.ts'
import { ApiError, type ApiRequest, type ApiRoute, PAGED } from '../api.ts'
import { masked } from '../masked.ts'

const FILTERS = ['target', 'environment', 'table', 'value', 'assertion', 'tenant', 'differs'] as const

/** What is listed of one thing that is compared, and not beside the others; by the label that names it. */
const LISTS = { table: 'ranges', value: 'differences', assertion: 'sample' } as const

/** `/api/v1/drift`: all that is compared, as of its last comparison; and what differs in one of it. */
export function driftRoutes(input: {
  readonly instances: () => readonly Instance[]
  /** Takes secrets out. */
  readonly clean: (text: string) => string
}): readonly ApiRoute[] {
  const { instances, clean } = input
  const compared = () =>
    instances()
      .filter(({ settings }) => settings.kind.kind === 'drift')
      .flatMap(({ settings, findings }) =>
        findings.map(({ labels, details, alarm }) => ({
          target: settings.target,
          environment: settings.labels.environment ?? null,
          labels,
          differs: alarm !== undefined,
          details,
        })),
      )

  const one = (name: keyof typeof LISTS, path: string): ApiRoute => ({
    method: 'GET',
    path,
    role: 'viewer',
    operation: 'drift show',
    query: ['tenant', ...PAGED],
    handle({ params, query, page: { limit, offset } }) {
      const tenant = query.get('tenant') ?? ''
      const found = compared().find(
        (each) =>
          each.target === params.target &&
          each.labels[name] === params[name] &&
          each.labels.tenant === tenant,
      )
      if (!found) throw new ApiError(404, `no such ${name} is compared; see ?tenant= where it is by tenant`)
      const { labels, details, ...about } = found
      const list = details[LISTS[name]]
      const items = Array.isArray(list) ? list : []
      const page = { [LISTS[name]]: items.slice(offset, offset + limit), total: items.length, limit, offset }
      return { status: 200, body: masked({ ...about, ...labels, ...details, ...page }, clean) }
    },
  })

  return [
    {
      method: 'GET',
      path: '/api/v1/drift',
      role: 'viewer',
      operation: 'drift list',
      query: [...FILTERS, ...PAGED],
      handle({ query, page: { limit, offset } }) {
        const wanted = filterOf(query)
        const chosen = compared().filter(({ labels, ...about }) => wanted({ ...about, ...labels }))
        const items = chosen.slice(offset, offset + limit).map(({ labels, details, ...about }) => {
          const { ranges, columns, columns_left_out, differences, sample, ...summary } = details
          const counted = Array.isArray(ranges) ? { confirmed_ranges: ranges.length } : {}
          return masked({ ...about, ...labels, ...summary, ...counted }, clean)
        })
        return { status: 200, body: { items, total: chosen.length, limit, offset } }
      },
    },
    one('table', '/api/v1/drift/{target}/{table}'),
    one('value', '/api/v1/drift/{target}/values/{value}'),
    one('assertion', '/api/v1/drift/{target}/assertions/{assertion}'),
  ]
}

function filterOf(query: ApiRequest['query']): (about: Readonly<Record<string, unknown>>) => boolean {
  const differs = query.get('differs')
  if (differs !== null && differs !== 'true' && differs !== 'false') {
    throw new ApiError(400, 'differs: expected true or false')
  }
  return (about) =>
    FILTERS.every((name) => query.get(name) === null || query.get(name) === String(about[name] ?? ''))
}
