import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Forks, not threads: the testbed ties the life of its parts to the process that started them.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 180_000,
    // A forgotten `.only` would leave the rest out.
    allowOnly: false,
    // The verdict comes last: it is the last line of a run.
    reporters: ['default', './test/repository/reporter.ts'],
  },
})
