import { within } from '../../clients/call.ts'
import { CertificateError, type ProbeResult, probe } from '../../clients/http-probe.ts'
import {
  advised,
  authenticated,
  type CheckReport,
  type KindChecks,
  reachable,
  required,
} from '../../collection/checks.ts'
import { componentsOf } from './components.ts'
import { AT_ONCE, labelOf, type Settings } from './config.ts'
import { isExpected, parsed } from './judge.ts'
import { requestOf } from './request.ts'

const certificateTrusted = required(
  'certificate_trusted',
  'The certificate is valid, of an authority that is trusted, and for this host.',
  'url',
)
const certificateLasts = advised(
  'certificate_lasts',
  'The certificates that the server sends are valid for 7 more days.',
  'url',
)
const pathKnown = required(
  'path_known',
  'The server knows the path and the method: no status 404, 405 or 410 but where it is expected.',
  'url',
)
const bodyReadable = required(
  'body_readable',
  'The whole body comes, not longer than `max_body`, and is JSON where the configuration expects JSON.',
  'url',
)

const LASTS_DAYS = 7
const DAY = 86_400

/** What a server says that does not let the caller in, and one that has nothing there. */
const REFUSALS = [401, 403, 407]
const UNKNOWN_PATHS = [404, 405, 410]

// Whether the service is well is what the probes tell, again and again; here it is whether they are set up well.
export const checks: KindChecks<Settings> = {
  items: [reachable, certificateTrusted, certificateLasts, authenticated, pathKnown, bodyReadable],
  async run(settings, report, { clock, signal }) {
    const { urls, probe_timeout } = settings
    const request = requestOf(settings)
    const results: ProbeResult[] = []
    const left = urls.entries()
    async function work(): Promise<void> {
      for (const [index, url] of left) {
        results[index] = await within(probe_timeout, clock, signal, (limited) =>
          probe({ ...request, url }, clock, limited),
        )
        signal.throwIfAborted()
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    for (const [index, url] of urls.entries()) {
      const result = results[index]
      if (result) checkResult(labelOf(url), result, settings, clock.now(), report)
    }
  },
}

/** `now` in wall milliseconds. */
function checkResult(
  url: string,
  { response, failure, tls, redirects }: ProbeResult,
  { expect, health_json, tls: configured }: Settings,
  now: number,
  report: CheckReport,
): void {
  const isDistrusted = failure instanceof CertificateError
  if (!response && !isDistrusted) {
    report.add(
      reachable,
      {
        ok: false,
        message: failure?.message ?? 'there was no answer',
        remedy: 'start the server, or correct the URL; curl -v tells the same from a shell',
      },
      url,
    )
    return
  }
  const after = redirects > 0 ? ` after ${redirects} ${redirects > 1 ? 'redirects' : 'redirect'}` : ''
  const status = `status ${response?.status}${after}`
  report.add(reachable, { ok: true, message: response ? status : 'it answers' }, url)
  if (isDistrusted) {
    const remedy =
      'renew it where it has expired; else name its authority in tls.ca_file, or the host that it is for in tls.server_name'
    report.add(certificateTrusted, { ok: false, message: failure.message, remedy }, url)
    return
  }
  if (tls) {
    if (configured?.insecure_skip_verify !== true) {
      report.add(certificateTrusted, { ok: true, message: `issued by ${tls.leaf.issuer}` }, url)
    }
    const end = new Date(tls.earliestExpiry * 1000).toISOString().slice(0, 10)
    const isLasting = tls.earliestExpiry - now / 1000 > LASTS_DAYS * DAY
    report.add(
      certificateLasts,
      isLasting
        ? { ok: true, message: `until ${end}` }
        : { ok: false, message: `it ends on ${end}`, remedy: 'renew it' },
      url,
    )
  }
  if (!response) return
  if (!isExpected(response.status, expect)) {
    if (REFUSALS.includes(response.status)) {
      const remedy = 'correct token, or username and password'
      report.add(authenticated, { ok: false, message: status, remedy }, url)
      return
    }
    if (UNKNOWN_PATHS.includes(response.status)) {
      const remedy = 'correct the path of the URL, or method; a status that is right goes into expect.status'
      report.add(pathKnown, { ok: false, message: status, remedy }, url)
      return
    }
  }
  const problem = bodyProblem(response.body.toString(), failure, expect.json.length > 0, health_json)
  // A service that has failed, or a proxy before it: not what is there when it is well.
  if (problem && response.status >= 500 && !isExpected(response.status, expect)) return
  report.add(authenticated, { ok: true, message: status }, url)
  report.add(pathKnown, { ok: true, message: status }, url)
  report.add(
    bodyReadable,
    problem
      ? { ok: false, message: `${status}: ${problem.message}`, remedy: problem.remedy }
      : { ok: true, message: `${response.body.length} bytes` },
    url,
  )
}

function bodyProblem(
  body: string,
  failure: Error | undefined,
  isJson: boolean,
  isHealthJson: boolean,
): { readonly message: string; readonly remedy: string } | undefined {
  if (failure) {
    return {
      message: failure.message,
      remedy: 'raise max_body or probe_timeout; or look what the server does',
    }
  }
  const json = isJson || isHealthJson ? parsed(body) : undefined
  const remedy = 'correct the path of the URL: what answers there is something else'
  if (isHealthJson && !componentsOf(json)) {
    return { message: 'the body is no health JSON of Nest Terminus or Spring Boot', remedy }
  }
  return isJson && json === undefined ? { message: 'the body is no JSON', remedy } : undefined
}
