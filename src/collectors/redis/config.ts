import { z } from 'zod'
import { settingsWithSecrets } from '../../config/fields.ts'

export const settings = settingsWithSecrets(
  {
    username: z.string().optional(),
    /** Keys whose items are counted, in the database that the URL names. */
    queues: z.array(z.string().min(1)).default([]),
  },
  { required: ['url'], optional: ['password'] },
)
