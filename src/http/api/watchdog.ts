import { z } from 'zod'
import { NotExpected, type Watchdog } from '../../operations/watchdog.ts'
import { ApiError, type ApiRoute } from '../api.ts'

/** What is read of Alertmanager's webhook: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config */
const message = z.looseObject({
  status: z.string(),
  alerts: z.array(z.looseObject({ status: z.string(), labels: z.record(z.string(), z.string()) })),
})

/** `POST /api/v1/watchdog`: Alertmanager says that alerts can arrive. */
export function watchdogRoutes(watchdog: Watchdog): readonly ApiRoute[] {
  return [
    {
      method: 'POST',
      path: '/api/v1/watchdog',
      role: 'watchdog',
      operation: 'watchdog',
      query: [],
      handle({ body, caller }) {
        // Whoever may only look may not keep the switch quiet.
        if (caller.role !== 'watchdog' && caller.role !== 'admin') {
          throw new ApiError(403, `this needs the role watchdog; ${caller.name} is ${caller.role}`)
        }
        const { data } = message.safeParse(body)
        if (!data) throw new ApiError(400, "expected the JSON of Alertmanager's webhook")
        const foreign = data.alerts.find(({ labels }) => labels.alertname !== 'Watchdog')
        if (foreign) {
          const name = JSON.stringify(foreign.labels.alertname ?? '')
          throw new ApiError(400, `expected alerts named Watchdog alone, got ${name}`)
        }
        // One of several Prometheus may have gone.
        const firing = data.alerts.filter(({ status }) => status === 'firing')
        if (data.status !== 'firing' || firing.length === 0) {
          throw new ApiError(400, 'expected the status firing: a Watchdog that ends is none')
        }
        try {
          for (const { labels } of firing) watchdog.received(labels)
        } catch (error) {
          if (error instanceof NotExpected) throw new ApiError(409, error.message)
          throw error
        }
        return { status: 200, body: { received: firing.length } }
      },
    },
  ]
}
