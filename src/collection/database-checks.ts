import { type CheckReport, firstAnswer, versionSupported, versionVerdict } from './checks.ts'

/** A database, as far as it is the same for all kinds. */
interface Answering {
  readonly product: keyof typeof AUTHENTICATED
  version(
    signal: AbortSignal,
  ): Promise<{ readonly found: string; readonly isSupported: boolean; readonly oldest: string } | undefined>
  isLoginRefusal(error: unknown): boolean
}

const REACHABLE = 'start the server, or correct host and port in url'

const AUTHENTICATED = {
  PostgreSQL:
    "correct url, or the user: ALTER ROLE … LOGIN PASSWORD '…'; GRANT CONNECT ON DATABASE … TO …; and pg_hba.conf",
  ClickHouse: 'correct url, username, password and database, or the user: CREATE USER … IDENTIFIED BY …',
  StarRocks: 'correct url with its database, or the user: CREATE USER … IDENTIFIED BY …',
} as const

/** Tells whether a database is `reachable`, `authenticated` and `version_supported`: whether more can be asked. */
export async function databaseAnswers(
  report: CheckReport,
  signal: AbortSignal,
  database: Answering,
  subject?: string,
): Promise<boolean> {
  const answer = await firstAnswer(report, signal, {
    ...(subject === undefined ? {} : { subject }),
    ask: async () => ({ version: await database.version(signal) }),
    isRefusal: (error) => database.isLoginRefusal(error),
    remedy: { reachable: REACHABLE, authenticated: AUTHENTICATED[database.product] },
  })
  if (!answer) return false
  const { version } = answer
  if (version) {
    report.add(versionSupported, versionVerdict(version.found, version.isSupported, version.oldest), subject)
  }
  return true
}
