import type { MergeTree } from '../../clients/clickhouse-engine.ts'
import type { Checksums } from './checksums.ts'
import type { Pair } from './pairs.ts'
import type { RowPlan, SinkForm, SourceColumn } from './row-form.ts'
import type { Totals } from './source.ts'

/** A table of the sink as its catalog has it. */
export interface SinkTable {
  /** Their names; none where the table is not there, or the user may not see it. */
  readonly columns: ReadonlySet<string>
  /** How a table of ClickHouse's MergeTree family keeps its rows; undefined for any other. */
  readonly engine: { readonly mergeTree: MergeTree; readonly sortingKey: string } | undefined
  /** How the sink reads a column of the source; undefined where it has it not, or cannot compare it. */
  form(column: SourceColumn, atSink: string, pair: Pair): SinkForm | undefined
}

/** One connection to the warehouse. `watermark`: in whole seconds since the epoch. */
export interface Sink {
  table(pair: Pair, signal: AbortSignal): Promise<SinkTable>
  /** Counts the rows made before `watermark` that are not deleted. */
  count(pair: Pair, watermark: number, signal: AbortSignal): Promise<Totals>
  /** Rows as its catalog has them, with versions and deleted ones; undefined where it has no number. */
  estimate(pair: Pair, signal: AbortSignal): Promise<number | undefined>
  /** Seconds since the newest value of a column of the sink, by the sink's own clock; undefined without one. */
  age(pair: Pair, column: string, signal: AbortSignal): Promise<number | undefined>
  /** Of the rows made before `watermark` that are not deleted. */
  checksums(pair: Pair, plan: RowPlan, watermark: number): Checksums
  /** What its catalog said of the table is asked anew: it may be what made a statement fail. */
  forget(pair: Pair): void
  close(): void
}
