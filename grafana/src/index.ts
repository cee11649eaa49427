import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { connect } from './connect.ts'
import { databases } from './databases.ts'
import { drift } from './drift.ts'
import { exporter } from './exporter.ts'
import { flink } from './flink.ts'
import { host } from './host.ts'
import { kafka } from './kafka.ts'
import { overview } from './overview.ts'
import { queues } from './queues.ts'
import { topics } from './topics.ts'

/** All dashboards that are shipped, in the order in which one reads them. */
export const dashboards: readonly Dashboard[] = [
  overview,
  kafka,
  connect,
  topics,
  drift,
  databases,
  flink,
  queues,
  host,
  exporter,
]
