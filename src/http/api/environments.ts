import type { Instance } from '../../collection/instance.ts'
import type { Audit } from '../../operations/audit.ts'
import type { Switches } from '../../operations/switches.ts'
import { ApiError, type ApiRoute } from '../api.ts'

/** `POST /api/v1/environments/{name}/enable|disable`: all collectors of one environment. */
export function environmentRoutes(input: {
  readonly instances: () => readonly Instance[]
  readonly switches: Switches
  /** Takes the switches into force. */
  readonly apply: () => Promise<void>
  readonly audit: Audit
}): readonly ApiRoute[] {
  const { instances, switches, apply, audit } = input
  return (['enable', 'disable'] as const).map((verb) => ({
    method: 'POST',
    path: `/api/v1/environments/{name}/${verb}`,
    role: 'admin',
    operation: `environments ${verb}`,
    query: [],
    async handle({ params: { name = '' }, caller, from }) {
      const own = () => instances().filter(({ settings: { labels } }) => labels.environment === name)
      if (own().length === 0) throw new ApiError(404, `no collector has the environment ${name}`)
      const entry = { who: caller.name, from, operation: `environments ${verb}`, object: name }
      try {
        switches.set(name, verb === 'enable')
        await apply()
      } catch (error) {
        audit.record({ ...entry, result: 'failed', detail: String(error) })
        throw error
      }
      audit.record({ ...entry, result: 'done', detail: '' })
      const collectors = own().map(({ settings: { kind, target, enabled } }) => ({
        collector: kind.kind,
        target,
        enabled,
      }))
      return { status: 200, body: { environment: name, enabled: verb === 'enable', collectors } }
    },
  }))
}
