import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { collectorKinds } from '../../src/collectors/index.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createLogger } from '../../src/log.ts'
import { temporaryFolder } from '../testbed/part.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const folder = temporaryFolder('deploy')
afterAll(() => folder.remove())

const manifests = parseAllDocuments(read('deploy/kubernetes/cdc-exporter.yaml')).map((document) => {
  expect(document.errors).toEqual([])
  return document.toJS()
})
const manifest = (kind: string) => manifests.find((each) => each.kind === kind)

test('the configuration in the Kubernetes manifest is valid, with the secrets beside it', async () => {
  const secrets: Record<string, string> = manifest('Secret').stringData
  for (const [name, text] of Object.entries(secrets)) writeFileSync(join(folder.path, name), text)
  const file = join(folder.path, 'cdc-exporter.yaml')
  const text: string = manifest('ConfigMap').data['cdc-exporter.yaml']
  writeFileSync(file, text.replaceAll('/run/secrets/cdc-exporter/', ''))
  const config = await loadConfig(file, { kinds: collectorKinds, env: {} })
  expect(config.web.port).toBe(9979)
  const revealed = config.secrets.map((secret) => secret.reveal())
  expect(revealed).toEqual(expect.arrayContaining(Object.values(secrets)))
})

test('probes ask the health paths on the port that is listened on, and nothing may be written', () => {
  const { template } = manifest('Deployment').spec
  const [container] = template.spec.containers
  expect(container.ports).toEqual([{ name: 'metrics', containerPort: 9979 }])
  expect(container.readinessProbe.httpGet).toEqual({ path: '/health/ready', port: 'metrics' })
  expect(container.livenessProbe.httpGet).toEqual({ path: '/health/live', port: 'metrics' })
  expect(container.securityContext.readOnlyRootFilesystem).toBe(true)
  expect(template.spec.securityContext.runAsUser).toBe(10_001)
})

const compose = parse(read('deploy/compose/docker-compose.yml'), { merge: true })

test('Compose takes its file, and every file that it mounts is there', () => {
  execFileSync('docker-compose', ['config', '--quiet'], { cwd: join(root, 'deploy/compose') })
  const services: Record<string, { volumes?: readonly string[] }> = compose.services
  const mounts = Object.values(services).flatMap(({ volumes = [] }) => volumes)
  const own = mounts.map((mount) => mount.split(':')[0] ?? '').filter((path) => path.startsWith('.'))
  expect(own.length).toBeGreaterThan(5)
  for (const path of own) expect(existsSync(join(root, 'deploy/compose', path)), path).toBe(true)
  // Where Grafana is told to look for them.
  const { path } = parse(read('grafana/provisioning/dashboards/cdc.yaml')).providers[0].options
  expect(mounts).toContain(`../../grafana/dashboards:${path}:ro`)
})

test('the daemon of Compose takes its configuration, with the secrets that it is given', async () => {
  const given: readonly string[] = compose.services['cdc-exporter'].secrets
  const secrets = join(folder.path, 'compose')
  mkdirSync(secrets)
  for (const name of given) {
    expect(compose.secrets[name].file).toBe(`./secrets/${name}`)
    writeFileSync(join(secrets, name), 'postgres://monitor:one@postgresql:5432/erp')
  }
  const file = join(folder.path, 'compose.yaml')
  const text = read('deploy/compose/config/cdc-exporter.yaml').replaceAll('/run/secrets/', `${secrets}/`)
  writeFileSync(file, text)
  expect((await loadConfig(file, { kinds: collectorKinds, env: {} })).log.file?.path).toBe(
    '/var/log/cdc-exporter/cdc-exporter.log',
  )
})

test('Prometheus of Compose scrapes services of Compose, each by a job of prometheus.yml', () => {
  for (const name of readdirSync(join(root, 'deploy/compose/targets'))) {
    expect(read('prometheus/prometheus.yml')).toContain(`[targets/${name}]`)
    for (const { targets } of parse(read(`deploy/compose/targets/${name}`))) {
      for (const target of targets) expect(compose.services).toHaveProperty(target.split(':')[0])
    }
  }
})

test('Alloy takes apart what the daemon and PM2 write', () => {
  const alloy = read('deploy/alloy/config.alloy')
  const lines: string[] = []
  const log = createLogger({
    level: 'info',
    secrets: () => [],
    destination: { write: (line) => void lines.push(line) },
  })
  const context = { collector: 'redis', target: 'votes', connector: 'erp' }
  log.child({ logger: 'scheduler' }).info(context, 'x')
  const [, expressions = ''] = /expressions = \{([^}]*)\}/.exec(alloy) ?? []
  const fields = [...expressions.matchAll(/= "(\w+)"/g)].map(([, field]) => field)
  expect(fields).toEqual(['timestamp', 'level', 'logger', 'collector', 'target', 'connector'])
  expect(Object.keys(JSON.parse(lines[0] ?? ''))).toEqual(expect.arrayContaining(fields))
  expect(JSON.parse(lines[0] ?? '').timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

  const expression = JSON.parse(/expression = ("[^\n]*")/.exec(alloy)?.[1] ?? '""').replaceAll('(?P<', '(?<')
  const parts = (name: string) => ({ ...new RegExp(expression).exec(`/var/log/pm2/${name}`)?.groups })
  expect(parts('clickhouse-etl-out.log')).toEqual({ app: 'clickhouse-etl', stream: 'out' })
  expect(parts('erp-backend-error-3.log')).toEqual({ app: 'erp-backend', stream: 'error' })
})

test('the image has the Node.js that the project is tested with, and a numbered user', () => {
  const dockerfile = read('Dockerfile')
  const { devDependencies } = JSON.parse(read('package.json'))
  const major = devDependencies.node.split('.')[0]
  for (const [, image] of dockerfile.matchAll(/^FROM (\S+)/gm)) {
    expect(image).toBe(`node:${major}-bookworm-slim`)
  }
  expect(dockerfile).toMatch(/^USER 10001:10001$/m)
  expect(manifest('Deployment').spec.template.spec.securityContext.runAsUser).toBe(10_001)
})

test('the image starts Node as the npm scripts do', () => {
  const dockerfile = read('Dockerfile')
  const { scripts } = JSON.parse(read('package.json'))
  const [, environment] = /^ENV (MALLOC.*)$/m.exec(dockerfile) ?? []
  const [, entrypoint = '[]'] = /^ENTRYPOINT (.*)$/m.exec(dockerfile) ?? []
  const command = [environment, ...JSON.parse(entrypoint)].join(' ').replace('dist/main.js', 'src/main.ts')
  expect(scripts['cdc-exporter']).toBe(command)
  expect(scripts.start).toBe(`${command} run --config config/cdc-exporter.yaml`)
})

test('what the build emits runs', () => {
  const app = join(folder.path, 'app')
  mkdirSync(app)
  execFileSync(
    join(root, 'node_modules/.bin/tsc'),
    ['-p', 'tsconfig.build.json', '--outDir', join(app, 'dist')],
    {
      cwd: root,
    },
  )
  symlinkSync(join(root, 'node_modules'), join(app, 'node_modules'))
  symlinkSync(join(root, 'package.json'), join(app, 'package.json'))
  const output = execFileSync(
    process.execPath,
    [join(app, 'dist/main.js'), 'config', 'validate', join(root, 'config/cdc-exporter.yaml')],
    { encoding: 'utf8', env: { PATH: process.env.PATH } },
  )
  expect(output).toMatch(/is valid: \d+ collectors/)
})
