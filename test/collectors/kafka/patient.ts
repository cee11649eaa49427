/** Settings of a collector whose broker may be slow, where the test is not about one that hangs. */
export const patient = { broker_timeout: '3m' }
