import { z } from 'zod'
import { boolean, settingsWithSecrets } from './fields.ts'

/** Other authorities than those that Node trusts, a certificate of our own. `server`: `the broker`, for people. */
export const tls = (server: string) =>
  settingsWithSecrets(
    {
      server_name: z
        .string()
        .min(1)
        .optional()
        .describe(
          `Expected in the certificate of ${server}, and sent to it, in place of the host it is asked at.`,
        ),
      insecure_skip_verify: boolean()
        .default(false)
        .describe('Takes any certificate, whoever issued it to whom.'),
    },
    { optional: ['ca', 'cert', 'key'] },
  ).superRefine(({ cert, key }, context) => {
    if (Boolean(cert) === Boolean(key)) return
    const [missing, given] = cert ? ['key', 'cert'] : ['cert', 'key']
    context.addIssue({
      code: 'custom',
      path: [missing],
      message: `missing: ${given} needs ${missing} or ${missing}_file`,
    })
  })
