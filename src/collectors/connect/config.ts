import { z } from 'zod'
import { httpUrl, settings as object, pattern, settingsWithSecrets } from '../../config/fields.ts'
import { tls } from '../../config/tls.ts'

/** A list, or one comma-separated text. */
const urls = z
  .union([z.array(z.string()), z.string()], {
    error: 'expected a list of URLs, or a text with commas between them',
  })
  .transform((value) => (typeof value === 'string' ? value.split(',') : value).map((text) => text.trim()))
  .pipe(z.array(httpUrl()).min(1))

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

export const settings = settingsWithSecrets(
  {
    /** Workers of one cluster; the next is asked when one does not answer. */
    urls,
    username: z.string().optional(),
    tls: tls('the worker')
      .optional()
      .describe('For https: other authorities than those that Node trusts, a certificate.'),
    teams: z
      .array(teamRule)
      .default([])
      .describe('Who a connector belongs to; the first rule that matches counts.'),
  },
  { optional: ['password', 'token'] },
)

export type ConnectSettings = z.output<typeof settings>
