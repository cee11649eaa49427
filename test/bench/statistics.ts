/** The value below which `share` of them are; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** The exponent of the power law that fits best: 1 is linear growth, less is better. */
export function exponent(points: readonly (readonly [number, number])[]): number {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const)
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const middleX = mean(logs.map(([x]) => x))
  const middleY = mean(logs.map(([, y]) => y))
  const covariance = logs.reduce((sum, [x, y]) => sum + (x - middleX) * (y - middleY), 0)
  return covariance / logs.reduce((sum, [x]) => sum + (x - middleX) ** 2, 0)
}
