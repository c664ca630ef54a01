/** The harness from end to end, ours only, on a model that is small enough for a test. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const out = mkdtempSync(join(tmpdir(), 'sdft-bench-'));
afterAll(() => rmSync(out, { recursive: true }));

const bench = (...args: string[]) =>
  spawnSync(
    process.execPath,
    ['--conditions=@sdft/source', fileURLToPath(new URL('../run.ts', import.meta.url)), ...args],
    // No python3 on an empty path.
    { encoding: 'utf8', env: { ...process.env, PATH: out } },
  );

test('without Python ours is measured alone, which it says, and written', () => {
  const args = ['ti-sd15-256', '--model', 'tiny', '--pairs', '2', '--threads', '1', '--json'];
  const { status, stdout, stderr } = bench(...args, '--out', out);
  expect(status, stderr).toBe(0);
  expect(stderr).toContain('Only ours is measured');
  const result = JSON.parse(stdout) as Record<string, unknown>;
  expect(result).toEqual(JSON.parse(readFileSync(join(out, 'ti-sd15-256-tiny.json'), 'utf8')));
  expect(result).toMatchObject({
    job: 'ti-sd15-256',
    threads: 1,
    workload: { model: 'tiny', batch: 1 },
    figures: [{ figure: 'seconds a step', unit: 's', ours: expect.any(Number) as number }],
    samples: { ours: [expect.any(Number), expect.any(Number)] as number[] },
  });
});

test.each([
  [['ti-sd16'], 'there is no job ti-sd16; there are ti-sd15-256'],
  [['--pairs', '0'], '--pairs 0: give a whole number'],
  [['--model', 'sd16', 'memory'], 'there is no model sd16'],
  [['--python', 'no-such-python'], '--python: no-such-python could not be started'],
  [['--nosuch'], "Unknown option '--nosuch'"],
])('%j: exit status 2 and what is wrong', (args, message) => {
  const { status, stderr } = bench(...args);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});
