const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/g

/**
 * Puts variables into a text: `${VAR}`, `${VAR:-default}` (the default also for an empty variable, as in a
 * shell), and `$${` for a literal `${`. `lookup` is asked once for each reference. What cannot be replaced
 * stays, with a fault.
 */
export function interpolate(
  text: string,
  lookup: (name: string) => string | undefined,
): { readonly text: string; readonly faults: readonly string[] } {
  const faults: string[] = []
  const result = text.replace(REFERENCE, (reference, name?: string, fallback?: string) => {
    if (reference === '$${') return '${'
    if (name === undefined) {
      faults.push(`expected a variable as in \${NAME} or \${NAME:-default}; for the text "\${" write "$\${"`)
      return reference
    }
    const value = lookup(name)
    if (fallback !== undefined) return value || fallback
    if (value === undefined) faults.push(`the variable ${name} is not set, and has no default`)
    return value ?? reference
  })
  return { text: result, faults }
}
