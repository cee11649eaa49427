import { COMMIT_LOG } from '../../clients/kafka/commit-log.ts'
import { parseAddress } from '../../clients/kafka/connection.ts'
import { firstContacts } from '../../clients/kafka/first-contact.ts'
import { type GroupsReading, type KafkaPass, KafkaReader } from '../../clients/kafka/reader.ts'
import { isLoginRefusal, securityOf } from '../../clients/kafka/security.ts'
import {
  addressAnswers,
  advised,
  anyAnswer,
  authenticated,
  type CheckContext,
  type CheckReport,
  type KindChecks,
  named,
  reachable,
  required,
} from '../../collection/checks.ts'
import { tableByRule } from '../../config/kafka.ts'
import type { SyncSettings } from './config.ts'

const targetThere = required(
  'target_there',
  'Each of `targets` is the target of a kafka, connect, flink or starrocks collector that is on.',
  'target',
)
const ruleApplies = advised('topic_rule_applies', 'Each rule of `topics` matches a topic.', 'rule')
const groupThere = required(
  'group_there',
  'Each of `groups` matches a consumer group whose commits the user may read.',
  'pattern',
)
const topicsConsumed = advised('topics_consumed', 'Each topic of a table is read by one of `groups`.')
const topicsReadable = required(
  'topics_readable',
  'With `read.records` above 0 the user may READ the topics of the tables.',
)
const commitLogReadable = advised(
  'commit_log_readable',
  'The user may READ `__consumer_offsets`, where latency and sizes of batches come from.',
)

export const checks: KindChecks<SyncSettings> = {
  items: [
    targetThere,
    reachable,
    authenticated,
    addressAnswers,
    ruleApplies,
    groupThere,
    topicsConsumed,
    topicsReadable,
    commitLogReadable,
  ],
  async run(settings, report, context) {
    const { clock, signal } = context
    checkTargets(settings, context, report)
    const contacts = await anyAnswer(report, signal, {
      addresses: settings.brokers,
      ask: firstContacts(settings, clock, signal),
      isRefusal: isLoginRefusal,
      remedy: {
        reachable: 'start the broker, or correct brokers, tls and sasl',
        authenticated: 'correct sasl, or the user at the broker',
      },
    })
    if (contacts.size === 0) return
    const reader = new KafkaReader({
      seeds: [...contacts.keys()].map(parseAddress),
      security: securityOf(settings, settings.broker_timeout, clock),
      brokerTimeout: settings.broker_timeout,
    })
    try {
      const pass = await reader.pass(signal)
      const groups = await pass.groups((group) => settings.groups.some((match) => match.test(group)))
      const topics = checkRules(settings, pass, report)
      checkGroups(settings, groups, topics, report)
      await checkRights(settings, pass, topics, report)
    } finally {
      reader.close()
    }
  },
}

/** Kinds whose series are used. */
const SOURCES = ['kafka', 'connect', 'flink', 'starrocks']

function checkTargets(
  { targets = [] }: SyncSettings,
  { collectors }: CheckContext,
  report: CheckReport,
): void {
  const sources = collectors.filter(({ kind }) => SOURCES.includes(kind))
  const present = [...new Set(sources.map(({ target }) => target))].sort()
  for (const target of new Set(targets)) {
    const kinds = sources.filter((each) => each.target === target).map(({ kind }) => kind)
    report.add(
      targetThere,
      kinds.length > 0
        ? { ok: true, message: named(kinds) }
        : {
            ok: false,
            message: `no ${SOURCES.slice(0, -1).join(', ')} or ${SOURCES.at(-1)} collector has it; there are ${named(present) || 'none'}`,
            remedy: 'correct targets, or switch that collector on',
          },
      target,
    )
  }
}

/** The topics of tables, in order of their names. */
function checkRules({ topics, dead_letters }: SyncSettings, pass: KafkaPass, report: CheckReport): string[] {
  const names = pass.metadata.topics.map(({ name }) => name).filter((name) => !name.startsWith('__'))
  const ofTables = names.filter((name) => !tableByRule(dead_letters, name)).sort()
  for (const [source, match] of new Map(topics.map(({ match }) => [match.source, match]))) {
    const matched = ofTables.filter((name) => match.test(name))
    report.add(
      ruleApplies,
      matched.length > 0
        ? { ok: true, message: `${matched.length} topics` }
        : {
            ok: false,
            message: `it matches no topic; there are ${named(ofTables, 5) || 'none'}`,
            remedy:
              'correct match, or let the user DESCRIBE them; a connector makes a topic with the first change',
          },
      source,
    )
  }
  return ofTables.filter((name) => tableByRule(topics, name))
}

function checkGroups(
  settings: SyncSettings,
  { groups, failed }: GroupsReading,
  topics: readonly string[],
  report: CheckReport,
): void {
  for (const [source, match] of new Map(settings.groups.map((match) => [match.source, match]))) {
    const refused = [...failed.keys()].filter((name) => match.test(name))
    const found = groups.map(({ group }) => group).filter((name) => match.test(name))
    report.add(
      groupThere,
      refused.length === 0 && found.length > 0
        ? { ok: true, message: named(found) }
        : {
            ok: false,
            message:
              refused.length > 0
                ? `not to be read: ${named(refused)}: ${failed.get(refused[0] ?? '')}`
                : 'it matches no consumer group that the user sees',
            remedy: 'correct groups, start the sink, or let the user DESCRIBE its groups',
          },
      source,
    )
  }
  const read = new Set(groups.flatMap(({ committed }) => committed.topics))
  if (topics.length === 0 || read.size === 0) return
  const unread = topics.filter((topic) => !read.has(topic))
  report.add(
    topicsConsumed,
    unread.length === 0
      ? { ok: true, message: `${topics.length} topics` }
      : {
          ok: false,
          message: `none of the groups has committed anything of ${named(unread)}`,
          remedy: 'let the sink read them, add its other groups, or leave these topics out of the rules',
        },
  )
}

async function checkRights(
  { read, sasl }: SyncSettings,
  pass: KafkaPass,
  topics: readonly string[],
  report: CheckReport,
): Promise<void> {
  const user = (sasl?.mechanism === 'oauthbearer' ? sasl.client_id : sasl?.username) ?? '…'
  const allow = (topic: string | undefined) =>
    `kafka-acls.sh --bootstrap-server … --add --allow-principal User:${user} --operation Read --topic '${topic}'`
  if (read.records > 0 && topics.length > 0) {
    await report.ask(topicsReadable, async () => {
      const refused = await pass.unreadable(topics)
      return refused.length === 0
        ? { ok: true, message: `${topics.length} topics` }
        : { ok: false, message: `refused: ${named(refused)}`, remedy: allow(refused[0]) }
    })
  }
  // It is made with the first commit of any group.
  const isThere = pass.metadata.topics.some(({ name }) => name === COMMIT_LOG)
  await report.ask(commitLogReadable, async () => {
    if (isThere && (await pass.unreadable([COMMIT_LOG])).length === 0)
      return { ok: true, message: 'the user may' }
    const message = isThere ? 'refused' : 'the user does not see it, or no group has committed anything'
    return { ok: false, message, remedy: allow(COMMIT_LOG) }
  })
}
