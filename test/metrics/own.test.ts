import { expect, test } from 'vitest'
import { ownMetrics } from '../../src/metrics/own.ts'
import { readExposition } from '../testbed/exposition-text.ts'

test('the text is well formed from the first reading, and what is not known yet is absent', async () => {
  const own = ownMetrics(
    '1.2.3',
    () => [],
    () => ({ switches: [{ prometheus: '', ok: true, receivedAt: undefined }], notifications: [] }),
  )
  own.configLoaded(true, 1_500)
  const { samples } = readExposition(await own.text())
  expect(samples.filter(({ value }) => Number.isNaN(value))).toEqual([])
  expect(samples).toContainEqual({
    name: 'cdc_config_last_reload_success_timestamp_seconds',
    labels: {},
    value: 1.5,
  })
  expect(samples.filter(({ name }) => name.startsWith('cdc_watchdog'))).toEqual([
    { name: 'cdc_watchdog_ok', labels: {}, value: 1 },
  ])
})
