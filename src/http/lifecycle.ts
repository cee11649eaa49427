import type { Instance } from '../collection/instance.ts'
import { collectorView } from './api/collectors.ts'

export interface LifecycleInput {
  readonly enabled: () => boolean
  readonly instances: () => readonly Instance[]
  readonly describe: (error: unknown) => string
  readonly clean: (text: string) => string
  /** Loads the configuration anew; its faults where it was refused. */
  readonly reload: () => Promise<readonly string[]>
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

const OFF: Answer = {
  status: 403,
  body: { error: 'this is switched off: set web.enable_lifecycle: true' },
}

/** `POST /-/reload`: as SIGHUP. 500 with the faults where the new configuration was refused. */
export async function reload({ enabled, reload }: LifecycleInput): Promise<Answer> {
  if (!enabled()) return OFF
  const faults = await reload()
  if (faults.length === 0) return { status: 200, body: { status: 'loaded' } }
  return { status: 500, body: { error: 'the configuration was refused', faults } }
}

/**
 * `POST /-/collect`, `?collector=` and `?target=` narrow it: runs them now, each once and never beside a run of
 * its own. 200 with how each came out, after it has; 202 at once with `?wait=false`.
 */
export async function collect(
  { enabled, instances, describe, clean }: LifecycleInput,
  query: URLSearchParams,
): Promise<Answer> {
  if (!enabled()) return OFF
  const collectors = query.getAll('collector')
  const targets = query.getAll('target')
  const chosen = instances().filter(
    ({ settings: { kind, target, enabled } }) =>
      enabled &&
      (collectors.length === 0 || collectors.includes(kind.kind)) &&
      (targets.length === 0 || targets.includes(target)),
  )
  if (chosen.length === 0) return { status: 404, body: { error: 'no collector of this name is switched on' } }
  // One that is switched off or configured anew meanwhile has no result of its own.
  const runs = Promise.allSettled(chosen.map((instance) => instance.collectNow()))
  if (query.get('wait') === 'false') return { status: 202, body: { status: 'started' } }
  await runs
  return {
    status: 200,
    body: { items: chosen.map((instance) => collectorView(instance, { describe, clean })) },
  }
}
