import Table from 'cli-table3'

/** A table without lines, columns two blanks apart; columns of numbers stand on the right. */
export function plainTable(heads: readonly string[], isNumber: (column: number) => boolean): Table.Table {
  return new Table({
    head: [...heads],
    chars: NO_LINES,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    colAligns: heads.map((_, column) => (isNumber(column) ? 'right' : 'left')),
  })
}

const NO_LINES = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((name) => [name, '']),
)

/** What comes from a backend may not steer the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to go.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '')
}
