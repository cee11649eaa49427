import { z } from 'zod'
import { nextTime } from '../../collection/schedule.ts'
import {
  boolean,
  duration,
  httpUrlList,
  integer,
  settings as object,
  pattern,
  settingsWithSecrets,
} from '../../config/fields.ts'
import { tls } from '../../config/tls.ts'

const text = () => z.string().min(1)

const teamRule = object({
  match: pattern().optional().describe('Regular expression over the name of the connector.'),
  name: text().optional().describe('Name of the one connector that is meant, in place of match.'),
  team: text().optional().describe('Who must act; Lainnya where absent.'),
  business_cluster: text().optional().describe('What it belongs to; Lainnya where absent.'),
  dbms: text().optional().describe('In place of what its class and its settings say.'),
}).superRefine(({ match, name }, context) => {
  if ((match === undefined) !== (name === undefined)) return
  context.addIssue({ code: 'custom', message: 'give match or name, one of them' })
})

export type TeamRule = z.output<typeof teamRule>

const period = () => duration().refine((ms) => ms > 0, { error: 'expected a duration above 0' })

const maintenanceWindow = object({
  schedule: text().describe('When it begins, as cron has it: minute hour day month weekday.'),
  timezone: text().optional().describe("Such as Asia/Jakarta; the machine's own where absent."),
  duration: period().describe('How long it lasts.'),
}).superRefine(({ schedule, timezone }, context) => {
  try {
    nextTime({ cron: schedule, timezone }, Date.now())
  } catch {
    const message = 'expected five fields such as "0 22 * * 6", and a time zone such as Asia/Jakarta'
    context.addIssue({ code: 'custom', path: ['schedule'], message })
  }
})

const selfHealing = object({
  dry_run: boolean()
    .default(false)
    .describe('Only says in log, audit and series what it would restart, and when.'),
  connectors: z
    .array(pattern())
    .min(1)
    .describe('Regular expressions over names of connectors: those whose failed tasks are restarted.'),
  exception_classes: z
    .array(pattern())
    .min(1)
    .optional()
    .describe(
      'Regular expressions over the first exception class of the trace and that of its root cause; every failed task of a connector has to match. Any where absent.',
    ),
  backoff: period()
    .default(60_000)
    .describe('How long a failure lasts before the first restart; each restart of the last hour doubles it.'),
  max_backoff: period()
    .default(30 * 60_000)
    .describe('Beyond this it is not doubled.'),
  max_per_hour: integer(1, 60).default(3).describe('Restarts of one connector within an hour.'),
  maintenance_windows: z
    .array(maintenanceWindow)
    .default([])
    .describe('Times in which nothing is restarted.'),
})

export const settings = settingsWithSecrets(
  {
    /** Workers of one cluster; the next is asked when one does not answer. */
    urls: httpUrlList(),
    username: z.string().optional(),
    tls: tls('the worker')
      .optional()
      .describe('For https: other authorities than those that Node trusts, a certificate.'),
    teams: z
      .array(teamRule)
      .default([])
      .describe('Who a connector belongs to; the first rule that matches counts.'),
    self_healing: selfHealing
      .optional()
      .describe('Restarts failed tasks of connectors, within bounds. Off where absent.'),
  },
  { optional: ['password', 'token'] },
)

export type ConnectSettings = z.output<typeof settings>
