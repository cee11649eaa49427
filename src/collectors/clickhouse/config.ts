import { z } from 'zod'
import { settingsWithSecrets } from '../../config/fields.ts'

export const settings = settingsWithSecrets(
  {
    username: z.string().optional(),
    database: z.string().min(1).default('default'),
  },
  { required: ['url'], optional: ['password'] },
)
