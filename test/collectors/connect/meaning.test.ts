import { expect, test } from 'vitest'
import { settings } from '../../../src/collectors/connect/config.ts'
import { connect } from '../../../src/collectors/connect/index.ts'
import { collect } from '../collect.ts'
import { connectorNamed, startStandIn } from './stand-in.ts'

/** dbms, team and business cluster that a connector is given. */
async function meaningOf(name: string, config: Record<string, string>, teams: unknown[] = []) {
  const fleet = await startStandIn()
  try {
    fleet.connectors = { [name]: connectorNamed(name, config) }
    const lines = await collect(connect, { urls: fleet.url, teams })
    const info = lines.find((line) => line.startsWith('kafka_connect_connector_info'))
    return /dbms="(.*)",team="(.*)",business_cluster="(.*)"/.exec(info ?? '')?.slice(1)
  } finally {
    await fleet.close()
  }
}

const JDBC = 'io.confluent.connect.jdbc.JdbcSourceConnector'

test.each([
  ['io.debezium.connector.postgresql.PostgresConnector', '', 'postgresql'],
  ['io.debezium.connector.mysql.MySqlConnector', '', 'mysql'],
  ['io.debezium.connector.mariadb.MariaDbConnector', '', 'mariadb'],
  ['io.debezium.connector.sqlserver.SqlServerConnector', '', 'sqlserver'],
  ['io.debezium.connector.oracle.OracleConnector', '', 'oracle'],
  ['io.debezium.connector.mongodb.MongoDbConnector', '', 'mongodb'],
  ['io.debezium.connector.db2.Db2Connector', '', 'db2'],
  ['io.debezium.connector.jdbc.JdbcSinkConnector', 'jdbc:mysql://db/erp', 'mysql'],
  [JDBC, 'jdbc:postgresql://db/erp', 'postgresql'],
  [JDBC, 'jdbc:sqlserver://db;databaseName=erp', 'sqlserver'],
  [JDBC, 'jdbc:jtds:sqlserver://db/erp', 'sqlserver'],
  [JDBC, 'jdbc:oracle:thin:@//db:1521/erp', 'oracle'],
  [JDBC, 'jdbc:ch://db', 'clickhouse'],
  [JDBC, '', 'unknown'],
  ['com.clickhouse.kafka.connect.ClickHouseSinkConnector', '', 'clickhouse'],
  ['com.starrocks.connector.kafka.StarRocksSinkConnector', '', 'starrocks'],
  ['io.confluent.connect.s3.S3SinkConnector', '', 's3'],
  ['io.confluent.connect.elasticsearch.ElasticsearchSinkConnector', 'http://search:9200', 'elasticsearch'],
  ['org.apache.kafka.connect.file.FileStreamSourceConnector', '', 'file'],
  ['com.example.Homemade', 'jdbc:postgresql://db/erp', 'unknown'],
])('%s with the URL "%s" is of %s', async (className, url, dbms) => {
  const config = { 'connector.class': className, ...(url === '' ? {} : { 'connection.url': url }) }
  expect((await meaningOf('c', config))?.[0]).toBe(dbms)
})

const rules = [
  { name: 'erp-stock', team: 'Warehouse', business_cluster: 'Logistics', dbms: 'greenplum' },
  { match: '^erp-', team: 'Finance', business_cluster: 'ERP' },
  { match: 'o', team: 'Odd' },
]

test.each([
  ['erp-stock', ['greenplum', 'Warehouse', 'Logistics']],
  ['erp-journals', ['postgresql', 'Finance', 'ERP']],
  ['votes', ['postgresql', 'Odd', 'Lainnya']],
  ['else', ['postgresql', 'Lainnya', 'Lainnya']],
])('%s belongs to the first rule that matches: %s', async (name, expected) => {
  expect(await meaningOf(name, {}, rules)).toEqual(expected)
})

test.each([
  [{ team: 'Nobody’s' }, 'give match or name'],
  [{ match: 'a', name: 'a' }, 'give match or name'],
  [{ match: '(' }, 'not a regular expression'],
  [{ match: 'a', tim: 'b' }, 'tim'],
])('a rule like %o is an error of the configuration', (rule, message) => {
  const result = settings.safeParse({ urls: 'http://localhost:8083', teams: [rule] })
  expect(JSON.stringify(result.error?.issues)).toContain(message)
})
