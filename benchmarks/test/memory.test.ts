import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { MemoryWatch, treeOf } from '../measure/memory.ts';

const running: ChildProcess[] = [];
afterEach(() => {
  for (const child of running.splice(0)) child.kill();
});

/** A process that runs `script`; resolves when it has said something. */
async function started(
  script: string,
): Promise<{ pid: number; child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  running.push(child);
  const [said] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { pid: child.pid!, child, said };
}

const take = (bytes: number) => `const held = Buffer.alloc(${bytes}, 1);`;
const stay = `console.log(process.pid); process.stdin.resume();`;

test.runIf(process.platform === 'linux')('memory that was given back counts', async () => {
  const { pid, child } = await started(
    `console.log('up'); process.stdin.once('data', () => { let held = Buffer.alloc(3e8, 1); setTimeout(() => { held = undefined; gc(); console.log('done'); }, 200); });
     var gc = require('v8').setFlagsFromString('--expose-gc') ?? require('vm').runInNewContext('gc');`,
  );
  const watch = new MemoryWatch(pid);
  const before = watch.peaks();
  child.stdin!.write('go\n');
  await once(child.stdout!, 'data');
  await pause(50);
  const after = watch.peaks();
  watch.stop();
  expect(before.anonymous).toBeGreaterThan(1e6);
  expect(after.anonymous - before.anonymous).toBeGreaterThan(2.9e8);
  expect(after.anonymous - before.anonymous).toBeLessThan(3.6e8);
  expect(after.all - before.all).toBeGreaterThan(2.9e8);
  expect(after.mapped).toBeGreaterThan(1e7);
});

test.runIf(process.platform === 'linux')('what children and theirs take counts', async () => {
  const child = `${take(2e8)} ${stay}`;
  const { pid, said } = await started(
    `const { spawn } = require('node:child_process'); spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: ['pipe', 'inherit', 'inherit'] }); process.stdin.resume();`,
  );
  expect(treeOf(pid)).toEqual([pid, Number(said)]);
  const watch = new MemoryWatch(pid);
  const { anonymous, all } = watch.peaks();
  watch.stop();
  expect(anonymous).toBeGreaterThan(2e8);
  expect(all).toBeGreaterThan(anonymous);
});

test('a process that has ended has no children', async () => {
  const { pid, child } = await started('console.log(1)');
  if (child.exitCode === null) await once(child, 'exit');
  expect(treeOf(pid)).toEqual([]);
});
