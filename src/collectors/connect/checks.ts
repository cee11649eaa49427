import { within } from '../../clients/call.ts'
import { connectKafkaConnect } from '../../clients/connect.ts'
import { hasStatus } from '../../clients/rest.ts'
import {
  addressAnswers,
  advised,
  anyAnswer,
  authenticated,
  isAtLeast,
  type KindChecks,
  named,
  reachable,
  required,
  type Verdict,
  versionSupported,
  versionVerdict,
} from '../../collection/checks.ts'
import { addressOf } from './address.ts'
import type { ConnectSettings } from './config.ts'
import { appliesTo } from './meaning.ts'

const sameCluster = required('same_cluster', 'The workers at `urls` are of one cluster: of the same Kafka.')
const connectorsThere = advised('connectors_there', 'The cluster has a connector.')
const ruleApplies = advised('rule_applies', 'Each rule of `teams` matches a connector.', 'rule')
const healingApplies = advised(
  'self_healing_applies',
  'Each pattern of `self_healing.connectors` matches a connector.',
  'pattern',
)

export const checks: KindChecks<ConnectSettings> = {
  items: [
    reachable,
    authenticated,
    addressAnswers,
    versionSupported,
    sameCluster,
    connectorsThere,
    ruleApplies,
    healingApplies,
  ],
  async run(settings, report, { clock, timeout, signal }) {
    const { urls, teams, self_healing } = settings
    const readings = await anyAnswer(report, signal, {
      addresses: urls,
      async ask(url) {
        const worker = connectKafkaConnect(() => ({ ...addressOf(settings), urls: [url] }))
        try {
          return await within(timeout / 2, clock, signal, (limited) => worker.read(limited))
        } finally {
          worker.close()
        }
      },
      isRefusal: (error) => hasStatus(error, 401, 403),
      remedy: {
        reachable: 'start the worker, or correct urls: its REST interface, port 8083 unless set otherwise',
        authenticated: 'correct username and password, or token',
      },
    })
    const [reading] = readings.values()
    if (!reading) return
    const { version } = reading.worker
    report.add(versionSupported, versionVerdict(version, isAtLeast(version, OLDEST), OLDEST.join('.')))
    if (readings.size > 1) {
      const clusters = Map.groupBy(readings, ([, { worker }]) => worker.clusterId)
      const found = [...clusters].map(([id, of]) => `${named(of.map(([url]) => url))} of Kafka ${id}`)
      report.add(
        sameCluster,
        clusters.size === 1
          ? { ok: true, message: `all ${found[0]}` }
          : {
              ok: false,
              message: found.join('; '),
              remedy: 'give each cluster a collector of its own, with the urls of its workers',
            },
      )
    }
    // They share out the connectors anew, and tell of none.
    if (!reading.connectors) return
    const names = [...reading.connectors.map(({ name }) => name), ...reading.unreadable.keys()].sort()
    if (names.length === 0) {
      const remedy = 'create one; or correct urls, or group.id of the workers'
      report.add(connectorsThere, { ok: false, message: 'it has no connector', remedy })
      return
    }
    report.add(connectorsThere, { ok: true, message: named(names) })
    for (const rule of distinctBy(teams, labelOf)) {
      const verdict = matchVerdict(names, (name) => appliesTo(rule, name), 'teams')
      report.add(ruleApplies, verdict, labelOf(rule))
    }
    for (const pattern of distinctBy(self_healing?.connectors ?? [], ({ source }) => source)) {
      const verdict = matchVerdict(names, (name) => pattern.test(name), 'self_healing.connectors')
      report.add(healingApplies, verdict, pattern.source)
    }
  },
}

const labelOf = ({ match, name }: ConnectSettings['teams'][number]): string => name ?? match?.source ?? ''

const distinctBy = <T>(items: readonly T[], keyOf: (item: T) => string): readonly T[] =>
  items.filter((item, i) => items.findIndex((other) => keyOf(other) === keyOf(item)) === i)

/** The REST interface of older ones cannot tell of all connectors at once. */
const OLDEST = [2, 3] as const

function matchVerdict(names: readonly string[], matches: (name: string) => boolean, key: string): Verdict {
  const found = names.filter(matches)
  if (found.length > 0) return { ok: true, message: named(found, 3) }
  return {
    ok: false,
    message: `it matches no connector; there are ${named(names)}`,
    remedy: `correct it, or take it out of ${key}`,
  }
}
