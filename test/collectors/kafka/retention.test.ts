import { expect, test } from 'vitest'
import type { KafkaPass } from '../../../src/clients/kafka/reader.ts'
import { Retentions } from '../../../src/collectors/kafka/retention.ts'

type Answer = Awaited<ReturnType<KafkaPass['topicConfigs']>>

const DAY = { milliseconds: 86_400_000, bytes: undefined, compacted: false }
const FOR_EVER = { milliseconds: undefined, bytes: undefined, compacted: false }
const TEN_MINUTES = 10 * 60_000

const aDay = (...topics: string[]): Answer =>
  new Map(
    topics.map((topic) => [
      topic,
      new Map([
        ['cleanup.policy', 'delete'],
        ['retention.ms', '86400000'],
      ]),
    ]),
  )

/** Answers in turn what a broker would, and keeps what it was asked for. */
function answering(...answers: Answer[]) {
  const asked: (readonly string[])[] = []
  return {
    asked,
    topicConfigs: async (topics: readonly string[]) => {
      asked.push(topics)
      return answers.shift() ?? new Map()
    },
  }
}

test('a topic that the broker says nothing of, as one does right after its start, is asked for at the next pass', async () => {
  const pass = answering(aDay('a'), aDay('b'))
  const retentions = new Retentions()
  await retentions.refresh(pass, ['a', 'b'], 0)
  expect(retentions.of('a')).toEqual(DAY)
  expect(retentions.of('b')).toEqual(FOR_EVER)
  await retentions.refresh(pass, ['a', 'b'], 1000)
  expect(retentions.of('b')).toEqual(DAY)
  await retentions.refresh(pass, ['a', 'b'], 2000)
  expect(pass.asked).toEqual([['a', 'b'], ['b']])
})

test('one that may not be read counts as kept for ever, and is asked for every ten minutes', async () => {
  const pass = answering(new Map([['a', undefined]]), aDay('a'))
  const retentions = new Retentions()
  await retentions.refresh(pass, ['a'], 0)
  await retentions.refresh(pass, ['a'], 1000)
  expect(pass.asked).toEqual([['a']])
  expect(retentions.of('a')).toEqual(FOR_EVER)
  await retentions.refresh(pass, ['a'], TEN_MINUTES)
  expect(retentions.of('a')).toEqual(DAY)
})

test('what was known stays while no answer comes, and goes with the topic', async () => {
  const pass = answering(aDay('a', 'b'), new Map())
  const retentions = new Retentions()
  await retentions.refresh(pass, ['a', 'b'], 0)
  await retentions.refresh(pass, ['a'], TEN_MINUTES)
  expect(retentions.of('a')).toEqual(DAY)
  expect(retentions.of('b')).toEqual(FOR_EVER)
})
