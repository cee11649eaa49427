import type { StarrocksReader } from '../../clients/starrocks.ts'

/** Of the front end that is connected, such as `3.3.5-6d81f75`. */
export async function readVersion(server: StarrocksReader, signal: AbortSignal): Promise<string> {
  const [row] = await server.query('SELECT @@version_comment AS version_comment', [], signal)
  return (row?.version_comment ?? '').replace(/^StarRocks version /, '')
}

/** Whether it is this version or a later one; one that tells no number, as a build of one's own may, is new. */
export function isSince(version: string, major: number, minor: number): boolean {
  const [, first, second] = /^(\d+)\.(\d+)/.exec(version) ?? []
  if (first === undefined) return true
  return Number(first) > major || (Number(first) === major && Number(second) >= minor)
}
