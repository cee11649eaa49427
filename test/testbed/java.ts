import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installFolder, testbedFolder } from './installed-folder.ts'

const run = promisify(execFile)

/** The class path of the broker, Connect and Kafka's own command-line tools. */
export const kafkaClassPath = join(testbedFolder, 'java', 'kafka', '*')

/** For `plugin.path` of Connect: Debezium for PostgreSQL, and Kafka's own file source and sink. */
export const pluginPath = join(testbedFolder, 'java', 'plugins')

/** The same with Debezium's sink for JDBC and PostgreSQL's driver: large, so for those tests only that want it. */
export const jdbcSinkPath = join(testbedFolder, 'jdbc-sink')

/** The class path of Flink and of the cluster and jobs of the tests, `java/flink/Jobs.java`. */
export const flinkClassPath = [join(testbedFolder, 'flink', 'jars', '*'), join(testbedFolder, 'flink')].join(
  delimiter,
)

/** A heap of 256 MB and the cheapest collector and compiler: the parts share a small machine. */
export const javaOptions = [
  '-Xmx256m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Xss512k',
  '-Dlog4j2.level=WARN',
]

/** Made by `installKafkaStart`: the classes of Kafka and Connect, verified, for Java to map into its memory. */
export const kafkaClasses = join(testbedFolder, 'kafka-start', 'classes.jsa')

/** Made by it too: what the tool that formats the folder of a broker writes there, whichever broker it is. */
export const kafkaFormat = join(testbedFolder, 'kafka-start', 'bootstrap.checkpoint')

/** How Java runs the broker, Connect and Kafka's own command-line tools: all before the name of the class. */
export function kafkaJava(): readonly string[] {
  // With one that is not there Java would share not even its own classes.
  const shared = existsSync(kafkaClasses) ? [`-XX:SharedArchiveFile=${kafkaClasses}`] : []
  return [...javaOptions, ...shared, '-cp', kafkaClassPath]
}

/** Connect has the rest of the jars on its own class path; a second copy would only slow its start. */
const PLUGIN_JARS: Readonly<Record<string, RegExp>> = {
  'debezium-postgresql':
    /^(debezium-|postgresql-|protobuf-java-|sketches-java-|jackson-datatype-jsr310-).*\.jar$/,
  'file-sink': /^connect-file-.*\.jar$/,
}

/**
 * Downloads Kafka, Connect, the connectors and Flink into `.testbed`, once. Needs a JDK 17 and Maven; says on
 * standard error what it downloads.
 */
export async function installJars(): Promise<void> {
  const poms = ['kafka', ...Object.keys(PLUGIN_JARS)].map(pomOf)
  await installFolder('java', poms, async (folder) => {
    process.stderr.write('testbed: downloading Kafka, Connect and Debezium from Maven (about 60 MB)\n')
    await copyJars('kafka', join(folder, 'kafka'))
    mkdirSync(join(folder, 'plugins'))
    for (const [name, wanted] of Object.entries(PLUGIN_JARS)) {
      const all = join(folder, name)
      const plugin = join(folder, 'plugins', name)
      await copyJars(name, all)
      mkdirSync(plugin)
      for (const jar of readdirSync(all)) if (wanted.test(jar)) renameSync(join(all, jar), join(plugin, jar))
      rmSync(all, { recursive: true })
    }
  })
  await installFolder('jdbc-sink', [pomOf('jdbc-sink')], async (folder) => {
    process.stderr.write('testbed: downloading the JDBC sink from Maven (about 30 MB)\n')
    await copyJars('jdbc-sink', join(folder, 'debezium-jdbc'))
  })
  const jobs = fileURLToPath(new URL('java/flink/Jobs.java', import.meta.url))
  await installFolder('flink', [pomOf('flink'), jobs], async (folder) => {
    process.stderr.write('testbed: downloading Flink from Maven (about 85 MB)\n')
    await copyJars('flink', join(folder, 'jars'))
    await run('javac', ['-nowarn', '-cp', join(folder, 'jars', '*'), '-d', folder, jobs])
  })
}

export function pomOf(name: string): string {
  return fileURLToPath(new URL(`java/${name}/pom.xml`, import.meta.url))
}

async function copyJars(name: string, folder: string): Promise<void> {
  try {
    await run('mvn', [
      '--batch-mode',
      '--quiet',
      '--file',
      pomOf(name),
      'dependency:copy-dependencies',
      '-DincludeScope=runtime',
      `-DoutputDirectory=${folder}`,
    ])
  } catch (error) {
    // Maven says what is wrong on standard output.
    const { stdout = '' } = error as { readonly stdout?: string }
    throw new Error(`couldn't download the jars of ${pomOf(name)}: ${stdout || error}`, { cause: error })
  }
}
