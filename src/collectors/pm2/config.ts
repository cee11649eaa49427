import { homedir } from 'node:os'
import { z } from 'zod'
import { integer, settings as object } from '../../config/fields.ts'

export const settings = object({
  /** PM2_HOME of the daemon. */
  home: z
    .string()
    .min(1)
    .default('~/.pm2')
    .transform((path) => path.replace(/^~(?=\/|$)/, homedir())),
  /** How many instances of a process should be online, by the process's name. */
  expect: z.record(z.string(), integer(0)).default({}),
})
