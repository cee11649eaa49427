import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readTrace } from '../../src/clients/java-trace.ts'

const real = (name: string) => readFileSync(join(import.meta.dirname, 'traces', name), 'utf8')

describe('traces that Connect and Debezium gave', () => {
  test('the cause is the last of a chain', () => {
    expect(readTrace(real('authentication.txt'))).toEqual({
      exceptionClass: 'org.apache.kafka.connect.errors.ConnectException',
      rootClass: 'org.postgresql.util.PSQLException',
      rootCause: 'org.postgresql.util.PSQLException: FATAL: password authentication failed for user "cdc"',
    })
  })

  test('one without a cause is its own', () => {
    const { exceptionClass, rootClass, rootCause } = readTrace(real('slot-dropped.txt'))
    expect([exceptionClass, rootClass]).toEqual([
      'io.debezium.DebeziumException',
      'io.debezium.DebeziumException',
    ])
    expect(rootCause).toMatch(/^io\.debezium\.DebeziumException: The connector is trying to read/)
    expect(rootCause).toMatch(/Reconfigure the connector to use a snapshot mode when needed\.$/)
  })

  test('a second line of a message that looks like a frame belongs to the message', () => {
    const { rootClass, rootCause } = readTrace(real('converter.txt'))
    expect(rootClass).toBe('com.fasterxml.jackson.core.JsonParseException')
    expect(rootCause.split('\n')).toHaveLength(2)
    expect(rootCause).toMatch(/line: 1, column: 1\]$/)
  })
})

test('an inner class, a class without a message, and a text that is no trace', () => {
  expect(readTrace('a.B$C: text\n\tat a.B.c(B.java:1)').exceptionClass).toBe('a.B$C')
  expect(readTrace('java.lang.NullPointerException\n\tat a.B.c(B.java:1)').rootClass).toBe(
    'java.lang.NullPointerException',
  )
  expect(readTrace('Worker died: no trace')).toEqual({
    exceptionClass: 'unknown',
    rootClass: 'unknown',
    rootCause: 'Worker died: no trace',
  })
  expect(readTrace('').exceptionClass).toBe('unknown')
})

test('the cause of a suppressed exception is not the root cause', () => {
  const trace = [
    'a.OuterException: outer',
    '\tat a.B.c(B.java:1)',
    '\tSuppressed: a.CloseException: while closing',
    '\t\tat a.B.close(B.java:2)',
    '\tCaused by: a.PipeException: broken pipe',
    '\t\t... 1 more',
    'Caused by: a.RootException: root',
    '\tat a.B.d(B.java:3)',
    '\tSuppressed: a.OtherException: other',
  ].join('\n')
  expect(readTrace(trace)).toEqual({
    exceptionClass: 'a.OuterException',
    rootClass: 'a.RootException',
    rootCause: 'a.RootException: root',
  })
})

const word = fc.stringMatching(/^[a-z][a-z0-9_$]{0,8}$/)
const className = fc
  .tuple(fc.array(word, { minLength: 1, maxLength: 4 }), word)
  .map((parts) => parts.flat().join('.'))
/** What a message may hold: anything but what ends one. */
const line = fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\r\n\t]|^Caused by: /g, ''))
const message = fc.array(line, { minLength: 1, maxLength: 3 }).map((lines) => lines.join('\n').trim())
const throwable = fc.record({
  className,
  message: fc.option(message.filter((text) => text !== '')),
  frames: fc.array(word, { maxLength: 4 }),
})

test('of any chain of causes the first class and the last throwable are read', () => {
  fc.assert(
    fc.property(
      fc.array(throwable, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('\n', '\r\n'),
      (chain, eol) => {
        const title = ({ className, message }: (typeof chain)[number]) =>
          message === null ? className : `${className}: ${message}`
        const text = chain
          .map((link, i) =>
            [
              `${i === 0 ? '' : 'Caused by: '}${title(link)}`,
              ...link.frames.map((frame) => `\tat ${frame}.run(File.java:1)`),
              `\t... ${i} more`,
            ].join('\n'),
          )
          .join('\n')
        const last = chain.at(-1)
        expect(readTrace(text.replaceAll('\n', eol))).toEqual({
          exceptionClass: chain[0]?.className,
          rootClass: last?.className,
          rootCause: last && title(last),
        })
      },
    ),
  )
})

test('any text is read without a throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(readTrace(text).exceptionClass).not.toBe('')
    }),
  )
})
