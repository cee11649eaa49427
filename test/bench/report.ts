/** A line of the report. */
export interface Measure {
  /** Stable, such as `partition.pass_wall`. */
  readonly name: string
  readonly value: number
  readonly unit: string
  /** What the value is divided by; null where it stands alone. */
  readonly ratio_to: string | null
  readonly ratio: number | null
  /** Such as `value <= 250`; null where there is none. */
  readonly goal: string | null
  readonly reached: boolean | null
}

interface Goal {
  readonly of: 'value' | 'ratio'
  readonly atMost: number
}

export const valueAtMost = (atMost: number): Goal => ({ of: 'value', atMost })
export const ratioAtMost = (atMost: number): Goal => ({ of: 'ratio', atMost })

interface Reference {
  readonly name: string
  readonly value: number
  /** Taken on the reference work only; a smaller one is not compared with it. */
  readonly recorded?: boolean
}

export interface Report {
  /** `reference` has the unit of the value. */
  add(name: string, value: number, unit: string, more?: { reference?: Reference; goal?: Goal }): void
  readonly measures: readonly Measure[]
}

/** Hands each measure on as it comes. `isReference`: the work is the one that goals and recorded numbers are for. */
export function report(isReference: boolean, onMeasure: (measure: Measure) => void): Report {
  const measures: Measure[] = []
  return {
    measures,
    add(name, value, unit, { reference, goal: goalOfReference } = {}) {
      if (reference?.recorded && !isReference) return
      const goal = isReference ? goalOfReference : undefined
      const ratio = reference ? value / reference.value : undefined
      const judged = goal?.of === 'ratio' ? ratio : value
      const measure: Measure = {
        name,
        value: rounded(value),
        unit,
        ratio_to: reference?.name ?? null,
        ratio: ratio === undefined ? null : rounded(ratio),
        goal: goal ? `${goal.of} <= ${rounded(goal.atMost)}` : null,
        reached: goal && judged !== undefined ? judged <= goal.atMost : null,
      }
      measures.push(measure)
      onMeasure(measure)
    },
  }
}

/** Four digits that count. */
const rounded = (value: number): number =>
  Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4))

export function tableLine({ name, value, unit, ratio_to, ratio, goal, reached }: Measure): string {
  const columns = [
    name.padEnd(48),
    String(value).padStart(12),
    unit.padEnd(9),
    (goal === null ? '' : `${reached ? 'reached' : 'MISSED '} ${goal}`).padEnd(26),
    ratio === null ? '' : `${ratio} × ${ratio_to}`,
  ]
  return columns.join(' ').trimEnd()
}
