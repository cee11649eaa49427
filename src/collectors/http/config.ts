import { z } from 'zod'
import {
  boolean,
  duration,
  integer,
  settings as object,
  pattern,
  settingsWithSecrets,
  shown,
  size,
} from '../../config/fields.ts'
import { tls } from '../../config/tls.ts'
import { validateHeaderName, validateHeaderValue } from '../../node-http.ts'

/** Probes of one collector that are under way at once. */
export const AT_ONCE = 20

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

const url = z.string().transform((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') {
    if (parsed.username === '' && parsed.password === '') return parsed
    context.addIssue({ code: 'custom', message: 'credentials go to username and password, or token' })
  } else {
    context.addIssue({
      code: 'custom',
      message: `expected a URL such as https://erp.example.com/api/health, got ${shown(text)}`,
    })
  }
  return z.NEVER
})

/** What series and messages call it: the query may hold a secret. */
export const labelOf = ({ origin, pathname }: URL): string => origin + pathname

const A_URL_OR_SEVERAL = { error: 'expected a list of URLs, or one' }

const urls = z
  .union([z.array(z.string()), z.string()], A_URL_OR_SEVERAL)
  .transform((value) => [value].flat())
  .pipe(z.array(url).min(1, A_URL_OR_SEVERAL))
  .superRefine((list, context) => {
    const labels = list.map(labelOf)
    for (const [index, label] of labels.entries()) {
      if (labels.indexOf(label) === index) continue
      const message = `${label} is there already; one with another query goes to a collector of its own`
      context.addIssue({ code: 'custom', path: [index], message })
    }
  })

const isValid = (check: () => void): boolean => {
  try {
    check()
    return true
  } catch {
    return false
  }
}

const headerName = () =>
  z
    .string()
    .refine((name) => isValid(() => validateHeaderName(name)), { error: 'expected the name of a header' })

const headers = z.record(z.string(), z.string()).superRefine((given, context) => {
  for (const [name, value] of Object.entries(given)) {
    if (isValid(() => validateHeaderName(name)) && isValid(() => validateHeaderValue(name, value))) continue
    context.addIssue({ code: 'custom', path: [name], message: 'no header has such a name or value' })
  }
})

/** `2xx`, or a status such as 204. */
const status = z
  .union([z.int(), z.string()])
  .transform(String)
  .refine((text) => /^[1-5](xx|\d\d)$/.test(text), {
    error: 'expected a status such as 204, or a class such as 2xx',
  })

const jsonPointer = z.string().regex(/^(\/([^~]|~[01])*)?$/, {
  error: 'expected a JSON pointer (RFC 6901) such as /details/db/status',
})

const expectedValue = object({
  pointer: jsonPointer.describe('Where in the body, by RFC 6901: /details/db/status.'),
  equals: z.json().optional().describe('The value that has to be there.'),
  match: pattern()
    .optional()
    .describe('Regular expression over the text that has to be there, or over a number or boolean as JSON.'),
}).superRefine((given, context) => {
  if ((given.equals === undefined) !== (given.match === undefined)) return
  context.addIssue({ code: 'custom', message: 'give equals or match, one of them' })
})

const expectedHeader = object({
  name: headerName(),
  match: pattern().optional().describe('Regular expression that one of its values has to match.'),
  not_match: pattern().optional().describe('Regular expression that none of its values may match.'),
}).describe('Without match and not_match the header has to be there.')

const expected = object({
  status: z
    .array(status)
    .min(1)
    .default(['2xx'])
    .describe('Statuses such as 204 and classes such as 2xx: one has to fit the last answer.'),
  headers: z.array(expectedHeader).default([]),
  body: z.array(pattern()).default([]).describe('Regular expressions that the body has to match, each.'),
  not_body: z.array(pattern()).default([]).describe('Regular expressions that the body may not match, none.'),
  json: z.array(expectedValue).default([]).describe('Values of a JSON body.'),
})

const secretHeader = settingsWithSecrets({ name: headerName() }, { required: ['value'] })

export const settings = settingsWithSecrets(
  {
    urls: urls.describe('What is asked, each by itself and all in the same way; a list or one.'),
    method: z.enum(METHODS).default('GET'),
    headers: headers
      .default({})
      .describe('Sent with each request. Host is also what the certificate has to be for.'),
    secret_headers: z.array(secretHeader).default([]).describe('The same, of values that nobody may see.'),
    body: z.string().optional().describe('Sent with each request.'),
    username: z.string().min(1).optional().describe('Of basic authentication.'),
    tls: tls('the server').optional(),
    preferred_ip_protocol: z
      .enum(['ip4', 'ip6'])
      .default('ip6')
      .describe('Taken where a host has addresses of both.'),
    max_redirects: integer(0, 50)
      .default(10)
      .describe('More of them fail the probe; 0 follows none, and judges the redirect itself.'),
    max_body: size()
      .refine((bytes) => bytes >= 1, { error: 'expected a size above 0' })
      .default(4 * 1024 * 1024)
      .describe('A longer body fails the probe.'),
    probe_timeout: duration()
      .refine((ms) => ms > 0, { error: 'expected a duration above 0' })
      .default(5_000)
      .describe(
        `What one probe may take, redirects and all. Up to ${AT_ONCE} are under way at once: the timeout of the run has to be longer than all of them.`,
      ),
    expect: expected.prefault({}).describe('What an answer has to be for the probe to succeed.'),
    health_json: boolean()
      .default(false)
      .describe(
        'The body is a health JSON of Nest Terminus or Spring Boot: cdc_http_component_up. One that is none fails the probe.',
      ),
  },
  { optional: ['password', 'token'] },
).superRefine(({ username, password, token }, context) => {
  if ((username === undefined) !== (password === undefined)) {
    const [missing, given] = username === undefined ? ['username', 'password'] : ['password', 'username']
    context.addIssue({ code: 'custom', path: [missing], message: `missing: ${given} needs ${missing}` })
  }
  if (token && password) {
    context.addIssue({ code: 'custom', path: ['token'], message: 'give token, or username and password' })
  }
})

export type Settings = z.output<typeof settings>
export type Expected = Settings['expect']
