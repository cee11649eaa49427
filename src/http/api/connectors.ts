import { z } from 'zod'
import type { ConnectOperation } from '../../clients/connect-operations.ts'
import type { Clock } from '../../clock.ts'
import { type Caller, mayOperate } from '../../operations/access.ts'
import {
  type ConnectFleet,
  type ConnectorSelector,
  connectorDetails,
  type ListedConnector,
  listConnectors,
  type OperationResult,
  operate,
  planned,
} from '../../operations/connect-operations.ts'
import type { FailureLog, RememberedConnector } from '../../operations/failure-log.ts'
import { forget, plannedForget, remembered } from '../../operations/forget.ts'
import type { OperationLog } from '../../operations/operation-log.ts'
import { ApiError, type ApiRequest, type ApiRoute, PAGED } from '../api.ts'

/** Clusters are asked at each request, so these bounds, in milliseconds, are on the answer. */
const READ_WITHIN = 10_000
const OPERATE_WITHIN = 60_000
const SETTLE = 15_000

const FILTERS = ['target', 'environment', 'team', 'state'] as const
const OPERATIONS = ['restart', 'pause', 'resume', 'stop', 'delete'] as const

const selectorBody = z.strictObject({
  // An empty list would select all.
  connectors: z.array(z.string()).min(1).optional(),
  target: z.string().optional(),
  environment: z.string().optional(),
  team: z.string().optional(),
  state: z.string().optional(),
  /** Where nothing else selects. */
  all: z.boolean().default(false),
  dry_run: z.boolean().default(false),
  all_tasks: z.boolean().default(false),
})
const forgetBody = selectorBody.omit({ state: true, all_tasks: true })

/** `/api/v1/connectors…`: as the clusters say they are now; operations answer with what came of them. */
export function connectorRoutes(input: {
  readonly fleets: () => readonly ConnectFleet[]
  readonly clock: Clock
  readonly operations: OperationLog
  readonly history: FailureLog
  readonly secrets: () => readonly string[]
}): readonly ApiRoute[] {
  const { fleets, clock, operations, history, secrets } = input

  const list = (selector: ConnectorSelector) =>
    listConnectors(fleets(), selector, secrets, AbortSignal.timeout(READ_WITHIN))

  /** For what has to know all of them. */
  async function whole(selector: ConnectorSelector): Promise<readonly ListedConnector[]> {
    const { connectors, unread } = await list(selector)
    if (unread.length === 0) return connectors
    throw new ApiError(502, unread.map(({ target, error }) => `${target}: ${error}`).join('; '))
  }

  async function one({ params: { target = '', name = '' } }: ApiRequest): Promise<ListedConnector> {
    const [found] = await whole({ target, names: [name] })
    if (!found) throw new ApiError(404, `there is no connector ${name} in ${target}`)
    return found
  }

  async function run(
    operation: ConnectOperation,
    connectors: readonly ListedConnector[],
    { caller, from }: ApiRequest,
    allTasks: boolean,
  ) {
    requireTeams(caller, connectors)
    const record = (result: OperationResult) => operations.record(result, { who: caller.name, from })
    const options = { clock, allTasks, within: OPERATE_WITHIN, settle: SETTLE, secrets }
    // Whoever asked may leave: what was begun is watched to its end, and audited.
    const results = await operate(
      operation,
      fleets(),
      connectors,
      options,
      new AbortController().signal,
      record,
    )
    const ok = results.every(({ result }) => result !== 'failed')
    return { status: 200, body: { ok, items: results } }
  }

  return [
    {
      method: 'GET',
      path: '/api/v1/connectors',
      role: 'viewer',
      operation: 'connectors list',
      query: [...FILTERS, ...PAGED],
      async handle({ query, page: { limit, offset } }) {
        const { connectors, unread } = await list(
          Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? undefined])),
        )
        const items = connectors.slice(offset, offset + limit)
        return { status: 200, body: { items, total: connectors.length, limit, offset, unread } }
      },
    },
    {
      method: 'GET',
      path: '/api/v1/connectors/{target}/{name}',
      role: 'viewer',
      operation: 'connectors show',
      query: [],
      async handle(request) {
        const listed = await one(request)
        const fleet = fleets().find(({ target }) => target === listed.target)
        const signal = AbortSignal.timeout(READ_WITHIN)
        const body = fleet && (await connectorDetails(fleet, listed, secrets, signal))
        if (!body) throw new ApiError(404, `there is no connector ${listed.connector} in ${listed.target}`)
        return { status: 200, body }
      },
    },
    ...OPERATIONS.flatMap((operation): ApiRoute[] => [
      {
        method: operation === 'delete' ? 'DELETE' : 'POST',
        path: `/api/v1/connectors/{target}/{name}${operation === 'delete' ? '' : `/${operation}`}`,
        role: 'team-lead',
        operation: `connect ${operation}`,
        query: operation === 'restart' ? ['all_tasks'] : [],
        handle: async (request) =>
          await run(operation, [await one(request)], request, request.query.get('all_tasks') === 'true'),
      },
      {
        method: 'POST',
        path: `/api/v1/connectors:${operation}`,
        role: 'team-lead',
        operation: `connect ${operation}`,
        query: [],
        async handle(request) {
          const { connectors: names, all, dry_run, all_tasks, ...selector } = bodyOf(request, selectorBody)
          requireSelection(all, [names, ...Object.values(selector)])
          const chosen = await whole({ ...selector, names })
          if (chosen.length === 0) throw new ApiError(404, 'no connector fits the selector')
          if (!dry_run) return await run(operation, chosen, request, all_tasks)
          requireTeams(request.caller, chosen)
          return { status: 200, body: { ok: true, items: chosen.map((each) => planned(operation, each)) } }
        },
      },
    ]),
    {
      method: 'POST',
      path: '/api/v1/connectors/{target}/{name}/forget',
      role: 'team-lead',
      operation: 'connect forget',
      query: [],
      handle(request) {
        const { target = '', name = '' } = request.params
        return forgetAll(remembered(history, { target, names: [name] }), request)
      },
    },
    {
      method: 'POST',
      path: '/api/v1/connectors:forget',
      role: 'team-lead',
      operation: 'connect forget',
      query: [],
      handle(request) {
        const { connectors: names, all, dry_run, ...selector } = bodyOf(request, forgetBody)
        requireSelection(all, [names, ...Object.values(selector)])
        return forgetAll(remembered(history, { ...selector, names }), request, dry_run)
      },
    },
  ]

  function forgetAll(chosen: readonly RememberedConnector[], { caller, from }: ApiRequest, dryRun = false) {
    if (chosen.length === 0) throw new ApiError(404, 'nothing is kept of such a connector')
    requireTeams(caller, chosen)
    if (dryRun) return { status: 200, body: { ok: true, items: chosen.map(plannedForget) } }
    const items = chosen.map((each) => forget(history, each))
    for (const item of items) operations.record(item, { who: caller.name, from })
    return { status: 200, body: { ok: true, items } }
  }
}

function bodyOf<T>({ body }: ApiRequest, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(body ?? {})
  if (!parsed.success) throw new ApiError(400, z.prettifyError(parsed.error))
  return parsed.data
}

function requireSelection(all: boolean, selectors: readonly unknown[]): void {
  const selects = selectors.some((value) => value !== undefined)
  if (selects === all) throw new ApiError(400, 'give a selector, or all: true')
}

/** All or nothing: a selection that holds one of another team is refused. */
function requireTeams(
  caller: Caller,
  connectors: readonly Pick<ListedConnector, 'target' | 'connector' | 'team'>[],
): void {
  const foreign = connectors.find(({ team }) => !mayOperate(caller, team))
  if (!foreign) return
  const object = `${foreign.target}/${foreign.connector}`
  throw new ApiError(
    403,
    `${object} belongs to the team ${foreign.team}, which ${caller.name} does not lead`,
    object,
  )
}
