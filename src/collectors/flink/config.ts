import { z } from 'zod'
import { httpUrlList, integer, settingsWithSecrets } from '../../config/fields.ts'
import { tls } from '../../config/tls.ts'

export const settings = settingsWithSecrets(
  {
    urls: httpUrlList().describe(
      'JobManagers of one cluster, such as http://jobmanager:8081; the next is asked when one does not answer.',
    ),
    username: z.string().optional().describe('Of the proxy before Flink: for basic authentication.'),
    tls: tls('the JobManager')
      .optional()
      .describe('For https: other authorities than those that Node trusts, a certificate.'),
    max_jobs: integer(1)
      .default(100)
      .describe(
        'Of the newest this many jobs everything is asked; of the others only state and start time are known.',
      ),
  },
  { optional: ['password'] },
)

export type Settings = z.output<typeof settings>
