import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { collectorKinds } from '../../src/collectors/index.ts'
import { loadConfig } from '../../src/config/load.ts'
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

test('the configuration in the Kubernetes manifest is valid, with the secrets beside it', () => {
  const secrets: Record<string, string> = manifest('Secret').stringData
  for (const [name, text] of Object.entries(secrets)) writeFileSync(join(folder.path, name), text)
  const file = join(folder.path, 'cdc-exporter.yaml')
  const text: string = manifest('ConfigMap').data['cdc-exporter.yaml']
  writeFileSync(file, text.replaceAll('/run/secrets/cdc-exporter/', ''))
  const config = loadConfig(file, { kinds: collectorKinds, env: {} })
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
