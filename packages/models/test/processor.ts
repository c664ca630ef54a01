/** Milliseconds that this process has computed so far, on all threads: unlike a clock's, they are the same where other programs compute beside it. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
