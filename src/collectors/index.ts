import type { CollectorKind, CollectorKinds } from '../collection/collector.ts'

/** Every kind of collector by its name. To add one: a folder beside this file, and a line here. */
export const collectorKinds = {
  canary: async () => (await import('./canary/index.ts')).canary,
  clickhouse: async () => (await import('./clickhouse/index.ts')).clickhouse,
  connect: async () => (await import('./connect/index.ts')).connect,
  drift: async () => (await import('./drift/index.ts')).drift,
  flink: async () => (await import('./flink/index.ts')).flink,
  http: async () => (await import('./http/index.ts')).http,
  kafka: async () => (await import('./kafka/index.ts')).kafka,
  pm2: async () => (await import('./pm2/index.ts')).pm2,
  postgresql: async () => (await import('./postgresql/index.ts')).postgresql,
  redis: async () => (await import('./redis/index.ts')).redis,
  sql: async () => (await import('./sql/index.ts')).sql,
  starrocks: async () => (await import('./starrocks/index.ts')).starrocks,
  sync: async () => (await import('./sync/index.ts')).sync,
} satisfies CollectorKinds

/** All of them, in the order of the list: for what tells of every kind. */
export const allKinds = (): Promise<readonly CollectorKind[]> =>
  Promise.all(Object.values(collectorKinds).map((load): Promise<CollectorKind> => load()))
