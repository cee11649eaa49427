/** The family that Grafana writes in, and what stands in for it. */
export const FONT = 'Inter, "Helvetica Neue", Arial, sans-serif'

// Parts of the font's size, of Inter.
const WIDTHS: readonly (readonly [RegExp, number])[] = [
  [/[ijlI|.,:;'! ]/, 0.29],
  [/[frt()[\]{}"/\\-]/, 0.39],
  [/[mwMW@%…]/, 0.88],
  [/[A-Z_=+<>~#&]/, 0.69],
]

/** About how many pixels a text takes, rather too many than too few. */
export function textWidth(text: string, size: number): number {
  let width = 0
  for (const character of text)
    width += WIDTHS.find(([characters]) => characters.test(character))?.[1] ?? 0.61
  return width * size
}
