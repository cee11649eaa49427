import { parseDuration } from '../../src/config/fields.ts'

// Every duration of rules and routes: those that have a key of their own, and in expressions windows and offsets.
// Numbers of seconds in an expression, such as a threshold of 300, are measures, not durations: they stay.
const DURATION = /(\d+(?:ms|[smhdwy]))+/.source
const PLACES = new RegExp(
  [
    `(?<=^ *(?:- )?(?:for|keep_firing_for|interval|group_wait|group_interval|repeat_interval|resolve_timeout): )${DURATION}(?=\\s|$)`,
    `(?<=[{,] *(?:group_wait|group_interval|repeat_interval): )${DURATION}`,
    `(?<=\\[)${DURATION}(?:: *${DURATION})?(?=\\])`,
    `(?<=\\boffset )${DURATION}`,
  ].join('|'),
  'gm',
)

/** Rules or routes with each of their durations multiplied by one factor. Remarks, numbers and all else stay. */
export function scaled(text: string, factor: number): string {
  return withDurations(text, (duration) => {
    const ms = parseDuration(duration)
    if (ms === undefined) throw new Error(`not a duration: ${duration}`)
    return `${Math.round(ms * factor)}ms`
  })
}

/** The text with each duration as `change` has it. */
export function withDurations(text: string, change: (duration: string) => string): string {
  return text
    .split('\n')
    .map((line) => {
      if (/^ *# /.test(line)) return line
      return line.replaceAll(PLACES, (found) =>
        found
          .split(':')
          .map((each) => change(each.trim()))
          .join(':'),
      )
    })
    .join('\n')
}
