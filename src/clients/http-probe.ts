import { hash, type X509Certificate } from 'node:crypto'
import { ADDRCONFIG } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { connect as connectTcp, isIP, isIPv6, type Socket } from 'node:net'
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect as connectTls,
  type PeerCertificate,
  type TLSSocket,
} from 'node:tls'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate } from 'node:zlib'
import type { Clock } from '../clock.ts'
import { request as httpRequest } from '../node-http.ts'
import { reasonOf } from './call.ts'

// By sockets of our own, not by undici: a probe is there for its phases, and undici tells the time neither of the
// lookup nor of connecting nor of TLS. Each probe opens a connection anew, as one that was kept would have none
// of them to measure.

export interface ProbeRequest {
  readonly url: URL
  readonly method: string
  /** `host` among them is sent in place of the URL's, and expected in the certificate. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Of the URL's own host; `servername` is that of the settings alone. */
  readonly tls: ConnectionOptions
  /** Taken where a name has addresses of both. */
  readonly preferred: 'ip4' | 'ip6'
  /** 0: a redirect is an answer like any other. */
  readonly maxRedirects: number
  /** Of the body in bytes, packed and unpacked. */
  readonly maxBody: number
}

const PHASES = ['resolve', 'connect', 'tls', 'processing', 'transfer'] as const
type Phase = (typeof PHASES)[number]

export interface ProbeResult {
  /** Seconds, summed over redirects; 0 for a phase that did not come to its end, but for transfer. */
  readonly phases: Readonly<Record<Phase, number>>
  /** Seconds until the first host had an address, or had none. */
  readonly lookup: number
  /** Of the first host; undefined where it has none. */
  readonly address: string | undefined
  /** Answers that lead elsewhere, the last one too where it was not followed. */
  readonly redirects: number
  /** The last answer; undefined where none came. */
  readonly response: ProbeResponse | undefined
  /** Of the last connection; undefined where it has no TLS, or the handshake failed. */
  readonly tls: ProbeTls | undefined
  /** Why there is no whole answer. */
  readonly failure: Error | undefined
}

interface ProbeResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Each value of a header, in any case. */
  values(header: string): readonly string[]
  /** 1.1 or 1. */
  readonly version: number
  readonly encrypted: boolean
  /** As the server announced it; -1 where it did not. */
  readonly contentLength: number
  /** Unpacked, as far as it came. Empty for a redirect that was not followed. */
  readonly body: Buffer
}

interface ProbeTls {
  /** `TLS 1.3`. */
  readonly version: string
  /** The name of IANA: `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string
  readonly leaf: {
    /** SHA-256, in small hexadecimal digits. */
    readonly fingerprint: string
    /** As RFC 2253 writes names: `CN=db,O=Shop`. */
    readonly subject: string
    readonly issuer: string
    readonly dnsNames: readonly string[]
    readonly serialNumber: string
  }
  /** Seconds since the epoch: the first end of those that the server sent. */
  readonly earliestExpiry: number
  /** Seconds since the epoch, with the authority at the end of the chain; undefined where that is not trusted. */
  readonly chainExpiry: number | undefined
}

/** The server has answered, and its certificate is not trusted. */
export class CertificateError extends Error {}

/** The states of `ProbeResult` while it comes to be. */
type Progress = {
  -readonly [Key in Exclude<keyof ProbeResult, 'phases'>]: ProbeResult[Key]
} & { readonly phases: Record<Phase, number> }

const REDIRECTS = [301, 302, 303, 307, 308]

/**
 * One request and the redirects that it leads to. Never rejects: what went wrong, an abort by the signal too, is
 * the `failure` of the result. Keeps no cookies.
 */
export async function probe(request: ProbeRequest, clock: Clock, signal: AbortSignal): Promise<ProbeResult> {
  const progress: Progress = {
    phases: { resolve: 0, connect: 0, tls: 0, processing: 0, transfer: 0 },
    lookup: 0,
    address: undefined,
    redirects: 0,
    response: undefined,
    tls: undefined,
    failure: undefined,
  }
  try {
    let next: ProbeRequest | undefined = request
    for (let first = true; next; first = false) next = await exchange(next, first, progress, clock, signal)
  } catch (cause) {
    progress.failure = cause instanceof Error ? cause : new Error(String(cause))
  }
  return progress
}

/** One connection with one request; gives the request that its answer leads to, if any. */
async function exchange(
  request: ProbeRequest,
  first: boolean,
  progress: Progress,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProbeRequest | undefined> {
  const { url, headers } = request
  const encrypted = url.protocol === 'https:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const { phases } = progress
  progress.tls = undefined

  let from = clock.monotonic()
  /** The seconds since the last time it was asked. */
  const lap = (): number => {
    const now = clock.monotonic()
    const seconds = (now - from) / 1000
    from = now
    return seconds
  }

  let address: string
  try {
    address = await step('lookup', signal, resolve(host, request.preferred))
    if (first) progress.address = address
  } finally {
    const seconds = lap()
    phases.resolve += seconds
    if (first) progress.lookup = seconds
  }

  const tcp = connectTcp({ host: address, port: Number(url.port) || (encrypted ? 443 : 80) })
  let socket: Socket = tcp
  const abort = () => tcp.destroy()
  signal.addEventListener('abort', abort, { once: true })
  // What comes of a connection that nobody waits for any more is of no interest.
  tcp.on('error', () => {})
  try {
    await step('connect', signal, once(tcp, 'connect'))
    phases.connect += lap()
    if (encrypted) {
      const name = headers.host === undefined ? host : new URL(`https://${headers.host}`).hostname
      const secure = startTls(tcp, name, request.tls)
      socket = secure
      await step('TLS', signal, once(secure, 'secureConnect'))
      phases.tls += lap()
      // In this order: once it was told as X.509, a connection tells its certificate in no other form.
      const fault = certificateFault(secure, request.tls.servername ?? name, request.tls)
      progress.tls = tlsOf(secure)
      if (fault !== undefined && request.tls.rejectUnauthorized !== false) {
        throw new CertificateError(`TLS: ${fault}`)
      }
    }
    const { answer, firstByte } = send(request, socket)
    void firstByte.then(() => {
      phases.processing += lap()
    })
    const incoming = await step(request.method, signal, answer)
    const response = responseOf(incoming, request.method, encrypted)
    progress.response = response
    const location = REDIRECTS.includes(response.status) ? incoming.headers.location : undefined
    if (location !== undefined) {
      progress.redirects++
      if (request.maxRedirects === 0) {
        // That there is no more to read is what its reader wants to know.
        phases.transfer += lap()
        if (progress.redirects > 1) throw new Error(`more than ${progress.redirects - 1} redirects`)
        return undefined
      }
      progress.response = undefined
      return redirected(request, response.status, location)
    }
    try {
      await step('body', signal, readBody(incoming, request.maxBody, response))
    } finally {
      phases.transfer += lap()
    }
    await unpack(response, request.maxBody)
    return undefined
  } finally {
    signal.removeEventListener('abort', abort)
    socket.destroy()
    tcp.destroy()
  }
}

/** Settles as `work` does, but for an abort, whose reason it then is; an error tells the step. */
async function step<T>(name: string, signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([aborted, work])
  } catch (thrown) {
    // The abort has closed the socket, and its error may come first.
    const cause = signal.aborted ? signal.reason : thrown
    throw new Error(stepText(name, reasonOf(cause)), { cause })
  } finally {
    signal.removeEventListener('abort', onAbort)
    work.catch(() => {})
  }
}

function stepText(name: string, reason: string): string {
  // Node's word for a peer that closed the connection in the middle of its answer.
  if (reason === 'aborted') return `${name}: the connection was closed before its end`
  return reason.startsWith(`${name} `) ? reason : `${name}: ${reason}`
}

/** Of several addresses the first of the kind that is preferred, or else the first. */
async function resolve(host: string, preferred: 'ip4' | 'ip6'): Promise<string> {
  if (isIP(host)) return host
  const found = await lookup(host, { all: true, order: 'verbatim', hints: ADDRCONFIG })
  const family = preferred === 'ip4' ? 4 : 6
  const chosen = found.find((each) => each.family === family) ?? found[0]
  if (!chosen) throw new Error(`${host} has no address`)
  return chosen.address
}

/** Judges no certificate, so that one that is refused can be told of: see `certificateFault`. */
function startTls(tcp: Socket, host: string, options: ConnectionOptions): TLSSocket {
  const secure = connectTls({
    ALPNProtocols: ['http/1.1'],
    // TLS has no place for an address where the name of a server is sent (RFC 6066).
    ...(isIP(host) ? {} : { servername: host }),
    ...options,
    host,
    socket: tcp,
    rejectUnauthorized: false,
  })
  secure.on('error', () => {})
  return secure
}

/** Why the certificate is none that is trusted for `name`, if it is not. */
function certificateFault(secure: TLSSocket, name: string, options: ConnectionOptions): string | undefined {
  if (secure.authorized) return undefined
  const certificate = secure.getPeerCertificate()
  // An Error by its type, a code in truth.
  const code = String(secure.authorizationError)
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return `a certificate has expired; the server's own is valid until ${certificate.valid_to}`
    case 'CERT_NOT_YET_VALID':
      return `a certificate is not valid yet; the server's own is from ${certificate.valid_from} on`
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return (options.checkServerIdentity ?? checkServerIdentity)(name, certificate)?.message ?? code
    default:
      return `the certificate is not trusted: ${code}`
  }
}

function send(
  { url, method, headers, body }: ProbeRequest,
  socket: Socket,
): { readonly answer: Promise<IncomingMessage>; readonly firstByte: Promise<unknown> } {
  const sent = httpRequest({
    method,
    path: `${url.pathname}${url.search}`,
    headers: { host: url.host, ...headers },
    createConnection: () => socket,
  })
  const answer = once(sent, 'response').then(([incoming]) => incoming as IncomingMessage)
  const firstByte = new Promise((resolve) => {
    // By now the parser listens; heard of before it, a byte is the first whatever it makes of it.
    sent.once('socket', () => socket.prependOnceListener('data', resolve))
  })
  sent.on('error', () => {})
  sent.end(body)
  return { answer, firstByte }
}

interface Response extends ProbeResponse {
  body: Buffer
}

function responseOf(incoming: IncomingMessage, method: string, encrypted: boolean): Response {
  const { headers, headersDistinct, httpVersion, statusCode: status = 0 } = incoming
  const announced = headers['content-length']
  const none = method !== 'HEAD' && (status === 204 || status === 304)
  return {
    status,
    headers,
    values: (header) => headersDistinct[header.toLowerCase()] ?? [],
    version: Number(httpVersion),
    encrypted,
    contentLength: none ? 0 : announced === undefined ? -1 : Number(announced),
    body: Buffer.alloc(0),
  }
}

async function readBody(incoming: IncomingMessage, limit: number, response: Response): Promise<void> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      size += chunk.length
      if (size > limit) throw new Error(`it is longer than ${limit} bytes`)
    }
  } finally {
    response.body = Buffer.concat(chunks).subarray(0, limit)
  }
}

const UNPACK: Readonly<
  Record<string, (packed: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>
> = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
}

async function unpack(response: Response, limit: number): Promise<void> {
  const encoding = response.headers['content-encoding']?.toLowerCase()
  const unpacked = encoding === undefined ? undefined : UNPACK[encoding]
  if (!unpacked || response.body.length === 0) return
  try {
    response.body = await unpacked(response.body, { maxOutputLength: limit })
  } catch (cause) {
    throw new Error(`body: it is not ${encoding} of up to ${limit} bytes`, { cause })
  }
}

/** To another origin go neither credentials nor the settings' headers, nor the name of the server. */
function redirected(request: ProbeRequest, status: number, location: string): ProbeRequest {
  const { url, headers, method, body, tls } = request
  if (!URL.canParse(location, url.href)) throw new Error('redirect: its Location is no URL')
  const to = new URL(location, url)
  if (to.protocol !== 'http:' && to.protocol !== 'https:') {
    throw new Error(`redirect: to ${to.protocol}, which is not http`)
  }
  const abroad = to.origin !== url.origin
  const { servername: _, checkServerIdentity: __, ...anyServer } = tls
  // RFC 9110, 15.4: these alone are repeated as they are.
  const repeated = status === 307 || status === 308 || method === 'GET' || method === 'HEAD'
  return {
    ...request,
    url: to,
    headers: abroad ? { 'user-agent': headers['user-agent'] ?? '' } : headers,
    tls: abroad ? anyServer : tls,
    method: repeated ? method : 'GET',
    body: repeated && !abroad ? body : undefined,
    maxRedirects: request.maxRedirects - 1,
  }
}

function tlsOf(secure: TLSSocket): ProbeTls | undefined {
  // With the authority that the server did not send.
  const whole = secure.getPeerCertificate(true)
  const chain = chainOf(whole, ({ issuerCertificate }) => issuerCertificate)
  const leaf = secure.getPeerX509Certificate()
  if (!leaf) return undefined
  const sent = chainOf(leaf, ({ issuerCertificate }) => issuerCertificate)
  return {
    version: versionName(secure.getProtocol() ?? ''),
    cipher: secure.getCipher().standardName,
    leaf: {
      fingerprint: hash('sha256', leaf.raw, 'hex'),
      subject: distinguishedName(whole.subject),
      issuer: distinguishedName(whole.issuer),
      dnsNames: dnsNames(leaf),
      serialNumber: leaf.serialNumber.toLowerCase(),
    },
    earliestExpiry: earliest(sent.map(({ validTo }) => validTo)),
    chainExpiry: secure.authorized ? earliest(chain.map(({ valid_to }) => valid_to)) : undefined,
  }
}

/** A certificate and its issuers; the last one issued itself, or its issuer is not known. */
function chainOf<T extends object>(first: T, issuerOf: (certificate: T) => T | undefined): T[] {
  const chain = new Set<T>()
  for (let next: T | undefined = first; next && !chain.has(next); next = issuerOf(next)) chain.add(next)
  return [...chain]
}

const earliest = (times: readonly string[]): number =>
  Math.min(...times.map((time) => Date.parse(time) / 1000))

/** `TLSv1.3` → `TLS 1.3`, `TLSv1` → `TLS 1.0`. */
const versionName = (name: string): string => name.replace(/^TLSv(\d)$/, 'TLSv$1.0').replace('TLSv', 'TLS ')

/** The parts in the order of RFC 2253, which is that of blackbox_exporter. */
const NAME_PARTS = [
  ['serialNumber', 'SERIALNUMBER'],
  ['CN', 'CN'],
  ['postalCode', 'POSTALCODE'],
  ['street', 'STREET'],
  ['ST', 'ST'],
  ['L', 'L'],
  ['OU', 'OU'],
  ['O', 'O'],
  ['C', 'C'],
] as const

function distinguishedName(name: PeerCertificate['subject']): string {
  const values = name as unknown as Readonly<Record<string, string | readonly string[] | undefined>>
  return NAME_PARTS.flatMap(([key, shown]) => {
    const value = values[key]
    if (value === undefined) return []
    return [
      [value]
        .flat()
        .map((text) => `${shown}=${escapedName(text)}`)
        .join('+'),
    ]
  }).join(',')
}

/** RFC 2253, 2.4. */
const escapedName = (text: string): string => text.replace(/[,+"\\<>;]|^[ #]| $/g, (char) => `\\${char}`)

/** Node quotes a name in which a comma could mean the next one. */
function dnsNames({ subjectAltName = '' }: X509Certificate): string[] {
  const names = subjectAltName.matchAll(/(?:^|, )DNS:(?:("(?:[^"\\]|\\.)*")|([^,]*))/g)
  return [...names].map(([, quoted, plain = '']) =>
    quoted === undefined ? plain : String(JSON.parse(quoted)),
  )
}

/** FNV-1a of the address's bytes, 32 bits: what blackbox_exporter calls its hash. */
export function addressHash(address: string): number {
  let hash = 0x811c9dc5
  for (const byte of addressBytes(address)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

function addressBytes(address: string): number[] {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (!isIPv6(address) || mapped !== undefined) return (mapped ?? address).split('.').map(Number)
  // Without a zone, in groups; the parser of URLs writes a tail that is an IPv4 address in groups as well.
  const [left = '', right] = new URL(`http://[${address.replace(/%.*/, '')}]`).hostname
    .slice(1, -1)
    .split('::')
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const [head, tail] = [groups(left), groups(right ?? '')]
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail].flatMap((group) => [
    group >> 8,
    group & 0xff,
  ])
}
