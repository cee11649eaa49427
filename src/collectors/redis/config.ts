import { z } from 'zod'
import {
  boolean,
  duration,
  hostList,
  integer,
  settings as keys,
  settingsWithSecrets,
} from '../../config/fields.ts'
import { tls } from '../../config/tls.ts'

const names = () => z.array(z.string().min(1))

const sentinel = settingsWithSecrets(
  {
    master: z.string().min(1).describe('The name that the sentinels know the master by.'),
    addresses: hostList().describe('host:port of each sentinel.'),
    username: z.string().optional(),
    tls: tls('the sentinel').optional().describe('The sentinels are asked over TLS.'),
  },
  { optional: ['password'] },
)

const scan = keys({
  count: integer(1, 100_000)
    .default(1_000)
    .describe('COUNT of each SCAN: keys that Redis looks at in one go.'),
  max_keys: integer(1)
    .default(1_000)
    .describe('Of a pattern at most this many keys are counted; redis_queue_scan_complete is 0 beyond.'),
  max_time: duration()
    .default(500)
    .describe('What looking for keys may take of one run; the next run goes on where it stopped.'),
  interval: duration()
    .default(60_000)
    .describe('From the end of one look at all keys to the next; the keys found are counted in every run.'),
})

export type ScanBounds = z.output<typeof scan>

const bullmq = keys({
  prefix: z.string().min(1).default('bull').describe('What all keys of BullMQ begin with.'),
  queues: names().default([]),
  patterns: names()
    .default([])
    .describe('Queues to be found, by their names with * and ? as in MATCH of SCAN; bounded by scan.'),
})

const celery = keys({
  queues: names().default(['celery']),
  prefix: z.string().default('').describe('global_keyprefix of the transport.'),
  separator: z
    .string()
    .min(1)
    .default('\u0006\u0016')
    .describe('sep of the transport: between the name of a queue and a priority.'),
  priority_steps: z
    .array(integer(0, 255))
    .default([0, 3, 6, 9])
    .describe('priority_steps of the transport; 0 is the key without a priority.'),
})

const sidekiq = keys({
  queues: names()
    .default([])
    .describe('Queues that are 0 while Sidekiq does not know them yet; those that it knows are found.'),
  prefix: z.string().default('').describe('Of a namespace, with its colon: app:'),
})

export const settings = settingsWithSecrets(
  {
    username: z.string().optional().describe('User of the ACL; the default user without.'),
    database: integer(0).optional().describe('Number of the database, where the url gives none.'),
    tls: tls('the server')
      .optional()
      .describe('For a url of rediss, or a master found by sentinels: authorities, a certificate.'),
    sentinel: sentinel.optional().describe('In place of url: the master is found, also after a failover.'),
    cluster: boolean()
      .default(false)
      .describe(
        'Keys are asked for in the whole cluster that the server is a node of. The series of the server are those of this node.',
      ),
    queues: names()
      .default([])
      .describe('Keys of lists, sorted sets, sets and streams; one that does not exist is 0.'),
    patterns: names()
      .default([])
      .describe('Such keys to be found, with * and ? as in MATCH of SCAN; bounded by scan.'),
    scan: scan.prefault({}).describe('Bounds of the search for keys of patterns.'),
    bullmq: bullmq.optional(),
    celery: celery.optional(),
    sidekiq: sidekiq.optional(),
  },
  { optional: ['url', 'password'] },
).superRefine(({ url, sentinel, queues, patterns, bullmq, celery, sidekiq }, context) => {
  const fault = (path: (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', path, message })
  if (!url && !sentinel) fault(['url'], 'missing: give url, url_file or sentinel')
  if (url && sentinel) fault(['sentinel'], 'give url or sentinel, not both')
  // No two may have the same label.
  const distinct = (...lists: (readonly [path: string[], names: readonly string[] | undefined])[]) => {
    const taken = new Set<string>()
    for (const [path, list = []] of lists) {
      for (const [index, name] of list.entries()) {
        if (taken.has(name)) fault([...path, index], `${name} is there already`)
        taken.add(name)
      }
    }
  }
  distinct(
    [['queues'], queues],
    [['bullmq', 'queues'], bullmq?.queues],
    [['celery', 'queues'], celery?.queues],
    [['sidekiq', 'queues'], sidekiq?.queues],
  )
  distinct([['patterns'], patterns])
  distinct([['bullmq', 'patterns'], bullmq?.patterns])
})

export type Settings = z.output<typeof settings>
export type CelerySettings = z.output<typeof celery>
export type SidekiqSettings = z.output<typeof sidekiq>
