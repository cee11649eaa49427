import { parseAddress } from '../../clients/kafka/connection.ts'
import { chainOf, firstContacts } from '../../clients/kafka/first-contact.ts'
import { type GroupsReading, type KafkaPass, KafkaReader } from '../../clients/kafka/reader.ts'
import { isLoginRefusal, securityOf } from '../../clients/kafka/security.ts'
import {
  addressAnswers,
  advised,
  anyAnswer,
  authenticated,
  type CheckReport,
  type KindChecks,
  named,
  reachable,
  required,
  type Verdict,
  versionSupported,
  versionVerdict,
} from '../../collection/checks.ts'
import type { KafkaSettings } from './config.ts'
import { isDeadLetterTopic } from './dead-letters.ts'
import { type Selection, selection } from './selection.ts'

const brokerReachable = required(
  'broker_reachable',
  'Each broker of the cluster answers at the address that it advertises.',
  'broker',
)
const clusterDescribed = advised(
  'cluster_described',
  'The user may DESCRIBE the cluster: else the size of logs and the quorum are unknown, and groups of which it may not are not seen.',
)
const topicsSeen = required(
  'topics_seen',
  'The user may DESCRIBE topics, and `allow_topics` and `deny_topics` leave some of them.',
)
const ruleApplies = advised('topic_rule_applies', 'Each rule of `topics` matches a topic.', 'rule')
const settingsReadable = advised(
  'topic_settings_readable',
  'The user may DESCRIBE_CONFIGS of topics: else it is not known how long they keep records.',
)
const groupsSeen = advised(
  'groups_seen',
  'The user may DESCRIBE consumer groups, and `allow_groups` and `deny_groups` leave some of them.',
)
const groupsReadable = required(
  'groups_readable',
  'The user may DESCRIBE each consumer group that it sees, and so read what it has committed.',
)
const deadLettersReadable = required(
  'dead_letters_readable',
  'With `dead_letters.sample` above 0 the user may READ the topics that `dead_letters.match` names.',
)

export const checks: KindChecks<KafkaSettings> = {
  items: [
    reachable,
    authenticated,
    addressAnswers,
    versionSupported,
    brokerReachable,
    clusterDescribed,
    topicsSeen,
    ruleApplies,
    settingsReadable,
    groupsSeen,
    groupsReadable,
    deadLettersReadable,
  ],
  async run(settings, report, { clock, signal }) {
    const contacts = await anyAnswer(report, signal, {
      addresses: settings.brokers,
      ask: firstContacts(settings, clock, signal),
      isRefusal: isLoginRefusal,
      remedy: {
        reachable:
          'start the broker, or correct brokers; a listener with TLS or SASL does not answer without tls and sasl, nor a plain one with them',
        authenticated: 'correct sasl, or the user at the broker',
      },
    })
    const [contact] = contacts.values()
    if (!contact) return
    const { lacks, mayDescribeCluster } = contact
    if (lacks.length > 0) {
      report.add(versionSupported, versionVerdict(`without ${lacks.join(', ')}`, false, OLDEST))
      return
    }
    report.add(versionSupported, { ok: true, message: 'it speaks all that is needed' })
    const reader = new KafkaReader({
      seeds: [...contacts.keys()].map(parseAddress),
      security: securityOf(settings, settings.broker_timeout, clock),
      brokerTimeout: settings.broker_timeout,
    })
    try {
      const pass = await reader.pass(signal)
      const chosen = selection(settings)
      const groups = await pass.groups(chosen.group)
      checkBrokers(pass, report)
      if (mayDescribeCluster !== undefined) {
        report.add(
          clusterDescribed,
          mayDescribeCluster
            ? { ok: true, message: 'the user may' }
            : refused('the user may not', settings, 'Describe --cluster'),
        )
      }
      await checkTopics(settings, pass, chosen, report)
      checkGroups(settings, groups, report)
      await checkDeadLetters(settings, pass, chosen, report)
    } finally {
      reader.close()
    }
  },
}

/** The first that speaks OffsetFetch in a version that tells of all partitions at once, and flexibly. */
const OLDEST = 'Kafka 2.4'

const refused = (message: string, { sasl }: KafkaSettings, right: string): Verdict => {
  const user = sasl?.mechanism === 'oauthbearer' ? sasl.client_id : sasl?.username
  return {
    ok: false,
    message,
    remedy: `kafka-acls.sh --bootstrap-server … --add --allow-principal User:${user ?? '…'} --operation ${right}`,
  }
}

function checkBrokers({ metadata, failedBrokers }: KafkaPass, report: CheckReport): void {
  for (const { id, host, port } of metadata.brokers.toSorted((a, b) => a.id - b.id)) {
    const cause = failedBrokers.get(id)
    report.add(
      brokerReachable,
      failedBrokers.has(id)
        ? {
            ok: false,
            message: chainOf(cause),
            remedy: `let the exporter reach ${host}:${port}, or correct advertised.listeners of the broker`,
          }
        : { ok: true, message: `${host}:${port}` },
      String(id),
    )
  }
}

async function checkTopics(
  settings: KafkaSettings,
  pass: KafkaPass,
  chosen: Selection,
  report: CheckReport,
): Promise<void> {
  const names = pass.metadata.topics.map(({ name }) => name)
  const all = names.filter((name) => !name.startsWith('__'))
  const wanted = names.filter(chosen.topic)
  if (wanted.length === 0) {
    const message =
      all.length === 0
        ? 'it sees no topic: there is none, or the user may not'
        : `none is left of ${named(all.toSorted())}`
    report.add(
      topicsSeen,
      all.length === 0
        ? refused(message, settings, "Describe --topic '*'")
        : { ok: false, message, remedy: 'correct allow_topics and deny_topics' },
    )
    return
  }
  report.add(topicsSeen, { ok: true, message: `${wanted.length} topics` })
  const rules = new Map(settings.topics.map(({ match }) => [match.source, match]))
  for (const [source, match] of rules) {
    const matched = wanted.filter((topic) => match.test(topic))
    report.add(
      ruleApplies,
      matched.length > 0
        ? { ok: true, message: `${matched.length} topics` }
        : {
            ok: false,
            message: `it matches no topic; there are ${named(wanted.toSorted(), 5)}`,
            remedy: 'correct match, or make the topics: a connector makes them with the first change',
          },
      source,
    )
  }
  await report.ask(settingsReadable, async () => {
    const configs = await pass.topicConfigs(wanted, ['retention.ms'])
    const hidden = [...configs].filter(([, config]) => !config).map(([topic]) => topic)
    if (hidden.length === 0) return { ok: true, message: `of ${configs.size} topics` }
    return refused(`refused: ${named(hidden.sort())}`, settings, "DescribeConfigs --topic '*'")
  })
}

function checkGroups(settings: KafkaSettings, { groups, failed }: GroupsReading, report: CheckReport): void {
  const hidden = [...failed]
    .filter(([, cause]) => String(cause).includes('GROUP_AUTHORIZATION_FAILED'))
    .map(([group]) => group)
  const describe = "Describe --group '*'"
  report.add(
    groupsSeen,
    groups.length + failed.size > 0
      ? { ok: true, message: named([...groups.map(({ group }) => group), ...failed.keys()].sort(), 3) }
      : refused('it sees none: there is none, or the user may not', settings, describe),
  )
  if (groups.length + failed.size === 0) return
  report.add(
    groupsReadable,
    hidden.length === 0
      ? { ok: true, message: 'each of them' }
      : refused(`refused: ${named(hidden.sort())}`, settings, describe),
  )
}

async function checkDeadLetters(
  settings: KafkaSettings,
  pass: KafkaPass,
  chosen: Selection,
  report: CheckReport,
): Promise<void> {
  const { match, sample } = settings.dead_letters
  const topics = pass.metadata.topics.filter(
    ({ name }) => chosen.topic(name) && isDeadLetterTopic(name, match),
  )
  if (sample === 0 || topics.length === 0) return
  await report.ask(deadLettersReadable, async () => {
    const names = topics.map(({ name }) => name).sort()
    const hidden = await pass.unreadable(names)
    if (hidden.length === 0) return { ok: true, message: named(names) }
    const verdict = refused(`refused: ${named(hidden)}`, settings, `Read --topic '${hidden[0]}'`)
    return { ...verdict, remedy: `${verdict.remedy}; or dead_letters.sample: 0` }
  })
}
