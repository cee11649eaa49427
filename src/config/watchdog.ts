import { z } from 'zod'
import { duration, httpUrl, settings, settingsWithSecrets } from './fields.ts'

/** A day: beyond it a switch is none. */
const LONGEST = 86_400_000

/** The dead-man's switch: who is told when Alertmanager's Watchdog stays away. */
export const watchdog = settings({
  timeout: duration()
    .refine((ms) => ms > 0 && ms <= LONGEST, { error: 'expected a duration above 0 and up to 1d' })
    .prefault('5m')
    .describe('Without a Watchdog for so long the receivers below are told, once.'),
  external_label: z
    .string()
    .min(1)
    .default('prometheus')
    .describe('External label by which one Prometheus is told from another; with `expect` only.'),
  expect: z
    .array(z.string().min(1))
    .min(1)
    .refine((names) => new Set(names).size === names.length, { error: 'expected each name once' })
    .optional()
    .describe('Values of that label: a switch for each. Without it any Watchdog feeds the one switch.'),
  notify: settings({
    slack: settingsWithSecrets({}, { required: ['url'] })
      .optional()
      .describe('An incoming webhook of Slack, by its URL.'),
    telegram: settingsWithSecrets(
      {
        chat_id: z
          .union([z.int(), z.string().regex(/^(-?\d+|@\w+)$/, { error: 'expected a number or @name' })])
          .transform(String)
          .describe('Number of the chat, or @name of a public one.'),
        api_url: httpUrl().prefault('https://api.telegram.org').describe('Of another server of the Bot API.'),
      },
      { required: ['bot_token'] },
    )
      .optional()
      .describe('A bot of Telegram that may write to the chat.'),
    webhook: settingsWithSecrets({}, { required: ['url'] })
      .optional()
      .describe('Anything that takes the JSON of an Alertmanager webhook.'),
  })
    .refine((receivers) => Object.values(receivers).some((receiver) => receiver !== undefined), {
      error: 'expected at least one of slack, telegram and webhook',
    })
    .describe('Who is told. Each may be told over a network that neither Prometheus nor Alertmanager needs.'),
}).describe("Dead-man's switch for the alerting itself: see docs/watchdog.md.")

export type WatchdogSettings = z.output<typeof watchdog>
