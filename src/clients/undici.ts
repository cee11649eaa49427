import { createRequire } from 'node:module'
import type * as Undici from 'undici'

const load = createRequire(import.meta.url)

/** The HTTP client, loaded by its first use: 7 MiB that a daemon without HTTP backends does not pay for. */
export const undici = (): typeof Undici => load('undici')
