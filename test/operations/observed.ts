import type { ObservedFailure } from '../../src/collection/collector.ts'

/** A trace as Java writes it: the first is caught last, and each is caused by the next. */
export function javaTrace(...throwables: readonly string[]): string {
  const frames = '\tat org.apache.kafka.connect.runtime.WorkerTask.run(WorkerTask.java:298)\n\t... 3 more\n'
  return throwables.map((text, i) => `${i === 0 ? '' : 'Caused by: '}${text}\n${frames}`).join('')
}

export const slotLost = javaTrace(
  'org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer.',
  'org.postgresql.util.PSQLException: ERROR: replication slot "erp" does not exist',
)

/** Task 0 of `orders`, of the team Finance. */
export function observed(change: Partial<ObservedFailure> = {}): ObservedFailure {
  return {
    connector: 'orders',
    task: '0',
    worker: '10.0.0.1:8083',
    trace: slotLost,
    labels: { team: 'Finance', dbms: 'PostgreSQL' },
    secrets: [],
    ...change,
  }
}
