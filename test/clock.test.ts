import { afterEach, describe, expect, it, vi } from 'vitest'
import { isTurnOver, nextTurn } from '../src/clock.ts'

describe('turns', () => {
  afterEach(() => {
    vi.restoreAllMocks()
  })

  it('go to one of those that wait each time round the event loop, in their order', async () => {
    const seen: string[] = []
    const taking = ['first', 'second', 'third'].map(async (name) => {
      await nextTurn()
      seen.push(name)
    })
    const round = () => {
      seen.push('others')
      if (seen.length < 6) setImmediate(round)
    }
    setImmediate(round)
    await Promise.all(taking)
    expect(seen).toEqual(['first', 'others', 'second', 'others', 'third'])
  })

  it('begin when they are given, not when they are asked for', async () => {
    // Set by hand: whether 2 ms of real time have passed is up to the machine.
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000)
    await nextTurn()
    expect(isTurnOver()).toBe(false)
    now.mockReturnValue(2000)
    expect(isTurnOver()).toBe(true)
    const next = nextTurn()
    now.mockReturnValue(3000)
    await next
    expect(isTurnOver()).toBe(false)
  })
})
