import { type ConnectorSelector, type OperationResult, planned } from './connect-operations.ts'
import type { FailureLog, RememberedConnector } from './failure-log.ts'

/** What can be forgotten of a selection; a state selects none of it, since no cluster is asked. */
export function remembered(
  history: FailureLog,
  { names, connector, target, environment, team }: Omit<ConnectorSelector, 'state'>,
): RememberedConnector[] {
  return history
    .remembered()
    .filter(
      (each) =>
        (names === undefined || names.length === 0 || names.includes(each.connector)) &&
        (connector?.test(each.connector) ?? true) &&
        (target === undefined || target === each.target) &&
        (environment === undefined || environment === each.environment) &&
        (team === undefined || team === each.team),
    )
}

/** What `forget` would do. */
export function plannedForget(each: RememberedConnector): OperationResult {
  return { ...planned('forget', { ...each, state: 'remembered' }), detail: kept(each.failures) }
}

/** Drops the failures that are kept of it, and their counts; of a failure that persists the next pass opens a new one. */
export function forget(history: FailureLog, each: RememberedConnector): OperationResult {
  const { target, environment, team, connector } = each
  const dropped = history.forget(target, connector)
  return {
    ...{ target, environment, team, connector, operation: 'forget', result: 'done', state: 'forgotten' },
    detail: kept(dropped),
  }
}

const kept = (failures: number): string => (failures === 1 ? '1 failure' : `${failures} failures`)
