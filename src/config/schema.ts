import { z } from 'zod'
import type { CollectorKind } from '../collection/collector.ts'
import { collectorSchema, fileSchema } from './shape.ts'
import type { Path } from './source.ts'

type JsonSchema = z.core.JSONSchema.JSONSchema

/** Where a text is asked for in a certain form, a text with a variable in it is as good. */
const VARIABLE: JsonSchema = { type: 'string', pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}' }

/** JSON Schema (draft 2020-12) of the whole configuration file, for editors. */
export function jsonSchema(kinds: readonly CollectorKind[]): JsonSchema {
  const file = inputSchema(fileSchema)
  const collectors = {
    ...asSchema(file.properties?.collectors),
    items: { oneOf: kinds.flatMap(collectorSchemas) },
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of cdc-exporter',
    ...admitVariables({ ...file, properties: { ...file.properties, collectors } }),
  }
}

/** A collector of one kind: the keys of all collectors and its own; several where its own are alternatives. */
function collectorSchemas(kind: CollectorKind): JsonSchema[] {
  const base = inputSchema(collectorSchema)
  const own = inputSchema(kind.settings)
  return (own.properties ? [own] : (own.anyOf ?? own.oneOf ?? []).map(asSchema)).map((form) => ({
    ...form,
    title: `${kind.kind}: ${kind.health.title}`,
    properties: { ...base.properties, kind: { const: kind.kind }, ...form.properties },
    required: [...(base.required ?? []), ...(form.required ?? [])],
    additionalProperties: false,
  }))
}

/** The keys that `schema` knows at `path`, over all its alternatives. */
export function keysAt(schema: z.ZodType, path: Path): string[] {
  let forms = [inputSchema(schema)]
  for (const segment of path) {
    forms = forms
      .flatMap(alternatives)
      .flatMap(({ items, properties, additionalProperties }) =>
        typeof segment === 'number'
          ? [items].flat()
          : [properties?.[String(segment)] ?? additionalProperties],
      )
      .map(asSchema)
  }
  return forms.flatMap(alternatives).flatMap(({ properties }) => Object.keys(properties ?? {}))
}

function alternatives(schema: JsonSchema): JsonSchema[] {
  const { anyOf = [], oneOf = [], allOf = [] } = schema
  return [schema, ...[...anyOf, ...oneOf, ...allOf].map(asSchema).flatMap(alternatives)]
}

/** What the file may hold, not what the program gets from it. */
function inputSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return json as JsonSchema
}

function asSchema(schema: unknown): JsonSchema {
  return typeof schema === 'object' && schema !== null ? (schema as JsonSchema) : {}
}

function admitVariables(schema: JsonSchema): JsonSchema {
  if (isFormed(schema)) {
    const { description, default: fallback, ...form } = schema
    return {
      ...(description === undefined ? {} : { description }),
      ...(fallback === undefined ? {} : { default: fallback }),
      anyOf: [form, VARIABLE],
    }
  }
  const result: JsonSchema = { ...schema }
  if (schema.properties) {
    result.properties = Object.fromEntries(
      Object.entries(schema.properties).map(([key, value]) => [key, admitVariables(asSchema(value))]),
    )
  }
  if (schema.additionalProperties) {
    result.additionalProperties = admitVariables(asSchema(schema.additionalProperties))
  }
  if (schema.items) result.items = admitVariables(asSchema(schema.items))
  if (schema.anyOf) {
    const forms = schema.anyOf.map(asSchema)
    result.anyOf = [
      ...forms.map((form) => (isFormed(form) ? form : admitVariables(form))),
      ...(forms.some(isFormed) ? [VARIABLE] : []),
    ]
  }
  if (schema.oneOf) result.oneOf = schema.oneOf.map((form) => admitVariables(asSchema(form)))
  return result
}

/** Whether it is a scalar that not every text fits. A constant stays: it tells alternatives apart. */
function isFormed(schema: JsonSchema): boolean {
  if (schema.const !== undefined) return false
  if (schema.type === 'string' || schema.type === undefined) {
    return [schema.pattern, schema.enum, schema.minLength, schema.maxLength, schema.format].some(
      (rule) => rule !== undefined,
    )
  }
  return schema.type === 'integer' || schema.type === 'number' || schema.type === 'boolean'
}
