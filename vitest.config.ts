import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Forks, not threads: the testbed ties the life of its parts to the process that started them.
    pool: 'forks',
    maxWorkers: 2,
    // Beyond every patience of the testbed: what does not come says so before.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Half of what a command or a daemon takes to start is the compiling of its sources, again and again the same.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url)) },
    // A forgotten `.only` would leave the rest out.
    allowOnly: false,
    // The verdict comes last: it is the last line of a run.
    reporters: ['default', './test/repository/reporter.ts'],
  },
})
