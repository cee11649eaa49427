import type { Instance } from '../collection/instance.ts'

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.codePointAt(0)};`)

const time = (at: number | undefined): string => (at === undefined ? '–' : new Date(at).toISOString())

/** `GET /`: what runs here and how it goes. `describe` makes one line without secrets of an error. */
export function landingPage(
  version: string,
  instances: readonly Instance[],
  describe: (error: unknown) => string,
): string {
  const rows = instances.map(({ settings, state, health }) => {
    const [problem] = health?.problems ?? []
    const result = !settings.enabled
      ? 'off'
      : state.success === undefined
        ? 'waiting'
        : state.success
          ? problem !== undefined
            ? 'degraded'
            : state.failedParts.length > 0
              ? 'in part'
              : 'ok'
          : 'failed'
    const error =
      state.success === false ? describe(state.error) : describe(problem ?? state.failedParts[0]?.cause ?? '')
    const { kind, target, labels, interval } = settings
    const cells = [
      kind.kind,
      target,
      labels.environment ?? '',
      result,
      typeof interval === 'number' ? `${interval / 1000} s` : interval.cron,
      time(state.lastRunAt),
      time(state.nextRunAt),
      state.lastDuration === undefined ? '–' : `${Math.round(state.lastDuration)} ms`,
      error,
    ]
    const metrics = `/metrics?collector=${encodeURIComponent(kind.kind)}&target=${encodeURIComponent(target)}`
    return `<tr class="${result.replace(' ', '-')}">${cells
      .map((cell) => `<td>${escapeHtml(cell)}</td>`)
      .join('')}<td><a href="${escapeHtml(metrics)}">metrics</a></td></tr>`
  })
  const heads = [
    'Collector',
    'Target',
    'Environment',
    'State',
    'Every',
    'Last run',
    'Next run',
    'Took',
    'Error',
    '',
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>cdc-exporter</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; color: #1c1e21 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
.ok td:nth-child(4) { color: #1a7f37 } .failed td:nth-child(4) { color: #cf222e; font-weight: 600 }
.in-part td:nth-child(4), .degraded td:nth-child(4) { color: #9a6700 } .off td { color: #888 }
</style>
</head>
<body>
<h1>cdc-exporter ${escapeHtml(version)}</h1>
<p><a href="/metrics">/metrics</a> · <a href="/health">/health</a> · <a href="/health/detailed">/health/detailed</a>
· <a href="/health/live">/health/live</a> · <a href="/health/ready">/health/ready</a></p>
<table>
<thead><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>
</body>
</html>
`
}
