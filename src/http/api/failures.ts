import { mayOperate } from '../../operations/access.ts'
import type { Audit } from '../../operations/audit.ts'
import type { FailureFilter, FailureLog } from '../../operations/failure-log.ts'
import {
  failureDetail,
  failureView,
  NOT_MARKED,
  partName,
  statisticsView,
} from '../../operations/failure-view.ts'
import { ApiError, type ApiRequest, type ApiRoute, PAGED } from '../api.ts'

const FILTERS = ['target', 'environment', 'platform', 'connector', 'team', 'exception_class'] as const

/** `/api/v1/failures…`: what failed, why and what to do; resolved and opened again by hand. */
export function failureRoutes({ log, audit }: { log: FailureLog; audit: Audit }): readonly ApiRoute[] {
  const mark = (operation: 'resolve' | 'unresolve'): ApiRoute => ({
    method: 'POST',
    path: `/api/v1/failures/{id}/${operation}`,
    role: 'team-lead',
    operation: `failures ${operation}`,
    query: [],
    handle({ params, caller, from }) {
      const id = idOf(params.id)
      const failure = log.get(id)
      if (!failure) throw new ApiError(404, NOT_MARKED.absent)
      const object = `${partName(failure)}#${id}`
      if (!mayOperate(caller, failure.team)) {
        const team = failure.team === '' ? 'no team' : `the team ${failure.team}`
        throw new ApiError(403, `it belongs to ${team}, which ${caller.name} does not lead`, object)
      }
      const marked = operation === 'resolve' ? log.resolve(id, caller.name) : log.unresolve(id)
      const detail = marked === 'done' ? '' : NOT_MARKED[marked]
      const result = marked === 'done' ? 'done' : 'failed'
      audit.record({ who: caller.name, from, operation: `failures ${operation}`, object, result, detail })
      if (marked !== 'done') throw new ApiError(409, detail)
      return { status: 200, body: failureDetail(log, id) }
    },
  })

  return [
    {
      method: 'GET',
      path: '/api/v1/failures',
      role: 'viewer',
      operation: 'failures list',
      query: [...FILTERS, 'state', ...PAGED],
      handle({ query, page }) {
        const { items, total } = log.list(filterOf(query), page)
        return { status: 200, body: { items: items.map(failureView), total, ...page } }
      },
    },
    {
      method: 'GET',
      path: '/api/v1/failures/stats',
      role: 'viewer',
      operation: 'failures stats',
      query: [...FILTERS, 'state'],
      handle: ({ query }) => ({ status: 200, body: statisticsView(log.statistics(filterOf(query))) }),
    },
    {
      method: 'GET',
      path: '/api/v1/failures/{id}',
      role: 'viewer',
      operation: 'failures show',
      query: [],
      handle({ params }) {
        const body = failureDetail(log, idOf(params.id))
        if (!body) throw new ApiError(404, NOT_MARKED.absent)
        return { status: 200, body }
      },
    },
    mark('resolve'),
    mark('unresolve'),
  ]
}

function idOf(text: string | undefined): number {
  if (text === undefined || !/^[1-9]\d{0,14}$/.test(text)) throw new ApiError(404, NOT_MARKED.absent)
  return Number(text)
}

function filterOf(query: ApiRequest['query']): FailureFilter {
  const state = query.get('state')
  if (state !== null && state !== 'open' && state !== 'resolved') {
    throw new ApiError(400, 'state: expected open or resolved')
  }
  const given = (name: (typeof FILTERS)[number]) => query.get(name) ?? undefined
  return {
    target: given('target'),
    environment: given('environment'),
    platform: given('platform'),
    connector: given('connector'),
    team: given('team'),
    exceptionClass: given('exception_class'),
    state: state ?? undefined,
  }
}
