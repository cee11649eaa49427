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
    // A forgotten `.only` would leave the rest out.
    allowOnly: false,
    // The verdict comes last: it is the last line of a run.
    reporters: ['default', './test/repository/reporter.ts'],
  },
})
