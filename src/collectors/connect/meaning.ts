import type { Connector } from '../../clients/connect.ts'
import type { TeamRule } from './config.ts'

/** What a connector is to people. */
export interface Meaning {
  readonly dbms: string
  readonly team: string
  readonly business_cluster: string
}

/** Where no rule says anything. */
const OTHERS = 'Lainnya'

export const appliesTo = ({ match, name }: TeamRule, connector: string): boolean =>
  name === undefined ? (match?.test(connector) ?? false) : name === connector

/** By the rules of the configuration; the DBMS by class and connection where they do not say it. */
export function meaningOf(connector: Connector, rules: readonly TeamRule[]): Meaning {
  const rule = rules.find((each) => appliesTo(each, connector.name))
  return {
    dbms: rule?.dbms ?? dbmsOf(connector),
    team: rule?.team ?? OTHERS,
    business_cluster: rule?.business_cluster ?? OTHERS,
  }
}

/** By a word in the name of the class; the first that is found. */
const BY_CLASS: readonly (readonly [RegExp, string])[] = [
  [/jdbc/i, 'jdbc'],
  [/postgres/i, 'postgresql'],
  [/mariadb/i, 'mariadb'],
  [/mysql/i, 'mysql'],
  [/sqlserver|mssql/i, 'sqlserver'],
  [/oracle/i, 'oracle'],
  [/mongo/i, 'mongodb'],
  [/db2/i, 'db2'],
  [/informix/i, 'informix'],
  [/vitess/i, 'vitess'],
  [/spanner/i, 'spanner'],
  [/cockroach/i, 'cockroachdb'],
  [/cassandra|datastax/i, 'cassandra'],
  [/click_?house/i, 'clickhouse'],
  [/starrocks/i, 'starrocks'],
  [/doris/i, 'doris'],
  [/snowflake/i, 'snowflake'],
  [/bigquery/i, 'bigquery'],
  [/redshift/i, 'redshift'],
  [/iceberg/i, 'iceberg'],
  [/opensearch/i, 'opensearch'],
  [/elasticsearch/i, 'elasticsearch'],
  [/redis/i, 'redis'],
  [/neo4j/i, 'neo4j'],
  [/influx/i, 'influxdb'],
  [/couchbase/i, 'couchbase'],
  [/hdfs/i, 'hdfs'],
  [/\bs3\b|S3S(ink|ource)/, 's3'],
  [/gcs|GoogleCloudStorage/i, 'gcs'],
  [/azure.*blob/i, 'azure_blob'],
  [/filestream/i, 'file'],
  [/connect\.mirror\./, 'kafka'],
]

/** Where a URL calls it something else than a class does. */
const BY_SCHEME: Readonly<Record<string, string>> = { postgres: 'postgresql', ch: 'clickhouse' }

function dbmsOf({ class: className, urlScheme }: Connector): string {
  const byClass = BY_CLASS.find(([word]) => word.test(className))?.[1]
  if (byClass !== 'jdbc') return byClass ?? 'unknown'
  return BY_SCHEME[urlScheme ?? ''] ?? urlScheme ?? 'unknown'
}
