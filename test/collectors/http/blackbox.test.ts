import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { http } from '../../../src/collectors/http/index.ts'
import { type Daemon, startDaemon } from '../../commands/daemon.ts'
import { certificateAuthority } from '../../testbed/certificates.ts'
import { readExposition, type Sample } from '../../testbed/exposition-text.ts'
import { temporaryFolder } from '../../testbed/part.ts'
import { type PrometheusPart, startPrometheus } from '../../testbed/parts/prometheus.ts'
import { reservePort } from '../../testbed/ports.ts'
import { TestbedProcess, waitFor } from '../../testbed/process.ts'
import { collecting } from '../collect.ts'
import { startHttp, startHttps, type TestServer } from './servers.ts'

// Debian's blackbox_exporter 0.23 beside ours, on servers that always answer in the same way.

const folder = temporaryFolder('blackbox')
const servers: TestServer[] = []
const urls = { plain: '', named: '', leaf: '', chain: '', leading: '', gone: '' }
let ca: string
let theirs: {
  readonly process: TestbedProcess
  probe(url: string, module: string): Promise<readonly Sample[]>
}

beforeAll(async () => {
  const authority = await certificateAuthority(folder.path, 'authority')
  ca = authority.cert
  // Neither ends when the authority does.
  const one = await authority.issue('one', ['DNS:localhost', 'DNS:*.shop.example', 'IP:127.0.0.1'], 1)
  const other = await authority.issue('other', ['IP:127.0.0.1'], 9)
  const key = (file: string) => readFileSync(file, 'utf8')
  const plain = await startHttp()
  const leaf = await startHttps({ cert: key(one.cert), key: key(one.key) })
  const chain = await startHttps({
    cert: key(other.cert) + key(ca),
    key: key(other.key),
    maxVersion: 'TLSv1.2',
  })
  servers.push(plain, leaf, chain)
  urls.plain = plain.url
  urls.named = plain.url.replace('127.0.0.1', 'localhost')
  urls.leaf = leaf.url
  urls.chain = chain.url
  urls.leading = `${plain.url}/to/other?${leaf.url}`
  urls.gone = `http://127.0.0.1:${await reservePort()}`
  theirs = await startTheirs()
})
afterAll(async () => {
  await theirs?.process.stop()
  for (const server of servers) await server.close()
  folder.remove()
})

/** Both exporters' settings for the same probe. */
const MODULES: Readonly<Record<string, { readonly their: object; readonly our: object }>> = {
  plain: { their: {}, our: {} },
  head: { their: { method: 'HEAD' }, our: { method: 'HEAD' } },
  packed: {
    their: { compression: 'gzip', headers: { 'Accept-Encoding': 'gzip' } },
    our: { headers: { 'Accept-Encoding': 'gzip' } },
  },
  statuses: { their: { valid_status_codes: [404, 302] }, our: { expect: { status: [404, 302] } } },
  still: {
    their: { follow_redirects: false, valid_status_codes: [302] },
    our: { max_redirects: 0, expect: { status: [302] } },
  },
  matching: {
    their: { fail_if_body_not_matches_regexp: ['^hel'], fail_if_body_matches_regexp: ['bye'] },
    our: { expect: { body: ['^hel'], not_body: ['bye'] } },
  },
  mismatching: {
    their: { fail_if_body_matches_regexp: ['hello'] },
    our: { expect: { not_body: ['hello'] } },
  },
  header: {
    their: { fail_if_header_not_matches: [{ header: 'X-Colour', regexp: 'blue' }] },
    our: { expect: { headers: [{ name: 'X-Colour', match: 'blue' }] } },
  },
  bounded: { their: { body_size_limit: '64KB' }, our: { max_body: '64KiB' } },
  trusting: {
    their: { tls_config: { insecure_skip_verify: true } },
    our: { tls: { insecure_skip_verify: true } },
  },
  suspicious: { their: { tls_config: {} }, our: { tls: undefined } },
}

async function startTheirs() {
  const address = `127.0.0.1:${await reservePort()}`
  const file = join(folder.path, 'blackbox.yml')
  const modules = Object.entries(MODULES).map(([name, { their }]) => [
    name,
    {
      prober: 'http',
      timeout: '120s',
      http: { preferred_ip_protocol: 'ip4', tls_config: { ca_file: ca }, ...their },
    },
  ])
  writeFileSync(file, stringify({ modules: Object.fromEntries(modules) }))
  const process = new TestbedProcess({
    name: 'prometheus-blackbox-exporter',
    command: 'prometheus-blackbox-exporter',
    args: [`--config.file=${file}`, `--web.listen-address=${address}`],
    logFile: join(folder.path, 'exporter.log'),
    ready: async (signal) => (await fetch(`http://${address}/-/healthy`, { signal })).ok,
  })
  await process.start()
  return {
    process,
    async probe(url: string, module: string) {
      const query = new URLSearchParams({ target: url, module })
      return readExposition(await (await fetch(`http://${address}/probe?${query}`)).text()).samples
    },
  }
}

async function ourProbe(url: string, module: string): Promise<readonly Sample[]> {
  const collector = collecting(http, {
    urls: url,
    probe_timeout: '2m',
    preferred_ip_protocol: 'ip4',
    tls: { ca_file: ca },
    ...MODULES[module]?.our,
  })
  const { samples } = readExposition(`${(await collector.run()).join('\n')}\n`)
  await collector.stop()
  return samples
}

/** Times, which no two probes have the same. */
const isDuration = ({ name }: Sample): boolean =>
  /^probe_(duration|http_duration|dns_lookup_time)_seconds$/.test(name)

/** With `url` for what is their `instance`. The serial number is of later versions than Debian's. */
function described({ name, labels }: Sample): string {
  const { url: _, target: __, serialnumber: ___, ...rest } = labels
  return `${name} ${JSON.stringify(Object.entries(rest).toSorted())}`
}

const phases = (samples: readonly Sample[]): Record<string, boolean> =>
  Object.fromEntries(
    samples
      .filter(({ name }) => name === 'probe_http_duration_seconds')
      // An address needs no look-up: too short a time to be sure that it is none.
      .filter(({ labels }) => labels.phase !== 'resolve')
      .map(({ labels, value }) => [labels.phase, value > 0]),
  )

const PROBES = [
  ['plain', 'plain', '/hello'],
  ['plain', 'named', '/hello'],
  ['plain', 'plain', '/chunked'],
  ['plain', 'plain', '/status/204'],
  ['plain', 'plain', '/status/404'],
  ['plain', 'plain', '/redirect/3'],
  ['plain', 'plain', '/loop'],
  ['plain', 'plain', '/half'],
  ['plain', 'plain', '/lost'],
  ['plain', 'leading', '/hello'],
  ['plain', 'leaf', '/hello'],
  ['plain', 'chain', '/hello'],
  ['plain', 'gone', '/hello'],
  ['head', 'plain', '/hello'],
  ['packed', 'plain', '/packed'],
  ['statuses', 'plain', '/status/404'],
  ['still', 'plain', '/redirect/3'],
  ['matching', 'plain', '/hello'],
  ['mismatching', 'plain', '/hello'],
  ['header', 'plain', '/hello'],
  ['bounded', 'plain', '/endless'],
  ['trusting', 'leaf', '/hello'],
  ['suspicious', 'leaf', '/hello'],
] as const

/** Where there is no authority that it leads to, theirs tells the year 1. */
const isUnknownEnd = ({ name, value }: Sample): boolean =>
  name === 'probe_ssl_last_chain_expiry_timestamp_seconds' && value < 0

test.each(PROBES)('settings “%s”, server “%s”, %s: both tell the same', async (module, server, path) => {
  const url = urls[server] + path
  const [their, our] = [await theirs.probe(url, module), await ourProbe(url, module)]
  expect(their.length).toBeGreaterThan(10)
  const exact = (samples: readonly Sample[]) =>
    Object.fromEntries(
      samples.filter((each) => !isDuration(each)).map((each) => [described(each), each.value]),
    )
  expect(exact(our)).toMatchObject(exact(their.filter((each) => !isUnknownEnd(each))))
  expect(our.map(described)).toEqual(expect.arrayContaining(their.filter(isDuration).map(described)))
  // Ours tells the phases, and the certificate, of a connection that was given up for its certificate.
  if (module !== 'suspicious') expect(phases(our)).toEqual(phases(their))
  const value = (name: string) => our.find((sample) => sample.name === name)?.value ?? Number.NaN
  const sum = our
    .filter(({ name }) => name === 'probe_http_duration_seconds')
    .reduce((total, sample) => total + sample.value, 0)
  expect(sum).toBeLessThanOrEqual(value('probe_duration_seconds'))
  expect(value('probe_dns_lookup_time_seconds')).toBeGreaterThanOrEqual(0)
})

describe('the dashboards of its users', () => {
  let daemon: Daemon
  let prometheus: PrometheusPart

  beforeAll(async () => {
    daemon = await startDaemon([
      {
        kind: 'http',
        target: 'shop',
        urls: [`${urls.plain}/hello`, `${urls.leaf}/hello`],
        tls: { ca_file: ca },
        interval: '10s',
        timeout: '10s',
      },
    ])
    const read = (file: string) => parse(readFileSync(file, 'utf8'))
    const { scrape_configs } = read('prometheus/prometheus.yml')
    const [job] = scrape_configs
    prometheus = await startPrometheus({
      config: {
        scrape_configs: [
          {
            ...job,
            ...read('prometheus/relabel-instance.yml'),
            scrape_interval: '1s',
            static_configs: [{ targets: [new URL(daemon.url).host] }],
          },
        ],
      },
    })
  })
  afterAll(async () => {
    await prometheus?.stop()
    await daemon?.stop()
  })

  /** Of each dashboard, by its number at grafana.com: the names and the labels that its queries are about. */
  const wanted = readFileSync('test/collectors/http/dashboard-series.txt', 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => /^(\d+) (\w+)\{([\w,]+)\}$/.exec(line) ?? [line])

  test.each(wanted)('%s', async (_, dashboard, name, labels = '') => {
    expect(dashboard).toBeDefined()
    const url = `${urls.leaf}/hello`
    let found: Awaited<ReturnType<PrometheusPart['query']>> = []
    await waitFor(`${name} of ${url}`, async () => {
      found = await prometheus.query(`${name}{instance="${url}"}`)
      return found.length > 0
    })
    for (const label of labels.split(',')) expect(found[0]?.labels).toHaveProperty(label)
  })

  test('a series of another kind has the target as its instance', async () => {
    await waitFor('a series of the collector', async () => {
      const found = await prometheus.query('cdc_collector_success{instance="shop"}')
      return found[0]?.value === 1
    })
    expect(await prometheus.query('{__name__=~"probe_.+", instance="shop"}')).toEqual([])
  })
})
