import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parse } from 'yaml'
import { mailUser, type Receivers, telegramToken } from './receivers.ts'

// The routes as they are shipped, and what has to be another one to run them here.

export const shippedFile = 'alertmanager/alertmanager.yml'

/** Switches on what is switched off: a `#` without a blank after it. */
export function withAllSwitchedOn(text: string): string {
  return text.replaceAll(/^( *)#(?=[^\s#])/gm, '$1')
}

/**
 * What Debian's Alertmanager 0.25 lacks of 0.26, in its older form: the token of Telegram and the address of a webhook
 * in place of the files that hold them. Nothing else changes.
 */
export function forOlderAlertmanager(text: string, address: (file: string) => string): string {
  return text
    .replaceAll(/bot_token_file: \S+/g, `bot_token: "${telegramToken}"`)
    .replaceAll(/url_file: (\S+\/(sms|webhook)-url)/g, (_, file: string) => `url: "${address(file)}"`)
}

interface WatchdogReceiver {
  /** `POST …/api/v1/watchdog`. */
  readonly url: string
  readonly token: string
}

/**
 * The shipped routes as an object for `startAlertmanager`: addresses lead to the receivers, secrets are in `folder`.
 * `change` is for a test's own changes to the text, such as shorter times.
 */
export function loopbackConfig(options: {
  readonly receivers: Receivers
  readonly folder: string
  readonly watchdog?: WatchdogReceiver
  readonly change?: (text: string) => string
}): Record<string, unknown> {
  const { receivers, folder, watchdog, change = (text) => text } = options
  mkdirSync(folder, { recursive: true })
  const secrets: Readonly<Record<string, string>> = {
    'slack-url': `${receivers.url}/slack/hook`,
    'pagerduty-key': 'loopback-key',
    'pagerduty-key-finance': 'loopback-key-finance',
    'smtp-password': mailUser.password,
    'watchdog-token': watchdog?.token ?? 'none',
  }
  for (const [name, secret] of Object.entries(secrets)) writeFileSync(join(folder, name), secret)
  const text = forOlderAlertmanager(
    change(readFileSync(shippedFile, 'utf8')),
    (file) => `${receivers.url}/${basename(file).replace('-url', '')}`,
  )
    .replaceAll('/etc/alertmanager/secrets/', `${folder}/`)
    .replaceAll('templates/*.tmpl', resolve('alertmanager/templates/*.tmpl'))
    .replace('http://localhost:9979/api/v1/watchdog', watchdog?.url ?? 'http://127.0.0.1:9/')
  const config = parse(text, { merge: true }) as { readonly global: object }
  return {
    ...config,
    global: {
      ...config.global,
      pagerduty_url: `${receivers.url}/pagerduty`,
      telegram_api_url: `${receivers.url}/telegram`,
      smtp_smarthost: receivers.smtp,
      // It speaks no TLS; a server that the user's Alertmanager sends to does.
      smtp_require_tls: false,
    },
  }
}
