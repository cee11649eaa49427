import type { CollectorKind } from '../collection/collector.ts'
import { canary } from './canary/index.ts'
import { clickhouse } from './clickhouse/index.ts'
import { connect } from './connect/index.ts'
import { drift } from './drift/index.ts'
import { flink } from './flink/index.ts'
import { http } from './http/index.ts'
import { kafka } from './kafka/index.ts'
import { pm2 } from './pm2/index.ts'
import { postgresql } from './postgresql/index.ts'
import { redis } from './redis/index.ts'
import { sql } from './sql/index.ts'
import { starrocks } from './starrocks/index.ts'
import { sync } from './sync/index.ts'

/** Every kind of collector. To add one: a folder beside this file, and a line here. */
export const collectorKinds: readonly CollectorKind[] = [
  canary,
  clickhouse,
  connect,
  drift,
  flink,
  http,
  kafka,
  pm2,
  postgresql,
  redis,
  sql,
  starrocks,
  sync,
]
