import { hostname } from 'node:os'
import { z } from 'zod'
import { within } from '../clients/call.ts'
import {
  type Messenger,
  type Notice,
  slackMessenger,
  telegramMessenger,
  webhookMessenger,
} from '../clients/messengers.ts'
import type { Clock } from '../clock.ts'
import type { KeptState } from '../collection/collector.ts'
import type { WatchdogSettings } from '../config/watchdog.ts'

// A dead-man's switch. Prometheus has an alert that always fires, the Watchdog, and Alertmanager sends it here each
// minute. While it comes, alerts can reach people; when it stays away for the timeout, somebody has to be told, and
// nobody but this daemon is left to do it: it needs neither of the two for that.
//
// One switch is `waiting` (from the start, or from the last Watchdog) until its timeout is over, then `away` until the
// next Watchdog. Each receiver is told once of either turn. What a receiver has not taken is tried again, some times;
// a newer turn takes the place of an older one that could not be told.

/** Waits between two tries to tell one receiver; after the last of them it is given up. Half an hour in all. */
const RETRY_AFTER_MS = [5, 15, 45, 120, 300, 300, 300, 300, 300].map((seconds) => seconds * 1000)

const ANSWER_WITHIN_MS = 10_000

/** Woken so much too late, the daemon itself stood still, and could hear nobody: it waits anew. */
const DEAF_MS = 10_000

const turn = z.object({
  away: z.boolean(),
  /** Wall milliseconds: the last Watchdog before it stayed away, or the start. */
  since: z.number(),
  /** Whether that was a Watchdog. */
  heard: z.boolean(),
  /** When it was back. */
  until: z.number().optional(),
  /** Who has yet to be told. */
  untold: z.array(z.string()),
})
type Turn = z.infer<typeof turn>

const kept = z.object({ receivedAt: z.number().optional(), turn: turn.optional() })

interface Switch {
  /** Value of the external label; empty for the only one. */
  readonly prometheus: string
  /** Monotonic milliseconds: the last Watchdog, or when it began to wait. */
  waitingSince: number
  /** Wall milliseconds of the last Watchdog. */
  receivedAt: number | undefined
  /** The last time that it went away or came back. */
  turn: Turn | undefined
  /** Ends what is being told of the turn before. */
  telling: AbortController
}

export interface WatchdogEvents {
  away(prometheus: string, since: number): void
  back(prometheus: string, since: number): void
  /** A receiver was not reached; `last` when that was the last try. */
  notTold(receiver: string, error: unknown, last: boolean): void
  /** What was kept cannot be read, or the switch itself is broken. */
  broken(error: unknown): void
}

export interface WatchdogSeries {
  readonly switches: readonly {
    readonly prometheus: string
    readonly ok: boolean
    /** Wall milliseconds. */
    readonly receivedAt: number | undefined
  }[]
  /** Tries to tell, by what came of them. */
  readonly notifications: readonly {
    readonly receiver: string
    readonly result: 'sent' | 'failed'
    readonly count: number
  }[]
}

/** A Watchdog that no switch waits for. */
export class NotExpected extends Error {}

export class Watchdog {
  readonly #clock: Clock
  readonly #state: KeptState
  readonly #events: WatchdogEvents
  readonly #startedAt: number
  #settings: WatchdogSettings | undefined
  #messengers = new Map<string, Messenger>()
  #switches = new Map<string, Switch>()
  readonly #counts = new Map<string, { sent: number; failed: number }>()
  #ending = new AbortController()
  readonly #running = new Set<Promise<void>>()

  constructor(options: {
    readonly clock: Clock
    readonly state: KeptState
    readonly events: WatchdogEvents
  }) {
    this.#clock = options.clock
    this.#state = options.state
    this.#events = options.events
    this.#startedAt = options.clock.now()
  }

  /** Takes settings into force; undefined for no switch. A switch that was there goes on as it is. */
  async apply(settings: WatchdogSettings | undefined): Promise<void> {
    await this.stop()
    this.#ending = new AbortController()
    this.#settings = settings
    this.#messengers = messengersOf(settings)
    const before = this.#switches
    const saved = this.#saved()
    this.#switches = new Map()
    for (const prometheus of settings ? (settings.expect ?? ['']) : []) {
      const old = kept.safeParse(saved.get(prometheus)).data
      const each = before.get(prometheus) ?? {
        prometheus,
        // While the daemon was not there nobody could reach it.
        waitingSince: this.#clock.monotonic(),
        receivedAt: old?.receivedAt,
        turn: old?.turn,
        telling: new AbortController(),
      }
      each.telling = new AbortController()
      this.#switches.set(prometheus, each)
      this.#run(this.#ending.signal, this.#watch(each, this.#ending.signal))
      this.#tell(each)
    }
  }

  /**
   * A Watchdog has come, with these labels. Throws where there is no switch for it, with a reason for the one who sent
   * it.
   */
  received(labels: Readonly<Record<string, string>>): void {
    if (!this.#settings) throw new NotExpected('no watchdog is configured: see docs/watchdog.md')
    const { expect, external_label } = this.#settings
    const name = expect ? (labels[external_label] ?? '') : ''
    const each = this.#switches.get(name)
    if (!each) {
      const expected = `${external_label} of ${expect?.join(', ')}`
      throw new NotExpected(`expected the external label ${expected}, got ${JSON.stringify(name)}`)
    }
    each.waitingSince = this.#clock.monotonic()
    each.receivedAt = this.#clock.now()
    const last = each.turn
    if (last?.away) {
      this.#events.back(name, last.since)
      this.#change(each, { ...last, away: false, until: each.receivedAt })
    } else this.#save(each)
  }

  series(): WatchdogSeries {
    return {
      switches: [...this.#switches.values()].map(({ prometheus, receivedAt, turn }) => ({
        prometheus,
        ok: turn?.away !== true,
        receivedAt,
      })),
      notifications: [...this.#messengers.keys()].flatMap((receiver) => {
        const { sent, failed } = this.#countsOf(receiver)
        return [
          { receiver, result: 'sent', count: sent },
          { receiver, result: 'failed', count: failed },
        ] as const
      }),
    }
  }

  /** Resolves when nothing of it runs any more. What has not been told is told after the next start. */
  async stop(): Promise<void> {
    this.#ending.abort()
    await Promise.all(this.#running)
  }

  #saved(): ReadonlyMap<string, unknown> {
    try {
      return this.#state.load()
    } catch (error) {
      this.#events.broken(error)
      return new Map()
    }
  }

  #run(signal: AbortSignal, work: Promise<void>): void {
    const run = work
      .catch((error: unknown) => {
        if (!signal.aborted) this.#events.broken(error)
      })
      .finally(() => this.#running.delete(run))
    this.#running.add(run)
  }

  async #watch(each: Switch, signal: AbortSignal): Promise<void> {
    const timeout = this.#settings?.timeout ?? 0
    for (;;) {
      const left = each.waitingSince + timeout - this.#clock.monotonic()
      if (each.turn?.away) await this.#clock.sleep(timeout, signal)
      else if (left > 0) await this.#clock.sleep(left, signal)
      else if (-left > DEAF_MS) each.waitingSince = this.#clock.monotonic()
      else {
        const since = each.receivedAt ?? this.#startedAt
        this.#events.away(each.prometheus, since)
        this.#change(each, { away: true, since, heard: each.receivedAt !== undefined })
      }
    }
  }

  #change(each: Switch, next: Omit<Turn, 'untold'>): void {
    each.turn = { ...next, untold: [...this.#messengers.keys()] }
    this.#save(each)
    each.telling.abort()
    each.telling = new AbortController()
    this.#tell(each)
  }

  #save({ prometheus, receivedAt, turn }: Switch): void {
    this.#state.save(new Map([[prometheus, { receivedAt, turn }]]))
  }

  /** Tells whoever has yet to be told of the last turn. */
  #tell(each: Switch): void {
    const { turn } = each
    if (!turn) return
    const signal = AbortSignal.any([this.#ending.signal, each.telling.signal])
    for (const receiver of turn.untold) {
      const messenger = this.#messengers.get(receiver)
      if (messenger) this.#run(signal, this.#tellOne(each, turn, receiver, messenger, signal))
    }
  }

  async #tellOne(
    each: Switch,
    turn: Turn,
    receiver: string,
    messenger: Messenger,
    signal: AbortSignal,
  ): Promise<void> {
    const notice = this.#noticeOf(each.prometheus, turn)
    const counts = this.#countsOf(receiver)
    for (const wait of [...RETRY_AFTER_MS, undefined]) {
      try {
        await within(ANSWER_WITHIN_MS, this.#clock, signal, (signal) => messenger.send(notice, signal))
        counts.sent++
        break
      } catch (error) {
        signal.throwIfAborted()
        counts.failed++
        this.#events.notTold(receiver, error, wait === undefined)
        if (wait !== undefined) await this.#clock.sleep(wait, signal)
      }
    }
    turn.untold = turn.untold.filter((other) => other !== receiver)
    this.#save(each)
  }

  #countsOf(receiver: string) {
    const counts = this.#counts.get(receiver) ?? { sent: 0, failed: 0 }
    this.#counts.set(receiver, counts)
    return counts
  }

  #noticeOf(prometheus: string, { away, since, heard, until }: Turn): Notice {
    const whose = prometheus === '' ? 'The Watchdog' : `The Watchdog of Prometheus ${prometheus}`
    const told = `Told by cdc-exporter on ${hostname()}, which needs neither Prometheus nor Alertmanager to tell it.`
    const labels = {
      alertname: 'WatchdogMissing',
      severity: 'critical',
      ...(prometheus === '' ? {} : { [this.#settings?.external_label ?? 'prometheus']: prometheus }),
    }
    if (!away) {
      return {
        status: 'resolved',
        labels,
        summary: `${whose} is back: alerts can arrive again`,
        description: `It was away from ${timeOf(since)} to ${timeOf(until ?? since)}. What happened meanwhile may not have been told.\n${told}`,
        startsAt: since,
        endsAt: until,
      }
    }
    return {
      status: 'firing',
      labels,
      summary: `${whose} stays away: alerts do not arrive`,
      description: [
        heard
          ? `The last one came at ${timeOf(since)}.`
          : `None has come since the start at ${timeOf(since)}.`,
        'Until it is back expect no alert, whatever fails, and believe no "resolved".',
        'First step: is Prometheus up, is Alertmanager up, and does its receiver "watchdog" reach this daemon? See docs/watchdog.md.',
        told,
      ].join('\n'),
      startsAt: since,
      endsAt: undefined,
    }
  }
}

function messengersOf(settings: WatchdogSettings | undefined): Map<string, Messenger> {
  const { slack, telegram, webhook } = settings?.notify ?? {}
  const messengers = new Map<string, Messenger>()
  if (slack)
    messengers.set(
      'slack',
      slackMessenger(() => slack.url.reveal()),
    )
  if (telegram) {
    const { api_url: apiUrl, chat_id: chatId, bot_token } = telegram
    messengers.set('telegram', telegramMessenger({ apiUrl, chatId, botToken: () => bot_token.reveal() }))
  }
  if (webhook)
    messengers.set(
      'webhook',
      webhookMessenger(() => webhook.url.reveal()),
    )
  return messengers
}

/** `2026-11-21 07:24:10 UTC` */
const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
