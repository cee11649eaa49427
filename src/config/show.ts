import { stringify } from 'yaml'
import { isSecretName, redact } from '../log.ts'
import { formatDuration } from './fields.ts'
import type { Config, InstanceConfig } from './load.ts'
import { Secret } from './secret.ts'

/**
 * The configuration in effect, all defaults filled in, as YAML. Secrets read `<secret>`. The kinds' own keys
 * are shown as the program holds them: times in milliseconds, sizes in bytes.
 */
export function showConfig(config: Config): string {
  const { web, log, stateDir, api, history, watchdog, collectors, secrets } = config
  const host = web.host?.includes(':') ? `[${web.host}]` : (web.host ?? '')
  const text = stringify(
    {
      web: { listen: `${host}:${web.port}`, enable_lifecycle: config.enableLifecycle },
      log,
      state_dir: stateDir,
      api: api.tokensFile === undefined ? undefined : { tokens_file: api.tokensFile },
      history: {
        max_age: formatDuration(history.maxAge),
        max_failures: history.maxFailures,
        max_audit_entries: history.maxAuditEntries,
      },
      watchdog: watchdog && { ...(plain(watchdog) as object), timeout: formatDuration(watchdog.timeout) },
      collectors: collectors.map((collector) => {
        const { target, environment, platform, ...labels } = collector.labels
        return {
          kind: collector.kind.kind,
          target,
          enabled: collector.enabled,
          ...(environment === undefined ? {} : { environment }),
          ...(platform === undefined ? {} : { platform }),
          ...(Object.keys(labels).length > 0 ? { labels } : {}),
          ...timesOf(collector.interval),
          timeout: formatDuration(collector.timeout),
          max_series: collector.maxSeries,
          ...(plain(collector.settings) as Record<string, unknown>),
        }
      }),
    },
    { aliasDuplicateObjects: false, lineWidth: 0 },
  )
  return redact(
    text,
    secrets.flatMap(({ known }) => known ?? []),
  )
}

function timesOf(interval: InstanceConfig['interval']): object {
  if (typeof interval === 'number') return { interval: formatDuration(interval) }
  const { cron, timezone } = interval
  return { schedule: cron, ...(timezone === undefined ? {} : { timezone }) }
}

/** Without classes and without secrets, known as such or by the name of their key. */
function plain(value: unknown): unknown {
  if (value instanceof Secret) return String(value)
  if (value instanceof RegExp) return value.source
  if (value instanceof Set) return [...value].map(plain)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return Object.fromEntries(
    entries
      .filter(([, item]) => item !== undefined && typeof item !== 'function')
      .map(([key, item]) => [
        String(key),
        isSecretName(String(key)) && typeof item === 'string' ? '<secret>' : plain(item),
      ]),
  )
}
