/** Whether it is one of the hours, `08:00-18:00`, in the time zone; one that ends before it begins goes over midnight. */
export function isQuiet(hours: readonly string[], timezone: string, now: number): boolean {
  if (hours.length === 0) return false
  const time = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(now)
  return hours.some((span) => {
    const [from = '', to = ''] = span.split('-')
    return from <= to ? time >= from && time < to : time >= from || time < to
  })
}
