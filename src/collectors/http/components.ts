import { z } from 'zod'

const component = z.object({ status: z.string() })

/** Nest Terminus calls them `details`, and `info` and `error` by how they are; Spring Boot calls them `components`. */
const healthJson = z
  .object({
    details: z.record(z.string(), component).optional(),
    info: z.record(z.string(), component).nullish(),
    error: z.record(z.string(), component).nullish(),
    components: z.record(z.string(), component).optional(),
  })
  .refine(({ details, info, error, components }) => details ?? info ?? error ?? components)

/**
 * Whether each component of a health JSON is up, by its name; one whose state is not known is not among them.
 * Undefined where it is no health JSON.
 */
export function componentsOf(json: unknown): ReadonlyMap<string, boolean> | undefined {
  const { data } = healthJson.safeParse(json)
  if (!data) return undefined
  const all = data.details ?? data.components ?? { ...data.info, ...data.error }
  return new Map(
    Object.entries(all)
      .map(([name, { status }]) => [name, status.toLowerCase()] as const)
      .filter(([, status]) => status !== 'unknown')
      .map(([name, status]) => [name, status === 'up']),
  )
}
