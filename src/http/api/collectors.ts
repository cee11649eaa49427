import type { Instance } from '../../collection/instance.ts'
import { type ApiRoute, PAGED } from '../api.ts'

interface Redaction {
  /** An error and its causes as one line without secrets. */
  readonly describe: (error: unknown) => string
  /** Takes secrets out of a text. */
  readonly clean: (text: string) => string
}

/** What is known of one instance and its runs; times as ISO 8601, absent before there is one. */
export function collectorView(
  { settings, state, series, interval, health }: Instance,
  { describe, clean }: Redaction,
) {
  const { kind, target, enabled, labels } = settings
  const time = (at: number | undefined) => (at === undefined ? undefined : new Date(at).toISOString())
  const schedule = typeof settings.interval === 'number' ? {} : { schedule: settings.interval.cron }
  return {
    collector: kind.kind,
    target,
    labels,
    enabled,
    ...schedule,
    interval_seconds: interval / 1000,
    running: state.running,
    success: state.success,
    last_run: time(state.lastRunAt),
    last_success: time(state.lastSuccessAt),
    next_run: time(state.nextRunAt),
    last_duration_seconds:
      state.lastDuration === undefined ? undefined : Math.round(state.lastDuration) / 1000,
    error: state.success === false ? describe(state.error) : undefined,
    problems: (health?.problems ?? []).slice(0, 100).map(clean),
    failed_parts: state.failedParts
      .slice(0, 100)
      .map(({ labels, cause }) => ({ labels, error: describe(cause) })),
    series,
  }
}

/** `GET /api/v1/collectors`: every instance, its interval or schedule, its last and its next run. */
export function collectorRoutes(
  input: Redaction & { readonly instances: () => readonly Instance[] },
): readonly ApiRoute[] {
  const { instances } = input
  return [
    {
      method: 'GET',
      path: '/api/v1/collectors',
      role: 'viewer',
      operation: 'collectors list',
      query: ['collector', 'target', 'environment', ...PAGED],
      handle({ query, page: { limit, offset } }) {
        const is = (name: string, value: string | undefined) => [null, value].includes(query.get(name))
        const chosen = instances().filter(
          ({ settings: { kind, target, labels } }) =>
            is('collector', kind.kind) && is('target', target) && is('environment', labels.environment),
        )
        const items = chosen.slice(offset, offset + limit).map((instance) => collectorView(instance, input))
        return { status: 200, body: { items, total: chosen.length, limit, offset } }
      },
    },
  ]
}
