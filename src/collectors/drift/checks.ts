import { rootReason } from '../../clients/call.ts'
import { planQuery } from '../../clients/databases.ts'
import {
  advised,
  authenticated,
  type KindChecks,
  named,
  reachable,
  required,
  type Verdict,
  versionSupported,
} from '../../collection/checks.ts'
import { databaseAnswers } from '../../collection/database-checks.ts'
import { isByTenant } from '../../config/query.ts'
import { groupReader, type KafkaSettings } from './arrival.ts'
import type { Settings } from './config.ts'
import { countOf, isFault, type Look, roleOf, shown } from './look.ts'
import { discoveredPairs, distinctPairs, nameOf, type Pair, pairsOf } from './pairs.ts'
import { filledIn } from './queries.ts'
import type { GivenQuery, Side } from './query-task.ts'
import { databasesOf, sidesOf } from './sides.ts'
import type { Source } from './source.ts'
import { checkTables, tableItems } from './table-checks.ts'

const transactionsVisible = advised(
  'transactions_visible',
  'The user of the source has the rights of `pg_read_all_stats`: rows of a long transaction of others are not judged before it ends.',
)
const slotExists = required(
  'slot_exists',
  'The logical replication slot `slot` is in the database of the source.',
  'slot',
)
const discovered = required(
  'publication_exists',
  'The publication of `discover` is in the source, and has tables that are wanted, each with series of its own.',
  'publication',
)
const published = required(
  'tables_published',
  'Where `slot` reads publications, each table of the source is in one.',
)
const groupExists = required(
  'group_exists',
  'Kafka answers, and has the consumer group of `kafka` and the topic of each table.',
  'group',
)
const valueQueries = required(
  'value_query',
  'Both queries run, and give the columns that are named.',
  'value',
)
const assertionQuery = required('assertion_query', 'The query runs.', 'assertion')

export const checks: KindChecks<Settings> = {
  items: [
    reachable,
    authenticated,
    versionSupported,
    transactionsVisible,
    slotExists,
    discovered,
    published,
    groupExists,
    ...tableItems,
    valueQueries,
    assertionQuery,
  ],
  async run(settings, report, { clock, timeout, signal }) {
    const bounded = {
      ...settings,
      statement_timeout: Math.min(settings.statement_timeout, Math.ceil(timeout / 2)),
    }
    const databases = databasesOf(bounded, clock)
    const first = sidesOf(bounded)
    const others = Array.from({ length: bounded.concurrency - 1 }, () => sidesOf(bounded))
    const connections = [first, ...others]
    const { source } = first
    try {
      const answers = {
        source: await databaseAnswers(report, signal, databases.source, 'source'),
        sink: await databaseAnswers(report, signal, databases.sink, 'sink'),
      }
      const look: Look = { settings: bounded, report, clock, databases, connections, answers, signal }
      let pairs = pairsOf(bounded)
      let plugin: string | undefined
      if (answers.source) {
        await checkTransactions(source, look)
        plugin = await checkSlot(source, look)
        pairs = distinctPairs([...pairs, ...(await discover(source, look))])
      }
      await checkGroup(pairs, look)
      const there = await checkTables(pairs, look)
      if (plugin === 'pgoutput' && there.length > 0) await checkPublished(source, there, look)
      await checkQueries(look)
    } finally {
      for (const database of Object.values(databases)) database.close()
      for (const { source, sink } of connections) {
        source.close()
        sink.close()
      }
    }
  },
}

async function checkTransactions(source: Source, { report, settings, signal }: Look): Promise<void> {
  await report.ask(transactionsVisible, async () => {
    if (await source.seesTransactions(signal)) return { ok: true, message: 'it has them' }
    return {
      ok: false,
      message: 'it has not: what others write in a long transaction looks like drift when it is committed',
      remedy: `GRANT pg_read_all_stats TO ${roleOf(settings)};`,
    }
  })
}

/** The plugin that writes its changes; undefined where there is none to be waited for. */
async function checkSlot(
  source: Source,
  { settings: { slot }, report, signal }: Look,
): Promise<string | undefined> {
  if (slot === undefined) return undefined
  let plugin: string | undefined
  await report.ask(
    slotExists,
    async () => {
      const found = await source.slot(slot, signal)
      const remedy =
        'start its connector, which makes it, or correct slot: SELECT * FROM pg_replication_slots;'
      if (!found) return { ok: false, message: 'it is not there: no table can be compared', remedy }
      if (!found.isLogical) return { ok: false, message: 'it is a physical one', remedy }
      if (!found.isHere) return { ok: false, message: 'it is of another database of the server', remedy }
      plugin = found.plugin
      return { ok: true, message: `it is there, by ${plugin}` }
    },
    slot,
  )
  return plugin
}

async function discover(source: Source, { settings, report, signal }: Look): Promise<readonly Pair[]> {
  const { discover } = settings
  let pairs: readonly Pair[] = []
  if (!discover) return pairs
  await report.ask(
    discovered,
    async () => {
      const tables = await source.published(discover.publication, signal)
      try {
        pairs = discoveredPairs(discover, tables)
      } catch (error) {
        return { ok: false, message: rootReason(error), remedy: 'correct discover, or the publication' }
      }
      const message = `${pairs.length} of its ${tables.length} tables are wanted`
      return pairs.length > 0
        ? { ok: true, message }
        : { ok: false, message, remedy: 'correct match and exclude of discover' }
    },
    discover.publication,
  )
  return pairs
}

async function checkPublished(
  source: Source,
  pairs: readonly Pair[],
  { report, signal }: Look,
): Promise<void> {
  await report.ask(published, async () => {
    const without = [...new Set((await source.unpublished(pairs, signal)).map(({ source }) => shown(source)))]
    if (without.length === 0) return { ok: true, message: countOf(pairs.length) }
    return {
      ok: false,
      message: `in no publication, so that none of their changes arrives: ${named(without)}`,
      remedy: `ALTER PUBLICATION … ADD TABLE ${named(without, 3)};`,
    }
  })
}

async function checkGroup(pairs: readonly Pair[], look: Look): Promise<void> {
  const { settings, report, clock, signal } = look
  const { kafka } = settings
  if (!kafka) return
  const reader = groupReader(kafka, clock)
  try {
    await report.ask(groupExists, () => groupVerdict(reader, kafka, pairs, signal), kafka.group)
  } finally {
    reader.close()
  }
}

async function groupVerdict(
  reader: ReturnType<typeof groupReader>,
  { group, topic }: KafkaSettings,
  pairs: readonly Pair[],
  signal: AbortSignal,
): Promise<Verdict> {
  let pass: Awaited<ReturnType<typeof reader.pass>>
  try {
    pass = await reader.pass(signal)
  } catch (error) {
    signal.throwIfAborted()
    const message = rootReason(error)
    return { ok: false, message, remedy: 'start Kafka, or correct brokers, tls and sasl of kafka' }
  }
  const { groups, failed } = await pass.groups((name) => name === group)
  if (groups.length === 0 && failed.has(group)) throw failed.get(group)
  if (groups.length === 0) {
    const remedy = 'start the consumer of the sink, or correct kafka.group'
    return { ok: false, message: 'Kafka has no such group: no table can be compared', remedy }
  }
  const topics = new Set(pass.metadata.topics.map(({ name }) => name))
  const missing = pairs.map((pair) => nameOf(topic, pair)).filter((name) => !topics.has(name))
  if (missing.length === 0) return { ok: true, message: `it is there, with ${pairs.length} topics` }
  return {
    ok: false,
    message: `it is there; no such topics: ${named([...new Set(missing)])}`,
    remedy: 'correct kafka.topic; a table that never had a change gets its topic with the first one',
  }
}

async function checkQueries(look: Look): Promise<void> {
  const { settings, report } = look
  for (const { name, source, sink, groups, value } of settings.values) {
    const columns = [...groups, value]
    await report.ask(
      valueQueries,
      () =>
        queriesVerdict(
          [
            ['source', source, columns],
            ['sink', sink, columns],
          ],
          look,
        ),
      name,
    )
  }
  for (const assertion of settings.assertions) {
    await report.ask(
      assertionQuery,
      () => queriesVerdict([[assertion.on, assertion, []]], look),
      assertion.name,
    )
  }
}

/** Undefined where a side cannot be asked. */
async function queriesVerdict(
  queries: readonly (readonly [Side, GivenQuery, readonly string[]])[],
  { settings, databases, answers, signal }: Look,
): Promise<Verdict | undefined> {
  for (const [side, query, columns] of queries) {
    if (!answers[side]) return undefined
    const database = databases[side]
    const tenants = isByTenant(query) ? settings.tenants : ['']
    for (const tenant of tenants) {
      const { sql, parameters } = filledIn(query, { tenant, watermark: 0, database })
      try {
        await planQuery(database, sql, { parameters, columns }, settings.statement_timeout, signal)
      } catch (error) {
        if (!isFault(database, error)) throw error
        const of = tenant === '' ? side : `${side}, ${tenant}`
        const remedy = `run it at the ${side} as its user, and correct it`
        return { ok: false, message: `${of}: ${rootReason(error)}`, remedy }
      }
    }
  }
  return { ok: true, message: queries.map(([side]) => `the ${side} takes it`).join(', ') }
}
