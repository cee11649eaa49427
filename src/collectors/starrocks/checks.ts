import { connectStarrocks, isLoginRefusal, refusalOf, type StarrocksReader } from '../../clients/starrocks.ts'
import {
  authenticated,
  type CheckReport,
  firstAnswer,
  type KindChecks,
  reachable,
  required,
  type Verdict,
  versionSupported,
  versionVerdict,
} from '../../collection/checks.ts'
import { addressOf, type Settings } from './config.ts'
import { readDatabases, readTables } from './tables.ts'
import { isSince, readVersion } from './version.ts'

const clusterRights = required(
  'cluster_rights',
  'The user may see the nodes of the cluster and the sessions of others: it has `OPERATE` on `SYSTEM`.',
)
const databaseExists = required(
  'database_exists',
  'Each of `databases` is there, and the user sees it.',
  'database',
)
const tableMatches = required(
  'table_matches',
  'Each of `allow_tables` matches a table that the user sees.',
  'pattern',
)

export const checks: KindChecks<Settings> = {
  items: [reachable, authenticated, versionSupported, clusterRights, databaseExists, tableMatches],
  async run(settings, report, { timeout, signal }) {
    const server = connectStarrocks(() => addressOf(settings, timeout))
    try {
      const version = await firstAnswer(report, signal, {
        ask: () => readVersion(server, signal),
        isRefusal: isLoginRefusal,
        remedy: {
          reachable:
            'start a front end, or correct hosts: the query port is 9030, where fe.conf has no other query_port',
          authenticated: `correct username and password, or the user: CREATE USER '${settings.username}' IDENTIFIED BY '…';`,
        },
      })
      if (version === undefined) return
      report.add(versionSupported, versionVerdict(version, isSince(version, 2, 5), '2.5'))
      await report.ask(clusterRights, () => rights(server, settings, version, signal))
      await checkNames(server, settings, report, signal)
    } finally {
      server.close()
    }
  },
}

async function rights(
  server: StarrocksReader,
  { username }: Settings,
  version: string,
  signal: AbortSignal,
): Promise<Verdict> {
  const lacking: string[] = []
  for (const what of ['frontends', 'backends'] as const) {
    try {
      await server.show(what, signal)
    } catch (error) {
      if (refusalOf(error) !== 'rights') throw error
      lacking.push(`SHOW ${what.toUpperCase()}`)
    }
  }
  if (lacking.length === 0) return { ok: true, message: `${username} sees the nodes of the cluster` }
  return {
    ok: false,
    message: `${username} may not ${lacking.join(' or ')}`,
    remedy: isSince(version, 3, 0)
      ? `GRANT OPERATE ON SYSTEM TO USER '${username}'; (the role cluster_admin has it, and more)`
      : `GRANT ADMIN_PRIV ON *.* TO '${username}'; (before 3.0 there is no narrower right)`,
  }
}

async function checkNames(
  server: StarrocksReader,
  { databases, allow_tables, deny_tables }: Settings,
  report: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  if (databases) {
    const seen = await readDatabases(server, signal)
    for (const name of databases)
      report.add(databaseExists, sight(seen.includes(name), 'SHOW DATABASES;'), name)
  }
  for (const pattern of allow_tables) {
    await report.ask(
      tableMatches,
      async () => {
        const found = await readTables(server, { allow_tables: [pattern], deny_tables }, signal)
        return sight(found.length > 0, 'SHOW TABLES FROM …;')
      },
      pattern.source,
    )
  }
}

const sight = (isThere: boolean, statement: string): Verdict =>
  isThere
    ? { ok: true, message: 'it is there' }
    : {
        ok: false,
        message: 'the user sees none of this name',
        remedy: `correct the name, which ${statement} tells, or the right: GRANT SELECT ON ALL TABLES IN DATABASE … TO USER …;`,
      }
