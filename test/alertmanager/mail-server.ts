import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

export interface Mail {
  readonly from: string
  readonly to: readonly string[]
  /** Without the part behind `name=`, decoded: `Subject`, `To`, … */
  readonly headers: Readonly<Record<string, string>>
  /** The parts by their type, decoded: `text/plain`, `text/html`. */
  readonly parts: Readonly<Record<string, string>>
}

export interface MailServer {
  /** `host:port`. */
  readonly address: string
  close(): Promise<void>
}

/** An SMTP server on loopback that wants this user and takes every mail (RFC 5321, RFC 4954). */
export async function startMailServer(
  user: { readonly name: string; readonly password: string },
  onMail: (mail: Mail) => void,
): Promise<MailServer> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    converse(socket, user, onMail).catch(() => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the mail server has no port')
  return {
    address: `127.0.0.1:${address.port}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function converse(
  socket: Socket,
  user: { readonly name: string; readonly password: string },
  onMail: (mail: Mail) => void,
): Promise<void> {
  const say = (...lines: string[]) => socket.write(lines.map((line) => `${line}\r\n`).join(''))
  let isKnown = false
  let from = ''
  let to: string[] = []
  let data: string[] | undefined
  say('220 loopback')
  for await (const line of createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (data) {
      if (line !== '.') {
        data.push(line.replace(/^\./, ''))
        continue
      }
      onMail({ from, to, ...readMessage(data) })
      ;[data, from, to] = [undefined, '', []]
      say('250 taken')
      continue
    }
    const [, verb = '', rest = ''] = /^(\w+) ?(.*)$/.exec(line) ?? []
    const address = /<([^>]*)>/.exec(rest)?.[1] ?? ''
    switch (verb.toUpperCase()) {
      case 'EHLO':
        say('250-loopback', '250 AUTH PLAIN')
        break
      case 'AUTH': {
        const [, name, password] = Buffer.from(rest.replace(/^PLAIN /, ''), 'base64')
          .toString()
          .split('\0')
        isKnown = name === user.name && password === user.password
        say(isKnown ? '235 welcome' : '535 unknown user or wrong password')
        break
      }
      case 'MAIL':
        from = address
        say(isKnown ? '250 ok' : '530 who are you?')
        break
      case 'RCPT':
        to.push(address)
        say('250 ok')
        break
      case 'DATA':
        data = []
        say('354 go on')
        break
      case 'QUIT':
        say('221 bye')
        socket.end()
        break
      default:
        say('250 ok')
    }
  }
}

function readMessage(lines: readonly string[]): Pick<Mail, 'headers' | 'parts'> {
  const { headers, body } = readEntity(lines)
  const boundary = /boundary="?([^";]+)/.exec(headers['Content-Type'] ?? '')?.[1]
  const entities =
    boundary === undefined
      ? []
      : body
          .join('\n')
          .split(`--${boundary}`)
          .slice(1, -1)
          .map((text) => readEntity(text.replace(/^\n/, '').split('\n')))
  const parts = entities.map(({ headers, body }) => [
    headers['Content-Type']?.split(';')[0] ?? '',
    headers['Content-Transfer-Encoding'] === 'quoted-printable' ? fromQuotedPrintable(body) : body.join('\n'),
  ])
  return { headers, parts: Object.fromEntries(parts) }
}

function readEntity(lines: readonly string[]): { headers: Record<string, string>; body: readonly string[] } {
  const end = lines.indexOf('')
  const unfolded = lines
    .slice(0, end)
    .join('\n')
    .replaceAll(/\n[ \t]+/g, ' ')
    .split('\n')
  const headers = unfolded.map((line) => {
    const at = line.indexOf(':')
    return [line.slice(0, at), fromEncodedWords(line.slice(at + 1).trim())]
  })
  return { headers: Object.fromEntries(headers), body: lines.slice(end + 1) }
}

/** `=?utf-8?q?a=20b?=` (RFC 2047) */
function fromEncodedWords(text: string): string {
  return text
    .replaceAll(/\?=\s+=\?/g, '?==?')
    .replaceAll(/=\?utf-8\?q\?([^?]*)\?=/gi, (_, word: string) =>
      fromQuotedPrintable([word.replaceAll('_', ' ')]),
    )
}

function fromQuotedPrintable(lines: readonly string[]): string {
  const joined = lines.join('\n').replaceAll(/=\n/g, '')
  const bytes = joined.split(/(=[0-9A-F]{2})/).map((part, index) => {
    return index % 2 === 1 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part)
  })
  return Buffer.concat(bytes).toString()
}
