import { execFile } from 'node:child_process'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installFolder } from './installed-folder.ts'
import { kafkaClasses, kafkaClassPath, kafkaFormat, pomOf } from './java.ts'
import { startConnect } from './parts/connect.ts'
import { startKafka } from './parts/kafka.ts'

/**
 * Does once what each start of Kafka and Connect does again, above all the reading and verifying of classes, which is
 * half of the CPU that a start takes. Archived by another Java, or of other jars, Java passes it over.
 */
export async function installKafkaStart(): Promise<void> {
  await installFolder('kafka-start', [pomOf('kafka'), fileURLToPath(import.meta.url)], async (folder) => {
    process.stderr.write('testbed: preparing quick starts of Kafka and Connect\n')
    const format = basename(kafkaFormat)
    const lists = { kafka: join(folder, 'kafka.classes'), connect: join(folder, 'connect.classes') }
    const recording = (file: string) => [`-XX:DumpLoadedClassList=${file}`]
    const kafka = await startKafka({ java: recording(lists.kafka) })
    try {
      const connect = await startConnect({ bootstrap: kafka.bootstrap, java: recording(lists.connect) })
      await connect.remove()
      copyFileSync(join(kafka.folder, 'node-1', 'logs', format), join(folder, format))
    } finally {
      await kafka.remove()
    }
    const classes = new Set(Object.values(lists).flatMap((file) => readFileSync(file, 'utf8').split('\n')))
    const list = join(folder, 'classes')
    writeFileSync(list, [...classes].join('\n'))
    await promisify(execFile)('java', [
      ...['-Xshare:dump', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
      ...[`-XX:SharedClassListFile=${list}`, `-XX:SharedArchiveFile=${join(folder, basename(kafkaClasses))}`],
      ...['-cp', kafkaClassPath],
    ])
  })
}
