import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLogger, isSecretName, type LogLevel, redact } from '../src/log.ts'

/** A logger and the lines that it wrote. */
function logging(level: LogLevel = 'info', secrets: readonly string[] = []) {
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  return {
    log: createLogger({ level, secrets: () => secrets, destination }),
    lines,
    last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown>,
  }
}

describe('a line', () => {
  test('has the promised fields in their order, then the context', () => {
    const { log, lines, last } = logging()
    log.child({ logger: 'scheduler' }).info({ table: 'users', processing_time_ms: 15.2 }, 'Record processed')
    expect(lines[0]).toMatch(/^\{"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",.*\}\n$/)
    const { timestamp, ...rest } = last()
    expect(Math.abs(Date.parse(String(timestamp)) - Date.now())).toBeLessThan(60_000)
    expect(Object.entries(rest)).toEqual([
      ['level', 'INFO'],
      ['logger', 'scheduler'],
      ['message', 'Record processed'],
      ['table', 'users'],
      ['processing_time_ms', 15.2],
    ])
  })

  test('names its level in capitals; those below the level are not written', () => {
    const { log, lines } = logging('warning')
    log.debug('a')
    log.info('b')
    log.warning('c')
    log.error('d')
    log.critical('e')
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(['WARNING', 'ERROR', 'CRITICAL'])
  })

  test('stays one line of JSON whatever is logged', () => {
    const { log, lines } = logging('debug')
    const circular: Record<string, unknown> = { text: 'a\nb"\\\u2028' }
    circular.self = circular
    log.info({ circular, offset: 2n ** 60n, nothing: undefined, list: [1, null] }, 'x\ny')
    log.info('only a message')
    log.error(new Error('only an error'))
    expect(lines).toHaveLength(3)
    for (const line of lines) expect(line.indexOf('\n')).toBe(line.length - 1)
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ offset: '1152921504606846976', message: 'x\ny' })
    expect(JSON.parse(lines[2] ?? '')).toMatchObject({ error: { type: 'Error', message: 'only an error' } })
  })
})

describe('an error', () => {
  class ConnectorError extends Error {}
  const error = new ConnectorError('cannot read', {
    cause: new TypeError('fetch failed', {
      cause: new AggregateError([new Error('v4'), new Error('v6')], 'all'),
    }),
  })

  test('is told by its class, its message and its chain of causes', () => {
    const { log, last } = logging()
    log.error({ error }, 'collection failed')
    expect(last().error).toEqual({
      type: 'ConnectorError',
      message: 'cannot read',
      causes: [
        { type: 'TypeError', message: 'fetch failed' },
        { type: 'AggregateError', message: 'all' },
        { type: 'Error', message: 'v4' },
        { type: 'Error', message: 'v6' },
      ],
    })
  })

  test('has its stack at level debug', () => {
    const { log, last } = logging('debug')
    log.error({ error }, 'collection failed')
    expect(last().error).toHaveProperty('stack', expect.stringContaining('log.test.ts'))
  })

  test('that causes itself ends', () => {
    const { log, last } = logging()
    const loop = new Error('a')
    loop.cause = new Error('b', { cause: loop })
    log.error({ error: loop }, 'x')
    expect(last().error).toEqual({ type: 'Error', message: 'a', causes: [{ type: 'Error', message: 'b' }] })
    log.error({ error: 'a text' }, 'x')
    expect(last().error).toEqual({ type: 'string', message: 'a text' })
  })

  test('of a refused connection says so, though its message is empty', async () => {
    const server = createServer().listen(0, 'localhost')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    server.close()
    await once(server, 'close')
    const [refused] = await once(connect(address.port, 'localhost'), 'error').catch((reason) => [reason])
    const { log, last } = logging()
    log.error({ error: refused }, 'x')
    expect(JSON.stringify(last().error)).toContain('ECONNREFUSED')
  })
})

const PASSWORD = 'p@ss "w\\ö/rd\n%1'

describe('a planted password is nowhere', () => {
  const url = `postgres://reader:${encodeURIComponent(PASSWORD)}@db:5432/erp`
  const planted: readonly [string, Record<string, unknown>, string][] = [
    ['in the message', {}, `login with ${PASSWORD} failed`],
    ['in a value', { detail: { list: [PASSWORD] } }, 'x'],
    ['in a key', { [PASSWORD]: 1 }, 'x'],
    ['in an error', { error: new Error(PASSWORD, { cause: new Error(`${PASSWORD}!`) }) }, 'x'],
    ['in JSON', { body: JSON.stringify({ a: PASSWORD }) }, 'x'],
    ['in JSON in JSON', { body: JSON.stringify({ a: JSON.stringify([PASSWORD]) }) }, 'x'],
    ['percent-encoded', { query: `a=${encodeURIComponent(PASSWORD)}` }, 'x'],
    ['percent-encoded in small letters', { query: encodeURIComponent(PASSWORD).toLowerCase() }, 'x'],
    ['as a form encodes it', { query: new URLSearchParams({ a: PASSWORD }).toString() }, 'x'],
    ['in a URL', { backend: url }, `cannot reach ${url}`],
    ['in a bound field', {}, 'bound'],
  ]
  test.each(planted)('%s', (_, context, message) => {
    const { log, lines } = logging('debug', [PASSWORD])
    log.child({ logger: 'a', by: PASSWORD }).error(context, message)
    expect(lines).toHaveLength(1)
    const line = lines.join('')
    expect(line).toContain('[redacted]')
    expect(line).not.toMatch(/ss[^a-z]*(%20|\+| )|rd\\|%1/)
  })

  test('when the secret is a whole URL and the password comes alone', () => {
    const secret = 'postgres://reader:s3cr%40t@db/erp'
    expect(redact('no password s3cr@t or s3cr%40t for postgres://reader:s3cr%40t@db/erp', [secret])).toBe(
      'no password [redacted] or [redacted] for [redacted]',
    )
  })

  test('after it was changed', () => {
    const secrets = ['first']
    const { log, last } = logging('info', secrets)
    log.info('first second')
    expect(last().message).toBe('[redacted] second')
    secrets[0] = 'second'
    log.info('first second')
    expect(last().message).toBe('first [redacted]')
  })
})

test('any secret is found as it is, in JSON and percent-encoded', () => {
  const secret = fc.string({ minLength: 4, maxLength: 20, unit: 'grapheme' })
  fc.assert(
    fc.property(secret, (text) => {
      fc.pre(!/[\uD800-\uDFFF]/.test(text) || text.isWellFormed())
      const forms = [text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text)]
      for (const form of forms) expect(redact(`<${form}>`, [text])).toBe('<[redacted]>')
    }),
  )
})

test('a secret that is part of another, or of the replacement, does no harm', () => {
  expect(redact('abc ab c', ['ab', 'abc'])).toBe('[redacted] [redacted] c')
  expect(redact('x e', ['x', 'e', ''])).toBe('[redacted] [redacted]')
  expect(redact('(a+)+$', ['(a+)+$'])).toBe('[redacted]')
})

test.each([
  ['http://user:pw@host/a', 'http://[redacted]@host/a'],
  ['redis://:pw@host', 'redis://[redacted]@host'],
  ['postgres://u:p@ss@host/db', 'postgres://[redacted]@host/db'],
  ['postgres://u:p/ss@host/db', 'postgres://[redacted]@host/db'],
  ['https://token@host', 'https://[redacted]@host'],
  ['http://host:8083/connectors/a@b', 'http://host:8083/connectors/a@b'],
  ['http://host/?mail=a@b.c', 'http://host/?mail=a@b.c'],
  ['authorization: Basic dXNlcjpwdw==', 'authorization: Basic [redacted]'],
  ['Bearer abc.def-ghi', 'Bearer [redacted]'],
])('%s', (text, clean) => {
  expect(redact(text, [])).toBe(clean)
})

test('keys that say so are secret, known or not', () => {
  const { log, last } = logging()
  const config = { 'database.password': 'x', 'database.user': 'u', api_key: 'y', primary: { token: 'z' } }
  log.info(
    { config, authorization: 'w', password_file: '/run/pw', secretAccessKey: 'k', has_token: true },
    'x',
  )
  expect(last()).toMatchObject({
    config: {
      'database.password': '[redacted]',
      'database.user': 'u',
      api_key: '[redacted]',
      primary: { token: '[redacted]' },
    },
    authorization: '[redacted]',
    password_file: '/run/pw',
    secretAccessKey: '[redacted]',
    has_token: true,
  })
  expect(isSecretName('monkey')).toBe(false)
  expect(isSecretName('key')).toBe(false)
})
