import { within } from '../../clients/call.ts'
import { connectFlink } from '../../clients/flink.ts'
import { hasStatus } from '../../clients/rest.ts'
import {
  addressAnswers,
  advised,
  anyAnswer,
  authenticated,
  isAtLeast,
  type KindChecks,
  reachable,
  versionSupported,
  versionVerdict,
} from '../../collection/checks.ts'
import { addressOf } from './address.ts'
import type { Settings } from './config.ts'
import { newestOfEachName } from './jobs.ts'

const jobsWithin = advised(
  'jobs_within_max_jobs',
  'The cluster has no more jobs than `max_jobs`, which are asked for everything.',
)
const checkpoints = advised(
  'checkpoints_enabled',
  'A job that runs makes checkpoints by itself: without them it starts again from its beginning or its end.',
  'job',
)

export const checks: KindChecks<Settings> = {
  items: [reachable, authenticated, addressAnswers, versionSupported, jobsWithin, checkpoints],
  async run(settings, report, { clock, timeout, signal }) {
    const { urls, max_jobs } = settings
    const at = (url: string) => connectFlink(() => ({ ...addressOf(settings), urls: [url] }))
    const overviews = await anyAnswer(report, signal, {
      addresses: urls,
      async ask(url) {
        const cluster = at(url)
        try {
          return await within(timeout / 2, clock, signal, (limited) => cluster.overview(limited))
        } finally {
          cluster.close()
        }
      },
      isRefusal: (error) => hasStatus(error, 401, 403),
      remedy: {
        reachable:
          'start the JobManager, or correct urls: its REST interface, port 8081 unless set otherwise',
        authenticated: 'correct username and password',
      },
    })
    const [first] = overviews
    if (!first) return
    const [url, { version }] = first
    report.add(versionSupported, versionVerdict(version, isAtLeast(version, OLDEST), OLDEST.join('.')))
    const cluster = at(url)
    try {
      const jobs = newestOfEachName(await cluster.jobs(signal))
      report.add(
        jobsWithin,
        jobs.length <= max_jobs
          ? { ok: true, message: `${jobs.length} jobs` }
          : {
              ok: false,
              message: `${jobs.length} jobs, of which the newest ${max_jobs} are asked for everything`,
              remedy: `max_jobs: ${jobs.length}`,
            },
      )
      const running = jobs.slice(0, max_jobs).filter(({ state }) => state === 'running')
      for (const { id, name } of running.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
        await report.ask(
          checkpoints,
          async () => {
            const interval = await cluster.checkpointInterval(id, signal)
            return interval === undefined
              ? {
                  ok: false,
                  message: 'it makes none',
                  remedy: 'set execution.checkpointing.interval for the job; a batch job needs none',
                }
              : { ok: true, message: `every ${interval / 1000} s` }
          },
          name,
        )
      }
    } finally {
      cluster.close()
    }
  },
}

/** Older ones do not tell the exceptions of a job one by one. */
const OLDEST = [1, 13] as const
