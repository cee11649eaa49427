import type { Audit } from '../../operations/audit.ts'
import { type ApiRoute, PAGED } from '../api.ts'

/** `/api/v1/audit`: who did what, for admins. */
export function auditRoutes(audit: Audit): readonly ApiRoute[] {
  return [
    {
      method: 'GET',
      path: '/api/v1/audit',
      role: 'admin',
      operation: 'audit list',
      query: ['who', 'operation', 'result', ...PAGED],
      handle({ query, page }) {
        const given = (name: string) => query.get(name) ?? undefined
        const filter = { who: given('who'), operation: given('operation'), result: given('result') }
        const { items, total } = audit.list(filter, page)
        const entries = items.map(({ at, ...entry }) => ({ ...entry, at: new Date(at).toISOString() }))
        return { status: 200, body: { items: entries, total, ...page } }
      },
    },
  ]
}
