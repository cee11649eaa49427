import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { temporaryFolder } from '../testbed/part.ts'
import { PATIENCE_MS } from '../testbed/process.ts'
import type { Page } from './page.ts'

/** Of Debian's package of that name; other Chromiums make a window of another height. */
const CHROMIUM = 'chromium-headless-shell'

/** Draws a page into a PNG file. Resolves with the page as the browser had it then. */
export async function photograph({ html, width, height }: Page, picture: string): Promise<string> {
  const folder = temporaryFolder('preview')
  try {
    const file = join(folder.path, 'page.html')
    writeFileSync(file, html)
    const args = [
      // Root has no sandbox; the page is ours.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--hide-scrollbars',
      '--force-device-scale-factor=1',
      `--user-data-dir=${join(folder.path, 'profile')}`,
      `--window-size=${width},${height}`,
      `--screenshot=${picture}`,
      '--dump-dom',
      pathToFileURL(file).href,
    ]
    const { stdout } = await promisify(execFile)(CHROMIUM, args, {
      timeout: PATIENCE_MS,
      maxBuffer: 2 ** 28,
    })
    return stdout
  } finally {
    folder.remove()
  }
}
