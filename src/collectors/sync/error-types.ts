import { UNKNOWN } from './envelope.ts'

/** The first that matches counts; over the name of the class without its package, but for `package`. */
const TYPES: readonly { readonly type: string; readonly name: RegExp; readonly package?: RegExp }[] = [
  { type: 'authorization', name: /Authoriz|Authentic|AccessDenied|Permission|Sasl|SslHandshake/ },
  { type: 'timeout', name: /Timeout|TimedOut/ },
  {
    type: 'connection',
    // Of Connect, ConnectException is the mother of all exceptions.
    name: /^(ConnectException|SocketException|UnknownHostException|NoRouteToHostException|EOFException|ClosedChannelException)$/,
    package: /^java\./,
  },
  { type: 'connection', name: /Connection|Disconnect|Unavailable|NotReachable|CommunicationsException/ },
  { type: 'constraint', name: /Constraint|DuplicateKey|Integrity/ },
  {
    type: 'schema',
    name: /Schema|Projector|UnknownColumn|NoSuchColumn|NoSuchTable|UndefinedTable|UndefinedColumn/,
  },
  { type: 'serialization', name: /Serializ|Deserializ|Json|Avro|Protobuf|Decode|Encode|Converter|Parse/ },
  {
    type: 'validation',
    name: /^(DataException|InvalidRecordException|NumberFormatException|DateTimeException|IllegalArgumentException|ArithmeticException|NullPointerException|ClassCastException)$|Validation|DataTruncation|Invalid|OutOfRange/,
  },
  { type: 'database', name: /SQL|Jdbc|ClickHouse|StarRocks|StreamLoad|Database/ },
]

/** What kind of error the exception of a dead letter is; `other` for a class of no known kind. */
export function errorTypeOf(exceptionClass: string | undefined): string {
  if (exceptionClass === undefined) return UNKNOWN
  const at = Math.max(exceptionClass.lastIndexOf('.'), exceptionClass.lastIndexOf('$')) + 1
  const [name, inPackage] = [exceptionClass.slice(at), exceptionClass.slice(0, at)]
  const known = TYPES.find((type) => type.name.test(name) && (type.package?.test(inPackage) ?? true))
  return known?.type ?? 'other'
}
