import * as metrics from './metrics.ts'
import type { Part } from './part.ts'

/** Bytes or seconds of the units that pg_settings has. */
const FACTORS: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  min: 60,
  h: 3_600,
  d: 86_400,
  B: 1,
  kB: 2 ** 10,
  '8kB': 2 ** 13,
  MB: 2 ** 20,
  GB: 2 ** 30,
  TB: 2 ** 40,
}

const byName = new Map<string, (typeof metrics.settings)[number]>(
  metrics.settings.map((family) => [family.name, family]),
)

// Not `setting`: our own transaction has another statement_timeout.
const SETTINGS = `
  SELECT 'pg_settings_' || translate(name, '.-', '__') || CASE
      WHEN unit IS NULL THEN ''
      WHEN unit IN ('ms', 's', 'min', 'h', 'd') THEN '_seconds'
      ELSE '_bytes'
    END AS family, reset_val, unit, vartype
  FROM pg_settings
  WHERE vartype IN ('bool', 'integer', 'real')`

/** Those settings that bound replication, sessions, memory and checkpoints: see `metrics.settings`. */
export const serverSettings: Part = {
  name: 'pg_settings',
  families: [...metrics.settings, metrics.walLevel],
  async collect(server, batch, signal) {
    const sql = `WITH settings AS (${SETTINGS}) SELECT * FROM settings WHERE family = ANY ($1)`
    for (const { family, reset_val, unit, vartype } of await server.query(
      sql,
      [[...byName.keys()]],
      signal,
    )) {
      const known = byName.get(family ?? '')
      const value = vartype === 'bool' ? Number(reset_val === 'on') : Number(reset_val)
      // -1 means none, or another setting's, whatever the unit.
      const factor = unit === null || unit === undefined || value === -1 ? 1 : FACTORS[unit]
      if (known && factor !== undefined) batch.add(known, {}, value * factor)
    }
    const [row] = await server.query("SELECT current_setting('wal_level') AS wal_level", [], signal)
    batch.add(metrics.walLevel, { wal_level: row?.wal_level ?? '' }, 1)
  },
}
