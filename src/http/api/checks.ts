import type { CheckResult } from '../../collection/checks.ts'
import type { Instance } from '../../collection/instance.ts'
import { ApiError, type ApiRequest, type ApiRoute, PAGED } from '../api.ts'

/** An item of `cdc-exporter check`, by API and command line. `null` is what is not known, or not there. */
export function checkView(
  about: {
    readonly kind: { readonly kind: string }
    readonly target: string
    readonly labels: Readonly<Record<string, string>>
  },
  { check, subject, ok, message, remedy }: CheckResult,
  /** Takes secrets out. */
  clean: (text: string) => string,
) {
  return {
    collector: about.kind.kind,
    target: about.target,
    environment: about.labels.environment ?? null,
    check: check.name,
    subject: subject === '' ? null : clean(subject),
    level: check.level,
    ok: ok ?? null,
    message: clean(message),
    remedy: ok === true || remedy === undefined ? null : clean(remedy),
  }
}

const FILTERS = ['collector', 'target', 'environment', 'check', 'level', 'ok'] as const

/** `/api/v1/checks`: every item, as of the last time that it was looked at in the background. */
export function checkRoutes(input: {
  readonly instances: () => readonly Instance[]
  /** Takes secrets out. */
  readonly clean: (text: string) => string
}): readonly ApiRoute[] {
  const { instances, clean } = input
  return [
    {
      method: 'GET',
      path: '/api/v1/checks',
      role: 'viewer',
      operation: 'checks list',
      query: [...FILTERS, ...PAGED],
      handle({ query, page: { limit, offset } }) {
        const wanted = filterOf(query)
        const chosen = instances().flatMap(({ settings, checks: { results, at } }) =>
          results
            .map((result) => ({
              ...checkView(settings, result, clean),
              checked_at: at === undefined ? null : new Date(at).toISOString(),
            }))
            .filter(wanted),
        )
        const items = chosen.slice(offset, offset + limit)
        return { status: 200, body: { items, total: chosen.length, limit, offset } }
      },
    },
  ]
}

function filterOf(query: ApiRequest['query']): (item: Readonly<Record<string, unknown>>) => boolean {
  const ok = query.get('ok')
  if (ok !== null && !['true', 'false', 'null'].includes(ok)) {
    throw new ApiError(400, 'ok: expected true, false or null')
  }
  return (item) => FILTERS.every((name) => [null, String(item[name])].includes(query.get(name)))
}
