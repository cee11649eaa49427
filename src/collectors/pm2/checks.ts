import { stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { within } from '../../clients/call.ts'
import { type Pm2Process, pm2Processes } from '../../clients/pm2.ts'
import {
  advised,
  authenticated,
  type CheckReport,
  firstAnswer,
  type KindChecks,
  named,
  reachable,
  type Verdict,
} from '../../collection/checks.ts'
import type { Settings } from './config.ts'

const processListed = advised(
  'process_listed',
  'The list of PM2 has as many instances of the process as `expect` says, in whatever state.',
  'process',
)
const metricReported = advised(
  'custom_metric_reported',
  'Of `custom_metrics` each is reported by a process.',
  'metric',
)
const errorLogs = advised(
  'error_logs_reachable',
  'The exporter sees the error logs of all processes, whose growth it counts.',
)

export const checks: KindChecks<Settings> = {
  items: [reachable, authenticated, processListed, metricReported, errorLogs],
  async run({ home, expect, custom_metrics }, report, { clock, timeout, signal }) {
    const processes = await firstAnswer(report, signal, {
      ask: () =>
        within(timeout / 2, clock, signal, async (limited) => {
          await findSocket(home)
          return await pm2Processes(home, limited)
        }),
      isRefusal: isDenied,
      remedy: {
        reachable: `set home to the PM2_HOME of the user that PM2 runs as, and start PM2 there: PM2_HOME=${home} pm2 resurrect`,
        authenticated: 'run the exporter as the user that PM2 runs as',
      },
    })
    if (!processes) return
    for (const [name, instances] of Object.entries(expect)) {
      report.add(processListed, listedVerdict(name, processes, instances), name)
    }
    checkMetrics(custom_metrics, processes, report)
    await report.ask(errorLogs, async () => await errorLogVerdict(processes))
  },
}

/** In place of the error of a socket, which does not say what of its path is missing. */
async function findSocket(home: string): Promise<void> {
  if (!(await isThere(home))) throw new Error(`there is no folder ${home}`)
  if (!(await isThere(join(home, 'rpc.sock')))) throw new Error(`no PM2 daemon has its socket in ${home}`)
}

/** Rejects where it may not be known. */
async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined

function isDenied(error: unknown): boolean {
  for (let next = error; next instanceof Error; next = next.cause) {
    if (codeOf(next) === 'EACCES' || codeOf(next) === 'EPERM') return true
  }
  return false
}

function listedVerdict(name: string, processes: readonly Pm2Process[], expected: number): Verdict {
  const found = processes.filter((process) => process.name === name).length
  if (found >= expected) return { ok: true, message: `${found} in the list of PM2` }
  const names = [...new Set(processes.map((process) => process.name))].sort()
  return found > 0
    ? {
        ok: false,
        message: `${found} in the list of PM2; ${expected} are expected`,
        remedy: `pm2 scale ${name} ${expected}; or correct expect`,
      }
    : {
        ok: false,
        message: `not in the list of PM2, which has ${names.length > 0 ? named(names) : 'no process'}`,
        remedy: 'start it, and pm2 save; or correct its name in expect',
      }
}

function checkMetrics(
  metrics: Settings['custom_metrics'],
  processes: readonly Pm2Process[],
  report: CheckReport,
): void {
  const online = processes.filter(({ state }) => state === 'online')
  // Nobody is there to report anything.
  if (online.length === 0) return
  const reported = [...new Set(online.flatMap((process) => [...process.reported.keys()]))].sort()
  for (const { source } of metrics) {
    const names = online.filter((process) => process.reported.has(source)).map(({ name }) => name)
    report.add(
      metricReported,
      names.length > 0
        ? { ok: true, message: `of ${named([...new Set(names)])}` }
        : {
            ok: false,
            message: `no process reports it; what they report: ${reported.length > 0 ? named(reported) : 'nothing'}`,
            remedy: 'correct its name in custom_metrics, or report it with @pm2/io',
          },
      source,
    )
  }
}

async function errorLogVerdict(processes: readonly Pm2Process[]): Promise<Verdict | undefined> {
  const paths = new Set(
    processes.flatMap(({ errorLog }) => (errorLog !== undefined && isAbsolute(errorLog) ? [errorLog] : [])),
  )
  if (paths.size === 0) return undefined
  const found = await Promise.all(
    [...paths].map(async (path) => ({ path, isThere: await isThere(path).catch(() => false) })),
  )
  const missing = found.filter((each) => !each.isThere).map(({ path }) => path)
  if (missing.length === 0) return { ok: true, message: 'all of them' }
  return {
    ok: false,
    message: `not to be seen: ${named(missing.sort(), 3)}`,
    remedy: 'let the user of the exporter enter their folders; in a container, mount them at the same path',
  }
}
