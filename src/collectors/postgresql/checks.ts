import { connectPgbouncer } from '../../clients/pgbouncer.ts'
import {
  connectPostgresql,
  isLoginRefusal,
  type PostgresqlReader,
  type PostgresqlRow,
  quoteIdentifier,
} from '../../clients/postgresql.ts'
import {
  advised,
  authenticated,
  type CheckReport,
  firstAnswer,
  type KindChecks,
  named,
  reachable,
  required,
  type Verdict,
  versionSupported,
  versionVerdict,
} from '../../collection/checks.ts'
import type { Settings } from './config.ts'
import { coverage, type ExpectedPublication } from './publications.ts'

const walLevel = required('wal_level', 'On a primary `wal_level` is `logical`.')
const monitoringRights = required('monitoring_rights', 'The user has all rights of `pg_monitor`.')
const slotExists = advised(
  'slot_exists',
  'On a primary there is a logical replication slot in the database of `url`.',
)
const slotActive = required('slot_active', 'Somebody reads the slot.', 'slot')
const slotKept = required(
  'slot_kept',
  'The server has all WAL that the slot needs: its `wal_status` is `reserved` or `extended`.',
  'slot',
)
const walBounded = advised(
  'max_slot_wal_keep_size',
  '`max_slot_wal_keep_size` is set, so that a slot that nobody reads cannot fill the disk.',
)
const publicationExists = required(
  'publication_exists',
  'Each of `publications` is in the database.',
  'publication',
)
const publicationCovers = required(
  'publication_covers_tables',
  'The publication has each table that `publications` expects in it.',
  'publication',
)
const publicationOperations = required(
  'publication_operations',
  'The publication publishes inserts, updates and deletes.',
  'publication',
)
const replicaIdentity = required(
  'replica_identity',
  'Each table of a publication with updates or deletes has a `REPLICA IDENTITY`: `FULL`, an index, or `DEFAULT` with a primary key. Updates and deletes of other tables fail.',
  'publication',
)
const statements = advised('pg_stat_statements', 'The extension `pg_stat_statements` is loaded and created.')
const pgbouncer = required('pgbouncer_reachable', 'The console of `pgbouncer` answers.')

type Reader = Pick<PostgresqlReader, 'query'>

export const checks: KindChecks<Settings> = {
  items: [
    reachable,
    authenticated,
    versionSupported,
    walLevel,
    monitoringRights,
    slotExists,
    slotActive,
    slotKept,
    walBounded,
    publicationExists,
    publicationCovers,
    publicationOperations,
    replicaIdentity,
    statements,
    pgbouncer,
  ],
  async run(settings, report, { timeout, signal }) {
    const reader = connectPostgresql(() => ({
      url: settings.url.reveal(),
      statementTimeout: Math.ceil(timeout / 2),
    }))
    try {
      const about = await firstAnswer(report, signal, {
        ask: () => reader.query(ABOUT, [], signal),
        isRefusal: isLoginRefusal,
        remedy: {
          reachable:
            'start the server, or correct host and port in url; pg_isready tells the same from a shell',
          authenticated:
            "correct url, or the user: ALTER ROLE … LOGIN PASSWORD '…'; GRANT CONNECT ON DATABASE … TO …; and pg_hba.conf",
        },
      })
      if (about?.[0]) await checkServer(settings, reader, about[0], report, signal)
    } finally {
      reader.close()
    }
    if (settings.pgbouncer) await checkPgbouncer(settings.pgbouncer, report, signal)
  },
}

const OLDEST = 130_000

const ABOUT = `
  SELECT current_setting('server_version_num') AS version_num, current_setting('server_version') AS version,
    pg_is_in_recovery() AS is_standby, current_user AS role, current_database() AS database,
    current_setting('wal_level') AS wal_level,
    current_setting('max_slot_wal_keep_size', true) AS max_slot_wal_keep_size`

async function checkServer(
  { publications }: Settings,
  server: Reader,
  about: PostgresqlRow,
  report: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  const { version = '', wal_level, role, database, max_slot_wal_keep_size: kept } = about
  const isPrimary = about.is_standby === 'f'
  report.add(versionSupported, versionVerdict(version ?? '', Number(about.version_num) >= OLDEST, '13'))
  // The level of a standby matters only for slots of its own.
  if (isPrimary) {
    report.add(
      walLevel,
      wal_level === 'logical'
        ? { ok: true, message: 'wal_level is logical' }
        : {
            ok: false,
            message: `wal_level is ${wal_level}; logical is expected`,
            remedy: "ALTER SYSTEM SET wal_level = 'logical'; then restart the server",
          },
    )
  }
  await report.ask(monitoringRights, async () => {
    const rows = await server.query(LACKING, [], signal)
    const lacking = rows.map(({ name }) => name ?? '')
    if (lacking.length === 0) return { ok: true, message: `${role} has the rights of pg_monitor` }
    return {
      ok: false,
      message: `${role} has no rights of ${named(lacking)}`,
      remedy: `GRANT pg_monitor TO ${quoteIdentifier(role ?? '')};`,
    }
  })
  await checkSlots(server, { database: database ?? '', isPrimary }, report, signal)
  report.add(
    walBounded,
    kept === null || kept === undefined || kept === '-1'
      ? {
          ok: false,
          message:
            'max_slot_wal_keep_size is not set: a slot that nobody reads keeps WAL until the disk is full',
          remedy:
            "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); (what fits the disk)",
        }
      : { ok: true, message: `max_slot_wal_keep_size is ${kept}` },
  )
  for (const expected of publications) await checkPublication(server, expected, report, signal)
  await checkIdentities(server, report, signal)
  await report.ask(statements, async () => {
    const [row] = await server.query(STATEMENTS, [], signal)
    if (row?.created === 't') return { ok: true, message: `it is created in ${database}` }
    return {
      ok: false,
      message: `it is not created in ${database}: queries are counted by transactions`,
      remedy: `set shared_preload_libraries = 'pg_stat_statements', restart, and in ${database}: CREATE EXTENSION pg_stat_statements;`,
    }
  })
}

const LACKING = `
  SELECT name
  FROM unnest('{pg_read_all_settings,pg_read_all_stats,pg_stat_scan_tables}'::text[]) AS name
  WHERE NOT pg_has_role(current_user, name, 'USAGE')`

const STATEMENTS = `SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') AS created`

// As JSON what some versions lack.
const SLOTS = `
  SELECT slot_name, slot_type, database, active, wal_status,
    to_jsonb(slot) ->> 'invalidation_reason' AS invalidation_reason,
    coalesce((to_jsonb(slot) ->> 'synced')::boolean, false) AS synced
  FROM pg_replication_slots AS slot
  WHERE NOT temporary
  ORDER BY slot_name`

async function checkSlots(
  server: Reader,
  { database, isPrimary }: { readonly database: string; readonly isPrimary: boolean },
  report: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  let slots: readonly PostgresqlRow[] = []
  await report.ask(slotExists, async () => {
    slots = await server.query(SLOTS, [], signal)
    if (!isPrimary) return undefined
    const logical = slots.filter((slot) => slot.slot_type === 'logical' && slot.database === database)
    if (logical.length > 0)
      return { ok: true, message: named(logical.map(({ slot_name }) => slot_name ?? '')) }
    return {
      ok: false,
      message: `no logical slot in ${database}: no connector reads its changes`,
      remedy: 'start the connector, which makes its slot; or point url at the database that it reads',
    }
  })
  for (const slot of slots) {
    const name = slot.slot_name ?? ''
    const drop = `SELECT pg_drop_replication_slot(${literal(name)});`
    // One that is kept in step with the primary's is read there.
    if (slot.synced !== 't') {
      report.add(
        slotActive,
        slot.active === 't'
          ? { ok: true, message: 'it is read' }
          : {
              ok: false,
              message: 'nobody reads it, and the server keeps WAL for it',
              remedy: `start its connector; if it is not wanted any more: ${drop}`,
            },
        name,
      )
    }
    report.add(slotKept, keptVerdict(slot, drop), name)
  }
}

function keptVerdict({ wal_status, invalidation_reason }: PostgresqlRow, drop: string): Verdict {
  if (wal_status === 'reserved' || wal_status === 'extended') {
    return { ok: true, message: `its WAL is ${wal_status}` }
  }
  // A slot that was never used needs none.
  if (wal_status === null || wal_status === undefined) return { ok: true, message: 'it needs no WAL yet' }
  if (wal_status === 'unreserved') {
    return {
      ok: false,
      message: 'its WAL is unreserved: it goes at the next checkpoint',
      remedy:
        "let its reader catch up now, and raise the bound: ALTER SYSTEM SET max_slot_wal_keep_size = '…'; SELECT pg_reload_conf();",
    }
  }
  const why = typeof invalidation_reason === 'string' ? ` (${invalidation_reason})` : ''
  return {
    ok: false,
    message: `it is ${wal_status}${why}: changes are missing for good`,
    remedy: `stop its connector, ${drop} then let the connector take a new snapshot`,
  }
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const PUBLICATION = `
  SELECT pubinsert, pubupdate, pubdelete, puballtables FROM pg_publication WHERE pubname = $1`

async function checkPublication(
  server: Reader,
  expected: ExpectedPublication,
  report: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  const { name } = expected
  const quoted = quoteIdentifier(name)
  let about: PostgresqlRow | undefined
  await report.ask(
    publicationExists,
    async () => {
      about = (await server.query(PUBLICATION, [name], signal))[0]
      if (about) return { ok: true, message: 'it is there' }
      return {
        ok: false,
        message: 'there is no such publication in the database of url',
        remedy: `CREATE PUBLICATION ${quoted} FOR TABLE …;`,
      }
    },
    name,
  )
  if (!about) return
  const silent = (['insert', 'update', 'delete'] as const).filter(
    (operation) => about?.[`pub${operation}`] !== 't',
  )
  report.add(
    publicationOperations,
    silent.length === 0
      ? { ok: true, message: 'inserts, updates and deletes' }
      : {
          ok: false,
          message: `it does not publish ${silent.map((operation) => `${operation}s`).join(' and ')}`,
          remedy: `ALTER PUBLICATION ${quoted} SET (publish = 'insert, update, delete, truncate');`,
        },
    name,
  )
  await report.ask(
    publicationCovers,
    async () => {
      const { tables, missing } = await coverage(server, expected, signal)
      if (missing.length === 0) return { ok: true, message: `${tables} tables, none is missing` }
      return {
        ok: false,
        message: `missing: ${named(missing)}`,
        remedy: `ALTER PUBLICATION ${quoted} ADD TABLE ${named(missing.map(quotedTable), 3)};`,
      }
    },
    name,
  )
}

/** The schema may not have a dot in its name. */
function quotedTable(name: string): string {
  const dot = name.indexOf('.')
  return `${quoteIdentifier(name.slice(0, dot))}.${quoteIdentifier(name.slice(dot + 1))}`
}

// Changes are written to partitions, whatever is published. An identity needs an index that is valid and, of a key,
// not deferrable: https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY
const IDENTITIES = `
  WITH published AS (
    SELECT pubname, pg_class.oid, relkind
    FROM pg_publication_tables
      JOIN pg_publication USING (pubname)
      JOIN pg_namespace ON nspname = schemaname
      JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = tablename
    WHERE pubupdate OR pubdelete
  ), written AS (
    SELECT pubname, oid FROM published WHERE relkind <> 'p'
    UNION
    SELECT pubname, relid FROM published, pg_partition_tree(oid) WHERE relkind = 'p' AND isleaf
  ), without AS (
    SELECT pubname, nspname || '.' || relname AS name
    FROM written JOIN pg_class USING (oid) JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relreplident = 'n'
      OR relreplident = 'd' AND NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary AND indisvalid AND indimmediate)
      OR relreplident = 'i' AND NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisreplident AND indisvalid)
  )
  SELECT pubname, count(*) AS tables,
    (SELECT json_agg(name ORDER BY name) FROM (
      SELECT name FROM without WHERE without.pubname = written.pubname ORDER BY name LIMIT 1000) AS first) AS without
  FROM written
  GROUP BY pubname
  ORDER BY pubname`

async function checkIdentities(server: Reader, report: CheckReport, signal: AbortSignal): Promise<void> {
  let rows: readonly PostgresqlRow[] = []
  await report.ask(replicaIdentity, async () => {
    rows = await server.query(IDENTITIES, [], signal)
    return undefined
  })
  for (const { pubname, tables, without } of rows) {
    const names: readonly string[] = JSON.parse(without ?? '[]')
    report.add(
      replicaIdentity,
      names.length === 0
        ? { ok: true, message: `all of its ${tables} tables have one` }
        : {
            ok: false,
            message: `no usable identity: ${named(names)}; their updates and deletes fail`,
            remedy: `${names
              .slice(0, 3)
              .map((name) => `ALTER TABLE ${quotedTable(name)} REPLICA IDENTITY FULL;`)
              .join(' ')} or give them a primary key and REPLICA IDENTITY DEFAULT`,
          },
      pubname ?? '',
    )
  }
}

async function checkPgbouncer(
  { url }: NonNullable<Settings['pgbouncer']>,
  report: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  const console = connectPgbouncer(() => url.reveal())
  try {
    const [row] = await console.show('VERSION', signal)
    report.add(pgbouncer, { ok: true, message: row?.version ?? 'it answers' })
  } catch (error) {
    report.add(pgbouncer, {
      ok: false,
      message: error instanceof Error ? error.message : String(error),
      remedy: 'correct pgbouncer.url, and put its user into stats_users of pgbouncer.ini',
    })
    signal.throwIfAborted()
  } finally {
    console.close()
  }
}
