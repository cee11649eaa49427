import { backendAt, call } from './call.ts'
import { undici } from './undici.ts'

/** What the daemon itself tells people, past Prometheus and Alertmanager. */
export interface Notice {
  readonly status: 'firing' | 'resolved'
  /** What it is about: `alertname`, `severity`, … */
  readonly labels: Readonly<Record<string, string>>
  /** In one line. */
  readonly summary: string
  /** What it means and what to do, in some lines. */
  readonly description: string
  /** Wall milliseconds. */
  readonly startsAt: number
  /** Of what is over. */
  readonly endsAt: number | undefined
}

export interface Messenger {
  /** Resolves when the other side has taken it. No error holds the address or the token. */
  send(notice: Notice, signal: AbortSignal): Promise<void>
}

/** https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks */
export function slackMessenger(url: () => string): Messenger {
  const escaped = (text: string) =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return {
    send: async ({ status, summary, description }, signal) => {
      const sign = status === 'firing' ? ':rotating_light:' : ':white_check_mark:'
      const text = `${sign} *${escaped(summary)}*\n${escaped(description)}`
      await post('slack', url(), { text }, signal)
    },
  }
}

/** https://core.telegram.org/bots/api#sendmessage */
export function telegramMessenger({
  apiUrl,
  botToken,
  chatId,
}: {
  readonly apiUrl: string
  readonly botToken: () => string
  readonly chatId: string
}): Messenger {
  return {
    send: async ({ status, summary, description }, signal) => {
      const text = `${status === 'firing' ? '🔴' : '✅'} ${summary}\n\n${description}`
      await post('telegram', `${apiUrl}/bot${botToken()}/sendMessage`, { chat_id: chatId, text }, signal)
    },
  }
}

/** The JSON of Alertmanager's webhook, version 4: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config */
export function webhookMessenger(url: () => string): Messenger {
  return {
    send: async ({ status, labels, summary, description, startsAt, endsAt }, signal) => {
      const annotations = { summary, description }
      const alert = {
        status,
        labels,
        annotations,
        startsAt: new Date(startsAt).toISOString(),
        endsAt: endsAt === undefined ? '0001-01-01T00:00:00Z' : new Date(endsAt).toISOString(),
        generatorURL: '',
        fingerprint: '',
      }
      const body = {
        version: '4',
        groupKey: JSON.stringify(labels),
        truncatedAlerts: 0,
        status,
        receiver: 'cdc-exporter',
        groupLabels: labels,
        commonLabels: labels,
        commonAnnotations: annotations,
        externalURL: '',
        alerts: [alert],
      }
      await post('webhook', url(), body, signal)
    },
  }
}

/** Beyond any answer of a receiver. */
const LARGEST_ANSWER = 1024 * 1024

async function post(name: string, url: string, body: unknown, signal: AbortSignal): Promise<void> {
  // Without the path: it is the secret.
  const target = { backend: backendAt(name, url), request: 'POST', signal, release: () => {} }
  await call(target, async () => {
    // There are months between two messages: no connection is kept.
    const dispatcher = new (undici().Agent)({ maxResponseSize: LARGEST_ANSWER })
    try {
      const answer = await undici().request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        dispatcher,
        signal,
      })
      const text = await answer.body.text()
      const isTaken = answer.statusCode >= 200 && answer.statusCode < 300
      if (!isTaken) throw new Error(`status ${answer.statusCode}: ${text.slice(0, 200)}`)
    } finally {
      await dispatcher.destroy()
    }
  })
}
