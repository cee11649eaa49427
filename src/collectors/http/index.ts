import { isIPv6 } from 'node:net'
import { within } from '../../clients/call.ts'
import { addressHash, type ProbeResult, probe } from '../../clients/http-probe.ts'
import { defineCollector, type Finding, type SampleBatch, seconds } from '../../collection/collector.ts'
import { checks } from './checks.ts'
import { componentsOf } from './components.ts'
import { AT_ONCE, labelOf, type Settings, settings } from './config.ts'
import { details, healthOf } from './health.ts'
import { type Fault, faultOf, parsed } from './judge.ts'
import * as metrics from './metrics.ts'
import { requestOf } from './request.ts'

/** Of one health JSON; more would be the work of somebody who can write into it. */
const MAX_COMPONENTS = 100
const LONGEST_COMPONENT = 200

/**
 * Probes of HTTP servers, and the components of their health JSON. A server that does not answer is what was
 * looked for, not a collection that failed: `probe_success` 0, and a finding that says why.
 */
export const http = defineCollector({
  kind: 'http',
  health: { key: 'http', title: 'HTTP', details },
  settings,
  families: Object.values(metrics),
  defaults: { interval: seconds(30), timeout: seconds(10) },
  checks,
  longestWait: ({ urls, probe_timeout }) => Math.ceil(urls.length / AT_ONCE) * probe_timeout,
  create(settings, { clock }) {
    let findings: readonly Finding[] = []
    return {
      async collect(batch, signal) {
        signal.throwIfAborted()
        const request = requestOf(settings)
        const found: Finding[] = []
        const left = settings.urls.values()
        async function work(): Promise<void> {
          for (const url of left) {
            const from = clock.monotonic()
            const result = await within(settings.probe_timeout, clock, signal, (limited) =>
              probe({ ...request, url }, clock, limited),
            )
            signal.throwIfAborted()
            const label = labelOf(url)
            const components =
              settings.health_json && result.response
                ? componentsOf(parsed(result.response.body.toString()))
                : undefined
            const fault = judge(result, components, settings)
            const duration = (clock.monotonic() - from) / 1000
            writeProbe(batch, label, { result, fault, duration, timeout: settings.probe_timeout / 1000 })
            if (components) writeComponents(batch, label, components)
            found.push(findingOf(label, result, fault))
          }
        }
        await Promise.all(Array.from({ length: AT_ONCE }, work))
        findings = found
      },
      findings: () => findings,
      health: healthOf,
    }
  },
})

function judge(
  { response, failure }: ProbeResult,
  components: ReadonlyMap<string, boolean> | undefined,
  settings: Settings,
): Fault | undefined {
  if (failure || !response) return { message: failure?.message ?? 'there was no answer', regex: false }
  const fault = faultOf(response, settings.expect)
  if (fault || !settings.health_json || components) return fault
  return { message: 'the body is no health JSON of Nest Terminus or Spring Boot', regex: false }
}

function writeProbe(
  batch: SampleBatch,
  url: string,
  probed: { result: ProbeResult; fault: Fault | undefined; duration: number; timeout: number },
): void {
  const { result, fault, duration, timeout } = probed
  const { address, response, tls } = result
  batch.add(metrics.success, { url }, Number(!fault))
  batch.add(metrics.duration, { url }, duration)
  batch.add(metrics.timeout, { url }, timeout)
  for (const [phase, seconds] of Object.entries(result.phases)) {
    batch.add(metrics.phaseDuration, { url, phase }, seconds)
  }
  batch.add(metrics.dnsLookup, { url }, result.lookup)
  batch.add(metrics.ipProtocol, { url }, address === undefined ? 0 : isIPv6(address) ? 6 : 4)
  batch.add(metrics.ipHash, { url }, address === undefined ? 0 : addressHash(address))
  batch.add(metrics.redirects, { url }, result.redirects)
  // Without an answer 0, not absent: what blackbox_exporter does, and its users' rules count on.
  batch.add(metrics.statusCode, { url }, response?.status ?? 0)
  batch.add(metrics.version, { url }, response?.version ?? 0)
  batch.add(metrics.ssl, { url }, Number(response?.encrypted ?? false))
  batch.add(metrics.contentLength, { url }, response?.contentLength ?? 0)
  batch.add(metrics.bodyLength, { url }, response?.body.length ?? 0)
  batch.add(metrics.failedDueToRegex, { url }, Number(fault?.regex ?? false))
  const modified = Date.parse(response?.headers['last-modified'] ?? '')
  if (!Number.isNaN(modified)) batch.add(metrics.lastModified, { url }, modified / 1000)
  if (!tls) return
  batch.add(metrics.earliestCertExpiry, { url }, tls.earliestExpiry)
  if (tls.chainExpiry !== undefined) batch.add(metrics.chainExpiry, { url }, tls.chainExpiry)
  batch.add(metrics.tlsVersion, { url, version: tls.version }, 1)
  batch.add(metrics.tlsCipher, { url, cipher: tls.cipher }, 1)
  const { fingerprint, subject, issuer, dnsNames, serialNumber } = tls.leaf
  const info = { fingerprint_sha256: fingerprint, subject, issuer, serialnumber: serialNumber }
  batch.add(metrics.chainInfo, { url, ...info, subjectalternative: dnsNames.join() }, 1)
}

function writeComponents(batch: SampleBatch, url: string, components: ReadonlyMap<string, boolean>): void {
  const taken = [...components]
    .filter(([component]) => component.length <= LONGEST_COMPONENT)
    .slice(0, MAX_COMPONENTS)
  for (const [component, up] of taken) batch.add(metrics.componentUp, { url, component }, Number(up))
  const rest = components.size - taken.length
  if (rest === 0) return
  const bounds = `${MAX_COMPONENTS} components with names of up to ${LONGEST_COMPONENT} characters`
  const cause = new Error(`${rest} of ${components.size} components have no series: beyond ${bounds}`)
  batch.partFailed({ url }, cause, [metrics.componentUp])
}

const WORDS = { begins: 'a probe fails', ends: 'the probe succeeds again' }

function findingOf(url: string, { response }: ProbeResult, fault: Fault | undefined): Finding {
  const problem = fault && `${url}: ${fault.message}`
  return {
    labels: { url },
    details: { status: response?.status ?? null, problem: problem ?? null },
    alarm: problem === undefined ? undefined : { problem, words: WORDS, about: { problem } },
  }
}
