import { dashboard } from './dashboard.ts'
import { alertsFire } from './marks.ts'
import { ANSWERS, FILLING, NEUTRAL, type Steps, UP } from './meaning.ts'
import { graph, stat, timeline } from './panels.ts'
import { of, targetsOf } from './variables.ts'

/** Items, as in RedisQueueBacklog and CriticalVoteQueueBacklog. */
const BACKLOG: Steps = ['ok', [500, 'warning'], [1000, 'bad']]
/** Seconds, as in RedisQueueOldestJob. */
const WAITED: Steps = ['ok', [300, 'warning']]
/** Seconds, as in HttpLatencyP99. */
const SLOW: Steps = ['ok', [1, 'warning']]
/** A part of all requests, as in HttpErrorRate. */
const ERRORS: Steps = ['ok', [0.05, 'warning']]
/** Seconds until a certificate ends, as in TlsExpires. */
const EXPIRES: Steps = ['bad', [259_200, 'warning'], [1_209_600, 'ok']]

/** The services that Prometheus scrapes itself: see prometheus/prometheus.yml. */
const SERVICES = 'job=~"vote_app|worker|voting-app"'

export const queues = dashboard({
  uid: 'cdc-queues',
  title: 'Queues, services and the voting app',
  about:
    'Do the workers keep up with their queues, and do the services around them answer, fast and without errors?',
  choices: { target: targetsOf('redis', 'http', 'sql') },
  annotations: [alertsFire],
  sections: [
    {
      title: 'In one look',
      panels: [
        stat({
          title: 'Longest queue',
          about:
            'Items that wait in the longest queue. Beyond 500 for 5 minutes its worker is dead or too slow.',
          empty: 'no queue',
          unit: 'short',
          steps: BACKLOG,
          width: 4,
          queries: [[`max(${of('redis_queue_length')})`, '']],
        }),
        stat({
          title: 'Longest wait',
          about: 'How long the oldest item of any queue has waited.',
          empty: 'none waits',
          unit: 's',
          steps: WAITED,
          width: 4,
          queries: [[`max(${of('redis_queue_oldest_age_seconds')})`, '']],
        }),
        stat({
          title: 'Redis up for',
          about: 'How long the server that was started last has run.',
          empty: 'no Redis',
          unit: 's',
          steps: NEUTRAL,
          width: 4,
          queries: [[`min(${of('redis_uptime_in_seconds')})`, '']],
        }),
        stat({
          title: 'Memory of Redis',
          about: 'Of the server that is nearest to the memory that it may use.',
          empty: 'no limit is set',
          unit: 'percentunit',
          steps: FILLING,
          width: 4,
          queries: [[`max(${of('redis_memory_used_bytes')} / (${of('redis_memory_max_bytes')} > 0))`, '']],
        }),
        stat({
          title: 'Services that answer',
          about: 'The least of all HTTP probes: 1 where each got the answer that is expected.',
          empty: 'no probe',
          unit: 'none',
          steps: ANSWERS,
          states: UP,
          width: 4,
          queries: [[`min(${of('probe_success')})`, '']],
        }),
        stat({
          title: 'Votes counted',
          about: 'Votes in the table of the pack votes.',
          empty: 'no pack votes',
          unit: 'short',
          steps: NEUTRAL,
          width: 4,
          queries: [[`sum(${of('voting_option_votes')})`, '']],
        }),
      ],
    },
    {
      title: 'Queues',
      panels: [
        graph({
          title: 'Items waiting',
          about: 'By queue: lists, streams, sets, and those of BullMQ, Celery and Sidekiq.',
          empty: 'no queue is configured',
          unit: 'short',
          steps: BACKLOG,
          queries: [[`max by (target, queue) (${of('redis_queue_length')})`, '{{target}} {{queue}}']],
        }),
        graph({
          title: 'Oldest item',
          about: 'How long the oldest item of a queue has waited.',
          empty: 'no queue whose items have a time',
          unit: 's',
          steps: WAITED,
          queries: [
            [`max by (target, queue) (${of('redis_queue_oldest_age_seconds')})`, '{{target}} {{queue}}'],
          ],
        }),
        graph({
          title: 'Jobs by state',
          about: 'Of BullMQ, Celery and Sidekiq.',
          empty: 'no queue of these',
          unit: 'short',
          stacked: true,
          queries: [[`sum by (queue, state) (${of('redis_queue_jobs')})`, '{{queue}} {{state}}']],
        }),
        graph({
          title: 'Streams: entries that were not acknowledged',
          about: 'Delivered to a group of consumers and not yet done.',
          empty: 'no stream with a group',
          unit: 'short',
          queries: [
            [`max by (stream, group) (${of('redis_stream_group_messages_pending')})`, '{{stream}} {{group}}'],
          ],
        }),
      ],
    },
    {
      title: 'Redis',
      panels: [
        timeline({
          title: 'Redis servers',
          about: 'Whether each answers.',
          empty: 'no Redis',
          states: UP,
          height: 5,
          queries: [[`min by (target) (${of('redis_up')})`, '{{target}}']],
        }),
        graph({
          title: 'Memory used',
          about: 'Bytes that Redis has allocated.',
          empty: 'no Redis',
          unit: 'bytes',
          width: 8,
          queries: [[`max by (target) (${of('redis_memory_used_bytes')})`, '{{target}}']],
        }),
        graph({
          title: 'Commands',
          about: 'Commands a second.',
          empty: 'no Redis',
          unit: 'ops',
          width: 8,
          queries: [
            [
              `sum by (target) (rate(${of('redis_commands_processed_total')}[$__rate_interval]))`,
              '{{target}}',
            ],
          ],
        }),
        graph({
          title: 'Clients',
          about: 'Connections of clients.',
          empty: 'no Redis',
          unit: 'none',
          width: 8,
          queries: [[`max by (target) (${of('redis_connected_clients')})`, '{{target}}']],
        }),
      ],
    },
    {
      title: 'The voting app',
      panels: [
        timeline({
          title: 'Vote, result and worker',
          about: 'Whether Prometheus can scrape them.',
          empty: 'Prometheus scrapes no voting app',
          states: UP,
          height: 5,
          queries: [[`min by (job, instance) (up{${SERVICES}})`, '{{job}} {{instance}}']],
        }),
        graph({
          title: 'Requests',
          about: 'Requests a second, by service and route.',
          empty: 'Prometheus scrapes no service that counts them',
          unit: 'reqps',
          width: 8,
          queries: [
            [
              'sum by (job, route) (rate(http_requests_total{environment=~"$environment"}[$__rate_interval]))',
              '{{job}} {{route}}',
            ],
          ],
        }),
        graph({
          title: 'Requests that fail',
          about: 'Part of the requests that end with a server error.',
          empty: 'no request',
          unit: 'percentunit',
          steps: ERRORS,
          width: 8,
          queries: [
            [
              'max by (job, instance) (job:http_errors:ratio5m{environment=~"$environment"})',
              '{{job}} {{instance}}',
            ],
          ],
        }),
        graph({
          title: 'Latency of requests',
          about: 'What half, and 99 of 100 requests took.',
          empty: 'no request',
          unit: 's',
          steps: SLOW,
          width: 8,
          queries: [0.5, 0.99].map((quantile) => [
            `histogram_quantile(${quantile}, sum by (le, job) (rate(http_request_duration_seconds_bucket{environment=~"$environment"}[$__rate_interval])))`,
            `{{job}} p${quantile * 100}`,
          ]),
        }),
        graph({
          title: 'Votes',
          about: 'Votes a second that the service takes, and that are counted.',
          empty: 'Prometheus scrapes no voting app',
          unit: 'cps',
          width: 8,
          queries: [
            [
              'sum by (vote) (rate(votes_total{environment=~"$environment"}[$__rate_interval]))',
              'for {{vote}}',
            ],
            [`sum(rate(${of('voting_votes_total')}[$__rate_interval]))`, 'counted'],
          ],
        }),
        graph({
          title: 'Time that the worker takes',
          about: 'For a vote: half, and 99 of 100.',
          empty: 'Prometheus scrapes no worker, or it has done nothing yet',
          unit: 's',
          steps: SLOW,
          width: 8,
          queries: [0.5, 0.99].map((quantile) => [
            `histogram_quantile(${quantile}, sum by (le) (rate(worker_processing_seconds_bucket{environment=~"$environment"}[$__rate_interval])))`,
            `p${quantile * 100}`,
          ]),
        }),
        graph({
          title: 'Votes by option',
          about: 'As in the table of the pack votes.',
          empty: 'no pack votes is configured',
          unit: 'short',
          width: 8,
          queries: [[`max by (target, option) (${of('voting_option_votes')})`, '{{option}}']],
        }),
      ],
    },
    {
      title: 'Services that are probed',
      panels: [
        timeline({
          title: 'Answers',
          about: 'Whether each probe got the answer that is expected.',
          empty: 'no HTTP probe',
          states: UP,
          width: 12,
          queries: [[`min by (url) (${of('probe_success')})`, '{{url}}']],
        }),
        timeline({
          title: 'Components',
          about: 'Components of the health answers, such as the database of the API.',
          empty: 'no probe of a health answer',
          states: UP,
          width: 12,
          queries: [[`min by (url, component) (${of('cdc_http_component_up')})`, '{{component}} {{url}}']],
        }),
        graph({
          title: 'Duration of probes',
          about: 'How long the last probe of each URL took, redirects among it.',
          empty: 'no HTTP probe',
          unit: 's',
          steps: SLOW,
          queries: [[`max by (url) (${of('probe_duration_seconds')})`, '{{url}}']],
        }),
        stat({
          title: 'Certificates end in',
          about: 'The first certificate that ends, by URL.',
          empty: 'no probe over TLS',
          unit: 's',
          steps: EXPIRES,
          width: 12,
          height: 8,
          queries: [[`min by (url) (${of('probe_ssl_earliest_cert_expiry')} - time())`, '{{url}}']],
        }),
      ],
    },
  ],
})
