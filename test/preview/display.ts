// What a value looks like: text and colour, by the field's unit, mappings, thresholds and overrides.

import {
  type FieldConfig,
  type FieldConfigSource,
  MappingType,
  type Panel,
  SpecialValueMatch,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { written } from './units.ts'

/** Grafana's names of colours, in its dark theme. */
const NAMED: Readonly<Record<string, string>> = {
  green: '#73bf69',
  orange: '#ff9830',
  red: '#f2495c',
  blue: '#5794f2',
  yellow: '#fade2a',
  purple: '#b877d9',
  text: '#ccccdc',
}

/** Throws for a name that is not known here. */
export function colourOf(name: string): string {
  const colour = NAMED[name]
  if (colour === undefined) throw new Error(`the preview does not know the colour ${name}`)
  return colour
}

/** The same name has the same colour on every panel, as with Grafana's palette by name; the colours are our own. */
export function colourByName(name: string): string {
  let hash = 0
  for (const character of name) hash = (hash * 33 + (character.codePointAt(0) ?? 0)) >>> 0
  return `hsl(${Math.round(hash * 137.508) % 360}, ${55 + (hash % 4) * 8}%, ${58 + (hash % 3) * 7}%)`
}

interface Shown {
  readonly text: string
  readonly colour: string
}

/** How the values of one field are shown. */
export interface Field extends FieldConfig {
  readonly name: string
}

/** The settings of a panel's field of a name, its overrides applied. */
export function fieldOf({ fieldConfig }: Panel, name: string): Field {
  const { defaults, overrides = [] }: Partial<FieldConfigSource> = fieldConfig ?? {}
  const field: Record<string, unknown> = { ...defaults }
  for (const { matcher, properties } of overrides) {
    if (!matches(matcher, name)) continue
    for (const { id, value } of properties) {
      const [first = '', second] = id.split('.')
      if (second === undefined) field[first] = value
      else field[first] = { ...(field[first] as object | undefined), [second]: value }
    }
  }
  return { ...field, name }
}

function matches({ id, options }: { id: string; options?: unknown }, name: string): boolean {
  if (id === 'byName') return options === name
  if (id === 'byRegexp') return new RegExp(String(options).replace(/^\/(.*)\/$/, '$1')).test(name)
  throw new Error(`the preview does not know the matcher ${id}`)
}

/** `undefined` is no value. `decimals` instead of the field's, for axes. */
export function shown(field: Field, value: number | string | undefined, decimals = field.decimals): Shown {
  const mapped = mappingOf(field, value)
  const step = typeof value === 'number' ? value : Number.NEGATIVE_INFINITY
  const colour = mapped?.color ?? thresholdOf(field, step)
  if (mapped?.text !== undefined) return { text: mapped.text, colour: colourOf(colour) }
  if (value === undefined) return { text: field.noValue ?? '', colour: colourOf(colour) }
  const text = typeof value === 'string' ? value : written(value, field.unit ?? 'none', decimals)
  return { text, colour: colourOf(colour) }
}

function mappingOf({ mappings = [] }: Field, value: number | string | undefined) {
  for (const mapping of mappings) {
    if (mapping.type === MappingType.ValueToText) {
      const found = mapping.options[String(value)]
      if (found) return found
    } else if (
      mapping.type === MappingType.SpecialValue &&
      mapping.options.match === SpecialValueMatch.Null
    ) {
      if (value === undefined) return mapping.options.result
    } else throw new Error(`the preview does not know mappings of type ${mapping.type}`)
  }
  return undefined
}

function thresholdOf({ thresholds }: Field, value: number): string {
  const step = thresholds?.steps.findLast((each) => each.value === null || value >= each.value)
  return step?.color ?? 'text'
}

/** The thresholds above the base. */
export function limitsOf({
  thresholds,
}: Field): readonly { readonly value: number; readonly colour: string }[] {
  return (thresholds?.steps ?? []).flatMap(({ value, color }) =>
    value === null ? [] : [{ value, colour: colourOf(color) }],
  )
}
