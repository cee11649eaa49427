import type { Connector } from '../../clients/connect.ts'
import type { RestAddress } from '../../clients/rest.ts'
import { addressOf } from './address.ts'
import type { ConnectSettings } from './config.ts'
import { type Meaning, meaningOf } from './meaning.ts'

/** A collector of the configuration, of any kind. */
interface Configured {
  readonly kind: { readonly kind: string }
  readonly target: string
  readonly enabled: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly settings: unknown
}

/** The clusters among the collectors of a configuration, for who operates connectors. */
export function connectFleets(collectors: readonly Configured[]) {
  return collectors
    .filter(({ kind }) => kind.kind === 'connect')
    .map(({ target, enabled, labels, settings }) => {
      const own = settings as ConnectSettings
      return {
        target,
        enabled,
        environment: labels.environment ?? '',
        platform: labels.platform ?? '',
        selfHealing: healingOf(own),
        address: (): RestAddress => addressOf(own),
        meaningOf: (connector: Connector): Meaning => meaningOf(connector, own.teams),
      }
    })
}

function healingOf({ self_healing: given }: ConnectSettings) {
  return (
    given && {
      dryRun: given.dry_run,
      connectors: given.connectors,
      exceptionClasses: given.exception_classes,
      backoff: given.backoff,
      maxBackoff: given.max_backoff,
      maxPerHour: given.max_per_hour,
      maintenanceWindows: given.maintenance_windows.map(({ schedule: cron, timezone, duration }) => ({
        schedule: { cron, timezone },
        duration,
      })),
    }
  )
}
