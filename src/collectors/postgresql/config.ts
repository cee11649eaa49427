import { settingsWithSecrets } from '../../config/fields.ts'

export const settings = settingsWithSecrets({}, { required: ['url'] })
