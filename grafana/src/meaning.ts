/** What a colour means, on every dashboard the same. */
export const COLOUR = {
  ok: 'green',
  warning: 'orange',
  bad: 'red',
  /** On purpose, and not at work. */
  idle: 'blue',
  /** On its way from one state to another. */
  moving: 'yellow',
  unknown: 'text',
} as const

export type Meaning = keyof typeof COLOUR

/** From which value on a number means what: the meaning below the first, then `[value, meaning]`, rising. */
export type Steps = readonly [Meaning, ...(readonly [number, Meaning])[]]

/** A number that is neither good nor bad. */
export const NEUTRAL: Steps = ['unknown']
/** Anything above none is bad. */
export const NONE_IS_GOOD: Steps = ['ok', [1, 'bad']]
/** Anything above none wants a look. */
export const NONE_IS_BEST: Steps = ['ok', [1, 'warning']]
/** Seconds behind, as in KafkaLagSecondsHigh and KafkaLagSecondsCritical. */
export const LATE: Steps = ['ok', [300, 'warning'], [1800, 'bad']]
/** A part of what there is, as in the alerts that look at 90 %. */
export const FILLING: Steps = ['ok', [0.8, 'warning'], [0.9, 'bad']]
/** Whether something answers. */
export const ANSWERS: Steps = ['bad', [1, 'ok']]

/** States of a thing, with what each means. The place of a state is the number that a timeline shows it by. */
export type States = Readonly<Record<string, Meaning>>

export const UP: States = { down: 'bad', up: 'ok' }

export const CONNECTOR_STATES: States = {
  running: 'ok',
  failed: 'bad',
  paused: 'idle',
  stopped: 'idle',
  restarting: 'moving',
  unassigned: 'warning',
  destroyed: 'unknown',
}

export const HEALING_STATES: States = {
  idle: 'ok',
  waiting: 'moving',
  restarting: 'moving',
  exhausted: 'bad',
  suspended: 'idle',
  excluded: 'warning',
}

export const GROUP_STATES: States = {
  stable: 'ok',
  empty: 'warning',
  preparing_rebalance: 'moving',
  completing_rebalance: 'moving',
  assigning: 'moving',
  reconciling: 'moving',
  not_ready: 'warning',
  dead: 'bad',
  unknown: 'unknown',
}

export const PROCESS_STATES: States = {
  online: 'ok',
  stopping: 'moving',
  stopped: 'idle',
  launching: 'moving',
  errored: 'bad',
  'one-launch-status': 'moving',
  'waiting restart': 'warning',
}

export const JOB_STATES: States = {
  initializing: 'moving',
  created: 'moving',
  running: 'ok',
  failing: 'bad',
  failed: 'bad',
  cancelling: 'moving',
  canceled: 'idle',
  finished: 'idle',
  restarting: 'warning',
  suspended: 'idle',
  reconciling: 'moving',
}

export const ROUTINE_LOAD_STATES: States = {
  need_schedule: 'moving',
  running: 'ok',
  paused: 'bad',
  unstable: 'warning',
  stopped: 'idle',
  cancelled: 'bad',
}
