import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import { type Mail, startMailServer } from './mail-server.ts'

// Receivers on loopback that speak what the real ones do, and refuse what those would refuse.

const slackMessage = z.looseObject({
  text: z.string().optional(),
  channel: z.string().optional(),
  attachments: z
    .array(z.looseObject({ title: z.string(), text: z.string(), color: z.string().optional() }))
    .optional(),
})

const telegramMessage = z.looseObject({
  chat_id: z.coerce.string(),
  text: z.string().min(1).max(4096),
  parse_mode: z.enum(['HTML']).optional(),
})

const pagerDutyEvent = z.looseObject({
  routing_key: z.string(),
  event_action: z.enum(['trigger', 'acknowledge', 'resolve']),
  dedup_key: z.string(),
  // Only a trigger needs to say what.
  payload: z.looseObject({
    summary: z.string().max(1024),
    source: z.string(),
    severity: z.enum(['critical', 'error', 'warning', 'info']),
    custom_details: z.record(z.string(), z.string()).optional(),
  }),
  links: z.array(z.looseObject({ href: z.string(), text: z.string() })).optional(),
})

const webhookMessage = z.looseObject({
  version: z.literal('4'),
  status: z.enum(['firing', 'resolved']),
  commonAnnotations: z.record(z.string(), z.string()),
  alerts: z.array(
    z.looseObject({
      status: z.enum(['firing', 'resolved']),
      labels: z.record(z.string(), z.string()),
      annotations: z.record(z.string(), z.string()),
      startsAt: z.string(),
    }),
  ),
})

type SlackMessage = z.infer<typeof slackMessage>
type TelegramMessage = z.infer<typeof telegramMessage>
type PagerDutyEvent = z.infer<typeof pagerDutyEvent>
type WebhookMessage = z.infer<typeof webhookMessage>

export const telegramToken = '123456:loopback-telegram-token'
export const mailUser = { name: 'alerts@example.org', password: 'loopback-mail-password' }

export interface Receivers {
  /** `/slack/<any>`, `/pagerduty`, `/webhook`, `/sms` and Telegram's Bot API below `/telegram`. */
  readonly url: string
  /** Of the mail server. */
  readonly smtp: string
  readonly slack: SlackMessage[]
  readonly telegram: TelegramMessage[]
  readonly pagerDuty: PagerDutyEvent[]
  readonly webhook: WebhookMessage[]
  readonly sms: WebhookMessage[]
  readonly mail: Mail[]
  /** What was refused, and why: empty where all was well. */
  readonly refused: string[]
  /** Answers every HTTP request with this status from now on; undefined for as usual. */
  failWith: number | undefined
  /** Requests that were answered with `failWith`. */
  failed: number
  close(): Promise<void>
}

export async function startReceivers(): Promise<Receivers> {
  const mail: Mail[] = []
  const mailServer = await startMailServer(mailUser, (each) => mail.push(each))
  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown) =>
      response
        .writeHead(status, { 'content-type': 'application/json' })
        .end(typeof body === 'string' ? body : JSON.stringify(body))
    const refuse = (reason: string) => {
      receivers.refused.push(`${request.url}: ${reason}`)
      answer(400, { ok: false, error_code: 400, description: reason })
    }
    read(request)
      .then((json) => {
        if (receivers.failWith !== undefined) {
          receivers.failed++
          return answer(receivers.failWith, { ok: false, error_code: receivers.failWith, description: 'no' })
        }
        const path = request.url ?? ''
        if (path.startsWith('/slack/')) {
          receivers.slack.push(slackMessage.parse(json))
          return answer(200, 'ok')
        }
        if (path === `/telegram/bot${telegramToken}/sendMessage`) {
          const message = telegramMessage.parse(json)
          const fault = message.parse_mode === 'HTML' ? faultOfHtml(message.text) : undefined
          if (fault !== undefined) return refuse(fault)
          receivers.telegram.push(message)
          const chat = { id: Number(message.chat_id), type: 'group' }
          return answer(200, { ok: true, result: { message_id: receivers.telegram.length, date: 1, chat } })
        }
        if (path === '/pagerduty') {
          const event = pagerDutyEvent.parse(json)
          receivers.pagerDuty.push(event)
          return answer(202, { status: 'success', message: 'Event processed', dedup_key: event.dedup_key })
        }
        if (path === '/webhook' || path === '/sms') {
          receivers[path === '/sms' ? 'sms' : 'webhook'].push(webhookMessage.parse(json))
          return answer(200, {})
        }
        return refuse('no such receiver')
      })
      .catch((error: unknown) => refuse(String(error)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const receivers: Receivers = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    smtp: mailServer.address,
    slack: [],
    telegram: [],
    pagerDuty: [],
    webhook: [],
    sms: [],
    mail,
    refused: [],
    failWith: undefined,
    failed: 0,
    async close() {
      server.closeAllConnections()
      await Promise.all([new Promise((resolve) => server.close(resolve)), mailServer.close()])
    },
  }
  return receivers
}

async function read(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  // The Bot API takes forms too.
  if (request.headers['content-type']?.startsWith('application/x-www-form-urlencoded')) {
    return Object.fromEntries(new URLSearchParams(text))
  }
  return JSON.parse(text)
}

/** What Telegram would refuse of a text in HTML: https://core.telegram.org/bots/api#html-style */
function faultOfHtml(text: string): string | undefined {
  const open: string[] = []
  for (const [tag, slash, name = ''] of text.matchAll(/<(\/?)([a-z]*)[^>]*>?/g)) {
    if (!['a', 'b', 'code'].includes(name)) return `can't parse entities: unsupported start tag ${tag}`
    if (slash === '') open.push(name)
    else if (open.pop() !== name) return `can't parse entities: unexpected end tag ${tag}`
  }
  return open.length === 0 ? undefined : `can't parse entities: can't find end tag of ${open.join()}`
}
