import { isIP } from 'node:net'
import { z } from 'zod'
import type { StarrocksAddress } from '../../clients/starrocks.ts'
import { boolean, duration, hostList, integer, pattern, settingsWithSecrets } from '../../config/fields.ts'
import { tls } from '../../config/tls.ts'

const patterns = () => z.array(pattern()).default([])

export const settings = settingsWithSecrets(
  {
    hosts: hostList().describe(
      'Front ends of one cluster with their query port, such as fe-1:9030; the next is asked when one does not answer.',
    ),
    username: z.string().min(1).describe('It needs OPERATE on SYSTEM: see docs/starrocks.md.'),
    tls: tls('the front end')
      .optional()
      .describe(
        'Encrypts the connection; with other authorities than those that Node trusts, a certificate.',
      ),
    databases: z
      .array(z.string().min(1))
      .optional()
      .describe('Databases whose routine loads are read; all that the user sees where absent.'),
    max_databases: integer(1)
      .default(200)
      .describe('So many of them, by name: each takes a statement a run.'),
    allow_tables: patterns().describe(
      'Only tables whose database.table one of these matches; all where empty.',
    ),
    deny_tables: patterns().describe('No table whose database.table one of these matches.'),
    max_tables: integer(1)
      .default(10_000)
      .describe('Of the tables chosen the largest this many have series, by bytes.'),
    loads_window: duration()
      .default(3_600_000)
      .describe('Load jobs are counted for as long as this since they were created.'),
    tablets_interval: duration()
      .default(300_000)
      .describe(
        'Between two looks at the health of all tablets, which costs the front end time; the runs in between tell the last one.',
      ),
    http_metrics: boolean()
      .default(false)
      .describe(
        'Whether /metrics of every live front end and backend is read too, at the address and port that SHOW FRONTENDS and SHOW BACKENDS tell.',
      ),
  },
  { optional: ['password'] },
).superRefine(({ hosts, tls }, context) => {
  if (!tls || tls.insecure_skip_verify || (tls.server_name !== undefined && !isIP(tls.server_name))) return
  const address = hosts.find((host) => isIP(host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')))
  if (address === undefined && tls.server_name === undefined) return
  context.addIssue({
    code: 'custom',
    path: ['tls', 'server_name'],
    message: 'expected a name that is in the certificate: an address in it cannot be verified here',
  })
})

export type Settings = z.output<typeof settings>

/** What the client asks for, with the password as it is now. `timeout`: milliseconds that a run may take. */
export function addressOf(
  { hosts, username, password, tls }: Settings,
  timeout: number,
): StarrocksAddress & { readonly connectTimeout: number } {
  const credentials = [username, password?.reveal() ?? ''].map(encodeURIComponent).join(':')
  return {
    url: hosts.map((host) => `mysql://${credentials}@${host}/`),
    statementTimeout: Math.ceil(timeout / 2),
    // Each of them may hang, and there is time left.
    connectTimeout: Math.ceil(timeout / (hosts.length + 1)),
    tls,
  }
}
